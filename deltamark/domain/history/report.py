"""The report on one resource: what it was, had and was computed to be between two moments."""

from __future__ import annotations

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import (
    Classification,
    CorrelationKey,
    Horizon,
    LoggedChange,
    MatchedPair,
    Position,
)
from deltamark.domain.history.intervals import HeldLink, HeldValue
from deltamark.domain.resources.resource import ResourceRef


@frozen(kw_only=True)
class Existence:
    """The time in which a resource existed, from one change to another.

    :param since: the change that created it; None if that change was discarded.
    :param until: the change that deleted it; None if it still exists.
    """

    since: LoggedChange | None
    until: LoggedChange | None


@frozen(kw_only=True)
class ReportedValue:
    """A value that a resource had for a property.

    :param is_computed: whether an expression or a function gave it.
    :param rule: how it was computed, as the configuration of that time has it; None where it was not computed, or where
        the log does not know that configuration.
    """

    held: HeldValue
    is_computed: bool
    rule: str | None


@frozen(kw_only=True)
class ResourceReport:
    """Everything that one resource was, had and was computed to be between two positions, both inclusive.

    :param horizons: how far its changes and those of its links were discarded, where that reaches into the time asked
        for: before that, it is not known.
    :param existence: when it existed, oldest first.
    :param values: by property and time.
    :param links: in both directions, by association, the other end and time.
    :param keys: the correlation keys, as they are now; the log does not hold those of the past.
    :param matches: the pairs that it is in by these keys now.
    :param classification: its resource type now, if a rule holds for it.
    """

    ref: ResourceRef
    first: Position
    last: Position
    horizons: tuple[Horizon, ...] = field(converter=as_tuple)
    existence: tuple[Existence, ...] = field(converter=as_tuple)
    values: tuple[ReportedValue, ...] = field(converter=as_tuple)
    links: tuple[HeldLink, ...] = field(converter=as_tuple)
    keys: tuple[CorrelationKey, ...] = field(converter=as_tuple)
    matches: tuple[MatchedPair, ...] = field(converter=as_tuple)
    classification: Classification | None
