"""Settings of a workspace, from `deltamark.toml`, the environment and options."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import field, frozen

from deltamark.config.connections import (
    CONNECTIONS,
    ConnectionSetting,
    connection_settings,
    location_in,
    table_faults,
)
from deltamark.config.files import ConfigurationFile, content, display_name
from deltamark.config.notifications import NOTIFY, ChannelSetting, channel_faults, channel_settings
from deltamark.config.serve import SERVE, serve_faults, serve_settings
from deltamark.config.user_modules import TaskModule
from deltamark.domain.adoption.plan import ADOPTION_LIMIT
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.location import Location
from deltamark.domain.secrets import has_password, masked
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown
from deltamark.domain.work_limits import WorkLimits, memory_fault, threads_fault
from deltamark.domain.workers import (
    WorkersAddress,
    WorkersSetting,
    cluster_key_fault,
    cluster_of,
    workers_address,
    workers_fault,
)

FILE_NAME = "deltamark.toml"
TABLE = "deltamark"
DEFAULTS = {
    "store": "sqlite:///deltamark.db",
    "configuration": "configuration",
    "export_output": "exports",
}
STORE = "store"
TASKS = "tasks"
CHECKPOINT_KEY = "checkpoint_key"
LEAVE_OUT_UNBUILT = "leave_out_unbuilt"
ADOPTION = "adoption"
MEMORY, THREADS, TEMPORARY = "memory", "threads", "temporary"
TRACES = "traces"
WORKERS, CLUSTER = "workers", "cluster"
KEYS = (
    *DEFAULTS, CHECKPOINT_KEY, LEAVE_OUT_UNBUILT, ADOPTION, MEMORY, THREADS, TEMPORARY, WORKERS, CLUSTER, TASKS,
    CONNECTIONS, NOTIFY, SERVE, TRACES,
)  # fmt: skip
ENVIRONMENT = {key: f"DELTAMARK_{key.upper()}" for key in (*DEFAULTS, CHECKPOINT_KEY)}
LEAVE_OUT_UNBUILT_VARIABLE = f"DELTAMARK_{LEAVE_OUT_UNBUILT.upper()}"
MEMORY_VARIABLE, THREADS_VARIABLE, TEMPORARY_VARIABLE = (
    f"DELTAMARK_{key.upper()}" for key in (MEMORY, THREADS, TEMPORARY)
)
WORKERS_VARIABLE = f"DELTAMARK_{WORKERS.upper()}"
ADOPTION_VARIABLE = f"DELTAMARK_{ADOPTION.upper()}"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
SQLITE = "sqlite:///"
POSITION = re.compile(r"(?P<problem>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)\Z", re.DOTALL)


@frozen
class Settings:
    """The settings of one workspace.

    `store` is a URL, `configuration` an XML file or a folder, `export_output` the folder of the extracts, `tasks` the
    modules with user functions, `checkpoint_key` the file of the key that signs checkpoints. `leave_out_unbuilt`:
    whether what the configuration has and this version does not is left out instead of being a fault. `adoption`: how
    many values, resources and links a run may convert or remove by adopting a changed configuration. `connections`: how
    each connection is reached, by its name. `limits`: what comparing and computing may take of the machine. `channels`:
    by which people are told of runs, by name. `workers`: what computes for runs. `serve`: how the server listens and
    whom it lets in, as in the file. `traces`: the collector that gets the traces of runs; None: nothing is noted.
    """

    store: str = field(repr=masked)
    configuration: Path
    export_output: Path
    tasks: tuple[TaskModule, ...] = ()
    checkpoint_key: Path | None = None
    leave_out_unbuilt: bool = False
    adoption: int = ADOPTION_LIMIT
    connections: Mapping[str, ConnectionSetting] = field(factory=dict)
    limits: WorkLimits = WorkLimits()
    channels: Mapping[str, ChannelSetting] = field(factory=dict)
    workers: WorkersSetting = WorkersSetting()
    serve: Mapping[str, Any] = field(factory=dict)
    traces: str | None = None


def load_settings(
    directory: Path,
    environment: Mapping[str, str],
    *,
    store: str | None = None,
    configuration: str | Path | None = None,
    export_output: str | Path | None = None,
    leave_out_unbuilt: bool | None = None,
    adoption: int | None = None,
    workers: str | None = None,
) -> Settings:
    """Returns the settings of the workspace in `directory`.

    An option takes precedence over the environment (an empty variable counts as unset), which takes precedence over
    `deltamark.toml`, and that over the defaults. Relative paths in the file and in the defaults are relative to
    `directory`, also in a `sqlite:///` URL; those in options and environment are not changed. Nothing has to exist
    yet, not even the file.

    :raises ConfigurationError: if the file cannot be read or is not valid.
    """
    from_file, tasks_location, connections, channels = _file_settings(directory)
    settings = DEFAULTS | from_file
    chosen = {
        "store": _located_store(directory, settings["store"]),
        "configuration": str(directory / settings["configuration"]),
        "export_output": str(directory / settings["export_output"]),
    }
    if CHECKPOINT_KEY in from_file:
        chosen[CHECKPOINT_KEY] = str(directory / from_file[CHECKPOINT_KEY])
    chosen |= {key: environment[name] for key, name in ENVIRONMENT.items() if environment.get(name)}
    options = {"store": store, "configuration": configuration, "export_output": export_output}
    for key, option in options.items():
        if option is not None:
            chosen[key] = _not_empty(key, str(option))
    modules = tuple(TaskModule(name, directory, tasks_location) for name in settings.get(TASKS, ()))
    return Settings(
        chosen["store"],
        Path(chosen["configuration"]),
        Path(chosen["export_output"]),
        modules,
        Path(chosen[CHECKPOINT_KEY]) if CHECKPOINT_KEY in chosen else None,
        _leave_out_unbuilt(leave_out_unbuilt, environment, from_file),
        _adoption(adoption, environment, from_file),
        connections,
        _limits(directory, environment, from_file),
        channels,
        WorkersSetting(
            address=_workers(workers, environment, from_file),
            cluster=cluster_of(from_file.get(CLUSTER, {}), directory),
        ),
        serve_settings(from_file.get(SERVE, {}), directory),
        from_file.get(TRACES),
    )


def _workers(option: str | None, environment: Mapping[str, str], from_file: Mapping[str, Any]) -> WorkersAddress | None:
    name, text = "--workers", option
    if text is None:
        name, text = WORKERS_VARIABLE, environment.get(WORKERS_VARIABLE, "").strip()
    problem = workers_fault(text)
    if problem is not None:
        raise ConfigurationError([Fault(None, f"{name} {problem}")])
    return workers_address(text or from_file.get(WORKERS, ""))


def _limits(directory: Path, environment: Mapping[str, str], from_file: Mapping[str, Any]) -> WorkLimits:
    usual = WorkLimits()
    memory = environment.get(MEMORY_VARIABLE, "").strip() or from_file.get(MEMORY, usual.memory)
    threads: object = environment.get(THREADS_VARIABLE, "").strip() or from_file.get(THREADS, usual.threads)
    if isinstance(threads, str) and threads.isascii() and threads.isdigit():
        threads = int(threads)
    problems = ((MEMORY_VARIABLE, memory_fault(memory)), (THREADS_VARIABLE, threads_fault(threads)))
    faults = [Fault(None, f"{variable} {problem}") for variable, problem in problems if problem is not None]
    if faults:  # those of the file were found before
        raise ConfigurationError(faults)
    assert isinstance(threads, int), "it has no fault"
    temporary = directory / from_file[TEMPORARY] if TEMPORARY in from_file else None
    if environment.get(TEMPORARY_VARIABLE):
        temporary = Path(environment[TEMPORARY_VARIABLE])
    return WorkLimits(memory=memory, threads=threads, temporary=temporary)


def _leave_out_unbuilt(option: bool | None, environment: Mapping[str, str], from_file: Mapping[str, Any]) -> bool:
    if option is not None:
        return option
    text = environment.get(LEAVE_OUT_UNBUILT_VARIABLE, "")
    if not text:
        return bool(from_file.get(LEAVE_OUT_UNBUILT, False))
    try:
        return BOOLEANS[text.strip().lower()]
    except KeyError:
        fault = Fault(None, f"{LEAVE_OUT_UNBUILT_VARIABLE} is {shown(text)}; write true or false")
        raise ConfigurationError([fault]) from None


def _adoption(option: int | None, environment: Mapping[str, str], from_file: Mapping[str, Any]) -> int:
    if option is not None:
        return option
    text = environment.get(ADOPTION_VARIABLE, "").strip()
    if not text:
        return int(from_file.get(ADOPTION, ADOPTION_LIMIT))
    if not (text.isascii() and text.isdigit()):
        fault = Fault(None, f"{ADOPTION_VARIABLE} is {shown(text)}; write a whole number of 0 or more, such as 1000")
        raise ConfigurationError([fault])
    return int(text)


def _located_store(directory: Path, url: str) -> str:
    """Returns a URL with its relative SQLite path put below `directory`."""
    if not url.startswith(SQLITE):
        return url
    path = url.removeprefix(SQLITE)
    if path.startswith((":memory:", "/")) or not path:
        return url
    return f"{SQLITE}{(directory / path).as_posix()}"


def _not_empty(key: str, value: str) -> str:
    if not value.strip():
        option = f"--{key.replace('_', '-')}"
        raise ConfigurationError([Fault(None, f"the option {option} is empty; leave it out or give a value")])
    return value


def _file_settings(
    directory: Path,
) -> tuple[dict[str, Any], Location | None, dict[str, ConnectionSetting], dict[str, ChannelSetting]]:
    """The settings in the file, the location of the modules of tasks, and the settings of connections and channels."""
    path = directory / FILE_NAME
    if not path.exists() and not path.is_symlink():
        return {}, None, {}, {}
    file = ConfigurationFile(path, display_name(path))
    text = _text(file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([_syntax_fault(error, file, text)]) from error
    faults = list(_faults(document, file, text))
    if faults:
        raise ConfigurationError(faults)
    table = dict(document.get(TABLE, {}))
    connections = connection_settings(table.get(CONNECTIONS, {}), directory, partial(location_in, text, file.name))
    return table, _location(file, text, TASKS), connections, channel_settings(table.get(NOTIFY, {}), directory)


def _text(file: ConfigurationFile) -> str:
    data = content(file)
    if isinstance(data, Fault):
        raise ConfigurationError([data])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            [Fault(Location(file.name, line), "the file is not UTF-8; save it as UTF-8")]
        ) from error


def _syntax_fault(error: tomllib.TOMLDecodeError, file: ConfigurationFile, text: str) -> Fault:
    match = POSITION.match(str(error))
    if match is None:  # the end of the document, for which it has no line
        return Fault(Location(file.name, text.count("\n") + 1), f"this is not TOML: {error}")
    return Fault(Location(file.name, int(match["line"]), match["column"]), f"this is not TOML: {match['problem']}")


def _faults(document: Mapping[str, Any], file: ConfigurationFile, text: str) -> Iterator[Fault]:
    for key in document:
        if key in KEYS:
            yield Fault(_location(file, text, key), f"{key} is outside [{TABLE}]; write it below that line")
        elif key != TABLE:
            yield Fault(_location(file, text, key), f"unknown key {shown(masked(key))}{hint(key, [TABLE])}")
    table = document.get(TABLE, {})
    if not isinstance(table, dict):
        yield Fault(_location(file, text, TABLE), f"{shown(TABLE)} is not a table; write [{TABLE}] in a line")
        return
    for key, value in table.items():
        if key not in KEYS:
            yield Fault(_location(file, text, key), f"unknown key {shown(masked(key))} in [{TABLE}]{hint(key, KEYS)}")
        elif key == TASKS:
            yield from _module_faults(value, _location(file, text, key))
        elif key == CONNECTIONS:
            yield from table_faults(value, partial(location_in, text, file.name))
        elif key == NOTIFY:
            yield from channel_faults(value, partial(location_in, text, file.name, group=NOTIFY))
        elif key == TRACES:
            if not isinstance(value, str) or not value.startswith(("https://", "http://")) or has_password(value):
                wanted = "write the address of a collector without a password, such as https://collector.example:4318"
                yield Fault(_location(file, text, key), f"{key} is wrong; {wanted}")
        elif key == SERVE:
            yield from serve_faults(value, lambda setting: _location(file, text, setting or SERVE))
        elif key == LEAVE_OUT_UNBUILT:
            if not isinstance(value, bool):
                yield Fault(_location(file, text, key), f"{key} is {shown(value)}; write true or false without quotes")
        elif key in (MEMORY, THREADS):
            problem = memory_fault(value) if key == MEMORY else threads_fault(value)
            if problem is not None:
                yield Fault(_location(file, text, key), f"{key} {problem}")
        elif key == WORKERS:
            problem = workers_fault(value)
            if problem is not None:
                yield Fault(_location(file, text, key), f"{key} {problem}")
        elif key == CLUSTER:
            yield from _cluster_faults(value, file, text)
        elif key == ADOPTION:
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                wanted = "write a whole number of 0 or more without quotes, such as 1000"
                yield Fault(_location(file, text, key), f"{key} is {shown(value)}; {wanted}")
        elif not isinstance(value, str) or not value.strip() or "\0" in value:
            is_hidden = key == STORE and isinstance(value, list | dict | str) and value  # it may hold a password
            described = "no text" if is_hidden else shown(value)
            yield Fault(_location(file, text, key), f"{key} is {described}; it must be a text in quotes")


def _cluster_faults(value: object, file: ConfigurationFile, text: str) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(_location(file, text, CLUSTER), f"{CLUSTER} is no table; write [{TABLE}.{CLUSTER}] in a line")
        return
    for name, setting in value.items():
        problem = cluster_key_fault(name, setting)
        if problem is not None:
            yield Fault(_location(file, text, name), f"{problem}, in [{TABLE}.{CLUSTER}]")


def _module_faults(value: object, location: Location) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield Fault(location, f'{TASKS} is {shown(value)}; it must be a list of modules, such as ["company_tasks"]')
        return
    for name in value:
        is_file = isinstance(name, str) and name.endswith(".py")
        if not isinstance(name, str) or is_file or not all(part.isidentifier() for part in name.split(".")):
            advice = "; leave the extension out" if is_file else ""
            yield Fault(location, f"{TASKS} contains {shown(name)}, which is not the name of a module{advice}")


def _location(file: ConfigurationFile, text: str, key: str) -> Location:
    """Returns the first line that begins with a key: a guess that needs no second parser."""
    beginning = re.compile(rf"""\s*\[?\s*["']?{re.escape(key)}\b""")
    for number, line in enumerate(text.splitlines(), 1):
        if beginning.match(line):
            return Location(file.name, number)
    return Location(file.name)
