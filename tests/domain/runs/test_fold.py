"""Folding events: given events, when one more happens, then this is the state."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.history.changes import LoggedChange
from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.link import Link, Linked, LinkRef, LinkSnapshot, Unlinked, fold_link
from deltamark.domain.resources.resource import (
    Change,
    Computed,
    Created,
    Deleted,
    Resource,
    ResourceRef,
    ResourceSnapshot,
    Updated,
    fold,
)
from deltamark.domain.runs.fold import fold_run
from deltamark.domain.runs.run import (
    CancelRequested,
    ChangesDiscarded,
    Counts,
    ExtractRead,
    JobRun,
    Operator,
    PlannedTask,
    Resumption,
    RowsSetAside,
    RunEnded,
    RunResumed,
    RunStarted,
    SetAside,
    TaskEnded,
    TaskProgressed,
    TaskRun,
    TaskStarted,
    Trigger,
    TriggerKind,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
ANN, SALES = ResourceRef("Person", "Ann"), ResourceRef("Team", "Sales")
MEMBER = LinkRef("Members", SALES, ANN)
WHY = Origin(run=1, task=1, line=2)


def of_ann(version):
    return {"originator_id": "7", "originator_version": version, "at": AT, "cause": WHY, "ref": ANN}


def created(version=1, **values):
    return Created(**of_ann(version), values=values)


def updated(version=2, **updates):
    return Updated(**of_ann(version), updates={name: Change(*pair) for name, pair in updates.items()})


def computed(version=2, **updates):
    return Computed(**of_ann(version), updates={name: Change(*pair) for name, pair in updates.items()})


def deleted(version=2, computed=None, **values):
    return Deleted(**of_ann(version), values=values, computed=computed or {})


def ann(version, *, live=True, computed=None, **values):
    return Resource(
        originator_id="7", version=version, ref=ANN, synchronized=values, computed=computed or {}, live=live
    )


def linked(version=1):
    return Linked(originator_id="9", originator_version=version, at=AT, cause=WHY, ref=MEMBER)


def unlinked(version=2):
    return Unlinked(originator_id="9", originator_version=version, at=AT, cause=WHY, ref=MEMBER)


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        ([], created(Mail="a@b"), ann(1, Mail="a@b")),
        ([], created(), ann(1)),
        ([created(Mail="a@b", Age=1)], updated(Mail=("a@b", "c@d")), ann(2, Mail="c@d", Age=1)),
        ([created(Mail="a@b", Age=1)], updated(Mail=("a@b", None)), ann(2, Age=1)),
        ([created(Mail="a@b")], updated(Age=(None, 0), Active=(None, False)), ann(2, Mail="a@b", Age=0, Active=False)),
        ([created(Mail="a@b")], deleted(Mail="a@b"), ann(2, live=False)),
        ([created(Mail="a@b"), deleted(Mail="a@b")], created(3, Age=5), ann(3, Age=5)),
        ([created(Mail="a@b")], computed(Team=(None, "x")), ann(2, Mail="a@b", computed={"Team": "x"})),
        ([created(), computed(Team=(None, "x"))], computed(3, Team=("x", None)), ann(3)),
        ([created(Mail="a"), computed(Mail=(None, "b"))], updated(3, Mail=("a", None)), ann(3, computed={"Mail": "b"})),
        ([created(Mail="a"), computed(Mail=(None, "b"))], computed(3, Mail=("b", None)), ann(3, Mail="a")),
        ([created(), computed(Team=(None, "x"))], deleted(3, {"Team": "x"}), ann(3, live=False)),
        ([created(), computed(Team=(None, "x")), deleted(3, {"Team": "x"})], created(4, Age=5), ann(4, Age=5)),
    ],
)
def test_a_resource_results_from_its_changes(given, when, then):
    assert fold([*given, when]) == then


def test_a_computed_value_takes_precedence():
    resource = fold([created(Mail="a@b", Age=0), computed(Mail=(None, "c@d"), Team=(None, "x"))])

    assert resource.values == {"Mail": "c@d", "Age": 0, "Team": "x"}
    assert resource.computed == {"Mail": "c@d", "Team": "x"}


@pytest.mark.parametrize(
    ("given", "when", "then"),
    [
        ([], linked(), True),
        ([linked()], unlinked(), False),
        ([linked(), unlinked()], linked(3), True),
    ],
)
def test_a_link_is_live_after_linked_and_not_after_unlinked(given, when, then):
    link = fold_link([*given, when])

    assert link == Link(originator_id="9", version=when.originator_version, ref=MEMBER, live=then)


@pytest.mark.parametrize(
    "events",
    [
        [created(Mail="a@b"), updated(Mail=("a@b", "c@d"))],
        [created(Mail="a@b"), deleted(Mail="a@b")],
        [created(Mail="a@b")],
        [created(Mail="a@b"), computed(Mail=(None, "c@d"), Team=(None, "x"))],
    ],
)
def test_folding_a_snapshot_equals_folding_the_events_it_replaced(events):
    whole = fold(events)

    snapshot = ResourceSnapshot(
        originator_id="7",
        originator_version=whole.version,
        at=AT,
        ref=ANN,
        values=whole.synchronized,
        computed=whole.computed,
        live=whole.live,
    )

    assert fold([snapshot]) == whole
    again = created(whole.version + 1, Age=1)
    assert fold([snapshot, again]) == fold([*events, again])


@pytest.mark.parametrize("live", [True, False])
def test_a_link_folds_from_a_snapshot(live):
    snapshot = LinkSnapshot(originator_id="9", originator_version=4, at=AT, ref=MEMBER, live=live)

    assert fold_link([snapshot]) == Link(originator_id="9", version=4, ref=MEMBER, live=live)


def test_folding_no_events_gives_none():
    assert (fold([]), fold_link([]), fold_run([])) == (None, None, None)


@pytest.mark.parametrize("first", [updated(1, Mail=("a", "b")), computed(1, Mail=("a", "b")), deleted(1)])
def test_a_stream_that_does_not_begin_with_a_creation_is_an_internal_error(first):
    with pytest.raises(AssertionError, match="created before"):
        fold([first])


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (created(Mail="a@b", Age=0), {"Mail": Change(None, "a@b"), "Age": Change(None, 0)}),
        (updated(Mail=("a@b", None)), {"Mail": Change("a@b", None)}),
        (computed(Team=("x", None)), {"Team": Change("x", None)}),
        (deleted(Mail="a@b"), {"Mail": Change("a@b", None)}),
        (
            deleted(2, {"Mail": "c@d", "Team": "x"}, Mail="a@b"),
            {"Mail": Change("c@d", None), "Team": Change("x", None)},
        ),
    ],
)
def test_every_change_has_values_before_and_after(event, changes):
    assert event.changes == changes


@pytest.mark.parametrize(
    "event", [created(Mail="a"), updated(Mail=("a", "b")), computed(Mail=("a", "b")), deleted(), linked(), unlinked()]
)
def test_an_event_cannot_be_altered(event):
    for name in ("originator_version", "at", "ref"):
        with pytest.raises(FrozenInstanceError):
            setattr(event, name, None)


@pytest.mark.parametrize(
    ("event", "word"),
    [
        (created(), "created"),
        (updated(), "updated"),
        (computed(), "updated"),
        (deleted(), "deleted"),
        (linked(), "linked"),
        (unlinked(), "unlinked"),
    ],
)
def test_every_change_has_its_kind(event, word):
    said = {"job": "J", "task": "T", "user": "ann", "trigger": TriggerKind.USER}

    assert LoggedChange(position=1, event=event, run=1, **said).kind == word


def test_applying_an_event_does_not_alter_the_resource_before():
    before = fold([created(Mail="a@b")])

    updated(Mail=("a@b", "c@d")).apply(before)

    assert before == ann(1, Mail="a@b")


def of_run(version):
    return {"originator_id": "3", "originator_version": version, "at": AT, "run": 5}


STARTED = RunStarted(
    **of_run(1),
    job="Nightly",
    configuration_digest="d",
    user="u",
    host="h",
    process=1,
    tasks=[
        PlannedTask(ordinal=1, identifier="Sync", kind="SynchronizeTask"),
        PlannedTask(ordinal=2, identifier="Flag", kind="F"),
    ],
)
ROW = SetAside(file="a.csv", line=3, reason="the key is empty")
READ = ExtractRead(subject="Person", file="a.csv", rows=2, digest="e")
DISCARDED = ChangesDiscarded(
    **of_run(4),
    task=1,
    connector="HR",
    entity_types=["Person"],
    first=2,
    up_to=3,
    count=2,
    digest="f",
    unread=True,
)
ENDED = TaskEnded(
    **of_run(5),
    task=1,
    state=TaskState.WARNING,
    effect=True,
    counts=Counts(read=2, inserted=1, set_aside=1),
    seconds=0.5,
    extracts=[READ],
    messages=["look"],
)


def test_a_started_run_has_all_its_tasks_pending():
    run = fold_run([STARTED])

    assert (run.number, run.job, run.state, run.ended_at) == (5, "Nightly", TaskState.RUNNING, None)
    assert [(t.identifier, t.state) for t in run.tasks] == [("Sync", TaskState.PENDING), ("Flag", TaskState.PENDING)]


def test_a_run_has_the_results_of_each_task():
    events = [
        STARTED,
        TaskStarted(**of_run(2), task=1),
        RowsSetAside(**of_run(3), task=1, rows=[ROW]),
        DISCARDED,
        ENDED,
    ]

    run = fold_run(events)

    assert run.task(1) == TaskRun(
        ordinal=1,
        identifier="Sync",
        kind="SynchronizeTask",
        state=TaskState.WARNING,
        effect=True,
        counts=Counts(read=2, inserted=1, set_aside=1),
        started_at=AT,
        ended_at=AT,
        seconds=0.5,
        extracts=(READ,),
        messages=("look",),
        discarded=(DISCARDED,),
        set_aside=(ROW,),
    )
    assert run.task(2).state is TaskState.PENDING
    assert (run.set_aside, run.version, run.state) == ((ROW,), 5, TaskState.RUNNING)


def test_a_run_has_the_progress_of_its_task_until_that_ends():
    progressed = TaskProgressed(**of_run(3), task=1, counts=Counts(read=9), words="read and compared")
    begun = [STARTED, TaskStarted(**of_run(2), task=1), progressed]

    half, whole = fold_run(begun), fold_run([*begun, ENDED])

    assert (half.task(1).state, half.task(1).counts.read) == (TaskState.RUNNING, 9)
    assert (half.task(1).progress, whole.task(1).progress) == ("read and compared", "")
    assert whole.task(1).counts == ENDED.counts


def test_a_run_has_its_trigger():
    by_schedule = evolve(STARTED, trigger=TriggerKind.SCHEDULE, due_at=AT, late=True)

    assert fold_run([STARTED]).trigger == Trigger() == Trigger(TriggerKind.USER, None, False)
    assert fold_run([by_schedule]).trigger == Trigger(TriggerKind.SCHEDULE, AT, True)


def test_a_resumed_run_repeats_some_tasks_and_keeps_the_others():
    failed = TaskEnded(**of_run(6), task=2, state=TaskState.FAILED, counts=Counts(flagged=1), messages=["no"])
    set_aside = [RowsSetAside(**of_run(3), task=1, rows=[ROW]), RowsSetAside(**of_run(4), task=2, rows=[ROW, ROW])]
    resumed = RunResumed(**of_run(8), configuration_digest="e", user="eve", host="there", process=2, again=[2])

    run = fold_run([STARTED, *set_aside, ENDED, failed, RunEnded(**of_run(7), state=TaskState.FAILED), resumed])

    assert (run.state, run.ended_at, run.configuration_digest) == (TaskState.RUNNING, None, "e")
    assert (run.task(1).state, run.task(1).set_aside) == (TaskState.WARNING, (ROW,))
    assert run.task(2) == TaskRun(ordinal=2, identifier="Flag", kind="F")
    assert (run.user, run.operator) == ("u", Operator(user="eve", host="there", process=2))
    assert run.resumed == (Resumption(at=AT, operator=run.operator, again=(2,)),)


def test_applying_held_back_changes_keeps_the_rows_set_aside():
    rows = [RowsSetAside(**of_run(n), task=n - 1, rows=[ROW]) for n in (2, 3)]
    resumed = RunResumed(
        **of_run(4), configuration_digest="e", user="eve", host="there", process=2, again=[1, 2], pending=[2]
    )

    run = fold_run([STARTED, *rows, resumed])

    assert [task.set_aside for task in run.tasks] == [(), (ROW,)]


def test_resuming_a_run_clears_the_request_to_stop():
    asked = CancelRequested(**of_run(2), user="eve", host="there", process=2)
    resumed = RunResumed(**of_run(3), configuration_digest="e", user="u", host="h", process=2, again=[1, 2])

    assert fold_run([STARTED, asked, resumed]).cancelled_by is None


def test_a_run_has_the_user_who_asked_it_to_stop():
    asked = CancelRequested(**of_run(2), user="eve", host="there", process=2)

    run = fold_run([STARTED, asked])

    assert (run.state, run.cancelled_by) == (TaskState.RUNNING, Operator(user="eve", host="there", process=2))


def test_an_ended_run_has_a_state_and_a_time():
    run = fold_run([STARTED, RunEnded(**of_run(2), state=TaskState.FAILED)])

    assert isinstance(run, JobRun)
    assert (run.state, run.ended_at) == (TaskState.FAILED, AT)


def test_the_counts_of_a_run_are_the_sums_of_its_tasks():
    flag = TaskEnded(**of_run(6), task=2, state=TaskState.COMPLETED, counts=Counts(flagged=4, set_aside=2))

    run = fold_run([STARTED, ENDED, flag])

    assert run.counts == Counts(read=2, inserted=1, set_aside=3, flagged=4)


def test_only_changes_are_counted():
    every = Counts(
        read=1, inserted=2, updated=4, deleted=8, linked=16, unlinked=32, set_aside=64, flagged=128,
        computed=256, written=512,
    )  # fmt: skip

    assert every.changed == 2 + 4 + 8 + 16 + 32
