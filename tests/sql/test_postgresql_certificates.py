"""A PostgreSQL server proves who it is by its certificate: one that does not is not read.

The server of the tests cannot encrypt, so a process between does: it answers as PostgreSQL does, and hands on the rest.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from deltamark.application.ports.sources import Question, SourceUnreachable, WantedTable
from deltamark.bootstrap import sql_source
from tests.servers.certificates import Certificate, issued
from tests.sql.following import Collected

pytestmark = pytest.mark.slow  # starts a server

NAME = "pg.meridian.example"
_REQUEST_OF_TLS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@contextmanager
def encrypting(url: str, certificate: Certificate) -> Iterator[int]:
    """The port of a server that encrypts what goes to and comes from a PostgreSQL server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=_serve, args=(listener, context, url), daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, context: ssl.SSLContext, url: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, suppress(OSError):
            assert client.recv(8, socket.MSG_WAITALL) == _REQUEST_OF_TLS
            client.sendall(b"S")
            with context.wrap_socket(client, server_side=True) as encrypted, _connected(url) as server:
                Thread(target=_hand_on, args=(server, encrypted), daemon=True).start()
                _hand_on(encrypted, server)


def _connected(url: str) -> socket.socket:
    parts = conninfo_to_dict(url)
    host, port = str(parts["host"]), int(parts["port"] or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def read(url: str, port: int, authority: Path, *, name: str = NAME) -> list[dict[str, str | None]]:
    """The rows of one reading.

    :param name: that of the server, which is on this machine all the same.
    """
    parts = conninfo_to_dict(url)
    user, database = parts["user"], parts["dbname"]
    ask = Question(
        connection="C",
        package="Sql",
        settings={
            "server": f"postgresql://{user}@{name}:{port}/{database}?hostaddr=127.0.0.1",
            "authority": str(authority),
            "timeout": 20,
        },
        tables=(WantedTable(name="T", columns=("a",), options={"Query": "SELECT 1 AS a"}, key="a"),),
    )
    rows = Collected()
    sql_source().snapshot(ask, rows)
    return rows.rows


def test_the_authority_the_time_and_the_name_must_be_right(postgresql_database: str, tmp_path: Path) -> None:
    good, other = issued(tmp_path / "good", NAME), issued(tmp_path / "other", "other.example")
    with encrypting(postgresql_database, good) as port:
        assert read(postgresql_database, port, good.authority) == [{"a": "1"}]
        with pytest.raises(SourceUnreachable, match="certificate verify failed") as refused:
            read(postgresql_database, port, other.authority)
        assert "authority names the file of the authority that issued it" in refused.value.advice
        with pytest.raises(SourceUnreachable, match=r'does not match host name "db\.meridian\.example"'):
            read(postgresql_database, port, good.authority, name="db.meridian.example")
    expired = issued(tmp_path / "expired", NAME, expired=True)
    with (
        encrypting(postgresql_database, expired) as port,
        pytest.raises(SourceUnreachable, match="certificate verify failed"),
    ):
        read(postgresql_database, port, expired.authority)


def test_a_server_that_does_not_encrypt_is_not_read(postgresql_database: str, tmp_path: Path) -> None:
    port = int(conninfo_to_dict(postgresql_database)["port"] or 5432)
    with pytest.raises(SourceUnreachable, match="server does not support SSL"):
        read(postgresql_database, port, issued(tmp_path / "good", NAME).authority)


def test_control_the_encrypted_way_leads_to_the_server(postgresql_database: str, tmp_path: Path) -> None:
    with (
        encrypting(postgresql_database, issued(tmp_path / "good", NAME)) as port,
        psycopg.connect(postgresql_database, host=NAME, hostaddr="127.0.0.1", port=port, sslmode="require") as client,
    ):
        assert client.pgconn.ssl_in_use
