"""The benchmarks count only times of checked results, and the page shows the figures that are kept."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import measure as measuring
from benchmarks import report
from benchmarks.__main__ import PARTS, USUAL
from benchmarks.figures import Bench, Goal
from benchmarks.measure import Counts, Measure, WorkFailed, measure


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(people=10, folder=tmp_path, stores=[], largest=10)


def counting(monkeypatch: pytest.MonkeyPatch, **counts: int) -> None:
    """Lets every piece of work take a second, and count that."""
    result = {"seconds": 1.0, "closing": 0.0, "megabytes": 1.0, "tasks": {}, "counts": counts}
    monkeypatch.setattr(measuring, "results_of", lambda *arguments: [result] * arguments[-1])


def test_a_time_counts_where_the_job_did_what_the_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    counting(monkeypatch, inserted=3)

    assert measure("job", rounds=2, expected=Counts(inserted=3)).seconds == 1.0


def test_a_time_does_not_count_where_the_job_did_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    counting(monkeypatch, inserted=3, deleted=1)

    with pytest.raises(WorkFailed, match=r"deleted=1.*the files say"):
        measure("job", rounds=1, expected=Counts(inserted=3))


def test_work_that_fails_says_why() -> None:
    with pytest.raises(WorkFailed, match=r"(?s)^no-such-work failed:.*KeyError: 'no-such-work'"):
        measure("no-such-work", rounds=1)


def test_a_part_that_fails_is_told_and_lets_the_others_go_on(bench: Bench) -> None:
    with bench.attempt("rivals", "a tool"):
        raise WorkFailed("it crashed")
    bench.add("jobs", "first load", [1.0], store="another")

    written = json.loads(json.dumps(bench.written()))
    assert written["failures"] == [{"part": "rivals", "name": "a tool", "reason": "WorkFailed: it crashed"}]
    assert [figure["store"] for figure in written["figures"]] == ["another"]
    assert "- a tool (part `rivals`): WorkFailed: it crashed" in report.page_with(
        report.PAGE.read_text("utf-8"), written
    )


def test_the_size_fits_the_time() -> None:
    assert [report.size_for(minutes) for minutes in (0.1, 10_000.0)] == [report.SIZES[-1], report.SIZES[0]]
    assert all(report.minutes_for(report.size_for(minutes), report.size_for(minutes)) <= minutes for minutes in (7, 15))


def test_a_figure_has_its_median_its_rate_and_its_ratio(bench: Bench) -> None:
    figure = bench.add(
        "jobs", "load", [2.0, 1.0, 4.0], count=10, limit=("raw", Measure([1.0], 0)), goal=Goal("ratio", at_most=1.5)
    )

    assert (figure.value, figure.minimum, figure.maximum, figure.rate, figure.ratio) == (2.0, 1.0, 4.0, 5.0, 2.0)
    assert json.loads(json.dumps(bench.written()))["figures"][0]["goal"] == {"of": "ratio", "at_most": 1.5}


@pytest.mark.parametrize(("number", "is_met"), [(0.9, False), (1.0, True), (2.0, True), (2.1, False)])
def test_a_goal_is_met_at_its_bounds(number: float, is_met: bool) -> None:
    assert Goal("value", at_least=1.0, at_most=2.0).is_met_by(number) is is_met


def test_every_part_is_a_module() -> None:
    assert set(USUAL) <= set(PARTS)
    assert [name for name in PARTS if find_spec(f"benchmarks.{name}") is None] == []


def test_the_page_shows_the_figures_that_are_kept() -> None:
    page = report.PAGE.read_text("utf-8")
    kept = json.loads(report.RESULTS.read_text("utf-8"))

    assert report.page_with(page, kept) == page
    tools = {figure["store"] for figure in kept["figures"] if figure["part"] == "rivals"}
    assert "Deltamark" in tools
    assert [tool for tool in tools if f"| {tool} " not in page] == []
