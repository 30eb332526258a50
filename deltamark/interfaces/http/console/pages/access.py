"""Access: who is signed in, and the API tokens; for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from attrs import field, frozen
from litestar import get, post
from litestar.params import PathParameter
from litestar.response import Redirect, Template

from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.values import shown
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import Form, page
from deltamark.interfaces.http.dependencies import TheEngine, TheSessions, TheTokens, TheUser
from deltamark.interfaces.http.sessions import Session, Sessions
from deltamark.interfaces.http.tokens import LONGEST, ApiToken, Tokens
from deltamark.interfaces.http.users import Role, User, role_named

ADMIN = {ROLE: Role.ADMIN}
_DAYS = 90
Identifier = Annotated[str, PathParameter(max_length=100)]


@frozen(kw_only=True)
class AccessPage:
    """Sessions and tokens.

    :param new: the text of the token that was just made.
    :param fault: why none was made; `given` what the form had then.
    """

    sessions: tuple[Session, ...] = field(converter=as_tuple)
    tokens: tuple[ApiToken, ...] = field(converter=as_tuple)
    used_at: dict[str, object]
    types: tuple[str, ...] = field(converter=as_tuple)
    roles: tuple[str, ...] = tuple(role.value for role in Role)
    longest: int = LONGEST.days
    days: int = _DAYS
    new: str | None = field(default=None, repr=False)
    fault: str = ""
    given: Mapping[str, str] = field(factory=dict)


def _shown(
    engine: Engine,
    user: User,
    sessions: Sessions,
    tokens: Tokens,
    *,
    new: str | None = None,
    fault: str = "",
    given: Mapping[str, str] | None = None,
    status_code: int = 200,
) -> Template:
    known = tokens.all()
    found = AccessPage(
        sessions=sessions.all(),
        tokens=known,
        used_at={token.identifier: tokens.used_at(token.identifier) for token in known},
        types=[each.identifier for each in engine.configuration.entity_types],
        new=new,
        fault=fault,
        given=given or {},
    )
    return page("access.html", engine, user, "Access", status_code=status_code, shown=found)


@get("/access", opt=ADMIN, sync_to_thread=True)
def access(engine: TheEngine, user: TheUser, sessions: TheSessions, tokens: TheTokens) -> Template:
    """Who is signed in, and the API tokens."""
    return _shown(engine, user, sessions, tokens)


@post("/access/tokens", opt=ADMIN, sync_to_thread=True, status_code=200)
def make_token(engine: TheEngine, user: TheUser, sessions: TheSessions, tokens: TheTokens, data: Form) -> Template:
    """Makes an API token, and shows its text, which no later page does."""
    try:
        days = data.get("days", "").strip()
        if not (days.isascii() and days.isdigit() and len(days) < 5):
            raise UsageError(f"the days must be a number, not {shown(days)}.")
        known = {each.identifier for each in engine.configuration.entity_types}
        types = data.get("types", "").replace(",", " ").split()
        unknown = set(types) - known
        if unknown:
            raise UsageError(f"there is no entity type {shown(min(unknown))}.")
        role = role_named(data.get("role", ""))
        _, text = tokens.create(data.get("name", "").strip(), role, timedelta(days=int(days)), types or None)
    except UsageError as e:
        return _shown(engine, user, sessions, tokens, fault=str(e), given=data, status_code=400)
    return _shown(engine, user, sessions, tokens, new=text)


@post("/access/tokens/{identifier:str}/revoke", opt=ADMIN, sync_to_thread=True)
def revoke(tokens: TheTokens, identifier: Identifier) -> Redirect:
    """Revokes an API token, if it is not revoked already."""
    if any(token.identifier == identifier for token in tokens.all()):
        tokens.revoke(identifier)
    return Redirect("/access", status_code=303)


@post("/access/sessions/{identifier:str}/end", opt=ADMIN, sync_to_thread=False)
def end(sessions: TheSessions, identifier: Identifier) -> Redirect:
    """Ends a session, if it goes on."""
    sessions.end_named(identifier)
    return Redirect("/access", status_code=303)


ROUTES = (access, make_token, revoke, end)
