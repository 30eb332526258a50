"""The settings of channels by which people are told of runs: `[deltamark.notify.NAME]` in `deltamark.toml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import field, frozen

from deltamark.application.ports.notifications import ChannelConnection
from deltamark.application.ports.sources import ConnectionSettings
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.location import Location
from deltamark.domain.notifications.notification import NotificationKind
from deltamark.domain.secrets import Secret, has_password, masked, reference_problem
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

NOTIFY = "notify"
KIND, ON = "kind", "on"
MAIL, WEBHOOK, COMMAND = "mail", "webhook", "command"
_TEXT, _NUMBER, _SECRET, _LIST = "text", "number", "secret", "list"


@frozen
class _Kind:
    """A kind of channel.

    :param settings: setting -> what it holds.
    """

    settings: Mapping[str, str]
    needed: tuple[str, ...]


_KINDS = {
    MAIL: _Kind(
        {
            "server": _TEXT, "tls": _TEXT, "from": _TEXT, "to": _LIST, "user": _TEXT, "password": _SECRET,
            "authority": _TEXT, "timeout": _NUMBER,
        },
        ("server", "from", "to"),
    ),
    WEBHOOK: _Kind(
        {"server": _TEXT, "token": _SECRET, "secret": _SECRET, "authority": _TEXT, "timeout": _NUMBER}, ("server",)
    ),
    COMMAND: _Kind({"command": _LIST, "timeout": _NUMBER}, ("command",)),
}  # fmt: skip
_TLS = ("starttls", "implicit", "none")
_FILES = ("authority",)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+\Z")
_EVERYTHING = tuple(kind.value for kind in NotificationKind)

LocationOf = Callable[[str, str | None], Location | None]


@frozen(kw_only=True)
class ChannelSetting:
    """The settings of a channel as they are written: secrets are references."""

    kind: str
    on: frozenset[NotificationKind]
    values: Mapping[str, str | int | bool] = field(factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(factory=dict)
    secrets: Mapping[str, str] = field(factory=dict)


def channel_faults(channels: object, location_of: LocationOf) -> Iterator[Fault]:
    """The faults of the settings of all channels.

    :param location_of: where a setting of a channel is, or, without a setting, the channel.
    """
    if not isinstance(channels, Mapping):
        yield Fault(location_of("", None), "[deltamark.notify] is no table; write [deltamark.notify.NAME] in a line")
        return
    for name, table in channels.items():
        where = f"channel {shown(masked(str(name)))}"
        if not isinstance(table, Mapping):
            yield Fault(location_of(name, None), f"the settings of {where} are no table; write [deltamark.notify.NAME]")
            continue
        if not _NAME.match(name):
            yield Fault(location_of(name, None), f"{where}: a name has letters, digits, and . _ - between them")
        for setting, problem in _problems(table):
            yield Fault(location_of(name, setting), f"{problem} in the settings of {where}")


def _problems(table: Mapping[str, object]) -> Iterator[tuple[str | None, str]]:
    kind = table.get(KIND)
    if not isinstance(kind, str) or kind not in _KINDS:
        given = f"is {shown(kind)}" if KIND in table else "is missing"
        ending = hint(kind, _KINDS) if isinstance(kind, str) else ""
        yield KIND if KIND in table else None, f"{KIND} {given}; write one of {', '.join(_KINDS)}{ending}"
        return
    known = _KINDS[kind]
    for setting, value in table.items():
        if setting in (KIND, ON):
            continue
        if setting not in known.settings:
            yield setting, f"unknown key {shown(masked(setting))}{hint(setting, [*known.settings, KIND, ON])}"
            continue
        problem = _problem(setting, value, known.settings[setting])
        if problem is not None:
            yield setting, f"{setting} {problem}"
    yield from ((None, f"{setting} is missing") for setting in known.needed if setting not in table)
    on = table.get(ON, list(_EVERYTHING))
    if not isinstance(on, list) or not on or any(item not in _EVERYTHING for item in on):
        yield ON, f"{ON} must be a list of {', '.join(_EVERYTHING)}"
    if kind == MAIL and ("user" in table) != ("password" in table):
        yield None, "user and password belong together; give both or neither"


def _problem(setting: str, value: object, holds: str) -> str | None:
    if holds == _SECRET:
        return reference_problem(value) if isinstance(value, str) else "must be a text in quotes"
    if holds == _NUMBER:
        is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return None if is_number else "must be a whole number above 0"
    if holds == _LIST:
        if not isinstance(value, list) or not value or not all(_is_text(item) for item in value):
            return "must be a list of texts in quotes that is not empty"
        if setting == "to" and not all(_ADDRESS.match(item) for item in value):
            return "must be a list of addresses such as operators@example.com"
        return None
    if not _is_text(value):
        return "must be a text in quotes"
    assert isinstance(value, str), "it is a text"
    if setting == "server" and has_password(value):
        return "holds a password; write it as a reference in a setting of its own"
    if setting == "tls" and value not in _TLS:
        return f"is {shown(value)}; write one of {', '.join(_TLS)}"
    if setting == "from" and not _ADDRESS.match(value):
        return "must be an address such as deltamark@example.com"
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def checked_channels(channels: Mapping[str, Mapping[str, object]] | None) -> dict[str, ChannelSetting]:
    """The settings of channels that a program gives.

    :raises ConfigurationError: with every fault of them.
    """
    found = tuple(channel_faults(channels or {}, lambda channel, setting: None))
    if found:
        raise ConfigurationError(found)
    return channel_settings(channels or {}, Path())


def channel_settings(channels: Mapping[str, Mapping[str, object]], directory: Path) -> dict[str, ChannelSetting]:
    """The settings of channels that have no faults.

    :param directory: what relative paths of files are relative to.
    """
    found = {}
    for name, table in channels.items():
        kind = str(table[KIND])
        holds = _KINDS[kind].settings
        on = table.get(ON, _EVERYTHING)
        assert isinstance(on, Sequence), "it was checked"
        found[name] = ChannelSetting(
            kind=kind,
            on=frozenset(NotificationKind(item) for item in on),
            values={
                key: (directory / str(value)).as_posix() if key in _FILES else value  # type: ignore[misc]
                for key, value in table.items()
                if holds.get(key) in (_TEXT, _NUMBER)
            },
            lists={key: tuple(value) for key, value in table.items() if holds.get(key) == _LIST},  # type: ignore[arg-type]
            secrets={key: str(value) for key, value in table.items() if holds.get(key) == _SECRET},
        )
    return found


def channels_as_read(
    settings: Mapping[str, ChannelSetting], read_secret: Callable[[str], Secret]
) -> dict[str, ChannelConnection]:
    """The channels, with secrets that are read when they are needed."""
    return {
        name: ChannelConnection(
            name=name,
            kind=setting.kind,
            on=setting.on,
            settings=ConnectionSettings(
                values=setting.values,
                secrets={key: partial(read_secret, reference) for key, reference in setting.secrets.items()},
            ),
            lists=setting.lists,
        )
        for name, setting in settings.items()
    }
