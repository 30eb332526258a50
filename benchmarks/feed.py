"""Many readers of the feed while a job changes much: nothing is skipped, nothing comes twice."""

from __future__ import annotations

import asyncio
import random
import re
from array import array
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from subprocess import Popen
from time import perf_counter

from benchmarks.console import alter
from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, WorkFailed
from benchmarks.serve import command, processor_s, served
from benchmarks.stores import BenchmarkStore
from deltamark import Engine

PART = "feed"
READERS = 200 if ROUNDS > 1 else 20
"""Readers that follow all changes."""

CUTS = 200 if ROUNDS > 1 else 10
"""So often another reader loses its connection, and resumes."""

IDLE = 299
"""Further readers, who ask for what never happens: all in all as many as the server admits."""

_ID = re.compile(rb"^id: ([0-9]+)$", re.MULTILINE)
_PATIENCE_S = 900


def measure_part(bench: Bench) -> None:
    """Serves a company, follows its log, and runs a job that changes every person and account."""
    for store in bench.stores:
        with bench.attempt(PART, store.kind):
            company = bench.folder / f"feed-{store.kind}"
            command("init", str(company), "--people", str(bench.people), cwd=bench.folder)
            store.empty()
            command("--store", store.url, "run", "Incremental", cwd=company)
            token = command(
                "--store", store.url, "token", "create", f"feed-{store.kind}", "--role", "admin", cwd=company
            )
            with served(company, "--store", store.url) as (process, address):
                port = int(address.rpartition(":")[2])
                asyncio.run(_Following(bench, store, company, process, port, token.strip()).measure())


class _Following:
    def __init__(
        self, bench: Bench, store: BenchmarkStore, company: Path, process: Popen[str], port: int, token: str
    ) -> None:
        self._bench, self._store, self._company, self._process = bench, store, company, process
        self._port, self._token = port, token
        self._end: int | None = None

    async def measure(self) -> None:
        """Compares what every reader got with the log."""
        begin = self._log(0)[-1]
        readers = [asyncio.create_task(self._read(begin)) for _ in range(READERS)]
        await asyncio.sleep(2)  # the threads that look up pages for all are there then
        threads = self._threads()
        broken = asyncio.create_task(self._read_with_cuts(begin))
        idle = [await self._open(begin, "&type=HR_Department") for _ in range(IDLE)]
        await asyncio.sleep(2)
        self._add(
            f"threads more with {IDLE} further streams", [float(self._threads() - threads)], unit="threads", at_most=2
        )
        cpu, began = processor_s(self._process.pid), perf_counter()
        await asyncio.to_thread(self._change)
        positions = self._log(begin)
        self._end = positions[-1]
        answers = await asyncio.wait_for(asyncio.gather(*readers, broken), _PATIENCE_S)
        taken = perf_counter() - began
        for _, writer in idle:
            writer.close()
        expected = array("q", positions)
        wrong = sum(answer != expected for answer in answers)
        if wrong:
            raise WorkFailed(f"{wrong} of {len(answers)} readers did not get exactly the {len(expected)} changes")
        self._bench.add(
            PART, f"{READERS} readers and one that resumes {CUTS} times, until all have all", [taken],
            store=self._store.kind, count=len(positions), things="changes",
        )  # fmt: skip
        self._add("CPU of the server meanwhile", [processor_s(self._process.pid) - cpu], unit="s")

    def _add(self, name: str, samples: Sequence[float], *, unit: str, at_most: float | None = None) -> None:
        goal = None if at_most is None else Goal("value", at_most=at_most)
        self._bench.add(PART, name, samples, store=self._store.kind, unit=unit, goal=goal)

    def _threads(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/task").iterdir()))

    def _log(self, after: int) -> list[int]:
        with chdir(self._company), Engine.open(self._store.url, configuration="configuration") as engine:
            return [change.position for change in engine.changes(after)]

    def _change(self) -> None:
        for extract, column in (("HR_Person", "Phone"), ("AD_Account", "Description")):
            alter(self._company / "exports", extract, column, 1)
        command("--store", self._store.url, "run", "Incremental", "--force", cwd=self._company)

    async def _open(self, after: int, more: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = (
            f"GET /api/v1/changes/stream?after={after}{more} HTTP/1.1", f"Host: 127.0.0.1:{self._port}",
            f"Authorization: Bearer {self._token}", f"Last-Event-ID: {after}", "", "",
        )  # fmt: skip
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise WorkFailed(f"a stream was refused: {head[:200]!r}")
        return reader, writer

    def _has_all(self, got: array[int]) -> bool:
        return self._end is not None and bool(got) and got[-1] >= self._end

    async def _read(self, after: int, most: int | None = None) -> array[int]:
        """The positions that a stream sends, until the last one, or some of them."""
        reader, writer = await self._open(after)
        got, rest = array("q"), b""
        while not self._has_all(got) and (most is None or len(got) < most):
            try:
                data = await asyncio.wait_for(reader.read(1 << 18), 1)
            except TimeoutError:
                continue
            if not data:
                break
            whole, _, rest = (rest + data).rpartition(b"\n\n")  # a message that was cut is sent again
            got.extend(map(int, _ID.findall(whole)))
        writer.close()
        return got

    async def _read_with_cuts(self, after: int) -> array[int]:
        """The same, by a reader that loses its connection again and again after some changes."""
        chance, got = random.Random(1), array("q")  # noqa: S311, no secret
        for _ in range(CUTS):
            if self._has_all(got):
                break
            got += await self._read(got[-1] if got else after, chance.randint(1, 300))
        return got if self._has_all(got) else got + await self._read(got[-1] if got else after)
