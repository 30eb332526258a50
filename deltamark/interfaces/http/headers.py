"""The check of the header `Host`, and the headers that every answer has."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import orjson
from litestar.enums import ScopeType

from deltamark.interfaces.http.access_log import AccessLog
from deltamark.interfaces.http.metrics import Metrics
from deltamark.interfaces.http.settings import HttpSettings

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip

_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_UNLESS_SAID = {"Cache-Control": "no-store"}
_UNDER_TLS = {"Strict-Transport-Security": "max-age=31536000"}


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header of a request; None if there is none, or more than one."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


class Gate:
    """Stands before the application: refuses requests for other hosts, and adds the headers of every answer.

    A page of another site whose name leads to this machine (DNS rebinding) sends its own name as `Host`.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings, metrics: Metrics, log: AccessLog) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log
        self._hosts = settings.hosts
        fixed = _ALWAYS | (_UNDER_TLS if settings.has_tls else {})
        self._always = [(name.lower().encode(), value.encode()) for name, value in fixed.items()]
        self._unless_said = [(name.lower().encode(), value.encode()) for name, value in _UNLESS_SAID.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        began = perf_counter()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = str(scope.get("path_template") or "")
                self._metrics.answered(route, scope["method"], message["status"], perf_counter() - began)
                types = [value for name, value in message["headers"] if name.lower() == b"content-type"]
                self._log.answered(scope, message["status"], types[0] if types else b"")
                there = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in self._unless_said if name not in there]
                message["headers"] = [*message["headers"], *self._always, *added]
            await send(message)

        if (header(scope, b"host") or "").lower() in self._hosts:
            await self._app(scope, receive, send_with_headers)
        else:
            await _refuse(send_with_headers)


async def _refuse(send: Send) -> None:
    body = orjson.dumps(
        {
            "type": "urn:deltamark:problem:misdirected-request",
            "title": "Misdirected request",
            "status": 421,
            "detail": "The header Host names no name of this server. Start it with --public-host and that name.",
        }
    )
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
