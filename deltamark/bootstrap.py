"""Puts the parts together: stores by their URL, what checks a configuration, what an engine works with."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from deltamark.application.ports.store import Clock, Store
from deltamark.application.services import Reload, Services, utc_now
from deltamark.config import check
from deltamark.config.check import CheckedConfiguration, ConfigurationReload
from deltamark.config.user_modules import TaskModule
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.runs.run import Operator
from deltamark.infrastructure.comparison.comparer import DuckComparer
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from deltamark.infrastructure.extracts.folder import FolderExtracts
from deltamark.infrastructure.extracts.orphan_files import orphan_writer
from deltamark.infrastructure.store.sqlite.schema import path_of
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from deltamark.infrastructure.store.urls import StoreKind, kind_of
from deltamark.infrastructure.system.time_zone import local_zone


def checked_configuration(
    configuration: Configuration | str | os.PathLike[str],
    tasks: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
) -> CheckedConfiguration:
    """A configuration, loaded if it is given as a path, and checked.

    :param tasks: functions that tasks may name.
    :param modules: modules that hold such functions; imported only if a task names one.
    :raises ConfigurationError: with every fault.
    """
    return check.checked_configuration(configuration, DuckEvaluator, functions=tasks, modules=modules)


def reload_of(files: Path, tasks: Iterable[UserTask] = (), modules: Iterable[TaskModule] = ()) -> Reload:
    """Loads a configuration again when these files were changed.

    :param modules: modules that hold functions that tasks may name; they are not loaded again.
    """
    return ConfigurationReload(files, DuckEvaluator, functions=tasks, modules=modules)


def services(
    checked: CheckedConfiguration,
    store: str,
    export_output: Path,
    *,
    create: bool,
    clock: Clock = utc_now,
    reload: Reload | None = None,
) -> Services:
    """What an engine works with, for a configuration that was checked already.

    :param store: the URL of the store.
    :param export_output: the folder of the extracts.
    :param create: whether a store that does not exist is made.
    :raises StoreError: if the store cannot be opened.
    """
    return Services(
        store=open_store(store, clock, create=create),
        configuration=checked.configuration,
        extracts=FolderExtracts(export_output),
        comparer=DuckComparer(),
        evaluator=checked.evaluator,
        plan=checked.plan,
        write_orphans=orphan_writer(export_output / "orphans"),
        operator=Operator(user=_user(), host=socket.gethostname(), process=os.getpid()),
        clock=clock,
        local_zone=local_zone,
        reload=reload,
        open_store=lambda url: open_store(url, clock),
    )


def open_store(url: str, clock: Clock = utc_now, *, create: bool = True) -> Store:
    """The store that a URL names.

    :raises StoreError: if it cannot be opened, or if no store of this kind is known.
    """
    return _OPEN[kind_of(url)](url, clock, create)


def _sqlite_store(url: str, clock: Clock, create: bool) -> Store:
    return SQLiteStore(path_of(url), clock, create=create)


def _postgresql_store(url: str, clock: Clock, create: bool) -> Store:
    from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore  # its driver takes a while to load

    return PostgreSQLStore(url, clock, create=create)


_OPEN: dict[StoreKind, Callable[[str, Clock, bool], Store]] = {
    StoreKind.SQLITE: _sqlite_store,
    StoreKind.POSTGRESQL: _postgresql_store,
}


def _user() -> str:
    try:
        return getpass.getuser().encode(errors="backslashreplace").decode()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
