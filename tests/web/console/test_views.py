"""What pages ask the engine, and what they make of its answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import RunMoment
from deltamark.domain.resources.resource import ResourceRef
from deltamark.engine import Engine
from deltamark.interfaces.http.children import Runs
from deltamark.interfaces.http.console.charts import HEIGHT, Sample, bar_chart
from deltamark.interfaces.http.console.pages.answers import moment
from deltamark.interfaces.http.console.pages.derived import SHOWN, derived_of
from deltamark.interfaces.http.console.pages.held_back import held_of
from deltamark.interfaces.http.console.pages.overview import overview_of
from deltamark.interfaces.http.console.pages.resource import resource_of
from deltamark.interfaces.http.console.pages.resources import resources_of
from deltamark.interfaces.http.console.pages.runs import run_of
from deltamark.interfaces.http.console.rendering import size, value, visible
from deltamark.interfaces.http.users import Role, SignInMethod, User

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
PERSON = ResourceRef("HR_Person", "E00002")
REVIEWER = User(name="rita", role=Role.REVIEWER, method=SignInMethod.LINK)


def test_the_overview_says_what_waits_and_counts_the_changes_of_runs(engine: Engine) -> None:
    shown = overview_of(engine, NOW)

    [held] = shown.held_back
    assert (held.left_out.connector, held.left_out.run) == ("HR", 6)
    assert "allows 60 %" in held.messages[0]
    assert shown.problems == ()
    runs = engine.runs()
    charted = sum(sum(bar.amounts) for bar in shown.changes.bars)
    assert charted == sum(run.counts.changed + run.counts.written for run in runs)
    assert shown.changes.series == ("AD", "HR", "computed")
    assert len(shown.changes.bars) == 28


def test_a_bar_far_beyond_the_others_is_cut_and_says_how_high_it_is() -> None:
    chart = bar_chart("Day", ["a", "b"], [Sample(name=str(n), amounts=[n, 1]) for n in (3, 4, 5, 4000)])

    last = chart.bars[-1]
    assert (last.is_cut, last.figure) == (True, "4,001")
    assert [bar.is_cut for bar in chart.bars[:-1]] == [False] * 3
    assert chart.bars[2].parts[-1].y == pytest.approx(0)
    assert sum(part.height for part in chart.bars[2].parts) == pytest.approx(HEIGHT)


def test_a_chart_of_nothing_is_empty() -> None:
    assert bar_chart("Day", ["a"], [Sample(name="1", amounts=[0])]).is_empty
    assert bar_chart("Day", ["a"], []).is_empty


def test_a_run_shows_columns_that_are_not_0_and_its_tasks_in_time(engine: Engine) -> None:
    shown = run_of(engine, 3, NOW)

    assert "set_aside" in shown.counts
    assert [placed.task.identifier for placed in shown.in_time] == [task.identifier for task in shown.run.tasks]
    assert all(0 <= placed.x <= 1000 and placed.x + placed.width <= 1000.1 for placed in shown.in_time)
    assert ("SetRecentlyModifiedFlag", "SynchronizeHR_DoNotDeleteChanges") in shown.waits
    assert shown.set_aside
    assert not shown.is_going_on


def test_held_back_changes_come_with_the_dangerous_ones_first(engine: Engine) -> None:
    shown = held_of(engine, 6, REVIEWER, Runs(engine))

    assert [group.kind for group in shown.kinds] == ["deleted", "unlinked"]
    assert shown.count == sum(1 for _ in engine.pending(6))
    assert shown.kinds[0].count == shown.counts["deleted"]
    assert len(shown.kinds[0].rows) == 10
    assert any(row.links for row in shown.kinds[0].rows)
    assert shown.before is not None
    assert shown.before.most < shown.counts["deleted"]
    assert shown.may_not == ""


def test_held_back_changes_can_be_filtered_and_paged(engine: Engine) -> None:
    key = held_of(engine, 6, REVIEWER, Runs(engine)).kinds[0].rows[0].change.event.ref
    assert isinstance(key, ResourceRef)

    [deleted, *_] = held_of(engine, 6, REVIEWER, Runs(engine), entity_type="HR_Person", key=key.key).kinds
    every = held_of(engine, 6, REVIEWER, Runs(engine), kind="unlinked")
    rest = held_of(engine, 6, REVIEWER, Runs(engine), kind="unlinked", after=every.kinds[0].after or 0)

    assert (deleted.kind, len(deleted.rows), deleted.after) == ("deleted", 1, None)
    assert [group.kind for group in every.kinds] == ["unlinked"]
    assert sum(len(group.rows) for shown in (every, rest) for group in shown.kinds) == every.counts["unlinked"]


def test_who_started_a_run_may_not_decide_where_that_is_forbidden(engine: Engine) -> None:
    starter = User(name=engine.run(6).user, role=Role.ADMIN, method=SignInMethod.LINK)
    reader = User(name="ria", role=Role.OPERATOR, method=SignInMethod.LINK)

    assert "another person" in held_of(engine, 6, starter, Runs(engine, four_eyes=True)).may_not
    assert held_of(engine, 6, starter, Runs(engine)).may_not == ""
    assert "reviewer" in held_of(engine, 6, reader, Runs(engine)).may_not


def test_a_resource_shows_its_values_at_any_moment_with_where_they_come_from(engine: Engine) -> None:
    now = resource_of(engine, PERSON)
    changes = [change for change in engine.history(*_of(PERSON)) if change.kind == "updated"]
    before = resource_of(engine, PERSON, changes[-1].position - 1)

    assert {shown.name: shown.value for shown in now.values} == dict(_values(engine, None))
    assert {shown.name: shown.value for shown in before.values} == dict(_values(engine, changes[-1].position - 1))
    assert now.values != before.values
    name = next(shown for shown in now.values if shown.name == "DisplayName")
    assert name.is_computed
    assert "FirstName" in name.rules[0]
    assert name.since is not None
    assert all(shown.since is None or shown.since.position < changes[-1].position for shown in before.values)


def test_the_history_of_a_resource_is_newest_first_with_links_of_one_task_together(engine: Engine) -> None:
    shown = resource_of(engine, PERSON)
    positions = [entry.change.position for entry in shown.history]

    assert positions == sorted(positions, reverse=True)
    assert sum(max(len(entry.links), 1) for entry in shown.history) == len(engine.history(*_of(PERSON)))
    assert any(len(entry.links) > 1 for entry in shown.history)
    assert shown.previous == sorted(shown.positions)[-2]
    at = resource_of(engine, PERSON, shown.previous)
    assert (at.following, at.previous) == (max(shown.positions), sorted(shown.positions)[-3])


def test_the_picture_of_links_has_the_same_neighbours_as_the_list(engine: Engine) -> None:
    shown = resource_of(engine, PERSON)
    others = {other for group in shown.links for other in group.others[:6]}
    boxes = {box.label for box in shown.picture.boxes}

    assert {other.key for other in others} <= boxes
    assert any(box.kind == "centre" for box in shown.picture.boxes)


def test_resources_are_found_by_prefix_and_value(engine: Engine) -> None:
    everyone = resources_of(engine, "HR_Person")
    location = everyone.rows[0].values["Location"]
    some = resources_of(engine, "HR_Person", property_name="Location", value=str(location))

    assert {row.values["Location"] for row in some.rows} == {location}
    assert some.columns[0] == "Location"
    assert [row.ref.key for row in resources_of(engine, "HR_Person", prefix="E00002").rows] == ["E00002"]


@pytest.mark.parametrize("show", list(SHOWN))
def test_what_was_derived_comes_in_parts(engine: Engine, show: str) -> None:
    shown = derived_of(engine, show)
    following = derived_of(engine, show, after=shown.after)

    assert len(shown.rows) <= 50
    if shown.after:
        assert not set(map(repr, shown.rows)) & set(map(repr, following.rows))
        assert following.rows
    else:
        assert show not in ("keys", "pairs")


def test_moments_are_positions_runs_and_times() -> None:
    assert moment("5,877") == moment("#5877") == 5877
    assert moment("run:3") == RunMoment(3)
    assert moment("2026-11-30T09:00") == datetime(2026, 11, 30, 9, 0, 0, 999_999, tzinfo=UTC)  # the end of its second
    assert moment(" ") is None
    with pytest.raises(UsageError, match="is no moment"):
        moment("last Tuesday")


def test_values_are_written_for_people() -> None:
    assert value(None) == '<span class="dim">none</span>'
    assert value("2026-11-30T00:00:00Z") == "<bdi>2026-11-30</bdi>"
    assert value(True) == "true"
    assert value("a&b") == "<bdi>a&amp;b</bdi>"
    assert value("x" * 500).startswith("<details>")
    assert "and 5,000 more characters" in value("x" * 25_000)
    assert visible("a\u202eb") == 'a<span class="unseen">\\u202e</span>b'
    assert (size(999), size(2_100_000)) == ("999 bytes", "2.1 MB")


def _of(ref: ResourceRef) -> tuple[str, str]:
    return ref.entity_type, ref.key


def _values(engine: Engine, at: int | None) -> dict[str, object]:
    found = engine.resource(*_of(PERSON), at)
    assert found is not None
    return dict(found.values)
