"""Puts the parts together: stores by their URL, configuration checks, the engine's services.

Adapters are imported and made when they are used first: reading needs neither DuckDB nor a parser of SQL.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from attrs import evolve

from deltamark.application.ports.comparer import Comparer
from deltamark.application.ports.deliveries import PARQUET, Deliveries
from deltamark.application.ports.evaluator import Evaluator
from deltamark.application.ports.extracts import Extracts
from deltamark.application.ports.notifications import Channel, ChannelConnection, NotSent
from deltamark.application.ports.proposal import Describer
from deltamark.application.ports.sinks import MakeSink, Sink, SinkConnection, SinkUnavailable
from deltamark.application.ports.sources import Question, Source, SourceUnreachable
from deltamark.application.ports.store import Clock
from deltamark.application.ports.workers import Workers
from deltamark.application.services import OrphanWriter, Reload, Services, Wait, utc_now
from deltamark.config import check
from deltamark.config.check import CheckedConfiguration, ConfigurationReload, Judgement
from deltamark.config.connections import ConnectionSetting, as_read, checked_settings, setting_faults
from deltamark.config.notifications import COMMAND, MAIL, ChannelSetting, channels_as_read
from deltamark.config.user_modules import TaskModule
from deltamark.config.xml.canonical import CanonicalXML
from deltamark.config.xml.load import load_as_far_as_possible
from deltamark.domain.adoption.plan import ADOPTION_LIMIT
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.packages import (
    ACTIVE_DIRECTORY,
    CLOUD_EVENTS_SINK,
    CSV,
    CSV_SINK,
    EXCEL,
    JSON_LINES,
    JSON_LINES_SINK,
    LDAP,
    LDAP_SCHEMES,
    LDIF,
    LDIF_SINK,
    SAFE_FOR_SPREADSHEETS,
    SCIM,
    SCIM_SINK,
    SQL,
    SQL_SINK,
    WEBHOOK_SINK,
    Package,
)
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import ConfigurationError, DeltamarkError, StoreMissing, UsageError, WorkerRefused
from deltamark.domain.proposal.proposal import Proposal, connection_name
from deltamark.domain.runs.run import Operator
from deltamark.domain.secrets import has_password
from deltamark.domain.sinks.batch import OutgoingChange
from deltamark.domain.synchronization.direct_input import refuse_unknown_tables
from deltamark.domain.validation.unfed_warnings import NOTHING_FROZEN, Frozen
from deltamark.domain.values import shown
from deltamark.domain.work_limits import WorkLimits, memory_fault, threads_fault
from deltamark.domain.workers import (
    WorkersKind,
    WorkersSetting,
    cluster_fault,
    cluster_key_fault,
    cluster_of,
    workers_address,
    workers_fault,
)
from deltamark.infrastructure.store.sqlite.address import is_in_memory, path_of, refuse_in_memory
from deltamark.infrastructure.store.urls import StoreKind, kind_of
from deltamark.infrastructure.system.account import process_account
from deltamark.infrastructure.system.secret_values import read_secret
from deltamark.infrastructure.system.temporary_files import TemporaryFolder, remove_left_behind, temporary_folder
from deltamark.infrastructure.system.time_zone import local_zone
from deltamark.infrastructure.system.work_limits import use_work_limits, work_limits

if TYPE_CHECKING:
    import pyarrow as pa

    from deltamark.application.synchronization.source_check import SourceReport
    from deltamark.infrastructure.sinks.files import Format
    from deltamark.infrastructure.sql.source import SQLSource
    from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
    from deltamark.infrastructure.store.sqlite.store import SQLiteStore
    from deltamark.infrastructure.workers.call import Desk

NO_WORKERS = WorkersSetting()

_Part = TypeVar("_Part")

AnyStore: TypeAlias = "SQLiteStore | PostgreSQLStore"
"""A store of either kind."""


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


CheckConfiguration: TypeAlias = Callable[[Configuration | str | os.PathLike[str]], CheckedConfiguration]
"""Loads a configuration if it is given as a path, and checks it."""


def judged_configuration(
    files: Path,
    modules: Iterable[TaskModule] = (),
    *,
    leave_out_unbuilt: bool = False,
    frozen: Frozen = NOTHING_FROZEN,
    connections: Mapping[str, ConnectionSetting] | None = None,
) -> Judgement:
    """The faults and warnings of a configuration, all found in one pass.

    :param modules: modules that hold functions that tasks may name; imported only if a task names one.
    :param leave_out_unbuilt: whether what is known but not built is left out instead of being a fault.
    :param frozen: what nothing feeds on purpose, with since when and why.
    :param connections: connection -> its settings, which must fit the configuration.
    """
    return check.judged_configuration(
        files,
        _evaluator,
        modules=modules,
        leave_out_unbuilt=leave_out_unbuilt,
        frozen=frozen,
        connections=connections or {},
    )


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


def no_configuration() -> CheckedConfiguration:
    """An empty configuration, for commands that only ask for what the store keeps."""
    empty = Configuration()
    checked = _late(lambda: checked_configuration(empty))
    return CheckedConfiguration(
        configuration=empty, plan=_late(lambda: checked.plan), evaluator=_late(lambda: checked.evaluator)
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
    adoption_limit: int = ADOPTION_LIMIT,
    check_other: CheckConfiguration = checked_configuration,
    direct_input: Mapping[str, Any] | None = None,
    connections: Mapping[str, ConnectionSetting] | None = None,
    channels: Mapping[str, ChannelSetting] | None = None,
    workers: WorkersSetting = NO_WORKERS,
) -> Services:
    """What an engine works with, for a configuration that was checked already.

    :param store: the URL of the store.
    :param export_output: the folder of the extracts.
    :param create: whether a store that does not exist is made.
    :param adoption_limit: how many values, resources and links a run may convert or remove by adopting a configuration.
    :param check_other: loads and checks another configuration as this one was.
    :param direct_input: connection table -> what a program gives in the place of its file, checked.
    :param connections: connection -> its settings.
    :param channels: channel by which people are told of runs -> its settings.
    :param workers: what computes for runs.
    :raises ConfigurationError: for settings of connections that do not fit the configuration.
    :raises StoreError: if the store cannot be opened.
    :raises UsageError: for workers that cannot reach such a store.
    """
    settings = connections or {}
    hired = _workers(workers, store)
    faults = tuple(setting_faults(checked.configuration, settings))
    if faults:
        raise ConfigurationError(faults)
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
        open_store=lambda url: open_lasting_store(url, clock),
        open_scratch=lambda: _scratch_store(clock),
        other_configuration=lambda services, source: _with_configuration(services, check_other(source)),
        make_evaluator=_evaluator,
        configuration_format=CanonicalXML(),
        adoption_limit=adoption_limit,
        direct_input=direct_input or {},
        deliveries=_late(lambda: _deliveries(export_output / _DELIVERIES)),
        sources={
            SQL.name: _late(sql_source),
            ACTIVE_DIRECTORY.name: _late(_active_directory),
            LDAP.name: _late(_ldap_directory),
            SCIM.name: _late(_scim_service),
            LDIF.name: _late(_ldif_files),
            **{package.name: _late(partial(_copied_files, package)) for package in (CSV, EXCEL, JSON_LINES)},
        },
        connections=as_read(settings, read_secret),
        sinks=_SINKS,
        channels=channels_as_read(channels or {}, read_secret),
        make_channel=_channel,
        workers=hired,
        wait=WAIT,
    )


WAIT: Wait = time.sleep
"""What an engine waits with, before it reads a source again whose failure may pass."""

_DELIVERIES = "deliveries"
"""The folder of deliveries in that of the extracts."""


def direct_input(
    what: str, given: Mapping[str, Any] | None, known: Mapping[str, object], of: str, *, again: bool = False
) -> dict[str, Any]:
    """What a program gives in the place of files, checked; nothing of it is read.

    :param what: the argument, for messages.
    :param known: the connection tables that there are.
    :param of: what they are of, for messages.
    :param again: whether every run reads it.
    :raises UsageError: for a name that is none of them, and for what is no table.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"{what} is a mapping of connection tables and what stands for them, not {type(given).__name__}."
        )
    refuse_unknown_tables(given, known, of)
    if given:
        from deltamark.infrastructure.extracts.direct.sources import check_source

        for table, source in given.items():
            check_source(f"{what}[{shown(table)}]", source, again=again)
    return dict(given)


def _with_configuration(services: Services, checked: CheckedConfiguration) -> Services:
    return evolve(services, configuration=checked.configuration, plan=checked.plan, evaluator=checked.evaluator)


@contextmanager
def _scratch_store(clock: Clock) -> Iterator[AnyStore]:
    with (
        temporary_folder() as folder,
        closing(open_store(f"sqlite:///{quote(str(folder))}/scratch.db", clock)) as store,
    ):
        yield store


def _evaluator(configuration: Configuration) -> Evaluator:
    from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator

    return DuckEvaluator(configuration)


def _comparer() -> Comparer:
    from deltamark.infrastructure.comparison.comparer import DuckComparer

    return DuckComparer()


def _extracts(folder: Path, options: Mapping[str, Mapping[str, str]] | None = None) -> Extracts:
    from deltamark.infrastructure.extracts.folder import FolderExtracts

    return FolderExtracts(folder, options=options or {})


def change_work_limits(memory: str | None, threads: int | None, temporary: Path | None) -> None:
    """Compares and computes under other limits from now on, in the whole process; None leaves one as it is.

    :raises UsageError: for a limit that is none.
    """
    limits = work_limits()
    for name, value, fault in (("memory", memory, memory_fault), ("threads", threads, threads_fault)):
        if value is not None and (problem := fault(value)) is not None:
            raise UsageError(f"{name} {problem}.")
    use_work_limits(
        WorkLimits(
            memory=limits.memory if memory is None else memory,
            threads=limits.threads if threads is None else threads,
            temporary=limits.temporary if temporary is None else temporary,
        )
    )


def checked_workers(workers: str | None, cluster: Mapping[str, str] | None) -> WorkersSetting:
    """The workers that a program names.

    :raises UsageError: with what is wrong.
    """
    problem = workers_fault(workers or "")
    if problem is not None:
        raise UsageError(f"workers {problem}.")
    for name, value in (cluster or {}).items():
        problem = cluster_key_fault(name, value)
        if problem is not None:
            raise UsageError(f"cluster: {problem}.")
    return WorkersSetting(address=workers_address(workers or ""), cluster=cluster_of(cluster or {}, Path()))


def _workers(setting: WorkersSetting, store: str) -> Workers | None:
    """Workers for the runs of a store."""
    address, cluster = setting.address, setting.cluster
    if address is None:
        return None
    problem = cluster_fault(setting)
    if problem is not None:
        raise UsageError(problem)
    if is_in_memory(store):
        raise UsageError("workers cannot read a store in memory, which only this process has. Use a store in a file.")
    from deltamark.infrastructure.workers.call import Desk, own_versions

    url = cluster.store or store
    if address.kind is not WorkersKind.PROCESSES:
        if has_password(url):
            raise UsageError(
                "the URL of the store holds a password, which would be sent to workers with every part of the work. "
                'Name the store without it in [deltamark.cluster], with password = "env:NAME": each worker looks it up.'
            )
        if address.kind is WorkersKind.TLS and kind_of(url) is StoreKind.SQLITE:
            raise UsageError(
                "workers on other machines cannot read a store in an SQLite file. Use a PostgreSQL store, or workers "
                'on this machine: workers = "processes:4".'
            )
    desk = Desk(
        store=_located(url),
        password=cluster.password,
        versions=own_versions(),
        limits=evolve(work_limits(), threads=1, temporary=None),
    )
    if address.kind is WorkersKind.PROCESSES:
        from deltamark.infrastructure.workers.processes import ProcessWorkers

        return ProcessWorkers(address.processes, call_on_worker, desk)
    if find_spec("distributed") is None:
        raise UsageError(
            f"workers {shown(str(address))} need a library that is not installed. Install it by: "
            "pip install 'deltamark[cluster]'."
        )
    from deltamark.infrastructure.workers.cluster import ClusterWorkers

    return ClusterWorkers(setting, call_on_worker, desk)


def _located(url: str) -> str:
    """A URL that means the same in any working directory."""
    if kind_of(url) is not StoreKind.SQLITE:
        return url
    return f"sqlite:///{quote(str(path_of(url).absolute()))}"


def call_on_worker(desk: Desk, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Calls a function with what a worker has; runs on the worker.

    :raises DeltamarkError: what the function raised, in a form that can be sent.
    """
    from deltamark.infrastructure.workers.call import sendable

    try:
        desk.check()
        return function(_office(desk), *arguments)
    except DeltamarkError as e:
        _leave(desk)
        raise sendable(e) from None


class _Office:
    """What this process has as a worker for a store (see `Worker`)."""

    def __init__(self, desk: Desk) -> None:
        self._configured: dict[str, tuple[Configuration, Evaluator]] = {}
        self.store = open_lasting_store(_with_password(desk.store, desk.password), create=False)

    def configured(self, text: str) -> tuple[Configuration, Evaluator]:
        digest = sha256(text.encode()).hexdigest()
        known = self._configured.get(digest)
        if known is None:
            form = CanonicalXML()
            configuration = form.read(text)
            if form.write(configuration) != text:
                from deltamark.infrastructure.workers.call import own_name

                raise WorkerRefused(own_name(), ["it reads another configuration from what the run sent"])
            known = (configuration, _evaluator(configuration))
            self._configured = {digest: known}  # the one before is of a run that has ended
        return known


_offices: dict[Hashable, _Office] = {}
_offices_lock = Lock()


def _office(desk: Desk) -> _Office:
    key = (desk.store, desk.password, desk.limits)
    with _offices_lock:  # a worker of Dask calls functions in several threads
        if key not in _offices:
            use_work_limits(desk.limits)
            _offices[key] = _Office(desk)
        return _offices[key]


def _leave(desk: Desk) -> None:
    """Opens the store anew for the next call: it may be another one at the same place."""
    with _offices_lock:
        _offices.pop((desk.store, desk.password, desk.limits), None)


def _with_password(url: str, reference: str | None) -> str:
    if reference is None:
        return url
    parts = urlsplit(url)
    password = urlencode({"password": read_secret(reference).value}, quote_via=quote)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, password)))))


def checked_sources(checked: CheckedConfiguration, export_output: Path) -> SourceReport:
    """What is wrong with the sources of a configuration; nothing is written."""
    from deltamark.application.synchronization.source_check import check_sources

    return check_sources(checked.configuration, _extracts(export_output))


def proposal_for(files: Sequence[Path], *, connector: str) -> Proposal:
    """A configuration that synchronizes files of which nothing is known yet.

    Of one workbook with several sheets that hold values each is a table, which a connection reads.

    :param connector: the name of what they come from.
    :raises UsageError: with what is wrong in each file that cannot be read.
    """
    from deltamark.application.proposal.propose import propose, propose_for_workbook
    from deltamark.infrastructure.extracts.excel import filled_sheets
    from deltamark.infrastructure.extracts.profiles import file_profiles

    sheets = filled_sheets(files[0]) if len(files) == 1 else []
    with file_profiles() as profiles:
        if len(sheets) > 1:
            return propose_for_workbook(profiles, files[0], sheets, connector=connector)
        return propose(profiles, files, connector=connector)


def proposal_for_server(
    server: str, settings: Mapping[str, str], names: Collection[str] = (), *, connector: str
) -> Proposal:
    """A configuration that synchronizes the tables of a server of which only the address is known.

    :param settings: those of the connection, besides `server`, with references to secrets.
    :param names: of the tables that are wanted; none: all.
    :param connector: the name of what they come from.
    :raises SourceError: if the server cannot be read.
    :raises UsageError: for an address of no known kind.
    """
    from deltamark.application.proposal.propose import propose_for_server
    from deltamark.application.sources.export import delivered_whole
    from deltamark.infrastructure.deliveries.exported import exported_to, place_files
    from deltamark.infrastructure.extracts.profiles import file_profiles

    connection = connection_name(connector)
    read = as_read(checked_settings({connection: {"server": server, **settings}}), read_secret)[connection]
    folder = TemporaryFolder()

    def read_tables(ask: Question) -> list[Path]:
        with exported_to(folder.path, _extracts) as deliveries:
            delivery, _ = delivered_whole(_proposed_source(ask.package), ask, deliveries, WAIT)
            place_files(folder.path, delivery, as_csv=False)
        return [folder.path / f"{table.name}{PARQUET}" for table in ask.tables]

    try:
        with file_profiles() as profiles:
            return propose_for_server(
                profiles,
                _late(lambda: _describer(server)),
                read_tables,
                Question(connection=connection, package="", settings=read.values, secrets=read.secrets),
                names=names,
                connector=connector,
            )
    finally:
        folder.close()


def _describer(server: str) -> Describer:
    if not server.startswith(LDAP_SCHEMES):
        return sql_source()
    _see_library(LDAP)
    from deltamark.infrastructure.ldap.description import DirectoryDescriber

    return DirectoryDescriber()


def _proposed_source(package: str) -> Source:
    directories = {ACTIVE_DIRECTORY.name: _active_directory, LDAP.name: _ldap_directory}
    return directories.get(package, sql_source)()


def _deliveries(folder: Path) -> Deliveries:
    from deltamark.infrastructure.deliveries.folder import DeliveryFolder

    return DeliveryFolder(folder, _extracts)


def sql_source() -> SQLSource:
    """Reads databases."""
    from deltamark.infrastructure.sql import mysql, oracle, postgresql, sqlite, sqlserver
    from deltamark.infrastructure.sql.source import SQLSource

    return SQLSource(
        {
            sqlite.BEGINNING: sqlite.sqlite_reader,
            **dict.fromkeys(postgresql.BEGINNINGS, postgresql.postgresql_reader),
            **dict.fromkeys(mysql.BEGINNINGS, mysql.mysql_reader),
            oracle.BEGINNING: oracle.oracle_reader,
            **dict.fromkeys(sqlserver.BEGINNINGS, sqlserver.sqlserver_reader),
        }
    )


def _active_directory() -> Source:
    _see_library(ACTIVE_DIRECTORY)
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory

    return ActiveDirectory()


def _ldap_directory() -> Source:
    _see_library(LDAP)
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    return LdapDirectory()


def _scim_service() -> Source:
    _see_library(SCIM)
    from deltamark.infrastructure.scim.source import ScimSource

    return ScimSource()


def _file_sink(connection: SinkConnection) -> Sink:
    from deltamark.infrastructure.sinks.csv_rows import CsvRows
    from deltamark.infrastructure.sinks.files import FileSink
    from deltamark.infrastructure.sinks.json_lines import JsonLines
    from deltamark.infrastructure.sinks.ldif import Ldif

    forms: dict[str, Callable[[], Format]] = {
        CSV_SINK.name: lambda: CsvRows(
            connection.columns[connection.tables[0].identifier],
            connection.tables[0].options.get(SAFE_FOR_SPREADSHEETS) == "true",
        ),
        JSON_LINES_SINK.name: lambda: JsonLines(OutgoingChange.document),
        CLOUD_EVENTS_SINK.name: lambda: JsonLines(OutgoingChange.cloud_event),
        LDIF_SINK.name: lambda: Ldif(connection),
    }
    return FileSink(connection, forms[connection.package]())


def _webhook(connection: SinkConnection) -> Sink:
    _see_library_of_sink(WEBHOOK_SINK)
    from deltamark.infrastructure.sinks.webhook import Webhook

    return Webhook(connection)


def _scim_sink(connection: SinkConnection) -> Sink:
    _see_library_of_sink(SCIM_SINK)
    from deltamark.infrastructure.scim.sink import ScimSink

    return ScimSink(connection)


def _see_library_of_sink(package: Package) -> None:
    library = package.library
    if library is not None and find_spec(library.module) is None:
        raise SinkUnavailable("it needs a library that is not installed", library.installation)


def _sql_sink(connection: SinkConnection) -> Sink:
    from deltamark.infrastructure.sql.sink import sql_sink

    return sql_sink(connection)


_SINKS: Mapping[str, MakeSink] = {
    **dict.fromkeys((CSV_SINK.name, JSON_LINES_SINK.name, CLOUD_EVENTS_SINK.name, LDIF_SINK.name), _file_sink),
    WEBHOOK_SINK.name: _webhook,
    SQL_SINK.name: _sql_sink,
    SCIM_SINK.name: _scim_sink,
}


def _channel(connection: ChannelConnection) -> Channel:
    if connection.kind == MAIL:
        from deltamark.infrastructure.notifications.mail import Mail

        return Mail(connection)
    if connection.kind == COMMAND:
        from deltamark.infrastructure.notifications.command import Command

        return Command(connection)
    try:
        _see_library_of_sink(WEBHOOK_SINK)
    except SinkUnavailable as e:
        raise NotSent(f"{e.problem}: {e.advice}") from None
    from deltamark.infrastructure.notifications.webhook import WebhookChannel

    return WebhookChannel(connection)


def _ldif_files() -> Source:
    from deltamark.infrastructure.ldap.ldif.source import LdifFiles

    return LdifFiles()


def _copied_files(package: Package) -> Source:
    _see_library(package)
    from deltamark.infrastructure.files.copied import CopiedFiles

    return CopiedFiles(package.endings)


def _see_library(package: Package) -> None:
    library = package.library
    if library is not None and find_spec(library.module) is None:
        raise SourceUnreachable(f"package {package.name} needs a library that is not installed", library.installation)


def export_source(
    services: Services, connection: str, folder: Path, *, as_csv: bool
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Reads everything of a connection into files of a folder: the rows of each table, and what a user must know."""
    from deltamark.application.sources.export import export_source
    from deltamark.infrastructure.deliveries.exported import exported_to, place_files

    with exported_to(folder, _extracts) as deliveries:
        delivery, messages = export_source(services, connection, deliveries)
        place_files(folder, delivery, as_csv=as_csv)
    return {name: table.rows for name, table in delivery.tables.items()}, messages


def _orphan_writer(folder: Path) -> OrphanWriter:
    def write(run: int, association: str, pairs: pa.Table) -> str:
        from deltamark.infrastructure.extracts.orphan_files import orphan_writer

        return orphan_writer(folder)(run, association, pairs)

    return write


def open_store(url: str, clock: Clock = utc_now, *, create: bool = True) -> AnyStore:
    """The store that a URL names.

    :raises StoreError: if it cannot be opened, or if no store of this kind is known.
    """
    return _OPEN[kind_of(url)](url, clock, create)


def open_lasting_store(url: str, clock: Clock = utc_now, *, create: bool = True) -> AnyStore:
    """The store that a URL names, which must not be one in memory.

    :raises StoreError: as `open_store`, and for a store in memory.
    """
    refuse_in_memory(url)
    return open_store(url, clock, create=create)


def _sqlite_store(url: str, clock: Clock, create: bool) -> AnyStore:
    if is_in_memory(url):
        return _memory_store(url, clock, create)
    from deltamark.infrastructure.store.sqlite.store import SQLiteStore

    return SQLiteStore(path_of(url), clock, create=create)


def _memory_store(url: str, clock: Clock, create: bool) -> AnyStore:
    from deltamark.infrastructure.store.sqlite.memory import MemoryStore

    if not create:
        raise StoreMissing(
            f"{url} is a store in memory, which is always a new one: there is none to open with create=False. Leave "
            "create out, or name a store that exists."
        )
    return MemoryStore(clock)


def _postgresql_store(url: str, clock: Clock, create: bool) -> AnyStore:
    from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore

    return PostgreSQLStore(url, clock, create=create)


_OPEN: dict[StoreKind, Callable[[str, Clock, bool], AnyStore]] = {
    StoreKind.SQLITE: _sqlite_store,
    StoreKind.POSTGRESQL: _postgresql_store,
}
