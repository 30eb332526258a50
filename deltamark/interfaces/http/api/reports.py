"""Routes about verifications, dry runs, and what accepting held-back changes would do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, TypedDict

import msgspec
from litestar import Request, Response, get, post
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.params import FromPath, JSONBody, QueryParameter

from deltamark.application.lookup import job_named
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import NothingHeldBack
from deltamark.interfaces.documents import time_of
from deltamark.interfaces.http.api.parameters import LARGEST, Limit, RunNumber, SomeFormat, SomeRaw, refuse_unseen
from deltamark.interfaces.http.api.runs import HELD_COLUMNS, OPERATOR, REVIEWER
from deltamark.interfaces.http.api.state import READER, is_raw, streamed
from deltamark.interfaces.http.dependencies import TheDownloads, TheEngine, TheReports, TheUser
from deltamark.interfaces.http.formats import FORMS, Document, Form, Rows, form_of
from deltamark.interfaces.http.reports import Report, ReportKind
from deltamark.interfaces.http.users import Role

_SHOWN = 100


class ProgressDocument(TypedDict):
    """How much is done, of how much."""

    done: int
    total: int


class ReportDocument(TypedDict):
    """A report that takes long. `state` is running, done or failed; `says` is what was said about it."""

    id: str
    kind: str
    subject: str
    state: str
    asked_by: str
    started_at: str
    ended_at: str | None
    progress: ProgressDocument | None
    says: str


class VerificationDocument(ReportDocument):
    """A verification. `is_sound` is null until it is done; `findings` are the first of the faults."""

    is_sound: bool | None
    findings: list[dict[str, Any]]


class DryRunDocument(ReportDocument):
    """A dry run. `run` is the record that the run would have, when it is done."""

    run: dict[str, Any] | None


class DryRunChanges(TypedDict):
    """Some changes of a dry run: `next` is the `after` of the next page."""

    changes: list[dict[str, Any]]
    next: int | None


class NewVerification(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is verified: the log and the state, or derived values, of `sample` resources of each type."""

    derived: bool = False
    sample: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)] | None = None


class NewDryRun(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A job to try. `force` ignores thresholds, and is for administrators."""

    job: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    force: bool = False


def report_document(report: Report) -> ReportDocument:
    """A report, without what it found."""
    progress = report.progress
    failed = report.kind is ReportKind.VERIFICATION and report.status not in (0, FAULTY)
    failed = failed or (
        report.kind is not ReportKind.VERIFICATION and not report.is_going_on and run_of(report) is None
    )
    return {
        "id": report.identifier,
        "kind": report.kind.value,
        "subject": report.subject,
        "state": "running" if report.is_going_on else "failed" if failed else "done",
        "asked_by": report.asked_by,
        "started_at": time_of(report.started_at) or "",
        "ended_at": time_of(report.ended_at),
        "progress": None if progress is None else {"done": progress[0], "total": progress[1]},
        "says": report.words,
    }


FAULTY = 4
"""The exit status of `deltamark verify` that found faults."""


def run_of(report: Report) -> dict[str, Any] | None:
    """The record of a dry run: the last row; None until there is one."""
    last = None
    for document in () if report.is_going_on else report.documents():
        last = document
    return last if last is not None and last.get("dry_run") else None


def changes_of(report: Report) -> Iterator[dict[str, Any]]:
    """The changes that a dry run would have made, then those that it would have held back."""
    return (document for document in report.documents() if "dry_run" not in document)


def _verification(report: Report) -> VerificationDocument:
    document = report_document(report)
    return {
        **document,
        "is_sound": report.status == 0 if document["state"] == "done" else None,
        "findings": list(islice(report.documents(), _SHOWN)),
    }


def _dry_run(report: Report) -> DryRunDocument:
    return {**report_document(report), "run": run_of(report)}


def _accepted(document: Any, place: str) -> Response[Any]:
    return Response(document, status_code=202, headers={"Location": f"/api/v1/{place}"})


@get("/verifications", opt=READER, sync_to_thread=True)
def verifications(user: TheUser, reports: TheReports) -> list[VerificationDocument]:
    """The verifications that this server made, newest first."""
    refuse_unseen(user, None)
    return [_verification(report) for report in reports.all(ReportKind.VERIFICATION)]


@get("/verifications/{identifier:str}", opt=READER, sync_to_thread=True)
def verification(user: TheUser, reports: TheReports, identifier: FromPath[str]) -> VerificationDocument:
    """One verification."""
    refuse_unseen(user, None)
    return _verification(reports.report(ReportKind.VERIFICATION, identifier))


@post("/verifications", opt=OPERATOR, sync_to_thread=True, status_code=202)
def verify(user: TheUser, reports: TheReports, data: JSONBody[NewVerification]) -> Response[VerificationDocument]:
    """Begins to verify the log and the state, or derived values. It reads all of them, in a process of its own."""
    refuse_unseen(user, None)
    report = reports.verify(user, derived=data.derived, sample=data.sample)
    return _accepted(_verification(report), f"verifications/{report.identifier}")


@post("/dry-runs", opt=OPERATOR, sync_to_thread=True, status_code=202)
def begin_dry_run(
    engine: TheEngine, user: TheUser, reports: TheReports, data: JSONBody[NewDryRun]
) -> Response[DryRunDocument]:
    """Begins to try a job: everything is done and then undone. Meanwhile nothing else can write."""
    refuse_unseen(user, None)
    if data.force and not user.may(Role.ADMIN):
        raise PermissionDeniedException("only an administrator may ignore thresholds.")
    job_named(data.job, engine.configuration)
    report = reports.dry_run(data.job, user, force=data.force)
    return _accepted(_dry_run(report), f"dry-runs/{report.identifier}")


@get("/dry-runs/{identifier:str}", opt=OPERATOR, sync_to_thread=True)
def dry_run(user: TheUser, reports: TheReports, identifier: FromPath[str]) -> DryRunDocument:
    """A dry run."""
    refuse_unseen(user, None)
    return _dry_run(reports.report(ReportKind.DRY_RUN, identifier))


@get("/dry-runs/{identifier:str}/changes", opt={**OPERATOR, FORMS: ("jsonl", "csv")}, sync_to_thread=True)
def dry_run_changes(
    request: Request[Any, Any, Any],
    user: TheUser,
    reports: TheReports,
    downloads: TheDownloads,
    identifier: FromPath[str],
    after: Annotated[int, QueryParameter(ge=0, le=LARGEST, description="`next` of the page before.")] = 0,
    limit: Limit = 100,
    answer_format: SomeFormat = None,
    raw: SomeRaw = None,
) -> Response[DryRunChanges]:
    """The changes that a dry run would have made, then those (without a position) that it would have held back."""
    refuse_unseen(user, None)
    report = reports.report(ReportKind.DRY_RUN, identifier)
    form = form_of(request, with_arrow=False)
    if form is Form.JSON:
        page = list(islice(changes_of(report), after, after + limit + 1)) if after < LARGEST - limit else []
        return Response({"changes": page[:limit], "next": after + limit if len(page) > limit else None})

    def documents() -> Iterator[Document]:
        return changes_of(report)

    return streamed(downloads.answer(Rows(documents=documents, columns=HELD_COLUMNS), form, raw=is_raw(request)))


@post("/runs/{number:int}/held/effect", opt=REVIEWER, sync_to_thread=True, status_code=202)
def begin_effect(engine: TheEngine, user: TheUser, reports: TheReports, number: RunNumber) -> Response[DryRunDocument]:
    """Begins to try what accepting would do: the run is resumed, which is undone. Meanwhile nothing else can write."""
    refuse_unseen(user, None)
    if engine.run(number, with_rows=False).state is not TaskState.BLOCKED:
        raise NothingHeldBack(number)
    return _accepted(_dry_run(reports.effect(number, user)), f"runs/{number}/held/effect")


@get("/runs/{number:int}/held/effect", opt=REVIEWER, sync_to_thread=True)
def effect(engine: TheEngine, user: TheUser, reports: TheReports, number: RunNumber) -> DryRunDocument:
    """What accepting would do to what is computed, as it was tried last."""
    refuse_unseen(user, None)
    engine.run(number, with_rows=False)
    found = reports.newest(ReportKind.EFFECT, str(number))
    if found is None:
        raise NotFoundException("that was not tried. Begin with POST.")
    return _dry_run(found)


ROUTES = (
    verifications, verification, verify, begin_dry_run, dry_run, dry_run_changes, begin_effect, effect,
)  # fmt: skip
"""Its routes."""
