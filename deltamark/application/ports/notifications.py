"""The port to the channels by which people are told of runs. A channel knows no store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from attrs import field, frozen

from deltamark.application.ports.sources import ConnectionSettings, Probe
from deltamark.domain.fields import as_tuple
from deltamark.domain.notifications.notification import Notification, NotificationKind
from deltamark.domain.secrets import Secret


class NotSent(Exception):
    """A channel did not take a notification.

    :param problem: a clause without a full stop. It may hold secrets: the caller redacts it.
    :param for_good: whether sending it again as it is would not help.
    """

    def __init__(self, problem: str, *, for_good: bool = False) -> None:
        self.problem = problem
        self.for_good = for_good
        super().__init__(problem)


@frozen(kw_only=True)
class ChannelConnection:
    """What a channel is made of.

    :param kind: mail, webhook or command.
    :param on: what it is told of.
    :param lists: settings that are lists of texts.
    """

    name: str
    kind: str
    on: frozenset[NotificationKind]
    settings: ConnectionSettings = field(factory=ConnectionSettings)
    lists: Mapping[str, tuple[str, ...]] = field(factory=dict)

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


@frozen(kw_only=True)
class Taken:
    """A channel took a notification.

    :param problems: who did not get it.
    """

    problems: tuple[str, ...] = field(converter=as_tuple, default=())


class Channel(Protocol):
    """One way to tell people."""

    def send(self, notification: Notification) -> Taken:
        """Sends a notification, and returns when it was taken.

        :raises NotSent: if it was not.
        """
        ...

    def probe(self) -> Probe:
        """Whether it can be used, as far as that can be tried without sending anything."""
        ...


MakeChannel: TypeAlias = Callable[[ChannelConnection], Channel]
"""Makes a channel. Raises `NotSent` where its settings do not allow it."""
