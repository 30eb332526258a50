"""Reports that take long: verifications and dry runs, made by processes of their own and kept in memory for a while."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import IO, Any

from attrs import define, field

from deltamark.domain.errors import ConcurrentRun, UsageError
from deltamark.domain.integrity.verification import VerifiedPart
from deltamark.interfaces.document_types import FaultDocument
from deltamark.interfaces.http.users import User

MOST_KEPT = 20
"""So many reports are kept; older ones are forgotten."""

MOST_AT_ONCE = 2

VERIFIED: Mapping[VerifiedPart, str] = {
    VerifiedPart.LOG: "the log and the state",
    VerifiedPart.DERIVED: "derived values",
}
"""How the parts that verifications read are called."""

_PATIENCE_S = 60
_SAID = 4_000
_PROGRESS = re.compile(rb"progress: ([0-9]+) of ([0-9]+)\n")


class ReportKind(Enum):
    """What a report is about."""

    VERIFICATION = "verification"
    DRY_RUN = "dry run"
    EFFECT = "effect"


class ReportNotFound(UsageError):
    """There is no such report, or it was forgotten."""


class ReportUnderWay(ConcurrentRun):
    """As many reports as may be are being made."""


@define(kw_only=True, eq=False)
class Report:
    """What a process prints as JSON lines, and how far it is.

    :param subject: what it is about: the job of a dry run, the number of a run.
    :param rows: what it printed on standard output.
    :param said: what it printed on standard error.
    :param status: the exit status; None while it is being made.
    """

    identifier: str
    kind: ReportKind
    subject: str
    asked_by: str
    started_at: datetime
    ended_at: datetime | None = None
    status: int | None = None
    rows: IO[bytes] = field(repr=False)
    said: IO[bytes] = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def is_going_on(self) -> bool:
        """Whether it is still being made."""
        return self.status is None

    @property
    def progress(self) -> tuple[int, int] | None:
        """How much is done, of how much; None where that is not known."""
        found = _PROGRESS.findall(self._end_of(self.said))
        return (int(found[-1][0]), int(found[-1][1])) if found else None

    @property
    def words(self) -> str:
        """What its process said about it, without the progress."""
        return _PROGRESS.sub(b"", self._end_of(self.said)).decode("utf-8", "replace").strip()

    def documents(self) -> Iterator[dict[str, Any]]:
        """The rows that were printed, read a little at a time."""
        place = 0
        while True:
            with _open_again(self.rows) as stream:
                stream.seek(place)
                lines = stream.readlines(1 << 20)
                place = stream.tell()
            if not lines:
                return
            yield from (json.loads(line) for line in lines if line.endswith(b"\n"))

    @staticmethod
    def _end_of(stream: IO[bytes]) -> bytes:
        with _open_again(stream) as again:
            size = again.seek(0, 2)
            again.seek(max(0, size - _SAID))
            return again.read()


@contextlib.contextmanager
def _open_again(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """The file of a stream with a place of its own, while a process writes at the end."""
    with open(stream.name, "rb") as again:
        yield again


class Reports:
    """Makes reports, and keeps the newest ones.

    :param command: begins the command line of a process.
    :param environment: of its processes: it names the store.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        self._command, self._environment, self._clock = tuple(command), dict(environment), clock
        self._kept: dict[str, Report] = {}
        self._lock = threading.Lock()

    def begin(self, kind: ReportKind, subject: str, arguments: Sequence[str], user: User) -> Report:
        """Begins to make a report.

        :raises ReportUnderWay: if as many as may be are being made, or this one is.
        """
        with self._lock:
            going_on = [report for report in self._kept.values() if report.is_going_on]
            same = next((report for report in going_on if (report.kind, report.subject) == (kind, subject)), None)
            if same is not None or len(going_on) >= MOST_AT_ONCE:
                what = "This is" if same is not None else f"{MOST_AT_ONCE} reports are"
                raise ReportUnderWay(f"{what} being made already. Wait for the end, and ask again.")
            rows, said = tempfile.NamedTemporaryFile(), tempfile.NamedTemporaryFile()  # noqa: SIM115, kept with it
            process = subprocess.Popen(  # noqa: S603, a list of arguments, no shell
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=rows,
                stderr=said,
                env=self._environment,
            )
            report = Report(
                identifier=secrets.token_hex(8),
                kind=kind,
                subject=subject,
                asked_by=user.name,
                started_at=self._clock(),
                rows=rows,
                said=said,
                process=process,
            )
            self._kept[report.identifier] = report
            ended = [kept for kept in self._kept.values() if not kept.is_going_on]
            for kept in ended[: max(0, len(self._kept) - MOST_KEPT)]:
                del self._kept[kept.identifier]
        threading.Thread(target=self._await, args=(report,), name="deltamark-report", daemon=True).start()
        return report

    def verify(self, user: User, *, derived: bool = False, sample: int | None = None) -> Report:
        """Begins to verify the log and the state, or derived values. Raises as `begin`."""
        options = ["--derived", *([] if sample is None else [f"--sample={sample}"])] if derived else []
        part = VerifiedPart.DERIVED if derived else VerifiedPart.LOG
        arguments = ["verify", "--record", "--progress", "--format=jsonl", *options]
        return self.begin(ReportKind.VERIFICATION, VERIFIED[part], arguments, user)

    def dry_run(self, job: str, user: User, *, force: bool = False) -> Report:
        """Begins to try a job. Raises as `begin`."""
        options = ["--force"] if force else []
        return self.begin(ReportKind.DRY_RUN, job, ["run", "--dry-run", "--format=jsonl", *options, "--", job], user)

    def effect(self, run: int, user: User) -> Report:
        """Begins to try what accepting would do that a run holds back. Raises as `begin`."""
        return self.begin(ReportKind.EFFECT, str(run), ["resume", "--dry-run", "--format=jsonl", str(run)], user)

    def faults(self) -> list[FaultDocument]:
        """The faults and warnings of the files of the configuration now. No code of the workspace is run."""
        done = subprocess.run(  # noqa: S603, a list of arguments, no shell
            [*self._command, "validate", "--format=jsonl"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self._environment,
            timeout=_PATIENCE_S,
            check=False,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _await(self, report: Report) -> None:
        status = report.process.wait()
        report.ended_at = self._clock()
        report.status = status

    def all(self, kind: ReportKind) -> list[Report]:
        """The reports of a kind, newest first."""
        with self._lock:
            return [report for report in reversed(self._kept.values()) if report.kind is kind]

    def newest(self, kind: ReportKind, subject: str) -> Report | None:
        """The newest report about something."""
        return next((report for report in self.all(kind) if report.subject == subject), None)

    def report(self, kind: ReportKind, identifier: str) -> Report:
        """A report.

        :raises ReportNotFound: if there is none.
        """
        found = self.of(identifier)
        if found.kind is not kind:
            raise ReportNotFound(
                f"there is no such {kind.value}. The server keeps the newest {MOST_KEPT} until it ends."
            )
        return found

    def of(self, identifier: str) -> Report:
        """A report of any kind.

        :raises ReportNotFound: if there is none.
        """
        found = self._kept.get(identifier)
        if found is None:
            raise ReportNotFound(f"there is no such report. The server keeps the newest {MOST_KEPT} until it ends.")
        return found

    def close(self) -> None:
        """Ends what is being made: nobody could read it."""
        with self._lock:
            for report in self._kept.values():
                if report.is_going_on:
                    with contextlib.suppress(OSError):
                        report.process.terminate()
            self._kept.clear()
