"""The settings of connections: from `deltamark.toml` and from Python, checked against the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from attrs import field, frozen

from deltamark.application.ports.sources import ConnectionSettings
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.packages import PACKAGES, package_named
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.location import Location
from deltamark.domain.secrets import Secret, has_password, masked, reference_problem
from deltamark.domain.sources.places import age_of
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

CONNECTIONS = "connections"
SERVER = "server"
_MAX_AGE = "max_age"
_SQLITE = "sqlite:///"
_FILES = frozenset({"authority", "certificate", "folder", "key"})
_TYPES = {name: kind for package in PACKAGES.values() for name, kind in package.all_settings.items()}
_SECRETS = frozenset(name for package in PACKAGES.values() for name in package.secrets)
_WORDS: Mapping[type, str] = {str: "a text in quotes", int: "a whole number", bool: "true or false without quotes"}

ReadSecret = Callable[[str], Secret]


@frozen(kw_only=True)
class ConnectionSetting:
    """The settings of a connection as they are written: secrets are references, or, from Python, `Secret`s."""

    values: Mapping[str, str | int | bool] = field(factory=dict)
    secrets: Mapping[str, str | Secret] = field(factory=dict)
    location: Location | None = None


NO_SETTINGS: Mapping[str, ConnectionSetting] = {}


def table_faults(
    connections: object,
    location_of: Callable[[str, str | None], Location | None],
    title: str = "[deltamark.connections]",
) -> Iterator[Fault]:
    """The faults of the settings of all connections.

    :param location_of: where a setting of a connection is, or, without a setting, the connection.
    """
    if not isinstance(connections, Mapping):
        yield Fault(location_of("", None), f"{title} is no table; write [deltamark.connections.NAME] in a line")
        return
    for name, table in connections.items():
        where = f"connection {shown(masked(str(name)))}"
        if not isinstance(table, Mapping):
            yield Fault(
                location_of(name, None), f"the settings of {where} are no table; write [deltamark.connections.NAME]"
            )
            continue
        for setting, value in table.items():
            problem = _problem(str(setting), value)
            if problem is not None:
                yield Fault(location_of(name, str(setting)), f"{problem} in the settings of {where}")


def _problem(setting: str, value: object) -> str | None:
    if setting not in _TYPES:
        return f"unknown key {shown(masked(setting))}{hint(setting, list(_TYPES))}"
    if setting in _SECRETS:
        if isinstance(value, Secret):
            return None
        problem = reference_problem(value) if isinstance(value, str) else "must be a text in quotes"
        return None if problem is None else f"{setting} {problem};"
    kind = _TYPES[setting]
    if type(value) is not kind or (isinstance(value, str) and (not value.strip() or "\0" in value)):
        return f"{setting} must be {_WORDS[kind]}"
    if isinstance(value, int) and not isinstance(value, bool) and value <= 0:
        return f"{setting} is {value}; it must be above 0"
    if setting == _MAX_AGE and isinstance(value, str):
        try:
            age_of(value)
        except ValueError as e:
            return f"{setting} {shown(value)} {e};"
    if setting == SERVER and isinstance(value, str) and has_password(value):
        return f'{setting} holds a password; write user = "…" and password = "env:NAME" instead'
    return None


def connection_settings(
    connections: Mapping[str, Mapping[str, object]],
    directory: Path | None,
    location_of: Callable[[str, str | None], Location | None],
) -> dict[str, ConnectionSetting]:
    """The settings of connections that have no faults.

    :param directory: what a relative path of an SQLite database is relative to; None for the working directory.
    """
    return {
        name: ConnectionSetting(
            values={key: _located(key, value, directory) for key, value in table.items() if key not in _SECRETS},  # type: ignore[misc]
            secrets={key: value for key, value in table.items() if key in _SECRETS},  # type: ignore[misc]
            location=location_of(name, None),
        )
        for name, table in connections.items()
    }


def checked_settings(connections: Mapping[str, Mapping[str, object]] | None) -> dict[str, ConnectionSetting]:
    """The settings of connections that a program gives.

    :raises ConfigurationError: with every fault of them.
    """
    found = tuple(table_faults(connections or {}, _nowhere, "connections"))
    if found:
        raise ConfigurationError(found)
    return connection_settings(connections or {}, None, _nowhere)


def _nowhere(connection: str, setting: str | None) -> None:
    return None


def _located(key: str, value: object, directory: Path | None) -> object:
    if key in _FILES and isinstance(value, str) and directory is not None:
        return (directory / value).as_posix()
    if key != SERVER or not isinstance(value, str) or not value.startswith(_SQLITE) or directory is None:
        return value
    path = value.removeprefix(_SQLITE)
    return value if path.startswith("/") else f"{_SQLITE}{(directory / path).as_posix()}"


def location_in(text: str, file: str, connection: str, setting: str | None, *, group: str = CONNECTIONS) -> Location:
    """The line of a setting below the line of its connection: a guess that needs no second parser.

    :param group: the table that the table of the connection is in.
    """
    header = re.compile(rf"""\s*\[\s*deltamark\s*\.\s*{group}\s*\.\s*["']?{re.escape(connection)}["']?\s*\]""")
    key = None if setting is None else re.compile(rf"""\s*["']?{re.escape(setting)}["']?\s*=""")
    found = None
    for number, line in enumerate(text.splitlines(), 1):
        if found is None:
            if header.match(line):
                found = number
                if key is None:
                    break
        elif line.lstrip().startswith("["):
            break
        elif key is not None and key.match(line):
            return Location(file, number)
    return Location(file, found)


def setting_faults(configuration: Configuration, settings: Mapping[str, ConnectionSetting]) -> Iterator[Fault]:
    """The faults of settings that do not fit the configuration: of no connection, or of another package."""
    known = {connection.identifier: connection for connection in configuration.connections}
    for name, setting in settings.items():
        connection = known.get(name)
        if connection is None:
            yield Fault(
                setting.location, f"there are settings of an unknown connection {shown(name)}{hint(name, known)}"
            )
            continue
        package = package_named(connection.package)
        if package is None:
            continue
        for key in (*setting.values, *setting.secrets):
            if key not in package.all_settings:
                ending = hint(key, list(package.all_settings))
                yield Fault(
                    setting.location,
                    f"the settings of connection {shown(name)} have {key}, which package {package.name} does not "
                    f"read{ending}",
                )


def as_read(settings: Mapping[str, ConnectionSetting], read_secret: ReadSecret) -> dict[str, ConnectionSettings]:
    """The settings of connections, with secrets that are read when they are needed."""
    return {
        name: ConnectionSettings(
            values=setting.values,
            secrets={key: partial(_secret, value, read_secret) for key, value in setting.secrets.items()},
        )
        for name, setting in settings.items()
    }


def _secret(value: str | Secret, read_secret: ReadSecret) -> Secret:
    return value if isinstance(value, Secret) else read_secret(value)
