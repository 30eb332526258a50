"""The one place where the parts are put together."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve, frozen

from deltamark.application import arguments
from deltamark.application.derivation.plan import planned
from deltamark.application.derivation.user_functions.decorator import registered
from deltamark.application.engine import engine
from deltamark.application.ports.store import Clock, Store
from deltamark.application.services import Services
from deltamark.config.files import WatchedFiles
from deltamark.config.user_modules import TaskModule, found_tasks
from deltamark.config.xml.load import load
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.function_columns import functions_of
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.errors import ConfigurationError, Fault, StoreError, UsageError
from deltamark.domain.runs.run import Operator
from deltamark.domain.validation.field_types import shape_faults
from deltamark.domain.validation.functions import bound, function_faults
from deltamark.domain.validation.validate import MOST_FAULTS, faults, in_file_order
from deltamark.infrastructure.comparison.comparer import DuckComparer
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from deltamark.infrastructure.extracts.folder import FolderExtracts
from deltamark.infrastructure.extracts.orphan_files import orphan_writer
from deltamark.infrastructure.store.sqlite.schema import path_of
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from deltamark.infrastructure.system.time_zone import local_zone

POSTGRESQL_SCHEMES = ("postgresql", "postgres")


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


class Engine(engine.Engine):
    """A store with a configuration: runs jobs, and answers what is, was, changed and is dirty.

    Open one with `Engine.open`, use it in a `with` block or call `close`. One engine may be used from several
    threads.
    """

    @classmethod
    def open(
        cls,
        store: str,
        *,
        configuration: Configuration | str | os.PathLike[str] = "configuration",
        export_output: str | os.PathLike[str] = "exports",
        tasks: Iterable[UserTask] = (),
        create: bool = True,
        clock: Clock = utc_now,
    ) -> Engine:
        """Opens a store with a configuration.

        :param store: a URL such as ``sqlite:///deltamark.db`` or ``postgresql://user@host/database``.
        :param configuration: a `Configuration`, or the XML file or folder to load it from.
        :param export_output: the folder of the extracts.
        :param tasks: functions that `task` decorates, for a `PythonTask` to name; besides those of the entry point
            group ``deltamark.tasks``, which is looked at where a task names one that is not among them.
        :param create: whether a store that is not there is made; otherwise it is an error.
        :param clock: gives the time of changes and runs.
        :raises ConfigurationError: with every fault of the configuration.
        :raises StoreError: if the store cannot be opened.
        :raises UsageError: for an argument of a wrong type.
        """
        arguments.text("store, a URL such as sqlite:///deltamark.db,", store)
        arguments.boolean("create", create)
        folder = _path("export_output", export_output)
        if not callable(clock):
            raise UsageError("clock is a function that gives the present time as a datetime with a time zone.")
        files = None if isinstance(configuration, Configuration) else _path("configuration", configuration)
        tasks = tuple(registered(tasks).values())
        reload = None if files is None else _Reloading(files, tasks)
        checked = checked_configuration(configuration, tasks)
        return cls(services(checked, store, folder, create=create, clock=_with_zone(clock), reload=reload))


@frozen(kw_only=True)
class Checked:
    """A configuration that was checked, the plan of what it derives, and what evaluates its expressions."""

    configuration: Configuration
    plan: Plan
    evaluator: DuckEvaluator


def services(
    checked: Checked,
    store: str,
    folder: Path,
    *,
    create: bool,
    clock: Clock = utc_now,
    reload: _Reloading | None = None,
) -> Services:
    """What an engine works with, over a configuration that was checked already; see `Engine.open`.

    :param folder: of the extracts.
    :raises StoreError: if the store cannot be opened.
    """
    return Services(
        store=open_store(store, clock, create=create),
        configuration=checked.configuration,
        extracts=FolderExtracts(folder),
        comparer=DuckComparer(),
        evaluator=checked.evaluator,
        plan=checked.plan,
        write_orphans=orphan_writer(folder / "orphans"),
        operator=Operator(user=_user(), host=socket.gethostname(), process=os.getpid()),
        clock=clock,
        local_zone=local_zone,
        reload=reload,
        open_store=lambda url: open_store(url, clock),
    )


def watch_configuration(engine: Engine, files: Path, modules: Iterable[TaskModule]) -> None:
    """Has the schedule of an engine that was opened with a `Configuration` load it again when these files are changed.

    :param modules: hold functions that tasks may name; they are not loaded again.
    """
    engine._services = evolve(engine._services, reload=_Reloading(files, (), modules))


class _Reloading:
    """Loads a configuration again when its files were changed."""

    def __init__(self, files: Path, tasks: Iterable[UserTask] = (), modules: Iterable[TaskModule] = ()) -> None:
        self._path = files
        self._files = WatchedFiles(files)
        self._tasks, self._modules = tuple(tasks), tuple(modules)

    def __call__(self, services: Services) -> Services | None:
        if not self._files.changed():
            return None
        checked = checked_configuration(self._path, self._tasks, self._modules)
        return evolve(services, configuration=checked.configuration, plan=checked.plan, evaluator=checked.evaluator)


def checked_configuration(
    configuration: Configuration | str | os.PathLike[str],
    tasks: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
) -> Checked:
    """The configuration, loaded if need be, with its expressions checked.

    :param tasks: functions that tasks may name.
    :param modules: modules that hold such functions; imported only if a task names one.
    :raises ConfigurationError: with every fault. Expressions and functions are looked at once the rest is sound.
    """
    known = registered(tasks)
    if isinstance(configuration, Configuration):
        found = shape_faults(configuration) or faults(configuration)
        if found:
            raise ConfigurationError(found)
    else:
        configuration = load(_path("configuration", configuration))
    configuration = _with_functions(configuration, known, modules)
    evaluator = DuckEvaluator(configuration)
    return Checked(configuration=configuration, plan=planned(configuration, evaluator), evaluator=evaluator)


def _with_functions(
    configuration: Configuration, known: Mapping[str, UserTask], modules: Iterable[TaskModule]
) -> Configuration:
    """The configuration with the functions that its tasks name.

    :raises ConfigurationError: if one is not registered, or cannot do what it is declared to do.
    """
    known = {**{one.name: one for one in functions_of(configuration)}, **known}
    whole, unknown = bound(configuration, known)
    failed: tuple[Fault, ...] = ()
    if unknown:
        found = found_tasks(modules)
        whole, unknown = bound(configuration, {**found.tasks, **known})
        failed = found.faults
    wrong = (*failed, *unknown) if unknown else tuple(function_faults(whole))
    if wrong:
        raise ConfigurationError(in_file_order(wrong)[:MOST_FAULTS])
    return whole


def _path(what: str, value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        kinds = "a Configuration or a path" if what == "configuration" else "a path"
        raise UsageError(f"{what} is {kinds}, not {type(value).__name__}.")
    return Path(value)


def _with_zone(clock: Clock) -> Clock:
    """The clock, refused when it gives what is no time in a zone: the log would not know when."""

    def now() -> datetime:
        at = clock()
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise UsageError(f"the clock gave {at!r}. It must give a datetime with a time zone, such as UTC.")
        return at

    return now


def open_store(url: str, clock: Clock = utc_now, *, create: bool = True) -> Store:
    """The store that a URL names.

    :raises StoreError: if it cannot be opened, or if no store of this kind is known.
    """
    kind = url.split(":", 1)[0]
    if kind == "sqlite":
        return SQLiteStore(path_of(url), clock, create=create)
    if kind in POSTGRESQL_SCHEMES:
        from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore  # its driver takes a while to load

        return PostgreSQLStore(url, clock, create=create)
    raise StoreError(
        f"{_without_password(url)!r}: no store of this kind is known. Write sqlite:///deltamark.db or "
        "postgresql://user@host/database, for example."
    )


def grants(url: str, *, writer: str | None, reader: str | None) -> str:
    """The SQL by which the owner of a store in PostgreSQL lets one role run jobs and another read.

    To be asked for as the role that owns the store, or will: the store is made if there is none yet, or brought up to
    date.

    :raises UsageError: for a role that cannot be let in like that, or a store in a file.
    :raises StoreError: if the store cannot be opened.
    """
    if url.startswith("sqlite:"):
        raise UsageError(
            "an SQLite store is a file, which knows no roles. Who may write to it, and who may only read it, is told "
            "by the rights of the file and of its folder."
        )
    from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore

    store = open_store(url)
    assert isinstance(store, PostgreSQLStore), "there are two kinds of stores"
    with closing(store):
        return store.grants(writer=writer, reader=reader)


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}…@{rest.rsplit('@', 1)[1]}" if "@" in rest else url[:80]


def _user() -> str:
    try:
        return getpass.getuser().encode(errors="backslashreplace").decode()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
