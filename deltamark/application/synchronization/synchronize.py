"""Makes a connector's resources and links what its extracts say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import (
    EarlierPairs,
    LinkCommandsComparison,
    LinkComparison,
    LinkSides,
    ResourceComparison,
)
from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.pending_changes import PendingChanges
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import LinkChanges, LinkEnds, ResourceChanges
from deltamark.application.retention.discard import discard_changes_of
from deltamark.application.services import (
    Apply,
    ReportProgress,
    Scope,
    Services,
    Skip,
    TaskProgress,
    TaskResult,
    report_nothing,
)
from deltamark.application.sources.places import move_places, not_applied, places_of
from deltamark.application.synchronization.applied_rows import (
    compared_by_rows,
    has_uncommon_keys,
    keep_applied_rows,
    row_digests,
    states_to_compare,
)
from deltamark.application.synchronization.hold_back import HeldBack, release
from deltamark.application.synchronization.key_changes import changed_keys_of_links, changed_keys_of_resources
from deltamark.application.synchronization.known_spellings import SpelledExtracts, with_known_spellings
from deltamark.application.synchronization.link_comparisons import (
    ComparedLinks,
    Identities,
    compare,
    compared_before,
    refs_of,
    sides_of,
)
from deltamark.application.synchronization.look_alikes import without_look_alikes
from deltamark.application.synchronization.prepare import PreparedExtracts, exclusion, is_given_delta, read_extracts
from deltamark.application.synchronization.repetitions import (
    Repetition,
    basis_of_extracts,
    basis_of_files,
    repetition,
)
from deltamark.application.synchronization.threshold_check import SynchronizationEffects
from deltamark.application.synchronization.unresolved_links import UnresolvedLinks
from deltamark.application.synchronization.waiting_links import (
    DeltaLinks,
    WaitingChanges,
    waiting_after_complete,
    write_waiting_links,
)
from deltamark.application.synchronization.waiting_links_of_other_connectors import (
    NO_ROWS,
    LinksOfOtherConnector,
    links_of_other_connectors,
)
from deltamark.domain.configuration.entity_model import (
    EntityAssociation,
    EntityAssociationMapping,
    EntityTypeMapping,
)
from deltamark.domain.configuration.jobs import Job, SynchronizeTask, TaskState
from deltamark.domain.history.changes import Position
from deltamark.domain.messages import how_many
from deltamark.domain.resources.events import Origin
from deltamark.domain.runs.run import Basis, Counts, SetAside
from deltamark.domain.sources.places import PlaceReached
from deltamark.domain.synchronization.incomplete import why_incomplete
from deltamark.domain.synchronization.rows import each_cell_once

_MANY = 200_000
"""Resources whose states would take more memory than it saves time to read them beside the extract."""

Compared = dict[str, ResourceComparison]
"""Entity type -> the changes of its extract."""


def synchronize(
    services: Services,
    task: SynchronizeTask,
    job: Job,
    prepared: dict[str, PreparedExtracts],
    *,
    forced: bool = False,
    reads_anew: bool = False,
    report: ReportProgress = report_nothing,
) -> Apply | Skip:
    """Reads a connector's extracts unless they are prepared, then applies them at once.

    They are applied in one transaction. Extracts that an earlier run applied as they are, and after which nothing else
    changed what they feed, are not compared again.

    Compares resources before the transaction, with the state as it is then; those that others change in between are
    compared again inside it.

    :param reads_anew: reads and compares extracts in any case.
    :raises HeldBack: from the transaction, if it would change more than a threshold allows.
    """
    skip = exclusion(services, task.connector, job, forced=forced)
    if skip:
        return skip
    with services.store.reading() as view:
        extracts = prepared.pop(task.connector, None)
        if reads_anew or is_given_delta(services, task.connector):
            basis = None
        elif extracts is None:
            basis = basis_of_files(services, task)
        else:
            basis = basis_of_extracts(services, extracts)
        if repetition(services, view, task, basis) is None:
            return _compared(services, task, extracts, view, report, anew=reads_anew)

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        found = repetition(services, tx, task, basis)
        if found is None:  # something was changed in between
            return _compared(services, task, extracts, tx, report)(tx, scope)
        return _repeated(services, task, found, tx, scope)

    return apply


def _repeated(services: Services, task: SynchronizeTask, found: Repetition, tx: Writing, scope: Scope) -> TaskResult:
    """What comparing again what was applied would give: what the earlier task recorded, and no change."""
    before = found.task
    messages = [*before.messages[: found.basis.messages], f"not compared: {_SAME.format(run=found.run)}"]
    if not task.do_not_delete_changes:
        messages += discard_changes_of(services.configuration, tx, task, scope)
    return TaskResult(
        counts=Counts(read=before.counts.read, set_aside=before.counts.set_aside),
        set_aside=before.set_aside,
        extracts=before.extracts,
        messages=messages,
        warned=before.state is TaskState.WARNING and not before.set_aside,
        basis=found.basis,
    )


_SAME = "the extracts are those that run {run} read, and nothing else changed what they feed"


def _compared(
    services: Services,
    task: SynchronizeTask,
    prepared: PreparedExtracts | None,
    view: Reading,
    report: ReportProgress,
    *,
    anew: bool = False,
) -> Apply:
    """Reads extracts unless they are prepared, and compares them with the state of a view.

    :param anew: compares all rows, also those that were applied before.
    """
    position = view.head()
    extracts, states = _read_in_parallel(services, task, prepared, view, anew=anew)
    if has_uncommon_keys(extracts):
        del extracts, states
        return _compared(services, task, prepared, view, report, anew=True)
    by_rows = compared_by_rows(extracts)
    spelled = _with_known_keys(services, view, extracts, states)
    rows = extracts.counts()
    report(TaskProgress("comparing", rows))
    compared = _compare(services, view, spelled.extracts, states)
    del states
    links = compared_before(services, view, spelled.extracts, compared)
    report(TaskProgress("waiting to write", rows))

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        deliveries = not_applied(tx, extracts.deliveries)
        if extracts.deliveries and not deliveries:
            return TaskResult(messages=[f"the {delivery.name}, is applied already" for delivery in extracts.deliveries])
        if by_rows and tx.is_touched_since(position, by_rows, []):  # what rows were compared with is not so any more
            return _compared(services, task, prepared, tx, report, anew=True)(tx, scope)
        now = spelled
        if tx.changed_since(position):
            now = _with_known_keys(services, tx, extracts, {})
        current = _refresh(services, tx, now.extracts, compared, position)
        places = places_of(deliveries, extracts.rows_read)
        same_rows = now.set_aside == spelled.set_aside
        still = _still_compared(tx, now.extracts, links, position) if same_rows else {}
        return _Synchronization(services, tx, task, scope, now, current, still, places).run()

    return apply


def _with_known_keys(
    services: Services, view: Reading, extracts: PreparedExtracts, states: dict[str, pa.Table]
) -> SpelledExtracts:
    return without_look_alikes(view, with_known_spellings(services.configuration, view, extracts, states))


def _read_in_parallel(
    services: Services, task: SynchronizeTask, prepared: PreparedExtracts | None, view: Reading, *, anew: bool
) -> tuple[PreparedExtracts, dict[str, pa.Table]]:
    """Reads the extracts and the state to compare them with at the same time.

    Neither needs the other.
    """
    if prepared is not None:
        return prepared, {}
    # Of a delta, few resources are read.
    if services.configuration.connections_of(task.connector) or is_given_delta(services, task.connector):
        return read_extracts(services, task.connector), {}
    digests = row_digests(services, view, task, anew=anew)
    known = [name for name, of_type in digests.items() if of_type.applied is not None]
    with ThreadPoolExecutor(max_workers=1) as pool:
        reading = pool.submit(read_extracts, services, task.connector, digests=digests)
        resources, _ = services.configuration.mappings_of_connector(task.connector)
        compared = [mapping.entity_type for mapping in resources if mapping.entity_type not in known]
        # Many are read in portions, when they are compared.
        few = [name for name in compared if view.live_resource_count(name, at_most=_MANY) < _MANY]
        states = {name: view.live_resources(name) for name in few}
        return reading.result(), states


def _refresh(
    services: Services, tx: Writing, extracts: PreparedExtracts, compared: Compared, position: Position
) -> Compared:
    """Compares the entity types again that were changed since a position.

    Only those: a task that runs at the same time changes other entity types.
    """
    if not tx.changed_since(position):
        return compared
    changed = tx.entity_types_changed_since(position)
    if changed is None:
        return _compare(services, tx, extracts, {})
    stale = tuple((mapping, extract) for mapping, extract in extracts.resources if mapping.entity_type in changed)
    return {**compared, **_compare(services, tx, evolve(extracts, resources=stale), {})}


def _still_compared(
    tx: Writing, extracts: PreparedExtracts, links: dict[str, ComparedLinks], position: Position
) -> dict[str, ComparedLinks]:
    """The compared links of which nothing was changed since a position, nor of the resources at their ends."""
    if not tx.changed_since(position):
        return links
    return {
        mapping.association: links[mapping.association]
        for mapping, _ in extracts.links
        if mapping.association in links
        and not tx.is_touched_since(position, [ref.entity_type for ref in refs_of(mapping)], [mapping.association])
    }


def _compare(services: Services, view: Reading, extracts: PreparedExtracts, states: dict[str, pa.Table]) -> Compared:
    compared = {}
    for mapping, extract in extracts.resources:
        name = mapping.entity_type
        entity_type = services.configuration.entity_type(name)
        assert entity_type is not None
        if extract.is_delta:
            keys = extract.rows.column("key").combine_chunks().unique()
            compared[name] = services.comparer.commands(extract, view.live_resources_among(name, keys), entity_type)
        elif extract.unchanged is not None:
            state = states_to_compare(view, name, extract, extract.unchanged)
            complete = extracts.deletes_missing(extract)
            compared[name] = services.comparer.resources(extract, [state], entity_type, complete=complete)
        else:
            stored = [states[name]] if name in states else view.live_resource_portions(name)
            complete = extracts.deletes_missing(extract)
            compared[name] = services.comparer.resources(extract, stored, entity_type, complete=complete)
    return compared


class _Synchronization:
    """One synchronization inside its transaction."""

    def __init__(
        self,
        services: Services,
        tx: Writing,
        task: SynchronizeTask,
        scope: Scope,
        spelled: SpelledExtracts,
        compared: Compared,
        links: dict[str, ComparedLinks],
        places: tuple[PlaceReached, ...],
    ) -> None:
        self._compared = compared
        self._compared_links = links
        self._identities = Identities(services.configuration, tx)
        self._services = services
        self._tx = tx
        self._task = task
        self._scope = scope
        self._extracts = spelled.extracts
        self._places = places
        self._origin = Origin(scope.run, scope.ordinal)
        self._effects = SynchronizationEffects(tx)
        self._counts = Counts()
        self._set_aside: list[SetAside] = list(spelled.set_aside)
        self._messages: list[str] = list(spelled.messages)
        self._deltas: dict[str, DeltaLinks] = {}

    def run(self) -> TaskResult:
        """Applies resources, then links, and checks the thresholds.

        Discards changes where the task says so.
        """
        extracts = self._extracts
        self._scope.report(TaskProgress("writing resources", self._counts))
        self._deltas = self._delta_links()
        others = [
            *links_of_other_connectors(self._services.configuration, self._tx, self._task.connector, self._compared)
        ]
        for mapping, extract in extracts.resources:
            self._resources(mapping, extract)
        self._scope.report(TaskProgress("writing links", self._counts))
        for link_mapping, link_extract in extracts.links:
            self._links(link_mapping, link_extract)
        for other in others:
            self._links_of_other_connector(other)
        self._check_thresholds()
        move_places(self._tx, self._places, self._origin)
        basis = self._basis()
        if extracts.is_complete or extracts.repeats_what_was_held_back:
            self._messages += release(self._tx, self._task.connector)
        if not self._task.do_not_delete_changes:
            self._messages += discard_changes_of(self._services.configuration, self._tx, self._task, self._scope)
        keep_applied_rows(self._services, self._tx, self._extracts, self._compared)
        read = self._read()
        counts = self._counts + read.counts
        return evolve(
            read, counts=counts, effect=counts.changed > 0, messages=(*read.messages, *self._messages), basis=basis
        )

    def _basis(self) -> Basis | None:
        """What a repetition must have to change nothing; its messages are those until now."""
        digest = basis_of_extracts(self._services, self._extracts)
        if digest is None:
            return None
        of_extracts = () if self._extracts.reported else self._extracts.messages
        return Basis(digest=digest, messages=len(of_extracts) + len(self._messages))

    def _read(self) -> TaskResult:
        """What was read and set aside, recorded whether the changes are applied or held back."""
        extracts = self._extracts
        set_aside = (*(() if extracts.reported else extracts.set_aside), *each_cell_once(self._set_aside))
        return TaskResult(
            counts=extracts.counts(set_aside),
            set_aside=set_aside,
            extracts=extracts.reads,
            messages=() if extracts.reported else extracts.messages,
            warned=extracts.incomplete,
        )

    @property
    def _is_limited(self) -> bool:
        return not self._scope.forced and not self._task.force_synchronization

    def _check_thresholds(self) -> None:
        if not self._is_limited:
            return
        connector = self._services.configuration.connector(self._task.connector)
        assert connector is not None, "a checked configuration names existing connectors"
        reason = self._effects.reason_to_block(connector, limits=not self._extracts.is_initial)
        if reason is None:
            return
        read = self._read()
        pending = PendingChanges(
            connector=connector.identifier,
            task=self._task.identifier,
            job=self._scope.job.identifier,
            at=self._tx.now(),
            is_delta=self._extracts.has_changes_sent_once,
            read=read.counts.read,
            set_aside=read.counts.set_aside,
            warned=read.warned,
            extracts=read.extracts,
            parts=self._effects.parts(),
            places=self._places,
        )
        raise HeldBack(
            reason,
            pending,
            read,
            self._scope,
            is_dry_run=self._tx.is_dry_run,
            hint=self._effects.hint,
        )

    def _resources(self, mapping: EntityTypeMapping, extract: ResourceExtract) -> None:
        self._check_rows(mapping.entity_type, extract, self._tx.live_resource_count, "resources")
        compared = self._compared[mapping.entity_type]
        changes = compared.changes
        removed = self._tx.append_resources(mapping.entity_type, changes, self._origin)
        self._effects.add_resources(mapping, changes, removed)
        if self._is_limited and self._extracts.deletes_missing(extract):
            self._effects.add_key_change(
                changed_keys_of_resources(
                    mapping, compared, lambda most: self._resources_before(mapping, changes, most)
                )
            )
        self._counts += Counts(
            inserted=changes.created.num_rows,
            updated=changes.updated.num_rows,
            deleted=changes.deleted.num_rows,
            unlinked=sum(removed.values()),
        )
        file = extract.cleansed.read.file
        for rows, reason in (
            (compared.unknown, "the row updates a resource that does not exist"),
            (compared.doubtful, "a later row with this key could not be read, so that the resource is not deleted"),
        ):
            self._set_aside += [
                SetAside(file=file, line=line, key=key, reason=reason) for key, line in _rows(rows, "key", "line")
            ]

    def _resources_before(self, mapping: EntityTypeMapping, changes: ResourceChanges, at_most: int | None) -> int:
        created, deleted = int(changes.created.num_rows), int(changes.deleted.num_rows)
        count = self._tx.live_resource_count(mapping.entity_type, None if at_most is None else at_most + created)
        return count - created + deleted

    def _delta_links(self) -> dict[str, DeltaLinks]:
        links = {}
        for mapping, links_extract in self._extracts.links:
            if not links_extract.is_delta:
                continue
            of_table = {
                resources.entity_type: extract
                for resources, extract in self._extracts.resources
                if resources.connection_table == mapping.connection_table
            }
            links[mapping.association] = DeltaLinks(
                self._services.configuration, self._tx, mapping, self._compared, of_table
            )
        return links

    def _links(self, mapping: EntityAssociationMapping, extract: LinkExtract) -> None:
        association = self._services.configuration.association(mapping.association)
        assert association is not None
        self._check_rows(mapping.association, extract, self._tx.live_link_count, "links")
        delta = self._deltas.get(mapping.association)
        unresolved = UnresolvedLinks(
            configuration=self._services.configuration,
            view=self._tx,
            mapping=mapping,
            identities=self._identities.among,
        )
        if delta is None:
            compared, waiting, orphans = self._compare_all_links(unresolved, association, extract)
        else:
            compared, waiting = self._compare_commands(delta, extract)
            orphans = unresolved.orphans(compared.orphans)
            self._set_aside += unresolved.deletions_of_look_alikes(extract.cleansed.read.file, extract.rows)
        ends = self._write_links(mapping, waiting, compared.changes)
        self._effects.add_links(mapping, ends, compared.changes)
        file = extract.cleansed.read.file
        self._report_orphans(unresolved, file, orphans)
        self._set_aside += unresolved.ambiguous(file, compared.ambiguous)
        self._set_aside += [
            SetAside(
                file=file,
                line=line,
                column=mapping.column2,
                value=value2,
                key=value1,
                reason=f"{association.identifier} allows one link here and another one was kept",
            )
            for line, value1, value2 in _rows(compared.surplus, "line", "value1", "value2")
        ]

    def _compare_all_links(
        self, unresolved: UnresolvedLinks, association: EntityAssociation, extract: LinkExtract
    ) -> tuple[LinkComparison, WaitingChanges, pa.Table]:
        """The changes of links, those of waiting links, and the orphans to report."""
        mapping = unresolved.mapping
        complete = self._extracts.deletes_missing(extract)
        before = self._compared_links.get(mapping.association)
        sides: LinkSides | None
        if before is not None:
            now = before.written(self._identities, mapping)
            compared, sides = now.comparison, now.sides
        else:
            sides = sides_of(self._identities, mapping)
            extract = self._without_lost_links(mapping, extract, sides)
            compared = compare(self._services, mapping, extract, sides, complete=complete)
        orphans = unresolved.orphans(compared.orphans)
        if self._is_limited and complete and sides is not None:
            known, held = evolve(compared, orphans=orphans), int(sides.links.num_rows)
            self._effects.add_key_change(changed_keys_of_links(mapping.association, sides, known, lambda most: held))
        waiting = waiting_after_complete(self._tx, association, extract, compared, complete=complete)
        return compared, waiting, orphans

    def _compare_commands(
        self, delta: DeltaLinks, extract: LinkExtract
    ) -> tuple[LinkCommandsComparison, WaitingChanges]:
        rows = delta.rows(extract)
        earlier = delta.earlier_pairs(rows)
        compared = self._compare_link_commands(delta, rows, earlier)
        file = extract.cleansed.read.file
        self._set_aside += [
            SetAside(
                file=file,
                line=line,
                column=delta.mapping.column1,
                value=value1,
                key=value1,
                reason="a later row with this value could not be read, so that no link is removed",
            )
            for line, value1 in _rows(compared.doubtful, "line", "value1")
        ]
        return compared, delta.waiting(compared)

    def _compare_link_commands(
        self, delta: DeltaLinks, rows: LinkExtract, earlier: EarlierPairs
    ) -> LinkCommandsComparison:
        association = delta.association
        first, second = (
            self._identities.among(ref, _values_of(name, rows.rows, earlier.standing))
            for ref, name in zip(refs_of(delta.mapping), ("value1", "value2"), strict=True)
        )
        # Where a target may have many links, such as the thousands of a department, those of other sources do not
        # matter.
        is_single = not association.is_property2_collection or earlier.rows_of == 1
        targets = second.column("stream").combine_chunks() if is_single else None
        links = self._tx.live_links(association.identifier, first.column("stream").combine_chunks(), targets)
        sides = LinkSides(first=first, second=second, links=links)
        return self._services.comparer.link_commands(rows, earlier, sides, association)

    def _without_lost_links(
        self, mapping: EntityAssociationMapping, extract: LinkExtract, sides: LinkSides
    ) -> LinkExtract:
        """The extract, which removes nothing where a row lacks the second value and its first value has links."""
        if extract.halves is None:
            return extract
        has_links = pc.is_in(sides.first.column("stream"), value_set=sides.links.column("source").combine_chunks())
        linked = sides.first.filter(has_links).column("value").combine_chunks()
        lost = extract.halves.filter(pc.is_in(extract.halves.column("value1"), value_set=linked))
        if not lost.num_rows:
            return extract
        file, name = extract.cleansed.read.file, mapping.association
        reason = f"the row names one side of a link of {name} alone, and the resource has such links"
        self._set_aside += [
            SetAside(file=file, line=line, column=mapping.column2, key=value, reason=reason)
            for line, value in _rows(lost, "line", "value1")
        ]
        incomplete = why_incomplete(file, name, [("with one side of a link alone", lost.num_rows)])
        self._messages += filter(None, [incomplete])
        return evolve(extract, cleansed=evolve(extract.cleansed, incomplete=incomplete))

    def _links_of_other_connector(self, pairs: LinksOfOtherConnector) -> None:
        """Sets nothing aside: no row of this connector names these links."""
        earlier = pairs.earlier_pairs(NO_ROWS)
        if not pairs.is_concerned:
            return
        compared = self._compare_link_commands(pairs, NO_ROWS, earlier)
        ends = self._write_links(pairs.mapping, pairs.waiting(compared), compared.changes)
        self._effects.add_links_of_other_connector(ends, compared.changes)

    def _write_links(
        self, mapping: EntityAssociationMapping, waiting: WaitingChanges, changes: LinkChanges
    ) -> LinkEnds:
        write_waiting_links(self._tx, waiting, self._origin)
        self._effects.add_waiting(waiting)
        ends = LinkEnds(
            association=mapping.association,
            source=mapping.entity_property_mapping1.entity_type,
            target=mapping.entity_property_mapping2.entity_type,
        )
        self._tx.append_links(ends, changes, self._origin)
        self._counts += Counts(linked=changes.linked.num_rows, unlinked=changes.unlinked.num_rows)
        return ends

    def _report_orphans(self, unresolved: UnresolvedLinks, file: str, orphans: pa.Table) -> None:
        if self._task.orphans and orphans.num_rows:
            association = unresolved.mapping.association
            written = self._services.write_orphans(self._scope.run, association, orphans)
            links = how_many(orphans.num_rows, "link")
            self._messages.append(f"{links} of {association} to missing resources: {written}")
        self._set_aside += unresolved.set_aside(file, orphans)

    def _check_rows(
        self, subject: str, extract: ResourceExtract | LinkExtract, count: Callable[[str], int], what: str
    ) -> None:
        """Notes a complete extract without rows.

        It would remove everything, which only a user may allow.
        """
        if not self._extracts.deletes_missing(extract) or extract.cleansed.read.rows:
            return
        live = count(subject)
        if live:
            self._effects.add_empty_extract(
                f"{extract.cleansed.read.file} holds a header and no row, "
                f"which would remove all {live} {what} of {subject}"
            )


def _values_of(name: str, *tables: pa.Table) -> pa.Array:
    """The values of a column of several tables, each once."""
    return pa.concat_arrays([table.column(name).combine_chunks() for table in tables]).unique().drop_null()


def _rows(table: pa.Table, *names: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)
