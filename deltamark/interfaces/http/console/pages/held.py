"""Held back: the changes that a run did not make because a threshold was passed, and the decision about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

from attrs import field, frozen
from litestar import get
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import PendingChange
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.runs.run import JobRun
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import ROWS, number_in, page
from deltamark.interfaces.http.console.pages.overview import why_held_back
from deltamark.interfaces.http.given import TheEngine, TheSettings, TheUser
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
    """Some changes of one kind, and how many there are that the filters admit.

    :param after: where the next part begins; None at the end.
    """

    kind: str
    count: int
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

    :param counts: kind -> how many changes, without filters.
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
    types: tuple[str, ...] = field(converter=as_tuple)
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
    *,
    kind: str = "",
    entity_type: str = "",
    key: str = "",
    after: int = 0,
    four_eyes: bool = False,
) -> Held:
    """What a reviewer sees of a run: counts, and samples of each kind or a page of one."""
    run = engine.run(number, with_rows=False)
    counts = Counter(change.kind for change in engine.pending(number))
    admitted = engine.pending(number, entity_type=entity_type or None, key=key or None)
    by_kind: dict[str, list[PendingChange]] = {name: [] for name in KINDS if kind in ("", name)}
    for change in admitted:
        if change.kind in by_kind:
            by_kind[change.kind].append(change)
    most = ROWS if kind else SAMPLES
    return Held(
        run=run,
        messages=why_held_back(engine, number),
        before=_before(engine, run),
        counts={name: counts[name] for name in KINDS},
        kinds=[_kind(engine, name, changes, after, most) for name, changes in by_kind.items() if changes],
        kind=kind,
        type=entity_type,
        key=key,
        types=[each.identifier for each in engine.configuration.entity_types],
        may_not=may_not_decide(run, user, four_eyes=four_eyes),
    )


def _kind(engine: Engine, kind: str, changes: Sequence[PendingChange], after: int, most: int) -> HeldKind:
    shown = list(islice(changes, after, after + most))
    return HeldKind(
        kind=kind,
        count=len(changes),
        rows=[HeldChange(change=change, links=_links(engine, change)) for change in shown],
        after=after + most if len(changes) > after + most else None,
    )


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


def may_not_decide(run: JobRun, user: User, *, four_eyes: bool) -> str:
    """Why a user may not decide about what a run holds back; empty where they may."""
    if run.state is not TaskState.BLOCKED:
        return f"Run {run.number} is {run.state.value}: nothing of it waits for a decision."
    if not user.may(Role.REVIEWER):
        return f"A reviewer decides about this. You have the role {user.role.value}."
    involved = {name for operator in (run.starter, run.operator) for name in (operator.by, operator.user) if name}
    if four_eyes and user.name in involved:
        return "You started or resumed this run, so another person must decide."
    return ""


@get("/held/{number:int}", opt={ROLE: Role.REVIEWER}, sync_to_thread=True)
def held(
    engine: TheEngine,
    user: TheUser,
    settings: TheSettings,
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
        kind=kind,
        entity_type=type,
        key=key,
        after=number_in(after, "the number of a row") or 0,
        four_eyes=settings.four_eyes,
    )
    return page("held.html", engine, user, "Runs", shown=shown)


ROUTES = (held,)
