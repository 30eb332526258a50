"""What computing tasks would compute now, and what follows from the values that they would write.

A flag tells of a change. A computed value that is due has not changed yet, so nothing is flagged for what reads it; the
run that computes it flags that too, and computes it as well. Here such values are followed in the same way: over the
links back, from each to those that read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.derivation.workload import Share, Workload, unread_flags, workload
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Dependency, Hop
from deltamark.domain.derivation.plan import Plan, Planned
from deltamark.domain.resources.link import LinkEvent
from deltamark.domain.resources.resource import Updated

DUE = pa.schema([("stream", pa.int64()), ("since", pa.int64())])
"""Resources of which a value is due, each once, with the position of the first change; 0 for all resources."""

_ALL_LINKS = 50_000
"""From so many resources on, all links of an association are read instead of those of each resource."""

_MOST_UNFLAGGED = 10_000
"""With more changes that are not flagged, nobody looks at what they changed."""

_Computed = tuple[str, str]
"""A computed property: its entity type and its name."""

_TaskName = tuple[object, ...]
"""What tells computing tasks apart: their name, and what they compute."""


class DueValues:
    """The values that are due for computing tasks, in one view of a store.

    A value of a task is *due* if the task would compute it now, because of a flag or because the task computes it for
    all resources. A value *follows* if it reads a computed value that may change before: one that every task which
    computes it has still to compute. Where one of them has, the others will find it as it is; unless it reads what
    changed and is not flagged yet: then one task was right when it computed the value, and the next finds another.
    """

    def __init__(self, reading: Reading, plan: Plan, tasks: Iterable[ComputingTask]) -> None:
        """Looks at what is due.

        :param tasks: all computing tasks of the configuration, as they are defined and as jobs call them.
        """
        self._reading = reading
        self._plan = plan
        self._tasks = tuple({_name(task): task for task in tasks}.values())
        self._workloads: dict[_TaskName, Workload] = {}
        self._due: dict[tuple[_TaskName, str], list[tuple[Share, pa.Table]]] = {}
        self._live: dict[str, pa.Array] = {}

    def workload(self, task: ComputingTask) -> Workload:
        """The workload of a task if it ran now."""
        name = _name(task)
        if name not in self._workloads:
            self._workloads[name] = workload(self._reading, self._plan, task)
        return self._workloads[name]

    def entity_types(self, task: ComputingTask) -> tuple[str, ...]:
        """The entity types of whose resources a task derives or removes values."""
        work = self.workload(task)
        return tuple(dict.fromkeys([*work.entity_types, *(rule.entity_type for rule in work.obsolete)]))

    def due(self, task: ComputingTask, entity_type: str) -> Sequence[tuple[Share, pa.Table]]:
        """The shares of a task of one entity type, each with the resources of which its value is due (`DUE`).

        A task that is not dirty computes everything in any case: due is only what it would have to.
        """
        key = (_name(task), entity_type)
        if key not in self._due:
            shares = self.workload(task).of(entity_type)
            flagged = [share for share in shares if share.outdated_reason is None]
            flags = unread_flags(self._reading, flagged)
            tables = {id(share): _of_derivation(flags, number) for number, share in enumerate(flagged)}
            tables |= {id(share): self._all(share) for share in shares if share.outdated_reason is not None}
            self._due[key] = [(share, tables[id(share)]) for share in shares]
        return self._due[key]

    def obsolete(self, task: ComputingTask, entity_type: str) -> Iterator[tuple[DerivedRule, pa.Table]]:
        """The derivations that a task would remove, with the resources that have a value (`DUE`)."""
        for rule in self.workload(task).obsolete:
            if rule.entity_type == entity_type:
                yield rule, _all_at_0(self._holding(rule))

    def follows(self, planned: Planned) -> Sequence[tuple[Dependency, pa.Table]]:
        """The computed values that a derivation reads and that may change, with the resources that read them.

        Those are as `DUE`.
        """
        return self._all_follows.get(_key(planned), ())

    def may_change(self, entity_type: str, name: str) -> pa.Table:
        """The resources of which a computed property may change when the tasks run (`DUE`)."""
        return self._changing.get((entity_type, name), DUE.empty_table())

    def removed(self, entity_type: str, name: str) -> pa.Table:
        """The resources from which a task would remove a property, because nothing computes it any more (`DUE`)."""
        return self._removed.get((entity_type, name), DUE.empty_table())

    def computed_by(self, dependency: Dependency) -> Planned | None:
        """The derivation of the property that a dependency is on; None where it is not computed."""
        return self._computed.get((dependency.leads_to, dependency.property or ""))

    @cached_property
    def _computed(self) -> dict[_Computed, Planned]:
        properties = self._plan.of([DerivationKind.PROPERTY])
        return {(item.derivation.entity_type, item.derivation.name): item for item in properties}

    def makers(self, planned: Planned) -> Iterator[tuple[Share, ...]]:
        """The shares of each task that computes a derivation which compute it.

        Those of a function are all that it has: it writes all its properties when one of them is due.
        """
        return (tuple(share for share, _ in shares) for shares in self._makers(planned))

    def _makers(self, planned: Planned) -> Iterator[list[tuple[Share, pa.Table]]]:
        maker = planned.derivation.maker
        for task in self._tasks:
            shares = self.due(task, planned.derivation.entity_type)
            if any(share.planned is planned for share, _ in shares):
                yield [
                    (share, table)
                    for share, table in shares
                    if share.planned is planned or (maker is not None and share.planned.derivation.maker is maker)
                ]

    @cached_property
    def _all_follows(self) -> dict[tuple[object, ...], tuple[tuple[Dependency, pa.Table], ...]]:
        return self._followed[0]

    @cached_property
    def _changing(self) -> dict[_Computed, pa.Table]:
        return self._followed[1]

    @cached_property
    def _followed(
        self,
    ) -> tuple[dict[tuple[object, ...], tuple[tuple[Dependency, pa.Table], ...]], dict[_Computed, pa.Table]]:
        """What follows, and what may change: stage by stage, as the tasks would compute it."""
        follows: dict[tuple[object, ...], tuple[tuple[Dependency, pa.Table], ...]] = {}
        changing = dict(self._removed)
        for planned in self._plan.derived:
            found = []
            for dependency in planned.dependencies:
                values = changing.get((dependency.leads_to, dependency.property or ""))
                if values is not None:
                    readers = _read_over(self._reading, dependency.hops, values)
                    if readers.num_rows:
                        found.append((dependency, readers))
            if found:
                follows[_key(planned)] = tuple(found)
            derivation = planned.derivation
            if derivation.kind is DerivationKind.PROPERTY:
                own = self._due_for_all(planned)
                table = first_of([own, *(readers for _, readers in found)])
                if table.num_rows:
                    changing[derivation.entity_type, derivation.name] = table
        return follows, changing

    def _due_for_all(self, planned: Planned) -> pa.Table:
        """The resources of which a computed property may change, if nothing changes that it reads."""
        of_tasks = [first_of(table for _, table in shares) for shares in self._makers(planned)]
        if self.reads_unflagged(planned):
            found = first_of(of_tasks)
            # A deleted resource has no values; its properties went with it.
            states = self._reading.states(planned.derivation.entity_type, _streams(found))
            live = _streams(states.filter(pc.is_valid(states.column("state"))))
            return found.filter(pc.is_in(found.column("stream"), live))
        due: pa.Table | None = None
        for of_task in of_tasks:
            if not of_task.num_rows:
                return of_task
            due = of_task if due is None else due.filter(pc.is_in(due.column("stream"), _streams(of_task)))
        return DUE.empty_table() if due is None else due

    def reads_unflagged(self, planned: Planned) -> bool:
        """Whether a derivation reads something that changed, of whatever resource, and that no flag tells of yet."""
        return any(self._is_unflagged(dependency) for dependency in planned.dependencies)

    def _is_unflagged(self, dependency: Dependency) -> bool:
        changed = self._unflagged
        if changed is None:
            return True
        name = dependency.leads_to
        return not changed.isdisjoint(
            {name, (name, dependency.property), *(hop.association for hop in dependency.hops)}
        )

    @cached_property
    def _unflagged(self) -> frozenset[str | tuple[str, str]] | None:
        """What changed since the last flag task.

        Entity types with resources that came or went, their properties with other values, associations. None where it
        is too much to look at, or was discarded: then it may be anything.
        """
        after = self._reading.flagged_to()
        if not self._reading.changed_since(after):
            return frozenset()
        if any(discarded.unread for _, discarded in self._reading.discards(after)):
            return None
        changed: set[str | tuple[str, str]] = set()
        for number, (_, event) in enumerate(self._reading.changes(after, None)):
            if number == _MOST_UNFLAGGED:
                return None
            match event:
                case Updated():
                    changed |= {(event.ref.entity_type, name) for name in event.changes}
                case LinkEvent():
                    changed.add(event.ref.association)
                case _:
                    changed.add(event.ref.entity_type)
        return frozenset(changed)

    @cached_property
    def _removed(self) -> dict[_Computed, pa.Table]:
        """The properties whose values a task would remove, with the resources that have one."""
        removed: dict[_Computed, pa.Table] = {}
        for task in self._tasks:
            for rule in self.workload(task).obsolete:
                if rule.kind is DerivationKind.PROPERTY and (rule.entity_type, rule.name) not in removed:
                    removed[rule.entity_type, rule.name] = _all_at_0(self._holding(rule))
        return removed

    def _all(self, share: Share) -> pa.Table:
        """All live resources of a share, and deleted ones of which a key or classification is left."""
        entity_type = share.entity_type
        if entity_type not in self._live:
            identities = self._reading.identities(entity_type, None, None)
            self._live[entity_type] = identities.column("stream").combine_chunks()
        streams = self._live[entity_type]
        if share.rule.kind is not DerivationKind.PROPERTY:
            streams = pa.chunked_array([streams, self._holding(share.rule)], pa.int64()).unique()
        return _all_at_0(streams)

    def _holding(self, rule: DerivedRule) -> pa.Array:
        """The streams of the resources with a value of a derivation."""
        match rule.kind:
            case DerivationKind.PROPERTY:
                states = self._reading.states(rule.entity_type)
                named = pc.match_substring(states.column("computed"), f'"{rule.name}":')
                return states.column("stream").filter(named).combine_chunks()
            case DerivationKind.CLASSIFICATION:
                return self._reading.classified(rule)
        return self._reading.stored_keys(rule).column("stream").combine_chunks()


def _name(task: ComputingTask) -> _TaskName:
    return task.identifier, task.all_entity_type, task.entity_types, task.maker


def _key(planned: Planned) -> tuple[object, ...]:
    derivation = planned.derivation
    return derivation.kind, derivation.entity_type, derivation.name


def _of_derivation(flags: pa.Table, number: int) -> pa.Table:
    if not flags.num_rows:
        return DUE.empty_table()
    return flags.filter(pc.equal(flags.column("derivation"), number)).select(DUE.names)


def _all_at_0(streams: pa.Array) -> pa.Table:
    return pa.table({"stream": streams, "since": pa.repeat(pa.scalar(0, pa.int64()), len(streams))}, DUE)


def _streams(table: pa.Table) -> pa.Array:
    return table.column("stream").combine_chunks()


def first_of(tables: Iterable[pa.Table]) -> pa.Table:
    """The resources of some tables, each once, with its first position."""
    whole = pa.concat_tables([DUE.empty_table(), *(table for table in tables if table.num_rows)])
    if not whole.num_rows:
        return whole
    found = whole.group_by(["stream"]).aggregate([("since", "min")])
    return found.rename_columns({"since_min": "since"}).select(DUE.names)


def _read_over(reading: Reading, hops: Sequence[Hop], values: pa.Table) -> pa.Table:
    """The resources from which hops lead to some resources: as flagging finds those that depend on a change."""
    for hop in reversed(hops):
        if not values.num_rows:
            break
        back = Hop(hop.association, forward=not hop.forward)
        links = reading.ends(back, _streams(values) if values.num_rows < _ALL_LINKS else None)
        readers = links.join(values, "near", "stream", join_type="inner")
        values = first_of([readers.select(["far", "since"]).rename_columns(DUE.names).cast(DUE)])
    return values
