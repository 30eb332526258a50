"""Compares an extract with the rows that were applied last, so that only the rows that differ are looked at.

The store has what they were, as digests, and trusts them while nothing else changed the resources. What they say holds
for extracts whose rows stand for themselves: not where keys are compared by their spelling or their look.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.digests import digest_of
from deltamark.application.ports.applied_rows import AppliedRows, RowDigests, UnchangedRows
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import ResourceComparison
from deltamark.application.ports.extracts import ResourceExtract
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.application.synchronization.look_alikes import uncommon
from deltamark.application.synchronization.prepare import PreparedExtracts
from deltamark.domain.configuration.jobs import SynchronizeTask
from deltamark.domain.configuration.value_formats import Comparison

FEWEST = 10_000
"""Rows that are kept; fewer are compared as fast."""

_MOST_LOOKED_UP = 5
"""One resource of so many is looked up by its key at most; of more, all are read."""


def row_digests(services: Services, view: Reading, task: SynchronizeTask, *, anew: bool) -> Mapping[str, RowDigests]:
    """Entity type -> what is known of its rows, or only how to digest them; not those of which nothing can be known.

    :param anew: whether everything is to be compared in any case.
    """
    basis = _basis(services)
    if basis is None or services.configuration.connections_of(task.connector):
        return {}
    resources, _ = services.configuration.mappings_of_connector(task.connector)
    is_in_doubt = anew or view.block_of(task.connector) is not None
    found = {}
    for mapping in resources:
        if any(item.comparison is not Comparison.EXACT for item in mapping.properties):
            continue
        known = None if is_in_doubt else view.applied_rows(mapping.entity_type, basis)
        if known is not None and known.applied is not None and uncommon(known.applied.others):
            known = None  # a key that was applied may look like one that others wrote
        found[mapping.entity_type] = known or RowDigests()
    return found


def _basis(services: Services) -> str | None:
    """What decides besides its bytes what a row says; None where that is not known."""
    if services.records_changes or services.extracts.reader is None:
        return None
    return digest_of([services.configuration_digest, services.extracts.reader])


def compared_by_rows(extracts: PreparedExtracts) -> Collection[str]:
    """The entity types of which only the rows that differ were read."""
    return [mapping.entity_type for mapping, extract in extracts.resources if extract.unchanged is not None]


def has_uncommon_keys(extracts: PreparedExtracts) -> bool:
    """Whether a row that differs has a key that may look like another one, so that all rows must be read."""
    return any(
        extract.unchanged is not None and uncommon(extract.rows.column("key").combine_chunks())
        for _, extract in extracts.resources
    )


def states_to_compare(view: Reading, entity_type: str, extract: ResourceExtract, unchanged: UnchangedRows) -> pa.Table:
    """The live resources that the rows of an extract do not say to be unchanged."""
    known = unchanged.applied
    missing = known.rows.column("key").filter(pc.invert(unchanged.is_there)).combine_chunks()
    keys = pa.concat_arrays([extract.rows.column("key").combine_chunks().cast(pa.string()), missing, known.others])
    keys = keys.unique()
    if len(keys) * _MOST_LOOKED_UP <= known.rows.num_rows:
        return view.live_resources_among(entity_type, keys)
    states = view.live_resources(entity_type)
    return states.filter(pc.is_in(states.column("key"), value_set=keys))


def keep_applied_rows(
    services: Services, tx: Writing, extracts: PreparedExtracts, compared: Mapping[str, ResourceComparison]
) -> None:
    """Keeps the rows that a synchronization has applied, for the next one."""
    basis = _basis(services)
    if basis is None or extracts.deliveries or tx.is_dry_run:
        return
    for mapping, extract in extracts.resources:
        if extract.salt is None or not extracts.deletes_missing(extract):
            continue
        name = mapping.entity_type
        if _confirms(extract, compared[name]):
            tx.confirm_applied_rows(name, basis)
        else:
            tx.keep_applied_rows(name, basis, RowDigests(salt=extract.salt, applied=_applied(extract, compared[name])))


def _confirms(extract: ResourceExtract, compared: ResourceComparison) -> bool:
    """Whether an extract has the rows that were applied before, and no others."""
    if extract.unchanged is None or extract.rows.num_rows or not pc.all(extract.unchanged.is_there).as_py():
        return False
    if not extract.unchanged.applied.is_as_applied:
        return False
    return bool(_others(extract, compared).equals(extract.unchanged.applied.others))


def _applied(extract: ResourceExtract, compared: ResourceComparison) -> AppliedRows | None:
    """What the resources of an entity type are once an extract is applied; None if that is not to be kept."""
    rows, kept = extract.rows.select(["digest", "key"]), None
    if extract.unchanged is not None:
        known, new = extract.unchanged.applied, rows.num_rows
        rows = pa.concat_tables([known.rows.filter(extract.unchanged.is_there), rows.cast(known.rows.schema)])
        if known.kept is not None:
            places = known.kept.places.filter(extract.unchanged.is_there)
            kept = evolve(known.kept, places=pa.concat_arrays([places, pa.array([-1] * new, pa.int64())]))
    elif uncommon(rows.column("key").combine_chunks()):
        return None
    if rows.num_rows < FEWEST:
        return None
    return AppliedRows(rows=rows, others=_others(extract, compared), kept=kept)


def _others(extract: ResourceExtract, compared: ResourceComparison) -> pa.Array:
    """The keys of resources that stay although no row of an extract is applied to them."""
    spared = [] if compared.spared is None else [compared.spared.column("key").combine_chunks().cast(pa.string())]
    return pa.concat_arrays([extract.kept.cast(pa.string()), *spared]).unique()
