"""How often somebody may try: failed attempts to sign in by address, and requests by API token."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from time import monotonic

from litestar.exceptions import TooManyRequestsException

WINDOW_S = 60.0
SIGN_INS = 20
REQUESTS = 6_000
_MOST_KNOWN = 10_000


class Rate:
    """How often each of many may do something within a minute.

    :param most: so often.
    :param what: is counted, in messages.
    """

    def __init__(self, most: int, what: str, clock: Callable[[], float] = monotonic) -> None:
        self._most, self._what, self._clock = most, what, clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = Lock()

    def add(self, who: str) -> None:
        """Counts one."""
        with self._lock:
            since, count = self._count(who)
            self._counts[who] = (since, count + 1)
            self._counts.move_to_end(who)
            while len(self._counts) > _MOST_KNOWN:  # the oldest are forgotten: memory has a bound
                self._counts.popitem(last=False)

    def refuse_too_many(self, who: str) -> None:
        """Refuses those who did it too often.

        :raises TooManyRequestsException: for these, with when they may try again.
        """
        with self._lock:
            since, count = self._count(who)
        if count >= self._most:
            wait_s = max(1, round(since + WINDOW_S - self._clock()))
            raise TooManyRequestsException(
                f"there were {self._what} more than {self._most} times within a minute. Try again in {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
            )

    def _count(self, who: str) -> tuple[float, int]:
        now = self._clock()
        since, count = self._counts.get(who, (now, 0))
        return (since, count) if now - since < WINDOW_S else (now, 0)


class Rates:
    """The rates of a server."""

    def __init__(self, sign_ins: int = SIGN_INS, requests: int = REQUESTS) -> None:
        self.sign_ins = Rate(sign_ins, "attempts to sign in from this address that failed")
        self.requests = Rate(requests, "requests with this API token")
