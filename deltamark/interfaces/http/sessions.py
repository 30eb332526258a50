"""Sign-in by a link that works once, and the sessions of browsers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock

from attrs import evolve, frozen

from deltamark.interfaces.http.users import User

LINK_AGE = timedelta(minutes=10)
SESSION_AGE = timedelta(hours=8)
IDLE = timedelta(minutes=30)
_BYTES = 32  # 256 bits
_MOST_SESSIONS = 1_000


class SignInFailed(Exception):
    """A sign-in that did not succeed; the message is for the person, and holds nothing that a provider wrote."""


@frozen(kw_only=True)
class Session:
    """The session of a browser.

    :param identifier: names it to administrators; nobody can sign in with it.
    :param user: who is signed in.
    """

    identifier: str
    user: User
    began_at: datetime
    used_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Whether it is too old, or was not used for too long."""
        return now - self.began_at >= SESSION_AGE or now - self.used_at >= IDLE


class Links:
    """Links that sign in, each once and for ten minutes."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._links: dict[bytes, tuple[User, datetime]] = {}
        self._lock = Lock()

    def new(self, user: User) -> str:
        """A new secret that signs this user in."""
        secret = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._links[_digest(secret)] = (user, self._clock())
        return secret

    def redeem(self, secret: str) -> User | None:
        """The user of a secret, which works no more after this; None if it is unknown, used or too old."""
        with self._lock:
            user, made_at = self._links.pop(_digest(secret), (None, None))
        return user if made_at is not None and self._clock() - made_at < LINK_AGE else None


class Sessions:
    """The sessions of this server, in its memory: they end with it.

    A session is found by the digest of the secret in the cookie, so the secrets themselves are nowhere.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}
        self._lock = Lock()

    def begin(self, user: User, *, instead_of: str | None = None) -> str:
        """Begins a session, and returns the secret for the cookie.

        :param instead_of: the secret of the session that the browser had, which ends.
        """
        secret, now = secrets.token_urlsafe(_BYTES), self._clock()
        session = Session(identifier=secrets.token_hex(4), user=user, began_at=now, used_at=now)
        with self._lock:
            if instead_of is not None:
                self._sessions.pop(_digest(instead_of), None)
            self._forget_old(now)
            self._sessions[_digest(secret)] = session
        return secret

    def user_of(self, secret: str) -> User | None:
        """The user of a session that goes on; None if there is none."""
        digest, now = _digest(secret), self._clock()
        with self._lock:
            session = self._sessions.get(digest)
            if session is None:
                return None
            if session.is_over(now):
                del self._sessions[digest]
                return None
            self._sessions[digest] = evolve(session, used_at=now)
            return session.user

    def end(self, secret: str) -> None:
        """Ends a session, if there is one."""
        with self._lock:
            self._sessions.pop(_digest(secret), None)

    def all(self) -> list[Session]:
        """The sessions that go on, oldest first."""
        with self._lock:
            self._forget_old(self._clock())
            return sorted(self._sessions.values(), key=lambda session: session.began_at)

    def end_named(self, identifier: str) -> bool:
        """Ends the session of an identifier, and returns whether there was one."""
        with self._lock:
            found = [digest for digest, session in self._sessions.items() if session.identifier == identifier]
            for digest in found:
                del self._sessions[digest]
        return bool(found)

    def _forget_old(self, now: datetime) -> None:
        for digest in [digest for digest, session in self._sessions.items() if session.is_over(now)]:
            del self._sessions[digest]
        while len(self._sessions) >= _MOST_SESSIONS:
            oldest = min(self._sessions, key=lambda digest: self._sessions[digest].used_at)
            del self._sessions[oldest]


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
