"""Workers of a scheduler of Dask, on this machine or on others."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from distributed import Client, KilledWorker
from distributed.comm.core import CommClosedError
from distributed.security import Security

from deltamark.domain.errors import DeltamarkError, UsageError, WorkerRefused, WorkersLost
from deltamark.domain.workers import WorkersAddress, WorkersKind, WorkersSetting
from deltamark.infrastructure.workers.call import MISSING, PACKAGES, Call, Desk, differences, explained

PATIENCE_S = 30.0
"""How long a scheduler may take to answer, and how long it may have no worker; its own heartbeats are far shorter."""

_ASK_EVERY_S = 2.0
_CLIENT: Any = Client
_SECURITY: Any = Security
"""Without types: those of the library are of half of its methods."""
_LOST = (KilledWorker, CancelledError, CommClosedError, TimeoutError, OSError)
_RESUME = "Then resume the run."


class ClusterWorkers:
    """The workers that a scheduler has.

    A part of the work of a worker that is lost is done by another one; a scheduler that is lost ends the task.

    :param call: what they call functions by.
    """

    def __init__(self, setting: WorkersSetting, call: Call, desk: Desk, *, patience_s: float = PATIENCE_S) -> None:
        assert setting.address is not None, "a cluster has an address"
        self._setting = setting
        self._address: WorkersAddress = setting.address
        self._call = call
        self._desk = desk
        self._patience_s = patience_s
        self._lock = Lock()
        self._client: Any = None
        self._stop = Event()
        self._threads = 1
        self._outstanding: set[Future[Any]] = set()

    @property
    def parallel(self) -> int:
        self._connected()
        return self._threads

    def submit(self, function: Call, /, *arguments: Any) -> Future[Any]:
        executor = self._connected().get_executor()
        future = explained(executor.submit(self._call, self._desk, function, arguments), self._explained)
        self._outstanding.add(future)
        future.add_done_callback(self._outstanding.discard)
        return future

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        self._stop.set()
        self._stop = Event()
        if client is not None:
            with suppress(Exception):  # it may be gone: nothing of it is needed any more
                client.close(timeout=2)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                # It writes tracebacks of its own to standard error; what matters is raised.
                for name in ("distributed", "distributed.client", "distributed.utils"):
                    logging.getLogger(name).setLevel(logging.CRITICAL)
                client = self._opened()
                try:
                    self._check(client)
                except BaseException:
                    client.close(timeout=2)
                    raise
                self._client = client
                Thread(target=self._watch, args=(client, self._stop), name="workers", daemon=True).start()
            return self._client

    def _opened(self) -> Any:
        cluster = self._setting.cluster
        security = None
        if self._address.kind is WorkersKind.TLS:
            for name, file in (("ca", cluster.ca), ("certificate", cluster.certificate), ("key", cluster.key)):
                if file is None or not file.is_file():
                    raise UsageError(f"the file {file} is not there. Correct {name} in [deltamark.cluster].")
            security = _SECURITY(
                tls_ca_file=str(cluster.ca),
                tls_client_cert=str(cluster.certificate),
                tls_client_key=str(cluster.key),
                require_encryption=True,
            )
        protocol = "tls" if security is not None else "tcp"
        try:
            return _CLIENT(
                f"{protocol}://{self._address.scheduler}",
                security=security,
                timeout=self._patience_s,
                set_as_default=False,
            )
        except (*_LOST, ValueError) as e:
            raise WorkersLost(
                f"the scheduler {self._address} does not answer ({_reason(e)})",
                "See that it runs, and that its certificates are of the same authority as those of this process. "
                f"{_RESUME}",
            ) from e

    def _check(self, client: Any) -> None:
        """Checks that workers are there, and that they have the same programs as this process.

        :raises WorkersLost: if there is none.
        :raises WorkerRefused: naming each worker that differs.
        """
        try:
            client.wait_for_workers(1, timeout=self._patience_s)
            found = client.get_versions(packages=["deltamark", *PACKAGES])["workers"]
            self._threads = max(1, sum(client.nthreads().values()))
        except _LOST as e:
            raise self._no_worker() from e
        for address, versions in found.items():
            differing = differences(_comparable(self._desk.versions), _versions(versions))
            if differing:
                raise WorkerRefused(f"worker {address}", differing)

    def _no_worker(self) -> WorkersLost:
        return WorkersLost(
            f"the scheduler {self._address} has no worker for {self._patience_s:g} seconds", f"Start some. {_RESUME}"
        )

    def _watch(self, client: Any, stop: Event) -> None:
        """Ends the work when the scheduler is silent, or has no worker: both would be waited for without an end."""
        heard = manned = monotonic()
        while not stop.wait(min(_ASK_EVERY_S, self._patience_s / 4)):
            try:
                known = client.sync(client.scheduler.identity, callback_timeout=_ASK_EVERY_S)
            except Exception:
                known = None
            now = monotonic()
            if stop.is_set():
                return
            if known is not None:
                heard = now
                manned = now if known["workers"] else manned
            if now - heard > self._patience_s:
                self._give_up(self._silent())
            elif now - manned > self._patience_s:
                self._give_up(self._no_worker())

    def _silent(self) -> WorkersLost:
        return WorkersLost(
            f"the scheduler {self._address} has not answered for {self._patience_s:g} seconds",
            f"See that it runs, and that this machine reaches it. {_RESUME}",
        )

    def _give_up(self, lost: WorkersLost) -> None:
        for future in tuple(self._outstanding):
            with suppress(InvalidStateError):
                future.set_exception(lost)
        self.close()

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, DeltamarkError) or not isinstance(error, _LOST):
            return error
        if isinstance(error, KilledWorker):
            lost = WorkersLost(
                f"several workers of {self._address} ended in the middle of the same part of the work",
                "See in their logs why; they may have had too little memory. Then resume the run.",
            )
        else:
            lost = WorkersLost(
                f"the connection to the scheduler {self._address} was lost", f"See that it runs. {_RESUME}"
            )
            Thread(target=self.close, name="workers-close", daemon=True).start()  # not in the thread of the client
        lost.__cause__ = error
        return lost


def _reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(cause) or type(cause).__name__
    return text.splitlines()[0][:200]


_SEEN_LATER = "the processor"
"""What a worker compares itself: a scheduler does not say it."""


def _comparable(versions: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in versions.items() if name != _SEEN_LATER}


def _versions(found: Mapping[str, Any]) -> dict[str, str]:
    packages = found.get("packages", {})
    python = ".".join(str(found.get("host", {}).get("python", MISSING)).split(".")[:3])
    return {
        "Python": python,
        "Deltamark": packages.get("deltamark") or MISSING,
        **{name: packages.get(name) or MISSING for name in PACKAGES},
    }
