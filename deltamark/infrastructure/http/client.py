"""An HTTP client that verifies servers, follows no redirects, reads no endless answers, and tries again with waits.

It stands on `urllib3`.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import urllib3
from attrs import field, frozen
from urllib3.exceptions import HTTPError, InvalidHeader, SSLError

from deltamark.domain.loopback import is_loopback

TRIED_AGAIN = frozenset({429, *range(500, 600)})
"""The statuses after which a request is sent again."""

_AGENT = "deltamark"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HTTPFailure(Exception):
    """A server cannot be asked: it was not reached, was not who it should be, or said more than it may.

    :param problem: a clause without a full stop. It may hold secrets: the caller redacts it.
    :param advice: what to do next; a sentence.
    :param is_temporary: whether the server was not reached, or ended the connection.
    """

    def __init__(self, problem: str, advice: str = "", *, is_temporary: bool = False) -> None:
        self.problem = problem
        self.advice = advice
        self.is_temporary = is_temporary
        super().__init__(problem)


@frozen(kw_only=True)
class Limits:
    """How long and how often a server is asked, and how much it may say.

    :param timeout_s: for the connection, and for each wait for bytes.
    :param tries: how often a request is sent, at most.
    :param first_wait_s: before the second try; each further wait is twice as long, at most `longest_wait_s`.
    :param longest_wait_s: a server that asks for a longer wait (Retry-After) is given up for this time.
    :param largest_answer: in bytes.
    """

    timeout_s: float = 30.0
    tries: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    largest_answer: int = 16 * 1024 * 1024


@frozen(kw_only=True)
class Answer:
    """What a server answered.

    :param headers: by their names in lower case.
    """

    status: int
    reason: str = ""
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""


class HTTPClient:
    """Sends requests to one server.

    :param server: its URL, by https; by http only where it is on this machine.
    :param authority: a file with the certificates that are trusted; None for those of the system.
    :param wait: sleeps for so many seconds.
    :raises HTTPFailure: if the URL is refused, or the certificates cannot be read.
    """

    def __init__(
        self,
        server: str,
        *,
        authority: str | None = None,
        limits: Limits | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        _check_url(server)
        self._server = server
        self._origin = _origin(server)
        self._limits = limits or Limits()
        self._wait = wait
        timeout = urllib3.Timeout(connect=self._limits.timeout_s, read=self._limits.timeout_s)
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=1, timeout=timeout, ssl_context=_trust(authority), headers={"User-Agent": _AGENT}
        )

    def close(self) -> None:
        """Ends the connections."""
        self._pool.clear()

    def request(
        self,
        method: str,
        url: str | None = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> Answer:
        """Sends a request, again after failures that may pass, and returns the last answer, whatever its status.

        :param url: of the same server; None for the one that the client was made with.
        :param again: whether the server does the same if it gets the request twice.
        :raises HTTPFailure: if there is no answer, or if it leads elsewhere or is too large.
        """
        url = url or self._server
        if _origin(url) != self._origin:
            raise HTTPFailure(f"{_shown(url)} is another server than {_shown(self._server)}")
        tries = self._limits.tries if again else 1
        for number in range(1, tries + 1):
            answer, failed = self._once(method, url, body, headers)
            if failed is not None and (failed.is_lasting or number == tries):
                raise failed.failure
            if answer is not None and (answer.status not in TRIED_AGAIN or number == tries):
                return answer
            self._wait(self._pause(number, answer))
        raise AssertionError("the last try returns or raises")

    def _pause(self, number: int, answer: Answer | None) -> float:
        """How long to wait after a try.

        :raises HTTPFailure: if the server asks to wait longer than is waited.
        """
        longest = self._limits.longest_wait_s
        asked = None if answer is None else _retry_after(answer)
        if asked is None:
            return min(longest, self._limits.first_wait_s * 2.0 ** (number - 1))
        if asked > longest:
            raise HTTPFailure(
                f"{_shown(self._server)} asks to wait {asked:.0f} seconds",
                f"Try again then: no wait is longer than {longest:.0f} seconds.",
            )
        return asked

    def _once(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> tuple[Answer | None, _Failed | None]:
        try:
            response = self._pool.urlopen(
                method,
                url,
                body=body,
                headers={"User-Agent": _AGENT, **(headers or {})},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                return self._answer(response), None
            finally:
                response.release_conn()
        except HTTPError as e:
            return None, _failed(e, self._server)

    def _answer(self, response: urllib3.BaseHTTPResponse) -> Answer:
        largest = self._limits.largest_answer
        body = response.read(largest + 1, decode_content=False)
        if len(body) > largest:
            response.close()
            raise HTTPFailure(f"the answer of {_shown(self._server)} is larger than {largest} bytes")
        if response.status in _REDIRECTS:
            raise HTTPFailure(
                f"{_shown(self._server)} answers {response.status} and leads elsewhere, which is not followed",
                "Name the address that it leads to, if you trust it.",
            )
        return Answer(
            status=response.status,
            reason=response.reason or "",
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
        )


@frozen
class _Failed:
    """Why there is no answer.

    :param is_lasting: whether another try would fail too.
    """

    failure: HTTPFailure
    is_lasting: bool


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("retry-after")
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except InvalidHeader:
        return None


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise HTTPFailure(f"{_shown(url)} is no address of a server", "Write https://HOST/PATH.")
    if parts.username is not None or parts.password is not None:
        raise HTTPFailure(f"{_shown(url)} holds a user or a password", "Name a secret by its reference instead.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise HTTPFailure(
            f"{_shown(url)} is not encrypted", "Write https://; http is only for a server on this machine."
        )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _shown(url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _trust(authority: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else "it holds no certificates"
        raise HTTPFailure(f"the certificates of {authority} cannot be read: {reason}", "See the setting.") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _failed(error: HTTPError, server: str) -> _Failed:
    if isinstance(error, SSLError):
        cause = error.args[0] if error.args else error
        words = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
        problem = f"{_shown(server)} was not verified: {words}"
        return _Failed(HTTPFailure(problem, "Name the file of its authority, or the host that it is issued for."), True)
    problem = f"{_shown(server)} did not answer: {_words(error)}"
    return _Failed(HTTPFailure(problem, "See whether the server can be reached.", is_temporary=True), False)


def _words(error: BaseException) -> str:
    """What happened, without the address, which may hold secrets."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return {
        "ConnectTimeoutError": "there was no connection in time",
        "ReadTimeoutError": "no answer came in time",
        "NameResolutionError": "its name is not known",
    }.get(type(error).__name__, "the connection was ended")
