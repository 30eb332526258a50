"""Errors as problem details (RFC 9457), one kind for each class of errors."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Any

from attrs import frozen
from litestar import Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException
from litestar.response import Redirect, Template

from deltamark.domain import errors
from deltamark.domain.errors import DeltamarkError, Fault, exactly
from deltamark.domain.message_parts import parts_of
from deltamark.domain.secrets import masked
from deltamark.interfaces.documents import error_document, fault_document, message_document, words_of
from deltamark.interfaces.http.children import OwnRun
from deltamark.interfaces.http.reports import ReportNotFound

MEDIA_TYPE = "application/problem+json"
SIGN_IN = "/sign-in"
API = "/api/"
RETRY_AFTER_S = 5
_LOG = logging.getLogger("deltamark.http")

STATUSES: tuple[tuple[type[DeltamarkError], int], ...] = (
    (errors.RunNotFound, 404),
    (errors.StoreMissing, 404),
    (errors.ConfigurationUnknown, 404),
    (errors.NothingHeldBack, 404),
    (errors.HistoryDiscarded, 410),
    (errors.ErasedResource, 410),
    (errors.UserStartDenied, 403),
    (OwnRun, 403),
    (ReportNotFound, 404),
    (errors.CannotResume, 409),
    (errors.CannotCancel, 409),
    (errors.ConcurrentRun, 409),
    (errors.OutdatedChanges, 409),
    (errors.ConsumerMoved, 409),
    (errors.AdoptionWaits, 409),
    (errors.DecommissionWaits, 409),
    (errors.ThresholdExceeded, 409),
    (errors.RunFailed, 409),
    (errors.UsageError, 400),
    (errors.StoreUnreachable, 503),
    (errors.StoreReadOnly, 409),
    (errors.ConfigurationError, 500),
    (errors.SourceError, 502),
    (errors.SinkError, 502),
    (errors.UserTaskFailed, 500),
    (errors.StoreError, 500),
    (DeltamarkError, 500),
)
"""The status of each class of errors; the first that fits is taken."""


@frozen
class Problem:
    """A problem as it is answered.

    :param kind: the last part of its type.
    :param members: what else is known about it.
    """

    kind: str
    title: str
    status: int
    detail: str
    members: dict[str, Any]
    instance: str | None = None

    def document(self) -> dict[str, Any]:
        """The problem details."""
        return {
            "type": f"urn:deltamark:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **({} if self.instance is None else {"instance": self.instance}),
            **self.members,
        }


def status_of(error: DeltamarkError) -> int:
    """The status with which an error is answered."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))


def problem_of(error: DeltamarkError) -> Problem:
    """The problem for an error of the engine: its message, its data, and what can be done."""
    document: dict[str, Any] = dict(error_document(error))
    kind, detail = document.pop("error"), document.pop("message")
    members = {**dict(_data(error)), **document}
    return Problem(kind, " ".join(words_of(error)).capitalize(), status_of(error), detail, members)


def _data(error: DeltamarkError) -> Iterator[tuple[str, Any]]:
    for name, value in vars(error).items():
        if name in ("next_steps", "faults", "traceback", "args", "where", "advice") or name.startswith("_"):
            continue
        if isinstance(value, datetime):
            yield name, exactly(value)
        elif isinstance(value, Enum):
            yield name, value.value
        elif value is None or isinstance(value, int | float):
            yield name, value
        elif isinstance(value, str):
            yield name, masked(value)


def _answer(request: Request[Any, Any, Any], problem: Problem, headers: dict[str, str] | None = None) -> Response[Any]:
    if prefers_page(request):
        return Template(
            "problem.html",
            context={"problem": problem, "user": request.scope.get("user")},
            status_code=problem.status,
            headers=headers,
        )
    return Response(problem.document(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def prefers_page(request: Request[Any, Any, Any]) -> bool:
    """Whether a request asks for a page, not for data."""
    path = request.scope["path"]
    if path.startswith(API) or path.endswith(".json"):
        return False
    return "text/html" in request.headers.get("accept", "")


def answer_error(request: Request[Any, Any, Any], error: DeltamarkError) -> Response[Any]:
    """Answers an error that the engine raised."""
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.warning("%s %s: %s", request.method, _route(request), problem.detail)
    retry = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, errors.StoreUnreachable) else None
    return _answer(request, problem, retry)


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answers what the server itself refuses."""
    if isinstance(error, NotAuthorizedException) and request.method == "GET" and prefers_page(request):
        return Redirect(SIGN_IN, status_code=303)
    status = error.status_code
    title = HTTPStatus(status).phrase.capitalize() if status in set(HTTPStatus) else "Error"
    kind = "-".join(title.lower().split())
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in (502, 503):
        return answer_failure(request, error)
    members: dict[str, Any] = {}
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        members["faults"] = [
            fault_document("error", Fault(None, f"{fault.get('key', 'the request')}: {fault.get('message')}"))
            for fault in error.extra
            if isinstance(fault, dict)
        ]
    detail = "; ".join(fault["message"] for fault in members["faults"]) if members else str(error.detail)
    members = {**message_document(parts_of(masked(detail))), **members}
    headers = dict(error.headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _answer(request, Problem(kind, title, status, masked(detail), members), headers)


def answer_failure(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answers an error inside Deltamark: a number that is also in the log, and nothing else."""
    instance = f"urn:deltamark:failure:{secrets.token_hex(6)}"
    _LOG.error("%s %s: %s", request.method, _route(request), instance, exc_info=error)
    detail = "an error inside Deltamark; the log of the server says more beside this instance."
    return _answer(request, Problem("internal-error", "Internal error", 500, detail, {}, instance))


def _route(request: Request[Any, Any, Any]) -> str:
    """The route of a request, without the values in it."""
    return str(request.scope.get("path_template") or "an unknown route")


HANDLERS: dict[Any, Any] = {
    DeltamarkError: answer_error,
    HTTPException: answer_http_exception,
    Exception: answer_failure,
}
"""The class of an error -> what answers it."""
