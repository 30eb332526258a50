"""The process that `isolated` starts: it reads the answers that have messages."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from typing import Any

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.secrets import Secret
from deltamark.infrastructure.ldap.isolated import decoded_bytes, encoded
from deltamark.infrastructure.ldap.session import Session, servers


def serve() -> None:
    """What the process does: connects as its first line says, and answers each search with all messages."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the memory holds a password
    told = json.loads(sys.stdin.buffer.readline(), object_hook=decoded_bytes)
    password = told["password"]
    ask = Question(
        connection=told["connection"],
        package=told["package"],
        settings=told["settings"],
        secrets={} if password is None else {"password": lambda: Secret(password)},
    )
    try:
        session = Session(servers(ask)[0], ask)
        session.connect()
        session.sign_in()
    except SourceUnreachable as failure:
        _tell({"unreachable": [failure.problem, failure.advice, failure.is_temporary]})
        return
    _tell({"connected": True})
    while line := sys.stdin.buffer.readline():
        base, scope, filtered, attributes, controls = json.loads(line, object_hook=decoded_bytes)["search"]
        for answer in session.raw_messages(base, scope, filtered, attributes, controls):
            _tell(answer)


def _tell(message: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(encoded(message))
    sys.stdout.buffer.flush()
