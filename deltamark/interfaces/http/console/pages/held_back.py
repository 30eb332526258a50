"""Held back: the changes that a run did not make because a threshold was passed, and the decision about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from attrs import evolve, field, frozen
from litestar import get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import PendingChange
from deltamark.domain.history.pages import PendingPage
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.runs.run import JobRun
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.children import Runs
from deltamark.interfaces.http.console.pages.answers import ROWS, Form, number_in, page, refuse_partial_sight
from deltamark.interfaces.http.console.pages.overview import why_held_back
from deltamark.interfaces.http.console.pages.reports import ShownReport, shown_report
from deltamark.interfaces.http.dependencies import TheEngine, TheReports, TheRuns, TheUser
from deltamark.interfaces.http.reports import ReportKind, Reports
from deltamark.interfaces.http.users import Role, User

KINDS = ("deleted", "updated", "created", "unlinked", "linked")
"""The kinds of changes in the order of their danger."""

SAMPLES = 10
"""So many changes of each kind are shown together; of one kind alone, a page of them."""

_RUNS_BEFORE = 10


@frozen(kw_only=True)
class HeldChange:
    """A change that was held back.

    :param links: how many links go with a resource that would be deleted.
    """

    change: PendingChange
    links: int = 0


@frozen(kw_only=True)
class HeldKind:
    """Some changes of one kind.

    :param count: how many there are of the type that is asked for; None where a key is asked for.
    :param after: where the next part begins; None at the end.
    """

    kind: str
    count: int | None
    rows: tuple[HeldChange, ...] = field(converter=as_tuple)
    after: int | None


@frozen(kw_only=True)
class Before:
    """What a task did in the runs before: how many, and the least and most resources that it deleted."""

    runs: int
    least: int
    most: int


@frozen(kw_only=True)
class Held:
    """What a reviewer sees of a run.

    :param counts: kind -> how many changes, without filters; `types`: entity type -> how many, of links at either end.
    :param may_not: why this user may not decide; empty where they may.
    :param fault: why a decision was refused just now; `reason` what was written then.
    """

    run: JobRun
    messages: tuple[str, ...] = field(converter=as_tuple)
    before: Before | None
    counts: Mapping[str, int]
    kinds: tuple[HeldKind, ...] = field(converter=as_tuple)
    kind: str
    type: str
    key: str
    types: Mapping[str, int]
    may_not: str
    fault: str = ""
    reason: str = ""

    @property
    def count(self) -> int:
        """How many changes are held back."""
        return sum(self.counts.values())


def held_of(
    engine: Engine,
    number: int,
    user: User,
    runs: Runs,
    *,
    kind: str = "",
    entity_type: str = "",
    key: str = "",
    after: int = 0,
) -> Held:
    """What a reviewer sees of a run: counts, and samples of each kind or a page of one."""
    run = engine.run(number, with_rows=False)
    counts: Counter[str] = Counter()
    of_type: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for each in engine.pending_counts(number) if run.state is TaskState.BLOCKED else ():
        counts[each.kind] += each.count
        for name in set(each.entity_types):
            types[name] += each.count if kind in ("", each.kind) else 0
        of_type[each.kind] += each.count if entity_type in ("", *each.entity_types) else 0
    kinds = []
    for name in KINDS:
        if kind in ("", name) and of_type[name]:
            found = engine.pending_page(
                number,
                after=after,
                limit=ROWS if kind else SAMPLES,
                kind=name,
                entity_type=entity_type or None,
                key=key or None,
            )
            if found.changes:
                kinds.append(_kind(engine, name, found, None if key else of_type[name]))
    return Held(
        run=run,
        messages=why_held_back(engine, number),
        before=_before(engine, run),
        counts={name: counts[name] for name in KINDS},
        kinds=kinds,
        kind=kind,
        type=entity_type,
        key=key,
        types=types,
        may_not=may_not_decide(run, user, runs),
    )


def _kind(engine: Engine, kind: str, found: PendingPage, count: int | None) -> HeldKind:
    rows = [HeldChange(change=change, links=_links(engine, change)) for change in found.changes]
    return HeldKind(kind=kind, count=count, rows=rows, after=found.next)


def _links(engine: Engine, change: PendingChange) -> int:
    ref = change.event.ref
    if change.kind != "deleted" or not isinstance(ref, ResourceRef):
        return 0
    return len(engine.links(ref.entity_type, ref.key))


def _before(engine: Engine, run: JobRun) -> Before | None:
    """What the same job deleted in the runs before that ended."""
    earlier = engine.runs(before=run.number, job=run.job, limit=_RUNS_BEFORE)
    deleted = [other.counts.deleted for other in earlier if other.ended_at is not None]
    return Before(runs=len(deleted), least=min(deleted), most=max(deleted)) if deleted else None


def may_not_decide(run: JobRun, user: User, runs: Runs) -> str:
    """Why a user may not decide about what a run holds back; empty where they may."""
    if run.state is not TaskState.BLOCKED:
        return f"Run {run.number} is {run.state.value}: nothing of it waits for a decision."
    if not user.may(Role.REVIEWER):
        return f"A reviewer decides about this. You have the role {user.role.value}."
    if not runs.may_decide(run, user):
        return "You started or resumed this run, so another person must decide."
    return ""


@get("/held/{number:int}", opt={ROLE: Role.REVIEWER}, sync_to_thread=True)
def held(
    engine: TheEngine,
    user: TheUser,
    runs: TheRuns,
    reports: TheReports,
    number: FromPath[int],
    kind: FromQuery[str] = "",
    type: FromQuery[str] = "",  # noqa: A002, the name in the address
    key: FromQuery[str] = "",
    after: FromQuery[str] = "",
) -> Template:
    """What a run holds back."""
    shown = held_of(
        engine,
        number,
        user,
        runs,
        kind=kind,
        entity_type=type,
        key=key,
        after=number_in(after, "the number of a row") or 0,
    )
    return page("held.html", engine, user, "Runs", shown=shown, effect=_effect(reports, number))


@post("/held/{number:int}", opt={ROLE: Role.REVIEWER}, sync_to_thread=True)
def decide(
    engine: TheEngine, user: TheUser, runs: TheRuns, reports: TheReports, number: FromPath[int], data: Form
) -> Redirect | Template:
    """Accepts or drops what a run holds back, if it is what the form shows."""
    refuse_partial_sight(user)
    run = engine.run(number, with_rows=False)
    fault = _outdated(run, data) or _fault(engine, run, data)
    if fault:
        shown = held_of(engine, number, user, runs)
        shown = evolve(shown, fault=fault, reason=data.get("reason", ""))
        status = 412 if _outdated(run, data) else 400
        return page("held.html", engine, user, "Runs", status_code=status, shown=shown, effect=_effect(reports, number))
    do = runs.accept if data["deed"] == "accept" else runs.drop
    do(number, user, reason=data["reason"].strip())
    return Redirect(f"/runs/{number}", status_code=303)


def _effect(reports: Reports, number: int) -> ShownReport | None:
    """What accepting would do, as it was tried last."""
    report = reports.newest(ReportKind.EFFECT, str(number))
    return None if report is None else shown_report(report)


def _outdated(run: JobRun, form: Mapping[str, str]) -> str:
    """That somebody decided since the form was made; empty where nobody did."""
    if run.state is not TaskState.BLOCKED or str(run.version) != form.get("version"):
        return (
            f"Somebody decided about run {run.number} since this page was made: it is {run.state.value} now. "
            "Nothing was done by you. Look at it again."
        )
    return ""


def _fault(engine: Engine, run: JobRun, form: Mapping[str, str]) -> str:
    """Why a decision is not carried out; empty where it is."""
    held_back = sum(each.count for each in engine.pending_counts(run.number))
    if form.get("count", "").strip().replace(",", "") != str(held_back):
        return f"To confirm, repeat the number of changes: {held_back}. Nothing was done."
    if not form.get("reason", "").strip():
        return "Say why: it goes on record with your name. Nothing was done."
    if form.get("deed") not in ("accept", "drop"):
        return "Choose to accept the changes or to drop them. Nothing was done."
    return ""


ROUTES = (held, decide)
