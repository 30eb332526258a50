"""How quickly `deltamark serve` starts and answers, and what it takes: `python -m benchmarks.serve`."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

TURNS = 500
STREAMS = 200
START_S, MEMORY_MB, SLOWEST_MS = 1.5, 200, 50.0


@click.command()
@click.option("--people", default=1_000, show_default=True, help="The size of the company; about two resources each.")
@click.option("--streams", default=STREAMS, show_default=True, help="How many follow the log meanwhile.")
def main(people: int, streams: int) -> None:
    """Measures the server over a new store, with readers of the feed, on this machine as it is.

    Answers are compared with /health/live, which does nothing: on a busy machine both take longer.
    """
    with tempfile.TemporaryDirectory() as folder:
        company = Path(folder) / "company"
        _command("init", str(company), "--people", str(people), cwd=Path(folder))
        _command("run", "Incremental", cwd=company)
        token = _command("token", "create", "benchmark", "--role", "admin", cwd=company).strip()
        with _served(company) as (process, address):
            processor = _processor_s(process.pid)
            click.echo(f"CPU until it answers {processor:.2f} s (at most {START_S})")
            click.echo(f"memory when it begins {_memory_mb(process.pid):.0f} MB (at most {MEMORY_MB})")
            _measure(address, token, streams)
            click.echo(f"memory after that {_memory_mb(process.pid):.0f} MB")
            began = time.perf_counter()
            size = len(_get(f"{address}/api/v1/changes?format=jsonl", token))
            click.echo(f"the whole log as JSON lines: {size / 1e6:.1f} MB in {time.perf_counter() - began:.1f} s")
            click.echo(f"memory after the whole log {_memory_mb(process.pid):.0f} MB")


def _measure(address: str, token: str, streams: int) -> None:
    paths = {
        "/health/live": "/health/live",
        "a resource": "/api/v1/resource?type=HR_Person&key=E00007",
        "50 resources": "/api/v1/resources?type=HR_Person&limit=50",
        "its history": "/api/v1/resource/history?type=HR_Person&key=E00007",
        "50 changes, newest": "/api/v1/changes?limit=50",
        "50 changes of a type": "/api/v1/changes?limit=50&type=HR_Department",
        "20 runs": "/api/v1/runs?limit=20",
        "metrics": "/metrics",
    }
    _times(address, token, paths, "alone")
    with _readers(address, token, streams):
        _times(address, token, {name: paths[name] for name in ("/health/live", "a resource")}, f"{streams} streams")


def _times(address: str, token: str, paths: dict[str, str], how: str) -> None:
    for name, path in paths.items():
        times = []
        for _ in range(TURNS):
            began = time.perf_counter()
            _get(address + path, token)
            times.append((time.perf_counter() - began) * 1_000)
        times.sort()
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        click.echo(f"{name:<24} {how:<12} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms (at most {SLOWEST_MS:.0f})")


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


def _command(*arguments: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "deltamark.interfaces.cli.start", *arguments],
        cwd=cwd, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@contextmanager
def _served(company: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        port = some.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "deltamark.interfaces.cli.start", "serve", "--port", str(port)],
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


def _processor_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main()
