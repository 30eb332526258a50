"""Fills an empty store with a state of another one: what derived values are computed from, and what they are."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.adoption.configurations import configuration_in_force
from deltamark.application.ports.arrow_schemas import LINKS, RESOURCES, UPDATES
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import (
    ComputedChanges,
    DerivedRule,
    LinkChanges,
    LinkEnds,
    ResourceChanges,
)
from deltamark.application.services import Services
from deltamark.domain.adoption.configuration_adopted import AdoptedConfiguration
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.history.changes import Position
from deltamark.domain.resources.events import ADOPTION, Origin

SEED = Origin(1, ADOPTION)
"""The origin of what fills a store."""

_SOME_DIGEST = "computed before"
"""In place of the digest of a definition that is not known: no configuration has it."""

_STREAMS = pa.schema([("stream", pa.int64()), ("here", pa.int64()), ("entity_type", pa.string())])


def seed(services: Services, tx: Writing, source: Reading, position: Position | None) -> AdoptedConfiguration | None:
    """Fills an empty store with the state of another one, now or at a position, and returns its configuration.

    That is the resources with their synchronized and computed values, the links, and the configuration in force. Of
    the present also which rules were computed, the keys and the classifications, which the log does not have. What has
    no part in derived values is left out: runs, flags, places, links that wait, what is held back.

    :returns: None where the configuration in force then is not known.
    """
    streams = pa.concat_tables([_STREAMS.empty_table(), *_put_resources(tx, source, position)])
    _put_links(tx, source, position, streams)
    if position is None:
        _put_rules(tx, source, streams)
    else:
        tx.mark_complete(_computed_rules(tx))
    tx.move_flags(tx.head())
    return _adopt(services, tx, source, position)


def _put_resources(tx: Writing, source: Reading, position: Position | None) -> Iterator[pa.Table]:
    """Writes the resources, and returns their streams there and here."""
    nothing = RESOURCES.empty_table()
    for entity_type in source.stored_entity_types():
        resources = source.resources_at(entity_type, position).sort_by("stream")
        if not resources.num_rows:
            continue
        created = pa.table({name: resources.column(name) for name in ("key", "state")})
        created = created.add_column(1, "line", pa.nulls(created.num_rows, pa.int64())).cast(RESOURCES)
        changes = ResourceChanges(created=created, updated=UPDATES.empty_table(), deleted=nothing)
        tx.append_resources(entity_type, changes, SEED)
        here = tx.identities(entity_type, None, None).select(["key", "stream"]).rename_columns(["key", "here"])
        resources = resources.join(here, "key", join_type="inner")
        computed = resources.filter(pc.not_equal(resources.column("computed"), "{}")).sort_by("here")
        if computed.num_rows:
            rows = computed.select(["here", "computed"]).rename_columns(["stream", "computed"])
            # The values before are of no use: no one reads the log of this store.
            rows = rows.append_column("changes", pa.repeat(pa.scalar("{}"), rows.num_rows))
            tx.put_computed(ComputedChanges(entity_type=entity_type, rows=rows), SEED)
        kind = pa.repeat(pa.scalar(entity_type), resources.num_rows)
        yield resources.select(["stream", "here"]).append_column("entity_type", kind).cast(_STREAMS)


def _put_links(tx: Writing, source: Reading, position: Position | None, streams: pa.Table) -> None:
    for association in source.stored_associations():
        links = source.linked_at(association.identifier, position)
        for end in ("source", "target"):
            names = [end, f"{end}_here", f"{end}_type"]
            links = links.join(streams.rename_columns(names), end, join_type="inner")
        ends = links.group_by(["source_type", "target_type"]).aggregate([]).to_pylist()
        for pair in ends:
            chosen = links.filter(
                pc.and_(
                    pc.equal(links.column("source_type"), pair["source_type"]),
                    pc.equal(links.column("target_type"), pair["target_type"]),
                )
            )
            linked = chosen.select(["source_here", "target_here", "source_key", "target_key"])
            linked = linked.append_column("line", pa.nulls(linked.num_rows, pa.int64())).rename_columns(LINKS.names)
            linked = linked.cast(LINKS).sort_by([("source_key", "ascending"), ("target_key", "ascending")])
            tx.append_links(
                LinkEnds(association=association.identifier, source=pair["source_type"], target=pair["target_type"]),
                LinkChanges(linked=linked, unlinked=LINKS.empty_table()),
                SEED,
            )


def _put_rules(tx: Writing, source: Reading, streams: pa.Table) -> None:
    """Writes keys and classifications, and which derivations were computed by which definition."""
    here = streams.select(["stream", "here"])
    for rule in sorted(source.rules_computed(), key=lambda rule: (rule.kind.value, rule.entity_type, rule.name)):
        match rule.kind:
            case DerivationKind.PROPERTY:
                tx.mark_complete([rule])
            case DerivationKind.CLASSIFICATION:
                holding = pa.table({"stream": source.classified(rule)}).join(here, "stream", join_type="inner")
                values = pa.table(
                    {"stream": holding.column("here"), "value": pa.repeat(pa.scalar(True), holding.num_rows)}
                )
                tx.put_classifications(rule, values.sort_by("stream"), everything=True)
            case _:
                keys = source.stored_keys(rule).join(here, "stream", join_type="inner")
                values = keys.select(["here", "value"]).rename_columns(["stream", "value"])
                tx.put_keys(rule, values.sort_by("stream"), everything=True)


def _computed_rules(tx: Writing) -> Iterator[DerivedRule]:
    """The properties that have computed values, as derivations that were computed."""
    for entity_type in tx.stored_entity_types():
        texts = tx.states(entity_type).column("computed").unique().to_pylist()
        for name in sorted({name for text in texts for name in orjson.loads(text)}):
            yield DerivedRule(kind=DerivationKind.PROPERTY, name=name, entity_type=entity_type, digest=_SOME_DIGEST)


def _adopt(services: Services, tx: Writing, source: Reading, position: Position | None) -> AdoptedConfiguration | None:
    """Puts the configuration into force that was in force in the other store."""
    known = configuration_in_force(source, services, position)
    if known is None:
        return None
    newest = source.adoption_at(known.position)
    assert newest is not None, "a configuration that is in force was adopted"
    _, event = newest
    tx.append_adoption(
        lambda stream, version, at: evolve(
            event, originator_id=stream, originator_version=version, at=at, previous=None
        ),
        known.xml,
    )
    return known
