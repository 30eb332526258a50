"""API tokens: kept in a file as digests, each with a role, an end and what it may see."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from threading import Lock
from typing import Any

import orjson
from attrs import field, frozen
from filelock import FileLock

from deltamark.domain.errors import UsageError, exactly
from deltamark.domain.messages import how_many
from deltamark.domain.statements import checked_person
from deltamark.domain.values import shown
from deltamark.interfaces.http.users import Role, SignInMethod, User, role_named

FILE_NAME = "deltamark-tokens.json"
LONGEST = timedelta(days=366)
_BYTES = 32
_TOKEN = re.compile(r"dm_([0-9a-f]{8})_([A-Za-z0-9_-]{43})\Z")
_PRIVATE = 0o600


@frozen(kw_only=True)
class ApiToken:
    """An API token, without its secret.

    :param identifier: names it to administrators.
    :param entity_types: the only ones whose resources it shows; None for all.
    :param digest: of its secret, in hexadecimal digits.
    """

    identifier: str
    name: str
    role: Role
    entity_types: frozenset[str] | None
    made_at: datetime
    ends_at: datetime
    digest: str = field(repr=False)


class Tokens:
    """The API tokens in a file, which only its owner can read.

    Several processes may use it: the file is read again when it was changed.
    """

    def __init__(self, file: Path, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._clock = clock
        self._lock = Lock()
        self._read_as: tuple[int, int, int] | None = None
        self._tokens: dict[str, ApiToken] = {}
        self._used_at: dict[str, datetime] = {}

    def create(
        self, name: str, role: Role, valid_for: timedelta, entity_types: Iterable[str] | None = None
    ) -> tuple[ApiToken, str]:
        """Makes a token, and returns it with the text that signs in, which is nowhere afterwards.

        :param name: goes on record with what is done with it.
        :raises UsageError: for something that is no name, and for a time that is too long or none.
        """
        if not timedelta(0) < valid_for <= LONGEST:
            raise UsageError(f"a token is valid for up to {how_many(LONGEST.days, 'day')}. Give a shorter time.")
        now, secret = self._clock(), secrets.token_urlsafe(_BYTES)
        token = ApiToken(
            identifier=secrets.token_hex(4),
            name=checked_person(name),
            role=role,
            entity_types=None if entity_types is None else frozenset(entity_types),
            made_at=now,
            ends_at=now + valid_for,
            digest=_digest(secret),
        )
        self._change(lambda tokens: {**tokens, token.identifier: token})
        return token, f"dm_{token.identifier}_{secret}"

    def revoke(self, identifier: str) -> ApiToken:
        """Removes a token: it signs in no more.

        :raises UsageError: if there is none of that identifier.
        """
        token = self._fresh().get(identifier)
        if token is None:
            raise UsageError(f"there is no token {shown(identifier)}. `deltamark token list` shows all.")
        self._change(lambda tokens: {name: other for name, other in tokens.items() if name != identifier})
        return token

    def all(self) -> list[ApiToken]:
        """The tokens, oldest first; also those whose time is over."""
        return sorted(self._fresh().values(), key=lambda token: (token.made_at, token.identifier))

    def user_of(self, text: str) -> User | None:
        """Whom a text signs in; None if it is no token, or its time is over."""
        match = _TOKEN.match(text)
        token = self._fresh().get(match[1]) if match else None
        if match is None or token is None or not compare_digest(token.digest, _digest(match[2])):
            return None
        now = self._clock()
        if now >= token.ends_at:
            return None
        with self._lock:
            self._used_at[token.identifier] = now
        return User(
            name=token.name,
            role=token.role,
            method=SignInMethod.TOKEN,
            entity_types=token.entity_types,
            token=token.identifier,
        )

    def used_at(self, identifier: str) -> datetime | None:
        """When a token was used last since this server started."""
        return self._used_at.get(identifier)

    def _fresh(self) -> dict[str, ApiToken]:
        with self._lock:
            try:
                state = self._file.stat()
            except FileNotFoundError:
                self._read_as, self._tokens = None, {}
                return {}
            read_as = (state.st_mtime_ns, state.st_size, state.st_ino)
            if read_as != self._read_as:
                self._tokens, self._read_as = self._read(), read_as
            return self._tokens

    def _read(self) -> dict[str, ApiToken]:
        try:
            members = orjson.loads(self._file.read_bytes())
            return {token.identifier: token for token in map(_token, members["tokens"])}
        except (ValueError, LookupError, TypeError, UsageError) as e:
            raise UsageError(
                f"{self._file} is not a file of tokens that Deltamark wrote. Remove it, and create the tokens again."
            ) from e

    def _change(self, change: Callable[[dict[str, ApiToken]], dict[str, ApiToken]]) -> None:
        with FileLock(f"{self._file}.lock", mode=_PRIVATE):
            tokens = change(self._read() if self._file.exists() else {})
            text = orjson.dumps({"tokens": [_member(token) for token in tokens.values()]}, option=orjson.OPT_INDENT_2)
            beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
            beside.unlink(missing_ok=True)
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._file)
        with self._lock:
            self._read_as = None


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _member(token: ApiToken) -> dict[str, Any]:
    return {
        "identifier": token.identifier,
        "name": token.name,
        "role": token.role.value,
        "entity_types": None if token.entity_types is None else sorted(token.entity_types),
        "made_at": exactly(token.made_at),
        "ends_at": exactly(token.ends_at),
        "digest": token.digest,
    }


def _token(member: dict[str, Any]) -> ApiToken:
    types = member["entity_types"]
    return ApiToken(
        identifier=str(member["identifier"]),
        name=str(member["name"]),
        role=role_named(member["role"]),
        entity_types=None if types is None else frozenset(map(str, types)),
        made_at=datetime.fromisoformat(member["made_at"]).astimezone(UTC),
        ends_at=datetime.fromisoformat(member["ends_at"]).astimezone(UTC),
        digest=str(member["digest"]),
    )
