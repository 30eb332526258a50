"""Routes about runs: what they did, what they hold back; they start, resume, stop and decide."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Any, TypedDict

import msgspec
import orjson
from litestar import Request, Response, get, post
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.history.changes import ChangeKind
from deltamark.domain.runs.run import JobRun
from deltamark.interfaces.document_types import ChangeDocument, RunDocument, SetAsideDocument
from deltamark.interfaces.documents import change_document, run_document, set_aside_document
from deltamark.interfaces.http.api.parameters import (
    LARGEST,
    Limit,
    RunNumber,
    SomeEntityType,
    SomeFormat,
    SomeKey,
    SomeNumber,
    SomeRaw,
    refuse_unseen,
    sees_change,
)
from deltamark.interfaces.http.api.state import READER, is_raw, streamed
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.dependencies import TheDownloads, TheEngine, TheHub, TheIdempotency, TheRuns, TheUser
from deltamark.interfaces.http.formats import FORMS, Document, Form, Rows, form_of
from deltamark.interfaces.http.live import followed
from deltamark.interfaces.http.masks import masked_run
from deltamark.interfaces.http.users import Role, User

OPERATOR = {ROLE: Role.OPERATOR}
REVIEWER = {ROLE: Role.REVIEWER}
HELD_COLUMNS = ("change", "entity_type", "key", "association", "other_entity_type", "other_key", "changes", "task")


class RunsPage(TypedDict):
    """Some runs, newest first: `next` is the `before` of the next page."""

    runs: list[RunDocument]
    next: int | None


class SetAsidePageDocument(TypedDict):
    """Some rows that a run set aside: `next` is the `after` of the next page."""

    rows: list[SetAsideDocument]
    next: int | None


class HeldPage(TypedDict):
    """Some changes that a run holds back: `next` is the `after` of the next page."""

    changes: list[ChangeDocument]
    next: int | None


class HeldCount(TypedDict):
    """How many changes of a kind a run holds back."""

    task: str
    change: str
    subject: str
    count: int


class NewRun(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A run to start. `force` ignores thresholds, and is for administrators."""

    job: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    force: bool = False
    reason: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None


class Stated(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why something is done; it is recorded."""

    reason: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None


class Decision(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why held-back changes are accepted or dropped; it is recorded."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]


class PreconditionFailed(HTTPException):
    """A run is not any more as it was seen."""

    status_code = 412


class PreconditionRequired(HTTPException):
    """A request does not say which state of a run it is about."""

    status_code = 428


def version_of(run: JobRun) -> str:
    """The version of a run as an `ETag`: another one when its state or its operators change."""
    state = [run.number, run.state.value, len(run.resumed), run.cancelled_by is not None]
    return f'"{sha256(orjson.dumps(state)).hexdigest()[:16]}"'


def check_version(run: JobRun, given: str | None) -> None:
    """Refuses what is about another state of a run.

    :raises PreconditionRequired: if no version is given.
    :raises PreconditionFailed: if it is another one.
    """
    if given is None:
        raise PreconditionRequired(
            "send If-Match with the ETag of the run, so that what you saw is what you decide about."
        )
    if given != version_of(run):
        raise PreconditionFailed(f"run {run.number} is {run.state.value} now, and not as it was seen. Read it again.")


IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", description="The ETag of the run.")]


@get("/runs", opt=READER, sync_to_thread=True)
def runs(
    engine: TheEngine,
    user: TheUser,
    before: SomeNumber = None,
    job: Annotated[str | None, QueryParameter(description="Only of a job.")] = None,
    in_state: Annotated[TaskState | None, QueryParameter(name="state", description="Only in a state.")] = None,
    limit: Limit = 50,
) -> RunsPage:
    """The runs, newest first."""
    found = list(engine.runs(before=before, job=job, state=in_state and in_state.value, limit=limit + 1))
    page = found[:limit]
    documents = [run_document(_seen_run(user, run)) for run in page]
    return {"runs": documents, "next": page[-1].number if len(found) > limit else None}


def _seen_run(user: User, run: JobRun) -> JobRun:
    """A run as a user may see it: what its tasks say may quote values of any type."""
    return run if user.entity_types is None else masked_run(run)


@get("/runs/{number:int}", opt=READER, sync_to_thread=True)
def one_run(engine: TheEngine, user: TheUser, number: RunNumber) -> Response[RunDocument]:
    """One run with its tasks. Its `ETag` is the version that decisions about it name."""
    found = engine.run(number, with_rows=False)
    return Response(
        run_document(_seen_run(user, found)), headers={"ETag": version_of(found), "Cache-Control": "no-store"}
    )


@get("/runs/{number:int}/stream", opt={**READER, FORMS: ("event-stream",)})
async def run_stream(engine: TheEngine, user: TheUser, hub: TheHub, number: RunNumber) -> Stream:
    """One run as it goes on, as server-sent events: the whole document whenever it changed.

    Event `ended` comes after the last one, and the stream ends.
    """
    await asyncio.to_thread(engine.run, number, with_rows=False)  # refuses what does not exist before it begins

    def part() -> tuple[str, bool]:
        run = engine.run(number, with_rows=False)
        return orjson.dumps(run_document(_seen_run(user, run))).decode(), run.state is not TaskState.RUNNING

    return followed(hub, part)


@get("/runs/{number:int}/set-aside", opt=READER, sync_to_thread=True)
def set_aside(
    engine: TheEngine,
    user: TheUser,
    number: RunNumber,
    after: Annotated[int, QueryParameter(ge=0, le=LARGEST, description="`next` of the page before.")] = 0,
    limit: Limit = 100,
) -> SetAsidePageDocument:
    """The rows that a run set aside. They hold values of any type: who may see only some types may not see them."""
    refuse_unseen(user, None)
    page = engine.set_aside(number, after=after, limit=limit)
    return {"rows": [set_aside_document(row.row) for row in page.rows], "next": page.next}


@get("/runs/{number:int}/held", opt={**REVIEWER, FORMS: ("jsonl", "csv")}, sync_to_thread=True)
def held(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    downloads: TheDownloads,
    number: RunNumber,
    kind: Annotated[ChangeKind | None, QueryParameter(description="Only changes of a kind.")] = None,
    entity_type: SomeEntityType = None,
    key: SomeKey = None,
    after: Annotated[int, QueryParameter(ge=0, le=LARGEST, description="`next` of the page before.")] = 0,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[HeldPage]:
    """The changes that a run holds back: a page as JSON, or all of them as JSON lines or CSV."""
    if entity_type is not None:
        refuse_unseen(user, entity_type)
    form = form_of(request, with_arrow=False)
    named: dict[str, Any] = {"kind": kind and kind.value, "entity_type": entity_type, "key": key}
    page = engine.pending_page(number, after=after, limit=limit, **named)
    if form is Form.JSON:
        visible = [change_document(change) for change in page.changes if sees_change(user, change)]
        return Response({"changes": visible, "next": page.next})

    def documents() -> Iterator[Document]:
        found, place = page, after
        while True:
            yield from (change_document(change) for change in found.changes if sees_change(user, change))
            if found.next is None:
                return
            place = found.next
            found = engine.pending_page(number, after=place, limit=limit, **named)

    return streamed(downloads.answer(Rows(documents=documents, columns=HELD_COLUMNS), form, raw=is_raw(request)))


@get("/runs/{number:int}/held/counts", opt=REVIEWER, sync_to_thread=True)
def held_counts(engine: TheEngine, user: TheUser, number: RunNumber) -> list[HeldCount]:
    """How many changes of each kind a run holds back."""
    return [
        {"task": found.task, "change": found.kind, "subject": found.subject, "count": found.count}
        for found in engine.pending_counts(number)
        if all(map(user.sees, found.entity_types))
    ]


@post("/runs", opt=OPERATOR, sync_to_thread=True, status_code=202)
def start(
    engine: TheEngine,
    user: TheUser,
    runs: TheRuns,
    idempotency: TheIdempotency,
    data: JSONBody[NewRun],
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(name="Idempotency-Key", max_length=200, description="Sent again, the request starts nothing."),
    ] = None,
) -> Response[RunDocument]:
    """Starts a run as a process of its own, and answers when it has begun."""
    if data.force and not user.may(Role.ADMIN):
        raise PermissionDeniedException("only an administrator may ignore thresholds.")

    def begin() -> JobRun:
        return runs.start(data.job, user, reason=data.reason, force=data.force)

    number = begin().number if idempotency_key is None else idempotency.once(user, idempotency_key, data, begin)
    return _answered(user, engine.run(number, with_rows=False))


def _answered(user: User, run: JobRun) -> Response[RunDocument]:
    """A run that was started or decided about, as the user may see it."""
    headers = {"Location": f"/api/v1/runs/{run.number}", "ETag": version_of(run)}
    return Response(run_document(_seen_run(user, run)), status_code=202, headers=headers)


@post("/runs/{number:int}/resume", opt=OPERATOR, sync_to_thread=True, status_code=202)
def resume(
    engine: TheEngine, user: TheUser, runs: TheRuns, number: RunNumber, data: JSONBody[Stated], if_match: IfMatch = None
) -> Response[RunDocument]:
    """Resumes a run. One that holds changes back is for reviewers: they accept."""
    record = engine.run(number, with_rows=False)
    check_version(record, if_match)
    _refuse_decision(record, user)
    return _answered(user, runs.resume(number, user, reason=data.reason))


@post("/runs/{number:int}/cancel", opt=OPERATOR, sync_to_thread=True, status_code=202)
def cancel(
    engine: TheEngine, user: TheUser, runs: TheRuns, number: RunNumber, data: JSONBody[Stated], if_match: IfMatch = None
) -> Response[RunDocument]:
    """Asks a run to stop. One that holds changes back is for reviewers: they drop."""
    record = engine.run(number, with_rows=False)
    check_version(record, if_match)
    _refuse_decision(record, user)
    return _answered(user, runs.cancel(number, user, reason=data.reason))


def _refuse_decision(run: JobRun, user: User) -> None:
    """Leaves what a run holds back to reviewers.

    :raises PermissionDeniedException: if it holds something back, and the user is none.
    """
    if run.state is TaskState.BLOCKED:
        _refuse_partial_sight(user)
    if run.state is TaskState.BLOCKED and not user.may(Role.REVIEWER):
        raise PermissionDeniedException(f"run {run.number} holds changes back: a reviewer accepts or drops them.")


@post("/runs/{number:int}/held/accept", opt=REVIEWER, sync_to_thread=True, status_code=202)
def accept(
    engine: TheEngine,
    user: TheUser,
    runs: TheRuns,
    number: RunNumber,
    data: JSONBody[Decision],
    if_match: IfMatch = None,
) -> Response[RunDocument]:
    """Applies what a run holds back, exactly."""
    _refuse_partial_sight(user)
    check_version(engine.run(number, with_rows=False), if_match)
    return _answered(user, runs.accept(number, user, reason=data.reason))


@post("/runs/{number:int}/held/drop", opt=REVIEWER, sync_to_thread=True, status_code=202)
def drop(
    engine: TheEngine,
    user: TheUser,
    runs: TheRuns,
    number: RunNumber,
    data: JSONBody[Decision],
    if_match: IfMatch = None,
) -> Response[RunDocument]:
    """Drops what a run holds back."""
    _refuse_partial_sight(user)
    check_version(engine.run(number, with_rows=False), if_match)
    return _answered(user, runs.drop(number, user, reason=data.reason))


def _refuse_partial_sight(user: User) -> None:
    """Nobody decides about changes that they may not see."""
    refuse_unseen(user, None)


ROUTES = (runs, one_run, run_stream, set_aside, held, held_counts, start, resume, cancel, accept, drop)
"""Its routes."""
