"""Asks a SCIM service: one object of JSON for each request. Every failure voids the reading."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.secrets import Secret, redacted
from deltamark.domain.values import shown
from deltamark.infrastructure.http.client import Answer, HTTPClient, HTTPFailure, Limits

Document = dict[str, Any]

_TIMEOUT_S = 60
_LARGEST_ANSWER = 64 * 1024 * 1024
_MOST_DETAIL = 200
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE = 200, 401, 403, 404, 410
_NOT_OFFERED = frozenset({_FORBIDDEN, _NOT_FOUND, _GONE, 405, 501})
_BUSY = frozenset({429, 500, 502, 503, 504})
_AGAIN = "Nothing is wrong with what is stored: the next run reads again."


@contextmanager
def opened(ask: Question, wait: Callable[[float], None] = time.sleep) -> Iterator[Client]:
    """Yields what asks the service of a connection.

    :raises SourceUnreachable: if the settings do not say how.
    """
    client = Client(ask, wait)
    try:
        yield client
    finally:
        client.close()


class Client:
    """Asks one service.

    :ivar address: of the service.
    """

    def __init__(self, ask: Question, wait: Callable[[float], None]) -> None:
        self.address = (ask.text("server") or "").rstrip("/")
        if not self.address:
            raise SourceUnreachable(
                f"connection {ask.connection} has no server",
                f'Name it under [deltamark.connections.{ask.connection}]: server = "https://HOST/scim/v2".',
            )
        self._secrets: list[Secret] = []
        self._headers = {
            "Accept": "application/scim+json, application/json",
            "Authorization": self._authorization(ask),
        }
        try:
            self._http = HTTPClient(
                self.address,
                authority=ask.text("authority"),
                limits=Limits(timeout_s=float(ask.settings.get("timeout", _TIMEOUT_S)), largest_answer=_LARGEST_ANSWER),
                wait=wait,
            )
        except HTTPFailure as e:
            failed = SourceUnreachable(e.problem, e.advice)
        else:
            return
        raise failed

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Document:
        """What the service has at a path.

        :raises SourceUnreachable: if it is anything but an object of JSON.
        """
        answer = self._ask(path, parameters)
        if answer.status != _OK:
            raise self._refused(path, answer)
        return self._document(path, answer)

    def find(self, path: str, parameters: Mapping[str, str] | None = None) -> Document | None:
        """A resource; None where the service says that there is none.

        :raises SourceUnreachable: as `get`.
        """
        answer = self._ask(path, parameters)
        if answer.status in (_NOT_FOUND, _GONE):
            return None
        if answer.status != _OK:
            raise self._refused(path, answer)
        return self._document(path, answer)

    def offered(self, path: str) -> Any:
        """What the service says of itself at a path; None where it does not offer that.

        :raises SourceUnreachable: as `get`.
        """
        answer = self._ask(path, None)
        if answer.status in _NOT_OFFERED:
            return None
        if answer.status != _OK:
            raise self._refused(path, answer)
        return self._parsed(path, answer)

    def send(self, method: str, path: str, document: Document | None = None, *, again: bool = True) -> Answer:
        """Sends a document, and returns the answer, whatever its status.

        :param again: whether the service does the same if it gets it twice.
        :raises SourceUnreachable: if there is no answer.
        """
        headers = {**self._headers, "Content-Type": "application/scim+json"}
        body = None if document is None else json.dumps(document).encode()
        try:
            return self._http.request(method, f"{self.address}{path}", body=body, headers=headers, again=again)
        except HTTPFailure as e:
            failed = SourceUnreachable(e.problem, e.advice, is_temporary=e.is_temporary)
        raise failed  # without its cause, which may show more than is meant

    def broken(self, path: str, problem: str) -> SourceUnreachable:
        """An answer that cannot be used."""
        return SourceUnreachable(f"{self.address}{path} {problem}", _AGAIN)

    def _ask(self, path: str, parameters: Mapping[str, str] | None) -> Answer:
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        try:
            return self._http.request("GET", f"{self.address}{path}{query}", headers=self._headers)
        except HTTPFailure as e:
            failed = SourceUnreachable(e.problem, e.advice, is_temporary=e.is_temporary)
        raise failed  # without its cause, which may show more than is meant

    def _refused(self, path: str, answer: Answer) -> SourceUnreachable:
        problem = f"{self.address}{path} answers {answer.status}{self._detail(answer)}"
        if answer.status in (_UNAUTHORIZED, _FORBIDDEN):
            advice = "See that the token, or user and password, are right and may read. It was tried once."
            return SourceUnreachable(problem, advice)
        if answer.status in _BUSY:
            return SourceUnreachable(problem, _AGAIN, is_temporary=True)
        return SourceUnreachable(problem, "See that server names a SCIM 2.0 service, and that Filter is right.")

    def _detail(self, answer: Answer) -> str:
        """What the service says about an error; without secrets, before it is cut."""
        try:
            detail = json.loads(answer.body).get("detail")
        except (ValueError, AttributeError, RecursionError):
            return ""
        return f": {shown(redacted(detail, self._secrets), _MOST_DETAIL)}" if isinstance(detail, str) and detail else ""

    def _document(self, path: str, answer: Answer) -> Document:
        document = self._parsed(path, answer)
        if not isinstance(document, dict):
            raise self.broken(path, "gives no object of JSON")
        return document

    def _parsed(self, path: str, answer: Answer) -> Any:
        try:
            return json.loads(answer.body, parse_float=str, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return self._unreadable(path)

    def _unreadable(self, path: str) -> Any:
        raise self.broken(path, "gives an answer that is not JSON")

    def _authorization(self, ask: Question) -> str:
        token, password, user = ask.secret("token"), ask.secret("password"), ask.text("user")
        secret = token or password
        if secret is None or not secret.value or (token is None and not user):
            raise SourceUnreachable(
                f"connection {ask.connection} has neither a token nor a user with a password",
                'Name where it is, such as token = "env:SCIM_TOKEN".',
            )
        self._secrets.append(secret)
        if token is not None:
            if not token.value.isascii() or not token.value.isprintable() or " " in token.value:
                raise SourceUnreachable(
                    f"the token of connection {ask.connection} has characters that no token has",
                    "See that the token alone is there, without the word Bearer and without line breaks.",
                )
            return f"Bearer {token.value}"
        pair = Secret(f"{user}:{secret.value}")
        self._secrets.append(pair)
        return f"Basic {base64.b64encode(pair.value.encode()).decode()}"


def _no_number(text: str) -> None:
    raise ValueError(text)
