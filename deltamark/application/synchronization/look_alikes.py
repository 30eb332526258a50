"""Sets aside rows whose key only looks like that of another resource, because of characters that nobody sees.

A key with such characters is a key like any other where no other key looks the same: its source may spell it so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.queries import Reading
from deltamark.application.synchronization.known_spellings import SpelledExtracts
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.runs.run import SetAside
from deltamark.domain.synchronization.keys import UNSEEN, escaped, look

_FAULTY = ["key", "line", "command"]


def without_look_alikes(view: Reading, spelled: SpelledExtracts) -> SpelledExtracts:
    """The extracts without rows whose key looks the same as another one of the extract, or of the store.

    Of several new spellings the one without invisible characters is kept, else the first. A complete extract says that
    both are there, so both are resources, which a message says; where one is gone, `key_changes` finds it. Costs a pass
    over the keys, and a look-up of those with characters that nobody sees.
    """
    extracts = spelled.extracts
    resources = []
    lines_by_table: dict[str, list[int | None]] = defaultdict(list)
    set_aside, messages = list(spelled.set_aside), []
    for mapping, extract in extracts.resources:
        is_complete = extracts.deletes_missing(extract)
        originals = _originals(view, mapping, extract, with_stored=not is_complete)
        if originals and is_complete:
            messages.append(_both_are_there(extract, originals))
        elif originals:
            extract, rows = _without(mapping, extract, originals)
            set_aside += rows
            lines_by_table[mapping.connection_table] += [row.line for row in rows]
        resources.append((mapping, extract))
    if not lines_by_table:
        return evolve(spelled, messages=tuple(messages))
    links = [(mapping, _links_without(mapping, extract, lines_by_table)) for mapping, extract in extracts.links]
    return SpelledExtracts(
        extracts=evolve(extracts, resources=tuple(resources), links=tuple(links)),
        set_aside=tuple(set_aside),
        messages=tuple(messages),
    )


def uncommon(values: pa.Array) -> dict[str, str]:
    """The values with characters that nobody sees, or composed otherwise: value -> what it looks like."""
    is_plain = pc.and_(pc.string_is_ascii(values), pc.ascii_is_printable(values))
    others = values.filter(pc.invert(is_plain))
    is_composed_otherwise = pc.not_equal(pc.utf8_normalize(others, "NFC"), others)
    others = others.filter(pc.or_(is_composed_otherwise, pc.match_substring_regex(others, f"[{UNSEEN}]")))
    others = others.unique().to_pylist()
    return {value: form for value in others for form in [look(value)] if form != value}


def _originals(
    view: Reading, mapping: EntityTypeMapping, extract: ResourceExtract, *, with_stored: bool
) -> dict[str, str]:
    """Key -> the key that it looks like and that is kept, for those that are not."""
    keys = extract.rows.column("key").combine_chunks()
    odd = uncommon(keys)
    if not odd:
        return {}
    forms = pa.array(sorted({*odd, *odd.values()}), pa.string())
    stored = set(view.identities(mapping.entity_type, None, forms).column("value").to_pylist())
    plain = set(keys.filter(pc.is_in(keys, value_set=pa.array(list(odd.values()), pa.string()))).to_pylist())
    by_look: dict[str, list[str]] = defaultdict(list)
    for form in dict.fromkeys(odd.values()):
        if form in plain or (with_stored and form in stored):
            by_look[form].append(form)
    for key, form in odd.items():
        by_look[form].append(key)
    return {
        key: kept[0]
        for spellings in by_look.values()
        for kept in [[key for key in spellings if key in stored] or spellings[:1]]
        for key in spellings
        if key not in kept
    }


def _both_are_there(extract: ResourceExtract, originals: Mapping[str, str]) -> str:
    file, (key, other) = extract.cleansed.read.file, next(iter(originals.items()))
    more = f", and {len(originals) - 1:,} more such keys" if len(originals) > 1 else ""
    return (
        f"{file}: the new key {escaped(key)} looks the same as {escaped(other)}{more}; the extract holds both, so each "
        "is a resource"
    )


def _without(
    mapping: EntityTypeMapping, extract: ResourceExtract, originals: Mapping[str, str]
) -> tuple[ResourceExtract, list[SetAside]]:
    is_other = pc.is_in(extract.rows.column("key"), value_set=pa.array(list(originals), pa.string()))
    others = extract.rows.filter(is_other)
    set_aside = [
        SetAside(
            file=extract.cleansed.read.file,
            line=line,
            column=mapping.primary_key.connection_column,
            reason=f"the key, {escaped(key)}, looks the same as {escaped(originals[key])}, which is another",
            value=key,
            key=key,
        )
        for key, line in zip(others.column("key").to_pylist(), others.column("line").to_pylist(), strict=True)
    ]
    faulty = extract.faulty
    if faulty is not None:  # it may be about the resource that it looks like: no row before it may delete that one
        meant = pa.array([originals[key] for key in others.column("key").to_pylist()], pa.string())
        doubtful = others.select(_FAULTY).set_column(0, "key", meant).cast(faulty.schema)
        faulty = pa.concat_tables([faulty, doubtful])
    return evolve(extract, rows=extract.rows.filter(pc.invert(is_other)), faulty=faulty), set_aside


def _links_without(
    mapping: EntityAssociationMapping, extract: LinkExtract, lines_by_table: Mapping[str, Iterable[int | None]]
) -> LinkExtract:
    lines = pa.array(list(lines_by_table.get(mapping.connection_table, ())), pa.int64())
    if not len(lines):
        return extract
    return evolve(extract, rows=extract.rows.filter(pc.invert(pc.is_in(extract.rows.column("line"), value_set=lines))))
