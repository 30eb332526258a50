"""Routes to sign in and out: by a link that works once, and by OpenID Connect."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from deltamark.interfaces.http.access_log import SIGNED_IN
from deltamark.interfaces.http.authentication import (
    EVERYBODY,
    ROLE,
    address_of,
    cookie_name,
    cookie_value,
    session_secret,
)
from deltamark.interfaces.http.dependencies import TheLinks, TheOidc, TheRates, TheSessions, TheSettings
from deltamark.interfaces.http.problems import SIGN_IN
from deltamark.interfaces.http.rates import Rates
from deltamark.interfaces.http.sessions import SESSION_AGE, Sessions, SignInFailed
from deltamark.interfaces.http.settings import HttpSettings
from deltamark.interfaces.http.users import User

CALLBACK = "/sign-in/oidc/callback"
_ATTEMPT_S = 600


@get(SIGN_IN, opt={ROLE: EVERYBODY}, sync_to_thread=False)
def sign_in(
    request: Request[Any, Any, Any],
    links: TheLinks,
    sessions: TheSessions,
    settings: TheSettings,
    rates: TheRates,
    token: FromQuery[str | None] = None,
) -> Template | Redirect:
    """Signs in by a link that works once; without one it says how to sign in."""
    if token is None:
        return _page(settings)
    address = address_of(request.scope, settings)
    _refuse_too_many(rates, address)
    user = links.redeem(token)
    if user is None:
        return _refused(settings, rates, address, "This link was used already, or is older than ten minutes.")
    answer = Redirect("/", status_code=303)
    _begin(request, answer, user, sessions, settings)
    return answer


@get("/sign-in/oidc", opt={ROLE: EVERYBODY}, sync_to_thread=True)
def sign_in_with_oidc(
    request: Request[Any, Any, Any], settings: TheSettings, rates: TheRates, oidc: TheOidc
) -> Template | Redirect:
    """Leads to the provider that signs people in."""
    if oidc is None:
        raise NotFoundException("no provider for OpenID Connect is set.")
    address = address_of(request.scope, settings)
    _refuse_too_many(rates, address)
    try:
        begun = oidc.begin()
    except SignInFailed as e:
        return _refused(settings, rates, None, _sentence(e))
    answer = Redirect(begun.url, status_code=303)
    answer.set_cookie(
        _attempt_cookie(settings),
        begun.browser,
        max_age=_ATTEMPT_S,
        path="/",
        secure=settings.has_tls,
        httponly=True,
        samesite="lax",  # the provider leads back here, and then this cookie is needed
    )
    return answer


@get(CALLBACK, opt={ROLE: EVERYBODY}, sync_to_thread=True)
def signed_in_with_oidc(
    request: Request[Any, Any, Any],
    sessions: TheSessions,
    settings: TheSettings,
    rates: TheRates,
    oidc: TheOidc,
    code: FromQuery[str | None] = None,
    iss: FromQuery[str | None] = None,
) -> Template:
    """Signs in whom the provider names."""
    if oidc is None:
        raise NotFoundException("no provider for OpenID Connect is set.")
    address = address_of(request.scope, settings)
    _refuse_too_many(rates, address)
    name = _attempt_cookie(settings)
    try:
        user = oidc.finish(request.query_params.get("state"), code, cookie_value(request.scope, name), iss)
    except SignInFailed as e:
        answer = _refused(settings, rates, address, _sentence(e))
        answer.delete_cookie(name, path="/")
        return answer
    answer = Template("signed_in.html")
    answer.delete_cookie(name, path="/")
    _begin(request, answer, user, sessions, settings)
    return answer


@post("/sign-out", opt={ROLE: EVERYBODY}, sync_to_thread=False)
def sign_out(request: Request[Any, Any, Any], sessions: TheSessions, settings: TheSettings) -> Redirect:
    """Ends the session of the browser."""
    secret = session_secret(request.scope, settings)
    if secret is not None:
        sessions.end(secret)
    answer = Redirect(SIGN_IN, status_code=303)
    answer.delete_cookie(cookie_name(settings), path="/")
    return answer


def _begin(
    request: Request[Any, Any, Any],
    answer: Redirect | Template,
    user: User,
    sessions: Sessions,
    settings: HttpSettings,
) -> None:
    """Begins a session with a new secret, in place of the one that the browser had."""
    secret = sessions.begin(user, instead_of=session_secret(request.scope, settings))
    request.scope[SIGNED_IN] = user  # type: ignore[literal-required]
    answer.set_cookie(
        cookie_name(settings),
        secret,
        max_age=int(SESSION_AGE.total_seconds()),
        path="/",
        secure=settings.has_tls,
        httponly=True,
        samesite="strict",
    )


def _page(settings: HttpSettings, problem: str = "", status_code: int = 200) -> Template:
    context = {"problem": problem, "user": None, "has_oidc": settings.oidc is not None}
    return Template("sign_in.html", context=context, status_code=status_code)


def _refused(settings: HttpSettings, rates: Rates, address: str | None, problem: str) -> Template:
    if address is not None:
        rates.sign_ins.add(address)
    return _page(settings, problem, 401)


def _refuse_too_many(rates: Rates, address: str | None) -> None:
    if address is not None:
        rates.sign_ins.refuse_too_many(address)


def _attempt_cookie(settings: HttpSettings) -> str:
    return f"{cookie_name(settings)}_oidc"


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


ROUTES = (sign_in, sign_in_with_oidc, signed_in_with_oidc, sign_out)
