"""One call of a function on a worker: what is sent, what the worker checks first, and what it sends back."""

from __future__ import annotations

import os
import pickle
import platform
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

from attrs import field, frozen

from deltamark.domain.errors import DeltamarkError, WorkerRefused
from deltamark.domain.secrets import masked
from deltamark.domain.work_limits import WorkLimits
from deltamark.version import __version__

PACKAGES = ("duckdb", "pyarrow")
"""The libraries whose versions may make another value."""

MISSING = "none"


def own_versions() -> dict[str, str]:
    """What may make another value of the same expression, with its version in this process."""
    return {
        "Python": platform.python_version(),
        "Deltamark": __version__,
        **{name: _version(name) for name in PACKAGES},
        "the processor": platform.machine(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return MISSING


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What differs from the versions of the process that asks, each a clause."""
    return [
        f"it has {name} {found.get(name, MISSING)}, and the run has {wanted}"
        for name, wanted in expected.items()
        if found.get(name, MISSING) != wanted
    ]


@frozen(kw_only=True)
class Desk:
    """What a worker needs to know of the run that it works for.

    :param store: the URL by which it reads the store.
    :param password: where it finds the password for that, a reference.
    :param versions: those of the process that asks.
    """

    store: str = field(repr=masked)
    password: str | None = None
    versions: Mapping[str, str]
    limits: WorkLimits

    def check(self) -> None:
        """Checks that this process has the same versions.

        :raises WorkerRefused: naming what differs.
        """
        found = differences(self.versions, own_versions())
        if found:
            raise WorkerRefused(own_name(), found)


Call: TypeAlias = Callable[..., Any]
"""Calls a function on a worker: takes its `Desk`, the function and its arguments."""


def own_name() -> str:
    """How messages name this process as a worker."""
    return f"worker process {os.getpid()} on {socket.gethostname()}"


def sendable(error: DeltamarkError) -> DeltamarkError:
    """The error, or one with the same words where it cannot be sent to another process."""
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301 - what this process wrote
            return error
    except Exception:  # noqa: S110 - of whatever kind: the words matter
        pass
    return DeltamarkError(str(error)).with_next_steps(*error.next_steps)


def explained(inner: Future[Any], explain: Callable[[BaseException], BaseException]) -> Future[Any]:
    """The same future with other errors; cancelling it cancels the one that it stands for."""
    outer: Future[Any] = Future()

    def take(done: Future[Any]) -> None:
        if outer.done() or not outer.set_running_or_notify_cancel():
            return
        try:
            outer.set_result(done.result())
        except BaseException as e:
            outer.set_exception(explain(e))

    inner.add_done_callback(take)
    outer.add_done_callback(lambda future: inner.cancel() if future.cancelled() else None)
    return outer
