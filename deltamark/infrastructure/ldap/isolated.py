"""A connection in a process of its own, for answers whose messages are read.

The library ends its process at a message without a name. Only the content synchronization needs messages, and a reading
asks for them only where a server sent some: a process that ends by them is no more than a failed connection then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from deltamark.application.ports.sources import Question, SourceUnreachable

_START = "from deltamark.infrastructure.ldap.message_server import serve; serve()"
_PATIENCE_S = 10


class ReaderDied(Exception):
    """The process ended in the middle of an answer."""


class Control(Protocol):
    """A control of a request."""

    controlType: str  # noqa: N815 (the name that python-ldap reads)
    criticality: bool

    def encodeControlValue(self) -> bytes | None:  # noqa: N802 (the name that python-ldap calls)
        """Returns the encoded value."""
        ...


class IsolatedConnection:
    """A connection to one server in a process of its own, signed in like that of a session.

    :raises SourceUnreachable: if the server is not reached there, or refuses the user.
    """

    def __init__(self, ask: Question, server: str) -> None:
        secret = ask.secret("password")
        self._process = subprocess.Popen(  # noqa: S603 (this program itself, with fixed arguments)
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._send(
            {
                "connection": ask.connection,
                "package": ask.package,
                "settings": {**ask.settings, "server": server},
                "password": None if secret is None else secret.value,
            }
        )
        try:
            answer = self._received()
        except ReaderDied as died:
            raise SourceUnreachable(f"the process that reads the messages of {server} ended: {died}") from None
        if "unreachable" in answer:
            self.close()
            problem, advice, is_temporary = answer["unreachable"]
            raise SourceUnreachable(problem, advice, is_temporary=is_temporary)

    def search_ext(
        self, base: str, scope: int, filtered: str, attributes: Sequence[str], serverctrls: Sequence[Control]
    ) -> int:
        """Asks for the entries of a search; there is one at a time."""
        controls = [(one.controlType, one.criticality, one.encodeControlValue()) for one in serverctrls]
        self._send({"search": [base, scope, filtered, list(attributes), controls]})
        return 0

    def next_message(self, search: int, timeout: float, reads_messages: bool) -> tuple[int, Any, Any]:
        """The next message of the search: its kind, what it holds, and the controls of a result.

        :raises ReaderDied: if the process ended.
        """
        answer = self._received()
        if "error" in answer:
            import ldap

            name, details = answer["error"]
            raise getattr(ldap, name, ldap.OTHER)(details)
        if "undecoded" in answer:
            raise ValueError(answer["undecoded"])
        kind, data, answers = answer["message"]
        return kind, data, answers

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # of what was not sent
                assert stream is not None, "it is a pipe"
                stream.close()
        self._process.wait(_PATIENCE_S)

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        try:
            self._process.stdin.write(encoded(message))
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # which the next answer tells

    def _received(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it is a pipe"
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            self.close()
            raise ReaderDied(f"status {self._process.returncode}")
        found: dict[str, Any] = json.loads(line, object_hook=decoded_bytes)
        return found


def encoded(message: Mapping[str, Any]) -> bytes:
    """A message between the processes, as a line."""
    return json.dumps(message, default=lambda value: {"bytes": value.decode("latin-1")}).encode() + b"\n"


def decoded_bytes(members: dict[str, Any]) -> Any:
    """Bytes, of which JSON has none; attributes have lists of them, so that none is taken for it."""
    text = members.get("bytes")
    return text.encode("latin-1") if len(members) == 1 and isinstance(text, str) else members
