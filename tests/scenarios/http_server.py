"""A server on this machine that answers as a test says, and keeps what it was sent."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from attrs import define, field, frozen


@frozen
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@frozen
class Reply:
    """An answer; without a status the connection is ended instead."""

    status: int | None = 200
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""


Answers = Callable[[Request], Reply]


@define
class Server:
    """What was sent, and how the next requests are answered.

    :param answers: decides about each request.
    """

    url: str
    answers: Answers
    requests: list[Request] = field(factory=list)


def always(reply: Reply) -> Answers:
    """The same answer to all."""
    return lambda _: reply


def in_turn(*replies: Reply) -> Answers:
    """These answers in order, and the last one to all that follow."""
    rest = list(replies)
    return lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


OK = always(Reply())


@contextmanager
def http_server(answers: Answers = OK, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server for a block, by https where a context is given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            server.requests.append(request)
            reply = server.answers(request)
            if reply.status is None:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_POST = do_GET = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = answer  # noqa: N815  # names of the library

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    listening.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that ends is no news
    if context is not None:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    scheme = "http" if context is None else "https"
    server = Server(f"{scheme}://127.0.0.1:{listening.server_port}/in", answers)
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
