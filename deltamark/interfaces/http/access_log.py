"""What people did, a line of JSON each: sign-ins, deeds, exports, refusals. No secrets, no keys, no values."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import orjson

from deltamark.domain.errors import UsageError, exactly
from deltamark.domain.secrets import masked
from deltamark.interfaces.http.users import User

if TYPE_CHECKING:
    from litestar.types import Scope

SIGNED_IN = "signed_in"
"""What a scope holds under this name: the user whom a request signed in."""

_REFUSED = (401, 403, 421, 429)
_SAFE = ("GET", "HEAD", "OPTIONS")
_EXPORTS = (b"text/csv", b"application/jsonl", b"application/vnd.apache.arrow.stream")
_PRIVATE = 0o600


class AccessLog:
    """Writes a line for each deed.

    :param file: where it is written; None for standard error.
    """

    def __init__(self, clock: Callable[[], datetime], file: Path | None = None) -> None:
        self._clock, self._lock = clock, Lock()
        self._stream: IO[bytes] | None = None
        if file is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            try:
                self._stream = os.fdopen(os.open(file, flags, _PRIVATE), "ab", buffering=0)
            except OSError as e:
                raise UsageError(f"{file}, the access_log, cannot be written: {e.strerror}.") from e

    def answered(self, scope: Scope, status: int, media_type: bytes) -> None:
        """Writes what a request did, if it is one of those that are written."""
        signed_in: User | None = scope.get(SIGNED_IN)  # type: ignore[assignment]
        user: User | None = signed_in or scope.get("user")
        is_deed = scope["method"] not in _SAFE or signed_in is not None  # type: ignore[typeddict-item]
        is_export = status < 300 and media_type.split(b";")[0] in _EXPORTS
        if not (is_deed or is_export or status in _REFUSED):
            return
        client = scope.get("client")
        values = scope.get("path_params") or {}
        self._write(
            {
                "at": exactly(self._clock()),
                "id": secrets.token_hex(6),
                "user": None if user is None else masked(user.name),
                "role": None if user is None else user.role.value,
                "by": None if user is None else user.method.value,
                "token": None if user is None else user.token,
                "from": None if client is None else client[0],
                "deed": f"{scope['method']} {scope.get('path_template') or 'unknown'}",  # type: ignore[typeddict-item]
                "of": {name: masked(str(value))[:100] for name, value in values.items()},
                "what": "sign-in" if signed_in else "export" if is_export else "deed" if is_deed else "read",
                "status": status,
                "outcome": "refused" if status in _REFUSED else "failed" if status >= 400 else "done",
            }
        )

    def _write(self, members: dict[str, Any]) -> None:
        line = orjson.dumps(members) + b"\n"
        with self._lock:
            if self._stream is None:
                sys.stderr.write(line.decode())
                sys.stderr.flush()
            else:
                self._stream.write(line)
