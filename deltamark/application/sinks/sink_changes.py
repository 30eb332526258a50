"""The changes beyond the place of a sink, as the sink gets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from deltamark.application.history.history import resource_at
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Narrowing
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection, ConnectionTable
from deltamark.domain.configuration.packages import (
    DISTINGUISHED_NAME,
    SUBJECT,
    associations_at_sink,
    names_at_sink,
    package_named,
)
from deltamark.domain.history.changes import AnyChange, Position
from deltamark.domain.resources.link import LinkEvent
from deltamark.domain.resources.resource import Change, ResourceEvent, ResourceRef
from deltamark.domain.sinks.batch import GAP, Batch, Gap, Link, OutgoingChange
from deltamark.domain.values import Values

MOST = 1_000
"""Changes in a batch, at most."""


@frozen(kw_only=True)
class _Choice:
    """What goes by a table.

    :param names: name at the sink -> property.
    """

    table: ConnectionTable
    names: Mapping[str, str]
    associations: tuple[str, ...]
    name_property: str | None

    @property
    def subject(self) -> str:
        return self.table.options[SUBJECT].strip()

    @property
    def properties(self) -> set[str]:
        return {*self.names.values(), *([self.name_property] if self.name_property else [])}


def columns_of(configuration: Configuration, connection: Connection) -> dict[str, dict[str, str]]:
    """Table of a sink -> name there -> the property that goes by that name."""
    return {choice.table.identifier: dict(choice.names) for choice in _choices(configuration, connection)}


def _choices(configuration: Configuration, connection: Connection) -> Iterator[_Choice]:
    for table in connection.tables:
        names = names_at_sink(table)
        if names is None:
            subject = configuration.entity_type(table.options[SUBJECT].strip())
            declared = () if subject is None else configuration.valued_properties(subject)
            names = {item.identifier: item.identifier for item in declared}
        yield _Choice(
            table=table,
            names=names,
            associations=tuple(associations_at_sink(table).values()),
            name_property=table.options.get(DISTINGUISHED_NAME, "").strip() or None,
        )


class SinkChanges:
    """Reads what a sink shall have, in one reading of the store."""

    def __init__(self, reading: Reading, configuration: Configuration, connection: Connection) -> None:
        self._reading = reading
        self._store = reading.epoch()
        choices = list(_choices(configuration, connection))
        self._of_type = {choice.subject: choice for choice in choices}
        self._of_association = {name: choice for choice in choices for name in choice.associations}
        package = package_named(connection.package)
        self._has_values = package is not None and package.has_values
        self._values: dict[ResourceRef, Values] = {}
        self._names: dict[ResourceRef, str | None] = {}

    def batch(self, after: Position, until: Position, most: int = MOST) -> Batch:
        """The next changes, at most so many, and the position up to which they are complete."""
        changes: list[OutgoingChange] = []
        for position, event in self._reading.changes(after, until, self._narrowing()):
            change = self._outgoing(position, event)
            if change is None:
                continue
            if len(changes) == most:
                until = changes[-1].position
                break
            changes.append(change)
        gaps = list(self._gaps(after, until))
        changes = sorted([*gaps, *changes], key=lambda change: (change.position, change.part))
        return Batch(after=after, until=until, changes=changes)

    def change(self, position: Position, part: str = "") -> OutgoingChange | None:
        """The change at a position once more; None where the log no longer has it, or the sink is not to have it."""
        if part:
            return next((gap for gap in self._gaps(position - 1, position) if gap.part == part), None)
        for found, event in self._reading.changes(position - 1, position):
            return self._outgoing(found, event)
        return None

    def _narrowing(self) -> Narrowing | None:
        if len(self._of_type) != 1:
            return None
        return Narrowing(entity_type=next(iter(self._of_type)))

    def _outgoing(self, position: Position, event: AnyChange) -> OutgoingChange | None:
        if isinstance(event, LinkEvent):
            return self._link(position, event)
        choice = self._of_type.get(event.ref.entity_type)
        return None if choice is None else self._resource(position, event, choice)

    def _link(self, position: Position, event: LinkEvent) -> OutgoingChange | None:
        choice = self._of_association.get(event.ref.association)
        if choice is None:
            return None
        source, target = event.ref.source, event.ref.target
        name = self._name(position, source)
        return OutgoingChange(
            store=self._store,
            position=position,
            at=event.at,
            kind=event.kind,
            table=choice.table.identifier,
            entity_type=source.entity_type,
            key=source.key,
            name_before=name,
            name_after=name,
            link=Link(
                association=event.ref.association,
                other_entity_type=target.entity_type,
                other_key=target.key,
                other_name=self._name(position, target),
            ),
        )

    def _name(self, position: Position, ref: ResourceRef) -> str | None:
        """The distinguished name of a resource at a position, of one that is deleted the last one."""
        choice = self._of_type.get(ref.entity_type)
        if choice is None or choice.name_property is None:
            return None
        if ref not in self._names:
            name = None
            for _, fact in self._reading.facts(ref, position):
                if isinstance(fact, ResourceEvent):
                    name = _name_after(fact, choice.name_property, name)
            self._names[ref] = name
        return self._names[ref]

    def _resource(self, position: Position, event: ResourceEvent, choice: _Choice) -> OutgoingChange | None:
        named = choice.name_property
        if named is not None and event.ref in self._names:
            self._names[event.ref] = _name_after(event, named, self._names[event.ref])
        before, after = self._around(position, event) if self._has_values else ({}, {})
        changed = {name: event.changes[name] for name in choice.properties if name in event.changes}
        if event.kind == "updated" and not changed:
            return None
        return OutgoingChange(
            store=self._store,
            position=position,
            at=event.at,
            kind=event.kind,
            table=choice.table.identifier,
            entity_type=event.ref.entity_type,
            key=event.ref.key,
            changes=_renamed(changed, choice.names),
            before=_chosen(before, choice.names),
            after=_chosen(after, choice.names),
            name_before=_text(before, named),
            name_after=_text(after, named),
        )

    def _around(self, position: Position, event: ResourceEvent) -> tuple[Values, Values]:
        """All values of a resource before and after a change of it."""
        ref = event.ref
        if event.kind == "created":
            before: Values = {}
        elif event.kind == "deleted":
            before = {name: change.before for name, change in event.changes.items() if change.before is not None}
        elif ref in self._values:
            before = self._values[ref]
        else:
            resource = resource_at(self._reading, ref, position - 1)
            before = {} if resource is None else resource.values
        changed: Values = {} if event.kind == "deleted" else {**before, **_after(event.changes)}
        after = {name: value for name, value in changed.items() if value is not None}
        self._values[ref] = after
        return before, after

    def _gaps(self, after: Position, until: Position) -> Iterator[OutgoingChange]:
        """What is missing in `after` < position <= `until`."""
        subjects = {*self._of_type, *self._of_association}
        for horizon in self._reading.horizons():
            if horizon.subject in subjects and after < horizon.position <= until:
                gap = Gap(subject=horizon.subject, until=horizon.position, run=horizon.run)
                yield self._gap(horizon.position, f"discarded-{horizon.subject}", gap)
        for run, count in sorted(self._reading.erased_between(after, until).items()):
            yield self._gap(until, f"erased-{run}", Gap(subject=None, until=until, run=run, erased=count))

    def _gap(self, position: Position, part: str, gap: Gap) -> OutgoingChange:
        at = self._reading.time_of(position)
        assert at is not None, "the log has a time for each of its positions"
        return OutgoingChange(store=self._store, position=position, part=part, at=at, kind=GAP, gap=gap)


def _after(changes: Mapping[str, Change]) -> Values:
    return {name: change.after for name, change in changes.items()}


def _chosen(values: Values, names: Mapping[str, str]) -> Values:
    return {name: values[item] for name, item in names.items() if item in values}


def _renamed(changes: Mapping[str, Change], names: Mapping[str, str]) -> dict[str, Change]:
    return {name: changes[item] for name, item in names.items() if item in changes}


def _name_after(event: ResourceEvent, name: str, before: str | None) -> str | None:
    """The text of a property after an event, of a deletion the last one."""
    if name not in event.changes:
        return before
    change = event.changes[name]
    value = change.before if event.kind == "deleted" else change.after
    return None if value is None else str(value)


def _text(values: Values, name: str | None) -> str | None:
    value = None if name is None else values.get(name)
    return None if value is None else str(value)
