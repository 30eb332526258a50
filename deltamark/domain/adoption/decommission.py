"""The decision about what nothing feeds any more: it is deleted, or frozen; the events that record it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import ClassVar

from attrs import field, frozen

from deltamark.domain.derivation.unfed_inputs import UnfedInput
from deltamark.domain.errors import to_the_second
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position
from deltamark.domain.messages import how_many
from deltamark.domain.resources.events import Event


class SubjectKind(Enum):
    """What may be decommissioned besides connectors, which stand for what they fed."""

    ENTITY_TYPE = "entity type"
    ASSOCIATION = "association"


class NameKind(Enum):
    """What may be named."""

    CONNECTOR = "connector"
    ENTITY_TYPE = "type"
    ASSOCIATION = "association"

    @property
    def words(self) -> str:
        """The kind as messages name it."""
        return "entity type" if self is NameKind.ENTITY_TYPE else self.value


@frozen(order=True)
class Subject:
    """An entity type or an association, by name."""

    kind: SubjectKind = field(order=lambda kind: list(SubjectKind).index(kind))
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"

    @property
    def as_input(self) -> UnfedInput:
        """What derivations read of it."""
        if self.kind is SubjectKind.ENTITY_TYPE:
            return UnfedInput(entity_type=self.name)
        return UnfedInput(association=self.name)


class DecommissionAction(Enum):
    """What is decided: all is deleted, or stays as it is on purpose."""

    DELETE = "delete"
    FREEZE = "freeze"


@frozen(kw_only=True)
class Decommissioned(Event):
    """It was decided about entity types and associations that nothing feeds any more.

    It is in the stream of adoptions. What a deletion deletes are events of their own.

    :param name: what was named: a connector, or the entity type or association itself.
    :param run: the run that records it.
    :param by: the user who decided.
    :param reason: why.
    """

    kind: ClassVar[str] = "decommissioned"

    name: str
    entity_types: tuple[str, ...] = field(converter=as_tuple, default=())
    associations: tuple[str, ...] = field(converter=as_tuple, default=())
    action: DecommissionAction
    run: int
    by: str
    reason: str


@frozen(kw_only=True)
class FedAgain(Event):
    """A configuration was adopted that feeds what was decommissioned: the decision about it holds no longer.

    It is in the stream of adoptions.
    """

    kind: ClassVar[str] = "fed again"

    entity_types: tuple[str, ...] = field(converter=as_tuple, default=())
    associations: tuple[str, ...] = field(converter=as_tuple, default=())
    run: int


@frozen(kw_only=True)
class Decision:
    """A decision in force about an entity type or association.

    :param position: of its event.
    """

    action: DecommissionAction
    position: Position
    since: datetime
    run: int
    by: str
    reason: str


@frozen(kw_only=True)
class Freeze(Decision):
    """The decision to keep what nothing feeds as it is."""

    action: DecommissionAction = DecommissionAction.FREEZE

    @property
    def text(self) -> str:
        """Since when and why, a clause without its subject."""
        return f"frozen since {to_the_second(self.since)} because: {self.reason} (run {self.run}, by {self.by})"


def decisions_in_force(
    events: Iterable[tuple[Position, Decommissioned | FedAgain]],
) -> dict[Subject, Decision]:
    """Returns the newest decision about each entity type and association that is not fed again.

    :param events: all of a log, oldest first.
    """
    decided: dict[Subject, Decision] = {}
    for position, event in events:
        for subject in subjects_of(event):
            decided.pop(subject, None)
            if isinstance(event, Decommissioned):
                build = Freeze if event.action is DecommissionAction.FREEZE else Decision
                decided[subject] = build(
                    action=event.action,
                    position=position,
                    since=event.at,
                    run=event.run,
                    by=event.by,
                    reason=event.reason,
                )
    return decided


def frozen_inputs(events: Iterable[tuple[Position, Decommissioned | FedAgain]]) -> dict[UnfedInput, str]:
    """Returns what is frozen, as derivations read it, with since when and why.

    :param events: all of a log, oldest first.
    """
    return {
        subject.as_input: decision.text
        for subject, decision in decisions_in_force(events).items()
        if isinstance(decision, Freeze)
    }


def subjects_of(event: Decommissioned | FedAgain) -> tuple[Subject, ...]:
    """Returns the entity types and associations that an event is about."""
    return (
        *(Subject(SubjectKind.ENTITY_TYPE, name) for name in event.entity_types),
        *(Subject(SubjectKind.ASSOCIATION, name) for name in event.associations),
    )


@frozen(kw_only=True)
class Holding:
    """What a store holds of an entity type or association that is decommissioned.

    :param resources: how many resources; 0 for an association.
    :param links: how many links of an association; 0 for an entity type.
    :param waiting: how many links of an association wait for a resource.
    :param is_with_resources: whether the association was not named, and loses its links with the resources.
    :param freeze: the decision in force to keep it; None where there is none.
    """

    subject: Subject
    resources: int = 0
    links: int = 0
    waiting: int = 0
    is_with_resources: bool = False
    freeze: Freeze | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the store holds nothing of it."""
        return not (self.resources or self.links or self.waiting)

    @property
    def text(self) -> str:
        """The numbers, a clause."""
        counts = ((self.resources, "resource"), (self.links, "link"), (self.waiting, "waiting link"))
        return ", ".join(how_many(count, noun) for count, noun in counts if count) or "nothing"


@frozen(kw_only=True)
class Decommission:
    """What was decommissioned, or, in a dry run, would be.

    :param name: what was named.
    :param action: None where it was only asked what there is.
    :param run: the run that recorded it; None in a dry run, and where there is nothing to decommission.
    :param limit: how many resources and links are deleted without being asked to go beyond it.
    """

    name: str
    action: DecommissionAction | None
    reason: str = ""
    holdings: tuple[Holding, ...] = field(converter=as_tuple, default=())
    run: int | None = None
    position: Position | None = None
    limit: int

    @property
    def weight(self) -> int:
        """How many resources and links a deletion removes."""
        return self.links + sum(holding.resources for holding in self.holdings)

    @property
    def links(self) -> int:
        """How many links there are, those of other associations at the resources among them."""
        return sum(holding.links for holding in self.holdings)

    @property
    def waits_because(self) -> str | None:
        """Why a deletion waits for a person to confirm it, a clause; None where it does not."""
        if self.weight <= self.limit:
            return None
        return f"{self.weight:,} resources and links would be removed; without being forced, at most {self.limit:,} are"
