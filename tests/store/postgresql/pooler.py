"""A pooler like PgBouncer in front of a server, on 127.0.0.1: each transaction, or each client, has a session."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread

from psycopg.conninfo import conninfo_to_dict

_FORGED = struct.pack("!cIII", b"K", 12, 4_242, 1)
"""The process that it names to clients, which is none of the server."""

_START = 196_608
_TIMEOUT_S = 30


class Session:
    """A session of the server that the pool keeps."""

    def __init__(self, url: str) -> None:
        parameters = conninfo_to_dict(url)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(_TIMEOUT_S)
        self.socket.connect(f"{parameters['host']}/.s.PGSQL.{parameters['port']}")
        named = {"user": parameters["user"], "database": parameters["dbname"], "client_encoding": "UTF8"}
        body = b"".join(f"{name}\0{value}\0".encode() for name, value in named.items()) + b"\0"
        self.socket.sendall(struct.pack("!II", len(body) + 8, _START) + body)
        greeting = self._answer()
        self.greeting = b"".join(_FORGED if message[:1] == b"K" else message for message in greeting)

    def _answer(self) -> list[bytes]:
        messages, left = list[bytes](), b""
        while not messages or messages[-1][:1] != b"Z":
            more, left = _messages(left + self.socket.recv(65_536))
            messages += more
        return messages

    def query(self, sql: str) -> str | None:
        """The value in the first column of the first row."""
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
        rows = [message for message in self._answer() if message[:1] == b"D"]
        return rows[0][11:].decode() if rows else None


class Pooler:
    """Passes the messages of clients on to the sessions of a server.

    :param url: a database on a server that a socket in a folder reaches without a password.
    :param by: "transaction" or "session".
    :param resets: whether a session is reset when it comes back.
    """

    def __init__(self, url: str, *, by: str, resets: bool) -> None:
        self._url = url
        self._by_transaction = by == "transaction"
        self._resets = resets
        self._idle: list[Session] = []
        self._guard = Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self._threads: list[Thread] = []
        self.port = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def settings(self, name: str) -> list[str | None]:
        """The values of a setting in its sessions, once all clients have left."""
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
        return [session.query(f"SELECT current_setting('{name}', true)") for session in self._idle]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(_TIMEOUT_S)
                self._clients.append(client)
                self._threads.append(Thread(target=self._serve, args=(client,), daemon=True))
                self._threads[-1].start()

    def _session(self) -> Session:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        return Session(self._url)

    def _release(self, session: Session) -> None:
        if self._resets:
            session.query("DISCARD ALL")
        with self._guard:
            self._idle.append(session)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            while _startup(client) != _START:
                client.sendall(b"N")  # neither TLS nor GSS
            session: Session | None = self._session()
            client.sendall(session.greeting)
            while (data := client.recv(65_536)) and data[:1] != b"X":
                session = session or self._session()
                _pass_on(data, client, session.socket)
                if self._by_transaction:
                    self._release(session)
                    session = None
            if session is not None:
                self._release(session)
        client.close()

    def close(self) -> None:
        """Closes the pooler, the connections of its clients, and its sessions."""
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
        for session in self._idle:
            session.socket.close()


def _startup(client: socket.socket) -> int:
    head = client.recv(8, socket.MSG_WAITALL)
    if len(head) < 8:
        raise OSError("the client is gone")
    size, code = struct.unpack("!II", head)
    client.recv(size - 8, socket.MSG_WAITALL)
    return int(code)


def _pass_on(data: bytes, client: socket.socket, server: socket.socket) -> None:
    """Passes messages on, both ways, until the session is idle."""
    left = b""
    server.sendall(data)
    while True:
        readable, _, _ = select.select([server, client], [], [], _TIMEOUT_S)
        if server in readable:
            data = server.recv(65_536)
            messages, left = _messages(left + data)
            client.sendall(data)
            if not data or (messages and messages[-1][:1] == b"Z" and messages[-1][5:] == b"I"):
                return
        elif client in readable:
            data = client.recv(65_536)
            if not data:
                raise OSError("the client is gone")
            server.sendall(data)
        else:
            raise OSError("nothing is said any more")


def _messages(data: bytes) -> tuple[list[bytes], bytes]:
    """The messages of a server, and the beginning of another one."""
    messages = []
    while len(data) >= 5 and len(data) > (size := struct.unpack("!I", data[1:5])[0]):
        messages.append(data[: size + 1])
        data = data[size + 1 :]
    return messages, data


@contextmanager
def pooling(url: str, *, by: str = "transaction", resets: bool = False) -> Iterator[Pooler]:
    """A pooler for the time of the block."""
    pooler = Pooler(url, by=by, resets=resets)
    try:
        yield pooler
    finally:
        pooler.close()
