"""Changes to an HTTP server as CloudEvents 1.0, signed as Standard Webhooks say.

One event in a request (structured mode), or several (batched mode) where the setting `batch` is above 1. See
https://www.standardwebhooks.com and https://github.com/cloudevents/spec.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import orjson

from deltamark.application.ports.sinks import Confirmed, Refusal, SinkConnection, SinkGone, SinkUnavailable
from deltamark.application.ports.sources import Probe
from deltamark.domain.sinks.batch import Batch, OutgoingChange
from deltamark.infrastructure.http.client import TRIED_AGAIN, Answer, HTTPClient, HTTPFailure, Limits

_GONE = 410
REFUSED = frozenset({400, 409, 413, 422})
"""Statuses that concern what was sent; others of 400 and above concern the address or the user."""

_NOT_ALLOWED = frozenset({401, 403})
_NOT_BUILT = 501
_LARGEST_ANSWER = 64 * 1024
_SECRET = "whsec_"  # noqa: S105  # how a secret begins
_TIMEOUT_S = 30
_TRIES = 5


class Event(Protocol):
    """What is sent: a change, or a notification."""

    @property
    def id(self) -> str:
        """The same whenever it is sent."""
        ...

    def cloud_event(self) -> dict[str, Any]:
        """It as a CloudEvent 1.0."""
        ...


class Webhook:
    """A server that takes events by POST.

    :param clock: the time in seconds since 1970.
    :param wait: sleeps for so many seconds.
    :param where: the table of its settings, in messages.
    :param tries: how often a request is sent, at most.
    :raises SinkUnavailable: if its settings do not allow it.
    """

    def __init__(
        self,
        connection: SinkConnection,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
        where: str | None = None,
        tries: int = _TRIES,
    ) -> None:
        name = where or f"[deltamark.connections.{connection.name}]"
        server = connection.text("server")
        if server is None:
            raise SinkUnavailable("no server is set for it", f'Write server = "https://…" in {name}.')
        self._store = connection.store
        self._clock = clock
        self._most = connection.number("batch", 1)
        self._key = _key(connection, name)
        token = connection.secret("token")
        self._token = {} if token is None else {"authorization": f"Bearer {token.value}"}
        limits = Limits(timeout_s=connection.number("timeout", _TIMEOUT_S), tries=tries, largest_answer=_LARGEST_ANSWER)
        try:
            self._client = HTTPClient(server, authority=connection.text("authority"), limits=limits, wait=wait)
        except HTTPFailure as e:
            raise SinkUnavailable(e.problem, e.advice) from None

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def probe(self) -> Probe:
        """Asks the server by OPTIONS, which changes nothing: any answer says that it is there and was verified."""
        try:
            answer = self._client.request("OPTIONS", headers=self._token)
        except HTTPFailure as e:
            raise SinkUnavailable(e.problem, e.advice) from None
        if answer.status in _NOT_ALLOWED:
            return Probe(problems=[f"the server answers {words_of(answer)}. {_advice(answer)}"])
        if answer.status in TRIED_AGAIN and answer.status != _NOT_BUILT:
            return Probe(problems=[f"the server answers {words_of(answer)}. See the server"])
        return Probe(server="HTTP server", findings=[f"it answers {words_of(answer)} to OPTIONS"])

    def send(self, batch: Batch) -> Iterator[Confirmed]:
        """Sends requests in order; what a server refuses is sent in halves until it is known which change it is."""
        changes = batch.changes
        for start in range(0, len(changes), self._most):
            part = changes[start : start + self._most]
            is_last = start + self._most >= len(changes)
            yield from self._sent(part, batch.until if is_last else part[-1].position)

    def _sent(self, changes: Sequence[OutgoingChange], until: int) -> Iterator[Confirmed]:
        answer = self.posted(changes)
        if answer.status < 300:
            yield Confirmed(position=until, sent=len(changes))
        elif answer.status == _GONE:
            raise SinkGone(changes[0], words_of(answer))
        elif answer.status not in REFUSED:
            raise SinkUnavailable(f"the server answers {words_of(answer)}", _advice(answer))
        elif len(changes) == 1:
            yield Confirmed(position=until, sent=0, refused=[Refusal(change=changes[0], problem=words_of(answer))])
        else:
            middle = len(changes) // 2
            yield from self._sent(changes[:middle], changes[middle - 1].position)
            yield from self._sent(changes[middle:], until)

    def posted(self, changes: Sequence[Event]) -> Answer:
        """The answer to a request with these events.

        :raises SinkUnavailable: if there is none.
        """
        if self._most == 1:
            identity, kind = changes[0].id, "application/cloudevents+json"
            body = orjson.dumps(changes[0].cloud_event())
        else:
            first, last = changes[0].id, changes[-1].id.partition("/")[2]
            identity, kind = f"{first}-{last}", "application/cloudevents-batch+json"
            body = orjson.dumps([change.cloud_event() for change in changes])
        identity = identity.replace(".", "%2E")  # a full stop ends it in what is signed
        stamp = str(int(self._clock()))
        headers = {
            "content-type": f"{kind}; charset=utf-8",
            "webhook-id": identity,
            "webhook-timestamp": stamp,
            **self._token,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, identity, stamp, body)
        try:
            return self._client.request("POST", body=body, headers=headers)
        except HTTPFailure as e:
            raise SinkUnavailable(e.problem, e.advice) from None


def signature(key: bytes, identity: str, stamp: str, body: bytes) -> str:
    """The header `webhook-signature` of a request."""
    signed = f"{identity}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(connection: SinkConnection, where: str) -> bytes | None:
    secret = connection.secret("secret")
    if secret is None:
        return None
    text = secret.value.strip()
    if not text.startswith(_SECRET):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(_SECRET), validate=True)
    except binascii.Error:
        raise SinkUnavailable(
            "its secret begins with whsec_, but no base64 follows", f"See what `secret` in {where} refers to."
        ) from None


def words_of(answer: Answer) -> str:
    """The status and what it means; nothing that the server wrote, which may quote values."""
    return f"{answer.status} {_MEANINGS.get(answer.status, '')}".strip()


_MEANINGS = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    409: "conflict",
    410: "gone",
    413: "too large",
    422: "not processable",
    429: "too many requests",
}


def _advice(answer: Answer) -> str:
    if answer.status in TRIED_AGAIN:
        return "It was tried again, with waits. Deliver again later."
    return "See the address of the server and the rights of the secret."
