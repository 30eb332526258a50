"""Processes that run a job and come to harm at a chosen instant, always the same one.

They are forked from a server that has imported everything already, so that one costs little more than its run.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import resource
import signal
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import deltamark
from deltamark import DeltamarkError
from deltamark.infrastructure.store.sqlite.connection import (
    ChangeConnection,
    ChangeConnectionPool,
    ImmediateTransaction,
)
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from tests.store.workspace import Workspace

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.store.children"])
PATIENCE_S = 300


def started(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """A process that has started a function of this module."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def ended(target: Callable[..., object], *arguments: object) -> int | None:
    """Runs a function of this module in a process of its own, and returns its exit code, negative for a signal."""
    process = started(target, *arguments)
    process.join(PATIENCE_S)
    return process.exitcode


def steps_of(child: Callable[..., None], *arguments: object) -> int | None:
    """Runs a function in a process of its own; returns the number of steps that it sends, or None if it was killed.

    :param child: takes the arguments, and then the connection by which it sends them.
    """
    receiving, sending = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=child, args=(*arguments, sending))
    process.start()
    sending.close()
    steps: int | None = None
    with suppress(EOFError):
        assert receiving.poll(PATIENCE_S)
        steps = receiving.recv()
    process.join(PATIENCE_S)
    assert process.exitcode == (-signal.SIGKILL if steps is None else 0)
    return steps


def on_writer(prepare: Callable[[sqlite3.Connection], None]) -> None:
    """Prepares every writing connection that this process makes."""
    make = ChangeConnectionPool.writer

    def writer(pool: ChangeConnectionPool) -> ChangeConnection:
        connection = make(pool)
        prepare(connection.raw)
        return connection

    ChangeConnectionPool.writer = writer  # type: ignore[method-assign]


def run_until_statement(folder: Path, last: int, *, transactions: bool = True) -> None:
    """Runs the job and dies before the statement of this number; 0 survives and records first words of statements."""
    seen: list[str] = []

    def count(statement: str) -> None:
        seen.append(statement.split()[0])
        if len(seen) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    on_writer(lambda connection: connection.set_trace_callback(count))
    if not transactions:
        ImmediateTransaction.__enter__ = lambda self: self.connection.cursor()  # type: ignore[method-assign]
    Workspace(folder).run()
    (folder / "statements").write_text("\n".join(seen))


def run_until_byte(folder: Path, limit: int) -> None:
    """Runs the job and dies during the write that would make a file longer than this."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    Workspace(folder).run()


def run_where_files_end_at(folder: Path, limit: int) -> None:
    """Runs the job where no file can grow beyond a limit, then again, through the same engine, where it can.

    Notes what became of the first run.
    """
    space = Workspace(folder)
    space.between_looks = timedelta(minutes=2)  # what the first run could not give back is free for the second
    with space.engine() as engine:
        engine.position()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            run = engine.run_job("Nightly")
            told = "\n".join([run.state.value, *(message for task in run.tasks for message in task.messages)])
        except DeltamarkError as error:
            told = f"{type(error).__name__}\n{error}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        (folder / "told").write_text(told, "utf-8")
        (folder / "again").write_text(engine.run_job("Nightly").state.value)


def hold(path: Path, holding: object, release: object) -> None:
    """Opens a transaction and keeps it open until it is stopped."""
    from deltamark.bootstrap import utc_now

    store = SQLiteStore(path, utc_now)
    with store.transaction():
        holding.set()  # type: ignore[attr-defined]
        release.wait(PATIENCE_S)  # type: ignore[attr-defined]
    store.close()


def use_as_nobody(folder: Path, told: Connection) -> None:
    """Reads a store, then runs its job, as an unprivileged user; prints the outcome of both."""
    for module in pkgutil.walk_packages(deltamark.__path__, "deltamark."):
        if not module.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # of an extra that is not installed
                import_module(module.name)  # without the rights, files of the installation cannot be read any more
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for use in (lambda engine: engine.position(), lambda engine: engine.run_job("Nightly").state.value):
        try:
            with Workspace(folder).engine() as engine:
                told.send(str(use(engine)))
        except DeltamarkError as error:
            told.send(str(error))
