"""How quickly `deltamark serve` starts and answers, and what it takes."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, WorkFailed

PART = "serve"
PEOPLE = 1_000
"""The size of the company; about two resources each."""
TURNS = 500 if ROUNDS > 1 else 5
STREAMS = 200 if ROUNDS > 1 else 5
"""How many follow the log meanwhile."""


def measure_part(bench: Bench) -> None:
    """Measures the server over a new store, then with readers of the feed.

    Answers are compared with /health/live, which does nothing: on a busy machine both take longer.
    """
    company = bench.folder / "served"
    command("init", str(company), "--people", str(min(PEOPLE, bench.people)), cwd=bench.folder)
    command("run", "Incremental", cwd=company)
    token = command("token", "create", "benchmark", "--role", "admin", cwd=company).strip()
    starts = []
    for _ in range(ROUNDS):
        with served(company) as (process, _):
            starts.append(processor_s(process.pid))
    bench.add(PART, "CPU until it answers", starts, goal=Goal("value", at_most=1.5))
    with served(company) as (process, address):
        began = [memory_mb(process.pid)]
        bench.add(PART, "memory when it begins", began, unit="MB", goal=Goal("value", at_most=200))
        _measure(bench, address, token)
        bench.add(PART, "memory after these answers", [memory_mb(process.pid)], unit="MB")
        started = time.perf_counter()
        lines = _get(f"{address}/api/v1/changes?format=jsonl", token).splitlines()
        taken = time.perf_counter() - started
        rows = [row for row in map(json.loads, (lines[0], *lines[-2:])) if "position" in row]  # then the end is told
        if [rows[0]["position"], rows[-1]["position"]] != _ends(address, token):
            raise WorkFailed("the log as JSON lines does not begin and end as the log")
        bench.add(PART, "the whole log as JSON lines", [taken], count=len(lines), things="events")
        bench.add(PART, "memory after the whole log", [memory_mb(process.pid)], unit="MB")


def _ends(address: str, token: str) -> list[int]:
    """The positions of the first and the last change, as pages give them."""
    pages = [json.loads(_get(f"{address}/api/v1/changes?limit=1{more}", token)) for more in ("&after=0", "")]
    return [page["changes"][0]["position"] for page in pages]


PATHS = {
    "/health/live": "/health/live",
    "a resource": "/api/v1/resource?type=HR_Person&key=E00007",
    "50 resources": "/api/v1/resources?type=HR_Person&limit=50",
    "the history of a resource": "/api/v1/resource/history?type=HR_Person&key=E00007",
    "50 changes, newest": "/api/v1/changes?limit=50",
    "50 changes of a type": "/api/v1/changes?limit=50&type=HR_Department",
    "20 runs": "/api/v1/runs?limit=20",
    "metrics": "/metrics",
}


def _measure(bench: Bench, address: str, token: str) -> None:
    _times(bench, address, token, PATHS, "alone")
    with _readers(address, token, STREAMS):
        among = {name: PATHS[name] for name in ("/health/live", "a resource")}
        _times(bench, address, token, among, f"{STREAMS} streams")


def _times(bench: Bench, address: str, token: str, paths: Mapping[str, str], how: str) -> None:
    for name, path in paths.items():
        times = []
        for _ in range(TURNS):
            began = time.perf_counter()
            _get(address + path, token)
            times.append((time.perf_counter() - began) * 1_000)
        times.sort()
        slowest: dict[str, Any] = {"p99": times[int(len(times) * 0.99)]}
        bench.add(PART, f"{name}, {how}", times, unit="ms", parameters=slowest)


@contextmanager
def _readers(address: str, token: str, number: int) -> Iterator[None]:
    host, _, port = address.removeprefix("http://").partition(":")
    request = f"GET /api/v1/changes/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    sockets = [socket.create_connection((host, int(port))) for _ in range(number)]
    try:
        for reader in sockets:
            reader.sendall(request.encode())
        for reader in sockets:
            assert reader.recv(15).startswith(b"HTTP/1.1 200"), "a stream was refused"
        yield
    finally:
        for reader in sockets:
            reader.close()


def _get(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310, our own server
    with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
        return bytes(answer.read())


def command(*arguments: str, cwd: Path) -> str:
    """Runs a command line of Deltamark; returns what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "deltamark.interfaces.cli.start", *arguments],
        cwd=cwd, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@contextmanager
def served(company: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server over a workspace, and its address.

    :param options: of the command line, before the command.
    """
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "deltamark.interfaces.cli.start", *options, "serve", "--port", str(port)],
        cwd=company, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert re.match(r"Open http", line), line
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def processor_s(process: int) -> float:
    """The CPU time that a process took."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    """The memory that a process has, in megabytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6
