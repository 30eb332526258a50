"""Servers as processes of tests: each ends with the test, and with the process of the tests however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

REQUIRED = os.environ.get("DELTAMARK_SERVERS") == "required"
_START_TIMEOUT_S = 120

# The server ends with the process that started it: its end of the pipe closes then.
_GUARD = """
"$@" </dev/null & server=$!
(read _; kill -TERM $server; sleep 5; kill -KILL $server) <&3 3<&- >/dev/null 2>&1 &
wait $server
kill $! 2>/dev/null
"""


def needs(what: str) -> None:
    """Skips the test, or fails it where servers are required."""
    message = f"needs {what}: make servers"
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)


def program(name: str, what: str) -> str:
    """The path of a program of a server."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        needs(what)
    assert found is not None
    return found


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class ServerProcess:
    """A server that runs in the foreground."""

    def __init__(self, command: Sequence[str], log: Path, *, ready: Callable[[], bool]) -> None:
        self._log = log
        read, self._pipe = os.pipe()
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", f"exec 3<&0\n{_GUARD}", "guard", *command],
                stdin=read,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        os.close(read)
        deadline = monotonic() + _START_TIMEOUT_S
        while not ready():
            if self._guard.poll() is not None or monotonic() > deadline:
                self.kill()
                pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            sleep(0.05)

    def stop(self) -> None:
        """Ends the server in good order."""
        with suppress(OSError):
            os.write(self._pipe, b"\n")
        self._close()

    def kill(self) -> None:
        """Kills the server, as a power cut does; it may have a process group of its own."""
        guard = self._guard.pid
        with suppress(FileNotFoundError):
            for child in Path(f"/proc/{guard}/task/{guard}/children").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(guard, signal.SIGKILL)
        self._close()

    def _close(self) -> None:
        try:
            self._guard.wait(timeout=30)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait(timeout=30)
        with suppress(OSError):
            os.close(self._pipe)
