"""Requests that are sent again start nothing a second time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import TypeAlias

import msgspec
from litestar.exceptions import HTTPException

from deltamark.domain.runs.run import JobRun
from deltamark.interfaces.http.users import SignInMethod, User

_KEPT_FOR = timedelta(hours=24)
_MOST_KEPT = 10_000

_Sender: TypeAlias = tuple[SignInMethod, str, str]
"""How somebody signed in, their name, and the key: a token may have the name of a person."""


class OtherRequest(HTTPException):
    """An idempotency key was used for another request."""

    status_code = 422


class Idempotency:
    """The runs that requests with an `Idempotency-Key` started, for a day: sent again, they start nothing.

    It is kept in memory: the server forgets it when it ends.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._runs: dict[_Sender, tuple[bytes, int, datetime]] = {}
        self._under_way: dict[_Sender, Lock] = {}
        self._lock = Lock()

    def once(self, user: User, key: str, body: object, start: Callable[[], JobRun]) -> int:
        """The number of the run that a request starts, or started when it was sent first.

        :raises OtherRequest: if the key was sent with another request.
        """
        name, digest = (user.method, user.name, key), sha256(msgspec.json.encode(body)).digest()
        with self._lock:
            lock = self._under_way.setdefault(name, Lock())
        with lock:
            known = self._runs.get(name)
            if known is not None and self._clock() - known[2] < _KEPT_FOR:
                if known[0] != digest:
                    raise OtherRequest("this Idempotency-Key was sent with another request. Use a new key.")
                return known[1]
            run = start().number
            with self._lock:
                self._runs[name] = (digest, run, self._clock())
                while len(self._runs) > _MOST_KEPT:
                    forgotten = next(iter(self._runs))
                    del self._runs[forgotten]
                    self._under_way.pop(forgotten, None)
            return run
