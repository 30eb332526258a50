"""What takes long: verifications, dry runs, and what accepting held-back changes would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from attrs import field, frozen
from litestar import get, post
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath
from litestar.response import Redirect, Stream, Template

from deltamark.application.lookup import job_named
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import NothingHeldBack
from deltamark.domain.fields import as_tuple
from deltamark.interfaces.http.api.reports import FAULTY, changes_of, run_of
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import ROWS, Form, page, refuse_partial_sight
from deltamark.interfaces.http.console.rendering import render
from deltamark.interfaces.http.dependencies import TheEngine, TheHub, TheReports, TheUser
from deltamark.interfaces.http.live import followed
from deltamark.interfaces.http.reports import Report, ReportKind
from deltamark.interfaces.http.users import Role, User

_COUNTS = (
    "inserted", "updated", "deleted", "linked", "unlinked", "set_aside", "flagged", "computed", "executed", "written",
)  # fmt: skip
_ROLES = {
    ReportKind.VERIFICATION: Role.READER,
    ReportKind.DRY_RUN: Role.OPERATOR,
    ReportKind.EFFECT: Role.REVIEWER,
}


@frozen(kw_only=True)
class ShownReport:
    """A report as pages show it.

    :param says: what its process said, by lines; of a dry run only where it failed.
    :param tasks: what each task would do, of a dry run; `counts` are those that are not 0 everywhere.
    :param findings: what a verification found: of what, and what is wrong.
    """

    identifier: str
    subject: str
    state: str
    asked_by: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float
    is_going_on: bool
    progress: tuple[int, int] | None
    says: tuple[str, ...] = field(converter=as_tuple)
    tasks: tuple[Mapping[str, Any], ...] = field(converter=as_tuple, default=())
    counts: tuple[str, ...] = field(converter=as_tuple, default=())
    findings: tuple[tuple[str, str], ...] = field(converter=as_tuple, default=())


def shown_report(report: Report) -> ShownReport:
    """A report as pages show it."""
    is_verification = report.kind is ReportKind.VERIFICATION
    run = None if is_verification else run_of(report)
    has_failed = report.status not in (0, FAULTY) if is_verification else run is None
    tasks: Sequence[Mapping[str, Any]] = [] if run is None else run["tasks"]
    found = report.status == FAULTY and is_verification
    return ShownReport(
        identifier=report.identifier,
        subject=report.subject,
        state="running" if report.is_going_on else "failed" if has_failed else "warning" if found else "completed",
        asked_by=report.asked_by,
        started_at=report.started_at,
        ended_at=report.ended_at,
        seconds=((report.ended_at or datetime.now(UTC)) - report.started_at).total_seconds(),
        is_going_on=report.is_going_on,
        progress=report.progress if report.is_going_on else None,
        says=report.words.splitlines() if not report.is_going_on and (is_verification or has_failed) else (),
        tasks=tasks,
        counts=[name for name in _COUNTS if any(task[name] for task in tasks)],
        findings=list(islice(_findings(report), ROWS)) if found else (),
    )


def _findings(report: Report) -> Iterator[tuple[str, str]]:
    for document in report.documents():
        if "problem" in document:
            yield document["subject"], document["problem"]
        else:
            name = document.get("property") or document.get("rule")
            wrong = f"{name} is {document['stored']}, and computed again {document['recomputed']}"
            yield f"{document['entity_type']} {document['key']}", wrong


@get("/reports/{identifier:str}/live", opt={ROLE: Role.READER})
async def live(user: TheUser, hub: TheHub, reports: TheReports, identifier: FromPath[str]) -> Stream:
    """A report while it is made: its part of a page, whenever that changed, until it is done."""
    refuse_partial_sight(user)
    report = reports.of(identifier)
    _refuse_other_roles(report, user)
    return followed(hub, lambda: (render("_report.html", report=shown_report(report)), not report.is_going_on))


def _refuse_other_roles(report: Report, user: User) -> None:
    if not user.may(_ROLES[report.kind]):
        raise PermissionDeniedException(f"this is for the role {_ROLES[report.kind].value}.")


@post("/verifications", opt={ROLE: Role.OPERATOR}, sync_to_thread=True)
def verify(user: TheUser, reports: TheReports, data: Form) -> Redirect:
    """Begins to verify the log and the state, or derived values."""
    refuse_partial_sight(user)
    reports.verify(user, derived=data.get("what") == "derived")
    return Redirect("/integrity", status_code=303)


@post("/held/{number:int}/effect", opt={ROLE: Role.REVIEWER}, sync_to_thread=True)
def try_effect(engine: TheEngine, user: TheUser, reports: TheReports, number: FromPath[int]) -> Redirect:
    """Begins to try what accepting would do."""
    refuse_partial_sight(user)
    if engine.run(number, with_rows=False).state is not TaskState.BLOCKED:
        raise NothingHeldBack(number)
    reports.effect(number, user)
    return Redirect(f"/held/{number}#effect", status_code=303)


@post("/dry-runs", opt={ROLE: Role.OPERATOR}, sync_to_thread=True)
def try_job(engine: TheEngine, user: TheUser, reports: TheReports, data: Form) -> Redirect:
    """Begins to try a job."""
    refuse_partial_sight(user)
    job = job_named(data.get("job", ""), engine.configuration).identifier
    return Redirect(f"/dry-runs/{reports.dry_run(job, user).identifier}", status_code=303)


@get("/dry-runs/{identifier:str}", opt={ROLE: Role.OPERATOR}, sync_to_thread=True)
def dry_run(engine: TheEngine, user: TheUser, reports: TheReports, identifier: FromPath[str]) -> Template:
    """A dry run."""
    report = reports.report(ReportKind.DRY_RUN, identifier)
    changes = [] if report.is_going_on else list(islice(changes_of(report), ROWS))
    return page("dry_run.html", engine, user, "Runs", report=shown_report(report), changes=changes)


ROUTES = (live, verify, try_effect, try_job, dry_run)
