"""Runs as processes of their own: they go on when the server ends, and run no code of users inside it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from deltamark.application.lookup import job_named
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import CannotResume, ConcurrentRun, DeltamarkError, NothingHeldBack
from deltamark.domain.runs.four_eyes import may_decide
from deltamark.domain.runs.run import BY_USER, JobRun
from deltamark.domain.statements import checked_person, checked_reason
from deltamark.engine import Engine
from deltamark.interfaces.http.users import User

VIA = "web"
PATIENCE_S = 60.0
_LOOK_S = 0.05
_SAID = 4_000
_BESIDE = 20
_NOT_STARTED, _BLOCKED = 2, 3


class RunNotStarted(ConcurrentRun):
    """A run could not be started. Nothing was started, and the message of the command says why."""


class RunFailedToStart(DeltamarkError):
    """The process of a run ended before its run began."""


class OwnRun(DeltamarkError):
    """Who started or resumed a run may not decide about what it holds back."""

    def __init__(self, run: int, person: str) -> None:
        self.run = run
        super().__init__(
            f"{person} started or resumed run {run}, and another person must decide about what it holds back."
        )


class Runs:
    """Starts, resumes and cancels runs for users.

    :param command: begins the command line of a run.
    :param environment: of its processes: it names the store.
    :param four_eyes: whether who started or resumed a run may not decide about what it holds back.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        command: Sequence[str] = (sys.executable, "-m", "deltamark.interfaces.cli.start"),
        environment: Mapping[str, str] | None = None,
        four_eyes: bool = False,
    ) -> None:
        self._engine = engine
        self.command = tuple(command)
        """Begins the command line of each process."""
        self.environment = dict(os.environ if environment is None else environment)
        """Of its processes: it names the store."""
        self.environment.pop("DELTAMARK_USER", None)
        self._four_eyes = four_eyes
        self._children: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def start(self, job: str, user: User, *, reason: str | None = None, force: bool = False) -> JobRun:
        """Starts a run, and returns its record when it has begun.

        :raises UsageError: if there is no such job, or only the schedule may start it.
        :raises RunNotStarted: if it was refused, such as because another run has its tasks.
        """
        from deltamark.application.execution.run_job import refuse_denied  # with what runs a job

        refuse_denied(job_named(job, self._engine.configuration), BY_USER)
        options = [f"--via={VIA}", *_stated(user, reason), *(["--force"] if force else [])]
        child, said = self._spawn(["run", *options, "--", job])
        return self._begun(child, said, lambda: self._of_process(child.pid, job))

    def resume(self, run: int, user: User, *, reason: str | None = None) -> JobRun:
        """Resumes a run, and returns its record when it goes on.

        :raises UsageError: if there is no such run, or it cannot be resumed.
        """
        before = self._engine.run(run, with_rows=False)
        if before.state in (TaskState.RUNNING, TaskState.COMPLETED, TaskState.CANCELLED):
            raise CannotResume(run, f"it is {before.state.value}")
        if before.state is TaskState.BLOCKED:
            self._refuse_own(before, user)
        child, said = self._spawn(["resume", f"--via={VIA}", *_stated(user, reason), str(run)])

        def resumed() -> JobRun | None:
            now = self._engine.run(run, with_rows=False)
            return now if len(now.resumed) > len(before.resumed) else None

        return self._begun(child, said, resumed)

    def accept(self, run: int, user: User, *, reason: str) -> JobRun:
        """Applies what a run holds back.

        :raises NothingHeldBack: if it holds nothing back.
        :raises OwnRun: if the user started or resumed it, and another person must decide.
        """
        self._refuse_decided(run, user)
        return self.resume(run, user, reason=reason)

    def drop(self, run: int, user: User, *, reason: str) -> JobRun:
        """Drops what a run holds back. Raises as `accept`."""
        self._refuse_decided(run, user)
        return self._engine.as_operator(user.name, via=VIA).cancel(run, reason=reason)

    def cancel(self, run: int, user: User, *, reason: str | None = None) -> JobRun:
        """Asks a run to stop, or drops what it holds back.

        :raises CannotCancel: if it has ended and holds nothing back.
        """
        self._refuse_own(self._engine.run(run, with_rows=False), user, only_held_back=True)
        return self._engine.as_operator(user.name, via=VIA).cancel(run, reason=reason)

    def may_decide(self, run: JobRun, user: User) -> bool:
        """Whether a user may decide about what a run holds back, as far as its operators matter."""
        return not self._four_eyes or may_decide(run, user.name)

    def _refuse_decided(self, run: int, user: User) -> None:
        record = self._engine.run(run, with_rows=False)
        if record.state is not TaskState.BLOCKED or next(self._engine.pending(run), None) is None:
            raise NothingHeldBack(run)
        self._refuse_own(record, user)

    def _refuse_own(self, run: JobRun, user: User, *, only_held_back: bool = False) -> None:
        if only_held_back and run.state is not TaskState.BLOCKED:
            return
        if not self.may_decide(run, user):
            raise OwnRun(run.number, user.name)

    def _of_process(self, process: int, job: str) -> JobRun | None:
        newest = self._engine.runs(limit=_BESIDE)
        return next((run for run in newest if run.process == process and run.job == job), None)

    def _spawn(self, arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        said = tempfile.TemporaryFile()  # noqa: SIM115, the child writes to it as long as it runs
        child = subprocess.Popen(  # noqa: S603, a list of arguments, no shell
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=self.environment,
            start_new_session=True,
        )
        with self._lock:
            self._children = [*(other for other in self._children if other.poll() is None), child]
        return child, said

    def _begun(self, child: subprocess.Popen[bytes], said: IO[bytes], begun: Callable[[], JobRun | None]) -> JobRun:
        """The record of the run of a process, when it has begun."""
        patience = time.monotonic() + PATIENCE_S
        with said:
            while time.monotonic() < patience:
                has_ended = child.poll() is not None
                run = begun()
                if run is not None:
                    return run
                if has_ended:
                    raise _refusal(child.returncode, said)
                time.sleep(_LOOK_S)
        raise RunFailedToStart("the process of the run did not begin it within a minute. It may still do so.")


def _stated(user: User, reason: str | None) -> list[str]:
    """The options that say for whom and why; checked here, so that what cannot be recorded starts nothing."""
    stated = [f"--by={checked_person(user.name)}"]
    return stated if reason is None else [*stated, f"--reason={checked_reason(reason, 'the run')}"]


def _refusal(status: int, said: IO[bytes]) -> DeltamarkError:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _SAID))
    text = said.read().decode("utf-8", "replace").strip()
    reason = text.partition("deltamark: ")[2] or text or f"its process ended with status {status}."
    kind = RunNotStarted if status in (_NOT_STARTED, _BLOCKED) else RunFailedToStart
    return kind(reason)
