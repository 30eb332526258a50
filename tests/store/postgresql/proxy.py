"""A proxy in front of a server, on 127.0.0.1, that cuts connections at a chosen moment."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread


class Proxy:
    """Passes everything on until `cut_at` comes by.

    :param cut_at: bytes that the client sends; None: never.
    :param pass_on: whether the server still gets them. Its answer is never passed on.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.cut_at: bytes | None = None
        self.pass_on = True
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._open += [client, server]
                Thread(target=self._forward, args=(client, server), daemon=True).start()
                Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if self.cut_at is not None and self.cut_at in data:
                    self.cut_at = None
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)
                    if self.pass_on:
                        server.sendall(data)
                        server.shutdown(socket.SHUT_WR)
                    else:
                        server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    @staticmethod
    def _back(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                with suppress(OSError):  # what the server still says after a cut goes nowhere
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes all connections and the proxy."""
        for one in (self._listener, *self._open):
            one.close()
