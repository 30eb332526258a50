"""Puts the parts together: stores by their URL, configuration checks, the engine's services.

Adapters are imported and made when they are used first: reading needs neither DuckDB nor a parser of SQL.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from deltamark.application.ports.comparer import Comparer
from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.ports.extracts import Extracts
from deltamark.application.ports.store import Clock, Store
from deltamark.application.services import OrphanWriter, Reload, Services, utc_now
from deltamark.config import check
from deltamark.config.check import CheckedConfiguration, ConfigurationReload, Judgement
from deltamark.config.user_modules import TaskModule
from deltamark.config.xml.load import load_as_far_as_possible
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.runs.run import Operator
from deltamark.infrastructure.store.urls import StoreKind, kind_of
from deltamark.infrastructure.system.account import process_account
from deltamark.infrastructure.system.temporary_files import remove_left_behind
from deltamark.infrastructure.system.time_zone import local_zone

if TYPE_CHECKING:
    import pyarrow as pa

_Part = TypeVar("_Part")


class _Late:
    """Stands for a part until it is used first, and is made then.

    Two threads may make it at the same time; the parts hold no state that they share.
    """

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python asks of any object, of a copy for example, before it has a part
            raise AttributeError(name)
        if "_part" not in self.__dict__:  # no lock: a process that is forked meanwhile could not release it
            self._part = self._make()
        return getattr(self._part, name)


def _late(make: Callable[[], _Part]) -> _Part:
    return cast(_Part, _Late(make))


def checked_configuration(
    configuration: Configuration | str | os.PathLike[str],
    tasks: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
    *,
    leave_out_unbuilt: bool = False,
) -> CheckedConfiguration:
    """A configuration, loaded if it is given as a path, and checked.

    :param tasks: functions that tasks may name.
    :param modules: modules that hold such functions; imported only if a task names one.
    :param leave_out_unbuilt: whether what is known but not built is left out instead of being a fault.
    :raises ConfigurationError: with every fault.
    """
    return check.checked_configuration(
        configuration, _evaluator, functions=tasks, modules=modules, leave_out_unbuilt=leave_out_unbuilt
    )


def judged_configuration(
    files: Path, modules: Iterable[TaskModule] = (), *, leave_out_unbuilt: bool = False
) -> Judgement:
    """The faults and warnings of a configuration, all found in one pass.

    :param modules: modules that hold functions that tasks may name; imported only if a task names one.
    :param leave_out_unbuilt: whether what is known but not built is left out instead of being a fault.
    """
    return check.judged_configuration(files, _evaluator, modules=modules, leave_out_unbuilt=leave_out_unbuilt)


def configuration_for_reading(
    files: Path, modules: Iterable[TaskModule] = (), *, leave_out_unbuilt: bool = False
) -> CheckedConfiguration:
    """A configuration for commands that only read.

    Its expressions and functions are checked when a plan is needed, or where the rest has a fault.

    :raises ConfigurationError: with every fault of the rest and, if there is one, of these; with every one of these
        where a plan is needed.
    """
    loaded = load_as_far_as_possible(files, leave_out_unbuilt=leave_out_unbuilt)
    whole = _late(lambda: checked_configuration(files, modules=modules, leave_out_unbuilt=leave_out_unbuilt))
    if loaded.all_faults():
        return checked_configuration(files, modules=modules, leave_out_unbuilt=leave_out_unbuilt)
    return CheckedConfiguration(
        configuration=loaded.configuration,
        plan=_late(lambda: whole.plan),
        evaluator=_late(lambda: whole.evaluator),
        notices=loaded.notices,
    )


def reload_of(
    files: Path,
    tasks: Iterable[UserTask] = (),
    modules: Iterable[TaskModule] = (),
    *,
    leave_out_unbuilt: bool = False,
) -> Reload:
    """Loads a configuration again when these files were changed.

    :param modules: modules that hold functions that tasks may name; they are not loaded again.
    :param leave_out_unbuilt: whether what is known but not built is left out instead of being a fault.
    """
    return ConfigurationReload(files, _evaluator, functions=tasks, modules=modules, leave_out_unbuilt=leave_out_unbuilt)


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
    remove_left_behind()
    return Services(
        store=open_store(store, clock, create=create),
        configuration=checked.configuration,
        extracts=_late(lambda: _extracts(export_output)),
        comparer=_late(_comparer),
        evaluator=checked.evaluator,
        plan=checked.plan,
        write_orphans=_orphan_writer(export_output),
        operator=Operator(user=process_account(), host=socket.gethostname(), process=os.getpid()),
        clock=clock,
        local_zone=local_zone,
        reload=reload,
        open_store=lambda url: open_store(url, clock),
    )


def _evaluator(configuration: Configuration) -> Evaluator:
    from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator

    return DuckEvaluator(configuration)


def _comparer() -> Comparer:
    from deltamark.infrastructure.comparison.comparer import DuckComparer

    return DuckComparer()


def _extracts(folder: Path) -> Extracts:
    from deltamark.infrastructure.extracts.folder import FolderExtracts

    return FolderExtracts(folder)


def _orphan_writer(folder: Path) -> OrphanWriter:
    def write(run: int, association: str, pairs: pa.Table) -> str:
        from deltamark.infrastructure.extracts.orphan_files import orphan_writer

        return orphan_writer(folder)(run, association, pairs)

    return write


def open_store(url: str, clock: Clock = utc_now, *, create: bool = True) -> Store:
    """The store that a URL names.

    :raises StoreError: if it cannot be opened, or if no store of this kind is known.
    """
    return _OPEN[kind_of(url)](url, clock, create)


def _sqlite_store(url: str, clock: Clock, create: bool) -> Store:
    from deltamark.infrastructure.store.sqlite.address import path_of
    from deltamark.infrastructure.store.sqlite.store import SQLiteStore

    return SQLiteStore(path_of(url), clock, create=create)


def _postgresql_store(url: str, clock: Clock, create: bool) -> Store:
    from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore

    return PostgreSQLStore(url, clock, create=create)


_OPEN: dict[StoreKind, Callable[[str, Clock, bool], Store]] = {
    StoreKind.SQLITE: _sqlite_store,
    StoreKind.POSTGRESQL: _postgresql_store,
}
