"""Replaces keys and names in extracts by the spellings that the store knows, where a mapping ignores how they differ.

After that, everything else compares exactly: the first spelling of a key stays its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.queries import Reading
from deltamark.application.synchronization.prepare import PreparedExtracts
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping, PropertyRef
from deltamark.domain.configuration.value_formats import Comparison
from deltamark.domain.runs.run import SetAside
from deltamark.domain.synchronization.spellings import comparable


@frozen(kw_only=True)
class SpelledExtracts:
    """Extracts in the spellings of the store.

    :param set_aside: rows that only now turn out to name one resource several times.
    :param messages: what a user must know about keys of the extracts.
    """

    extracts: PreparedExtracts
    set_aside: tuple[SetAside, ...] = ()
    messages: tuple[str, ...] = ()


def with_known_spellings(
    configuration: Configuration, view: Reading, extracts: PreparedExtracts, states: Mapping[str, pa.Table]
) -> SpelledExtracts:
    """The extracts with known spellings of all properties whose mapping has a `Comparison`.

    Of several spellings, the one counts that a resource has, then that of a waiting link, then the first in the
    extracts. Costs nothing where no mapping has a comparison, and a pass over all values of a property where one is
    spelled in a new way.

    :param states: the resources of entity types that were already read.
    """
    comparisons = _comparisons(configuration)
    if not comparisons:
        return SpelledExtracts(extracts=extracts)
    known = {ref: _Spellings(configuration, view, ref, kind) for ref, kind in comparisons.items()}
    resources = []
    set_aside: list[SetAside] = []
    for mapping, extract in extracts.resources:
        spelled = _spelled_resources(mapping, extract, known, view, states.get(mapping.entity_type))
        if not extract.is_delta:
            spelled, repeated = _without_repeated_keys(mapping, spelled)
            set_aside += repeated
        resources.append((mapping, spelled))
    links = [(mapping, _spelled_links(mapping, extract, known)) for mapping, extract in extracts.links]
    return SpelledExtracts(
        extracts=evolve(extracts, resources=tuple(resources), links=tuple(links)), set_aside=tuple(set_aside)
    )


def _comparisons(configuration: Configuration) -> dict[PropertyRef, Comparison]:
    return {
        PropertyRef(mapping.entity_type, item.identifier): item.comparison
        for mapping in configuration.entity_type_mappings
        for item in mapping.properties
        if item.comparison is not Comparison.EXACT
    }


class _Spellings:
    """The known spellings of the values of one property."""

    def __init__(self, configuration: Configuration, view: Reading, ref: PropertyRef, comparison: Comparison) -> None:
        mapping = configuration.mapping_of(ref.entity_type)
        assert mapping is not None, "a comparison is part of a mapping"
        self.comparison = comparison
        self._view = view
        self._ref = ref
        self._property = None if mapping.primary_key.identifier == ref.property else ref.property
        self._ends = [
            (links.association, end)
            for links in configuration.association_mappings
            for end, named in enumerate((links.entity_property_mapping1, links.entity_property_mapping2))
            if named == ref
        ]
        self._by_form: dict[str, str] | None = None
        self._learned: dict[str, str] = {}

    @property
    def is_named_by_links(self) -> bool:
        """Whether an association finds resources by the property."""
        return bool(self._ends)

    def of(self, values: Iterable[str | None]) -> dict[str, str]:
        """Value -> its known spelling, for those that have another one. Values of a new form are known from now on."""
        distinct = list(dict.fromkeys(value for value in values if value is not None))
        new = self._not_stored(distinct)
        replaced = {}
        for value in new:
            form = comparable(value, self.comparison)
            spelling = self._stored_by_form().get(form) or self._learned.setdefault(form, value)
            if spelling != value:
                replaced[value] = spelling
        return replaced

    def same(self, value: object, other: object) -> bool:
        """Whether two values differ at most in their spelling."""
        if not isinstance(value, str) or not isinstance(other, str):
            return False
        return comparable(value, self.comparison) == comparable(other, self.comparison)

    def _not_stored(self, values: list[str]) -> list[str]:
        array = pa.array(values, pa.string())
        stored = self._view.identities(self._ref.entity_type, self._property, array).column("value")
        return list(array.filter(pc.invert(pc.is_in(array, value_set=stored.combine_chunks()))).to_pylist())

    def _stored_by_form(self) -> dict[str, str]:
        if self._by_form is None:
            stored = self._view.identities(self._ref.entity_type, self._property, None).column("value").to_pylist()
            waiting = {pair[end] for name, end in self._ends for pair in self._view.waiting_links(name)}
            self._by_form = {}
            for value in (*sorted(stored), *sorted(waiting)):
                self._by_form.setdefault(comparable(value, self.comparison), value)
        return self._by_form


def _spelled_resources(
    mapping: EntityTypeMapping,
    extract: ResourceExtract,
    known: Mapping[PropertyRef, _Spellings],
    view: Reading,
    stored: pa.Table | None,
) -> ResourceExtract:
    refs = {item.identifier: PropertyRef(mapping.entity_type, item.identifier) for item in mapping.properties}
    spellings = {identifier: known[ref] for identifier, ref in refs.items() if ref in known}
    if not spellings:
        return extract
    key = mapping.primary_key.identifier
    if key in spellings:
        tables = [extract.rows, *([extract.faulty] if extract.faulty is not None else [])]
        keys = [*(k for table in tables for k in table.column("key").to_pylist()), *extract.kept.to_pylist()]
        replaced = spellings[key].of(keys)
        if replaced:
            faulty = None if extract.faulty is None else _respelled(extract.faulty, {"key": replaced})
            kept = _replaced(extract.kept, replaced)
            extract = evolve(extract, rows=_with_keys(extract.rows, key, replaced), kept=kept, faulty=faulty)
    keys = extract.rows.column("key").combine_chunks().unique()
    stored = stored if stored is not None else view.live_resources_among(mapping.entity_type, keys)
    rows = _with_stored_spellings(extract.rows, stored, spellings)
    for identifier, values in spellings.items():
        if identifier != key and values.is_named_by_links:
            rows = _with_values(rows, identifier, values.of(_values(rows, identifier)))
    return evolve(extract, rows=rows)


def _with_keys(rows: pa.Table, identifier: str, replaced: Mapping[str, str]) -> pa.Table:
    """The rows with other spellings of their keys, also in the property that holds the key."""
    keys = rows.column("key").to_pylist()
    states = rows.column("state").to_pylist()
    for place, key in enumerate(keys):
        if key in replaced:
            keys[place] = replaced[key]
            state = orjson.loads(states[place])
            if identifier in state:
                states[place] = orjson.dumps({**state, identifier: replaced[key]}).decode()
    return _with_columns(rows, key=keys, state=states)


def _with_values(rows: pa.Table, identifier: str, replaced: Mapping[str, str]) -> pa.Table:
    """The rows with other spellings of the values of a property."""
    if not replaced:
        return rows
    states = [orjson.loads(text) for text in rows.column("state").to_pylist()]
    spelled = [
        {**state, identifier: replaced[state[identifier]]} if state.get(identifier) in replaced else state
        for state in states
    ]
    return _with_columns(rows, state=[orjson.dumps(state).decode() for state in spelled])


def _with_stored_spellings(rows: pa.Table, stored: pa.Table, spellings: Mapping[str, _Spellings]) -> pa.Table:
    """The rows with the stored spelling of each value that differs only in its spelling."""
    before = dict(zip(stored.column("key").to_pylist(), stored.column("state").to_pylist(), strict=True))
    states = rows.column("state").to_pylist()
    for place, (key, text) in enumerate(zip(rows.column("key").to_pylist(), states, strict=True)):
        stored_text = before.get(key)
        if stored_text is None or stored_text == text:
            continue
        state, earlier = orjson.loads(text), orjson.loads(stored_text)
        spelled = {
            name: earlier[name]
            for name, values in spellings.items()
            if name in state and state[name] != earlier.get(name) and values.same(state[name], earlier.get(name))
        }
        if spelled:
            states[place] = orjson.dumps({**state, **spelled}).decode()
    return _with_columns(rows, state=states)


def _without_repeated_keys(
    mapping: EntityTypeMapping, extract: ResourceExtract
) -> tuple[ResourceExtract, list[SetAside]]:
    """The rows of a complete extract whose keys are still unique, and those that name one resource several times.

    Of equal rows the first is applied. Where they differ, none is.
    """
    rows = extract.rows
    if mapping.primary_key.comparison is Comparison.EXACT:
        return extract, []
    counts = pc.value_counts(rows.column("key"))
    repeated = {entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1}
    if not repeated:
        return extract, []
    columns = (rows.column(name).to_pylist() for name in ("key", "line", "state"))
    by_key: dict[str, list[tuple[int, str]]] = {}
    for key, line, state in zip(*columns, strict=True):
        if key in repeated:
            by_key.setdefault(key, []).append((line, state))
    set_aside, kept = [], []
    for key, given in by_key.items():
        is_same = len({state for _, state in given}) == 1
        kept += [] if is_same else [key]
        set_aside += list(_repeated(mapping, extract, key, [line for line, _ in given], is_same=is_same))
    lines = pa.array([row.line for row in set_aside], pa.int64())
    left = rows.filter(pc.invert(pc.is_in(rows.column("line"), value_set=lines)))
    all_kept = pa.concat_arrays([extract.kept, pa.array(kept, pa.string())])
    return evolve(extract, rows=left, kept=all_kept), set_aside


def _repeated(
    mapping: EntityTypeMapping, extract: ResourceExtract, key: str, lines: list[int], *, is_same: bool
) -> Iterator[SetAside]:
    for line in lines[1:] if is_same else lines:
        other = lines[0] if line != lines[0] else lines[1]
        reason = f"the same row as line {other}" if is_same else f"the key also occurs in line {other}"
        yield SetAside(
            file=extract.cleansed.read.file,
            line=line,
            column=mapping.primary_key.connection_column,
            reason=f"{reason}, in another spelling",
            value=key,
            key=key,
        )


def _spelled_links(
    mapping: EntityAssociationMapping, extract: LinkExtract, known: Mapping[PropertyRef, _Spellings]
) -> LinkExtract:
    ends = zip(("value1", "value2"), (mapping.entity_property_mapping1, mapping.entity_property_mapping2), strict=True)
    for column, ref in ends:
        if ref not in known:
            continue
        values = extract.rows.column(column).to_pylist()
        if column == "value1":
            values += extract.kept.to_pylist()
            values += [] if extract.faulty is None else extract.faulty.column("value1").to_pylist()
            values += [] if extract.halves is None else extract.halves.column("value1").to_pylist()
        replaced = known[ref].of(values)
        if not replaced:
            continue
        extract = evolve(extract, rows=_respelled(extract.rows, {column: replaced}))
        if column == "value1":
            faulty = None if extract.faulty is None else _respelled(extract.faulty, {"value1": replaced})
            halves = None if extract.halves is None else _respelled(extract.halves, {"value1": replaced})
            extract = evolve(extract, kept=_replaced(extract.kept, replaced), faulty=faulty, halves=halves)
    return extract


def _values(rows: pa.Table, identifier: str) -> Iterator[str | None]:
    for text in rows.column("state").to_pylist():
        value = orjson.loads(text).get(identifier)
        yield value if isinstance(value, str) else None


def _respelled(table: pa.Table, replaced: Mapping[str, Mapping[str, str]]) -> pa.Table:
    columns = {name: [values.get(v, v) for v in table.column(name).to_pylist()] for name, values in replaced.items()}
    return _with_columns(table, **columns)


def _replaced(values: pa.Array, replaced: Mapping[str, str]) -> pa.Array:
    return pa.array([replaced.get(value, value) for value in values.to_pylist()], pa.string())


def _with_columns(table: pa.Table, **columns: list[str | None]) -> pa.Table:
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values, pa.string()))
    return table
