"""The port to the sinks that changes are delivered to. A sink knows no store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeAlias

from attrs import field, frozen

from deltamark.application.ports.sources import ConnectionSettings, Probe, Question
from deltamark.domain.configuration.entity_model import ConnectionTable
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position
from deltamark.domain.secrets import Secret
from deltamark.domain.sinks.batch import Batch, OutgoingChange

__all__ = [
    "Batch",
    "Confirmed",
    "MakeSink",
    "OutgoingChange",
    "Refusal",
    "Sink",
    "SinkConnection",
    "SinkGone",
    "SinkUnavailable",
]


class SinkUnavailable(Exception):
    """A sink takes nothing now: it was not reached, refused the user, or did not confirm. It may be tried again.

    :param problem: a clause without a full stop. It may hold secrets: the caller redacts it.
    :param advice: what to do next; a sentence.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        self.problem = problem
        self.advice = advice
        super().__init__(problem)


class SinkGone(Exception):
    """A sink says that it takes no more changes, ever: it is not sent anything again until a user says so.

    :param change: the one that it refused with that.
    :param problem: its answer; a clause.
    """

    def __init__(self, change: OutgoingChange, problem: str) -> None:
        self.change = change
        self.problem = problem
        super().__init__(problem)


@frozen(kw_only=True)
class Refusal:
    """A change that a sink refused for good: sending it again as it is would not help.

    :param problem: its answer, a clause. It holds no values of the change.
    """

    change: OutgoingChange
    problem: str


@frozen(kw_only=True)
class Confirmed:
    """A sink has all changes up to a position for good, but for those that it refused.

    :param sent: how many it took.
    """

    position: Position
    sent: int
    refused: tuple[Refusal, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class SinkConnection:
    """What a sink is made of.

    :param name: the connection.
    :param columns: table -> the names of its values there, in their order.
    :param types: table -> name there -> the type of the property, such as `Bool`.
    :param store: which store the changes are of.
    """

    name: str
    package: str
    tables: tuple[ConnectionTable, ...] = field(converter=as_tuple)
    columns: Mapping[str, tuple[str, ...]] = field(factory=dict)
    types: Mapping[str, Mapping[str, str]] = field(factory=dict)
    settings: ConnectionSettings = field(factory=ConnectionSettings)
    store: str

    def text(self, setting: str) -> str | None:
        """A setting as text; None where it is not given."""
        value = self.settings.values.get(setting)
        return None if value is None else str(value)

    def number(self, setting: str, default: int) -> int:
        """A setting as a number."""
        return int(self.settings.values.get(setting, default))

    def secret(self, setting: str) -> Secret | None:
        """A secret, read now; None where none is given."""
        read = self.settings.secrets.get(setting)
        return None if read is None else read()

    def question(self) -> Question:
        """The same settings as one asks a source with."""
        return Question(
            connection=self.name, package=self.package, settings=self.settings.values, secrets=self.settings.secrets
        )


class Sink(Protocol):
    """One place that changes are delivered to."""

    def probe(self) -> Probe:
        """Asks whether changes can be delivered; nothing is sent, made or changed.

        :raises SinkUnavailable: if that cannot be asked.
        """
        ...

    def send(self, batch: Batch) -> Iterator[Confirmed]:
        """Sends the changes of a batch in order, and says after each step how far the sink has them.

        A batch may be sent again, in whole or in part, where a process ended before it could note that.

        :raises SinkUnavailable: if the sink did not confirm; what it confirmed before counts.
        :raises SinkGone: if it takes no more.
        """
        ...

    def close(self) -> None:
        """Ends connections."""
        ...


MakeSink: TypeAlias = Callable[[SinkConnection], Sink]
"""Makes a sink; raises `SinkUnavailable` where its settings do not allow it."""
