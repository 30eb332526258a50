"""The parts of an address such as `oracle://host:port/database`, and how the server there proves who it is."""

from __future__ import annotations

import ssl
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from attrs import frozen

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.loopback import is_loopback


@frozen(kw_only=True)
class ServerAddress:
    """Where a database is.

    :param options: what stands behind the question mark.
    """

    host: str
    port: int
    database: str
    user: str | None
    options: dict[str, str]

    @property
    def is_local(self) -> bool:
        """Whether what is sent to it stays on this machine."""
        return is_loopback(self.host)


def server_address(ask: Question, default_port: int, advice: str, options: frozenset[str]) -> ServerAddress:
    """The parts of the address of a question.

    :param advice: how an address is written.
    :param options: those that may stand behind the question mark.
    :raises SourceUnreachable: if it is no address, or names no database.
    """
    parts: SplitResult | None
    found: dict[str, str] = {}
    try:
        parts = urlsplit(ask.text("server") or "")
        port = parts.port or default_port
        found = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        parts = None
    if parts is None or not set(found) <= options or parts.fragment:
        raise SourceUnreachable("the address of the server cannot be read", advice)
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise SourceUnreachable("the address of the server names no database", advice)
    return ServerAddress(
        host=parts.hostname or "localhost",
        port=port,
        database=database,
        user=ask.text("user") or (None if parts.username is None else unquote(parts.username)),
        options=found,
    )


def trusted(ask: Question) -> ssl.SSLContext:
    """Verifies servers by the authority of a question, or those of the system.

    :raises SourceUnreachable: if the authority cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ask.text("authority"))
    except OSError as e:
        raise SourceUnreachable(
            f"the authority {shown(ask.text('authority'))} cannot be read ({e.strerror or e})"
        ) from e
