"""Who sends a request, and whether that person may do what it asks for."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.middleware import ASGIMiddleware

from deltamark.domain.secrets import masked
from deltamark.domain.values import shown
from deltamark.interfaces.http.headers import header
from deltamark.interfaces.http.rates import Rates
from deltamark.interfaces.http.sessions import Sessions
from deltamark.interfaces.http.settings import HttpSettings, is_from
from deltamark.interfaces.http.tokens import Tokens
from deltamark.interfaces.http.users import Role, SignInMethod, User

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler
    from litestar.types import ASGIApp, Receive, Scope, Send

ROLE = "role"
"""What a route says in its `opt`: the role that it needs, or `EVERYBODY`; without it, everybody is refused."""

EVERYBODY = "everybody"
_SAFE = ("GET", "HEAD", "OPTIONS")
_LONGEST_NAME = 200


def cookie_name(settings: HttpSettings) -> str:
    """The name of the cookie of a session: cookies do not tell ports apart, so it holds the port."""
    return f"{'__Host-' if settings.has_tls else ''}deltamark_{settings.port}"


def session_secret(scope: Scope, settings: HttpSettings) -> str | None:
    """The secret in the cookie of a request; None without one."""
    return cookie_value(scope, cookie_name(settings))


def cookie_value(scope: Scope, name: str) -> str | None:
    """What a cookie of a request holds; None without it."""
    try:
        cookies = SimpleCookie(header(scope, b"cookie") or "")
    except CookieError:
        return None
    found = cookies.get(name)
    return None if found is None else found.value


class Authentication(ASGIMiddleware):
    """Finds the user of a request: by an API token, the header of the proxy, or the cookie of a session.

    A request that changes something and that a browser would send for another site, too, must come from this one.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, settings: HttpSettings, sessions: Sessions, tokens: Tokens | None, rates: Rates) -> None:
        self._settings = settings
        self._rates = rates
        self._sessions = sessions
        self._tokens = tokens

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        assert scope["type"] == ScopeType.HTTP
        user = self._user(scope)
        scope["user"] = user
        scope["auth"] = None if user is None else user.method
        if scope["method"] not in _SAFE and (user is None or user.is_ambient):
            refuse_other_site(scope, self._settings)
        await next_app(scope, receive, send)

    def _user(self, scope: Scope) -> User | None:
        authorization = header(scope, b"authorization")
        if authorization is not None:
            return self._user_of_token(authorization, address_of(scope, self._settings))
        if self._settings.proxy is not None:
            return self._user_of_proxy(scope)
        secret = session_secret(scope, self._settings)
        return None if secret is None else self._sessions.user_of(secret)

    def _user_of_token(self, authorization: str, address: str | None) -> User:
        if address is not None:
            self._rates.sign_ins.refuse_too_many(address)
        scheme, _, text = authorization.partition(" ")
        user = None
        if self._tokens is not None and scheme.lower() == "bearer":
            user = self._tokens.user_of(text.strip())
        if user is None:
            if address is not None:
                self._rates.sign_ins.add(address)
            raise NotAuthorizedException("the API token is unknown or revoked, or its time is over.")
        assert user.token is not None, "it came with a token"
        self._rates.requests.refuse_too_many(user.token)
        self._rates.requests.add(user.token)
        return user

    def _user_of_proxy(self, scope: Scope) -> User | None:
        proxy = self._settings.proxy
        assert proxy is not None
        client = scope.get("client")
        name = header(scope, proxy.header.lower().encode())
        if client is None or not is_from(client[0], proxy.networks) or not name:
            return None
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise NotAuthorizedException(f"the header {proxy.header} holds no name of a user.")
        groups = header(scope, proxy.groups_header.lower().encode()) if proxy.groups_header else None
        grant = self._settings.granted(name, (group.strip() for group in (groups or "").split(",")))
        if grant is None:
            raise PermissionDeniedException(
                f"{shown(masked(name))} has no role here. Start the server with --role or --default-role."
            )
        return User(name=name, role=grant.role, method=SignInMethod.PROXY, entity_types=grant.entity_types)


def address_of(scope: Scope, settings: HttpSettings) -> str | None:
    """The address that failed attempts are counted for; None of a proxy, behind which many are."""
    client = scope.get("client")
    if client is None or (settings.proxy is not None and is_from(client[0], settings.proxy.networks)):
        return None
    return client[0]


def refuse_other_site(scope: Scope, settings: HttpSettings) -> None:
    """Refuses a request that a page of another site made.

    Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`.

    :raises PermissionDeniedException: if it does not come from a page of this server.
    """
    site, origin = header(scope, b"sec-fetch-site"), header(scope, b"origin")
    if site is not None:
        is_own = site == "same-origin"
    else:
        host = header(scope, b"host") or ""
        is_own = origin in (f"{settings.scheme}://{host}", *(f"https://{host}" for _ in (settings.proxy,) if _))
    if not is_own:
        raise PermissionDeniedException(
            "the request does not come from a page of this server. Programs use an API token, not a session."
        )


def require_role(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Lets in who may do what a route does.

    :raises NotAuthorizedException: for those who are not signed in.
    :raises PermissionDeniedException: for those whose role is too small, and for routes that name no role.
    """
    needed = handler.opt.get(ROLE)
    if needed == EVERYBODY:
        return
    user: User | None = connection.scope.get("user")
    if user is None:
        raise NotAuthorizedException(
            "nobody is signed in. Use an API token, or the link that `deltamark serve` prints."
        )
    if not isinstance(needed, Role) or not user.may(needed):
        name = needed.value if isinstance(needed, Role) else "nobody"
        raise PermissionDeniedException(f"this is for the role {name}; {user.name} has the role {user.role.value}.")
