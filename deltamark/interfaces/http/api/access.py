"""Routes for administrators: API tokens and sessions."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, TypedDict

import msgspec
from litestar import delete, get, post
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody, PathParameter

from deltamark.interfaces.documents import time_of
from deltamark.interfaces.http.api.parameters import refuse_unseen
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.dependencies import TheSessions, TheTokens, TheUser
from deltamark.interfaces.http.tokens import LONGEST, ApiToken
from deltamark.interfaces.http.users import Role

ADMIN = {ROLE: Role.ADMIN}


class TokenDocument(TypedDict):
    """An API token, without its secret. `used_at`: since the server started."""

    identifier: str
    name: str
    role: str
    entity_types: list[str] | None
    made_at: str | None
    ends_at: str | None
    used_at: str | None


class NewTokenDocument(TypedDict):
    """A new API token with its text, which is shown only now."""

    token: str
    identifier: str
    ends_at: str | None


class SessionDocument(TypedDict):
    """A session of a browser."""

    identifier: str
    user: str
    role: str
    began_at: str | None
    used_at: str | None


class UserDocument(TypedDict):
    """Who sends the request."""

    user: str
    role: str
    entity_types: list[str] | None
    signed_in_by: str


class NewToken(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A token to make."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    role: Role
    days: Annotated[int, msgspec.Meta(ge=1, le=LONGEST.days)] = 90
    entity_types: list[str] | None = None


@get("/me", opt={ROLE: Role.READER}, sync_to_thread=False)
def me(user: TheUser) -> UserDocument:
    """Who sends the request, and what they may do."""
    return {
        "user": user.name,
        "role": user.role.value,
        "entity_types": None if user.entity_types is None else sorted(user.entity_types),
        "signed_in_by": user.method.value,
    }


@get("/tokens", opt=ADMIN, sync_to_thread=True)
def tokens_list(tokens: TheTokens) -> list[TokenDocument]:
    """The API tokens, without their secrets."""
    return [_document(tokens, token) for token in tokens.all()]


def _document(tokens: TheTokens, token: ApiToken) -> TokenDocument:
    return {
        "identifier": token.identifier,
        "name": token.name,
        "role": token.role.value,
        "entity_types": None if token.entity_types is None else sorted(token.entity_types),
        "made_at": time_of(token.made_at),
        "ends_at": time_of(token.ends_at),
        "used_at": time_of(tokens.used_at(token.identifier)),
    }


@post("/tokens", opt=ADMIN, sync_to_thread=True)
def create_token(tokens: TheTokens, user: TheUser, data: JSONBody[NewToken]) -> NewTokenDocument:
    """Makes an API token. Its text is shown only in this answer. Nobody makes one that sees more than they do."""
    asked: list[str | None] = [*data.entity_types] if data.entity_types else [None]
    refuse_unseen(user, *asked)
    token, text = tokens.create(data.name, data.role, timedelta(days=data.days), data.entity_types)
    return {"token": text, "identifier": token.identifier, "ends_at": time_of(token.ends_at)}


@delete("/tokens/{identifier:str}", opt=ADMIN, sync_to_thread=True)
def revoke_token(tokens: TheTokens, identifier: Annotated[str, PathParameter(max_length=100)]) -> None:
    """Revokes an API token."""
    if all(token.identifier != identifier for token in tokens.all()):
        raise NotFoundException("there is no such token.")
    tokens.revoke(identifier)


@get("/sessions", opt=ADMIN, sync_to_thread=False)
def sessions_list(sessions: TheSessions) -> list[SessionDocument]:
    """The sessions of browsers."""
    return [
        {
            "identifier": session.identifier,
            "user": session.user.name,
            "role": session.user.role.value,
            "began_at": time_of(session.began_at),
            "used_at": time_of(session.used_at),
        }
        for session in sessions.all()
    ]


@delete("/sessions/{identifier:str}", opt=ADMIN, sync_to_thread=False)
def end_session(sessions: TheSessions, identifier: Annotated[str, PathParameter(max_length=100)]) -> None:
    """Ends a session."""
    if not sessions.end_named(identifier):
        raise NotFoundException("there is no such session.")


ROUTES = (me, tokens_list, create_token, revoke_token, sessions_list, end_session)
"""Its routes."""
