"""A MariaDB server of tests, in a folder of its own, on a free port of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.certificates import issued
from tests.servers.processes import ServerProcess, free_port, is_free, program

ADMINISTRATOR, READER = "root", "deltamark_reader"
PASSWORD = "s3cret/wörd%@'\"\\"
_UNPRIVILEGED = "mysql"


class MariaDB:
    """One server with its data.

    :param folder: one that other users can reach, for the server runs as one of them where root runs the tests.
    """

    def __init__(self, folder: Path) -> None:
        self._program = program("mariadbd", "mariadb-server")
        self._folder = folder
        self._data = folder / "data"
        self.certificate = issued(folder / "tls", "db.meridian.example")
        self._data.mkdir(parents=True)
        self._user: list[str] = []
        if os.geteuid() == 0:
            self._user = [f"--user={_UNPRIVILEGED}"]
            folder.chmod(0o711)
            for path in (self._data, self.certificate.key):
                shutil.chown(path, _UNPRIVILEGED)
        self.port = free_port()
        subprocess.run(
            [
                *(program("mariadb-install-db", "mariadb-server"), "--no-defaults", f"--datadir={self._data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db", *self._user),
            ],
            check=True,
            capture_output=True,
        )
        self._process: ServerProcess | None = None
        self.start()
        self.execute()
        with self.client() as client, client.cursor() as cursor:
            cursor.execute(f"CREATE USER {READER}@'%%' IDENTIFIED BY %s", (PASSWORD,))
        self.execute(f"GRANT SELECT ON hr.* TO {READER}@'%'")

    @property
    def address(self) -> str:
        """The address of its database."""
        return f"mysql://127.0.0.1:{self.port}/hr"

    @property
    def socket(self) -> Path:
        """The socket on which it listens."""
        return self._data / "s.sock"

    def start(self) -> None:
        """Starts the server."""
        tls = [f"--ssl-cert={self.certificate.certificate}", f"--ssl-key={self.certificate.key}"]
        self._process = ServerProcess(
            [
                *(self._program, "--no-defaults", f"--datadir={self._data}", f"--port={self.port}", *self._user),
                *("--bind-address=127.0.0.1", f"--socket={self.socket}", "--skip-name-resolve", *tls),
                *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--skip-log-bin"),
                *("--innodb-log-file-size=16M", "--performance-schema=OFF"),
            ],
            self._folder / "server.log",
            ready=lambda: not is_free(self.port),
        )

    def stop(self) -> None:
        """Ends the server."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def client(self) -> Any:
        """A connection that may do everything, as the application of the database has."""
        import pymysql

        return pymysql.connect(unix_socket=str(self.socket), user=ADMINISTRATOR, charset="utf8mb4", autocommit=True)

    def execute(self, *statements: str) -> None:
        """Executes statements in the database `hr`, if it is there."""
        with self.client() as client, client.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS hr CHARACTER SET utf8mb4")
            cursor.execute("USE hr")
            for statement in statements:
                cursor.execute(statement)

    def rows(self, statement: str) -> Sequence[tuple[Any, ...]]:
        """The rows of a query."""
        with self.client() as client, client.cursor() as cursor:
            cursor.execute("USE hr")
            cursor.execute(statement)
            found: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return found
