"""The benchmarks count only times of checked results, and the page shows the figures that are kept."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks import measure as measuring
from benchmarks import report
from benchmarks.__main__ import PARTS, USUAL
from benchmarks.figures import Bench, Goal
from benchmarks.measure import Counts, Measure, measure


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(people=10, folder=tmp_path, stores=[], largest=10)


def counting(monkeypatch: pytest.MonkeyPatch, **counts: int) -> None:
    """Lets every piece of work take a second, and count that."""
    result = {"seconds": 1.0, "closing": 0.0, "megabytes": 1.0, "tasks": {}, "counts": counts}
    done: Any = subprocess.CompletedProcess([], 0, json.dumps(result), "")
    monkeypatch.setattr(measuring.subprocess, "run", lambda *_, **__: done)


def test_a_time_counts_where_the_job_did_what_the_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    counting(monkeypatch, inserted=3)

    assert measure("job", rounds=2, expected=Counts(inserted=3)).seconds == 1.0


def test_a_time_does_not_count_where_the_job_did_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    counting(monkeypatch, inserted=3, deleted=1)

    with pytest.raises(SystemExit, match=r"deleted=1.*the files say"):
        measure("job", rounds=1, expected=Counts(inserted=3))


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

    assert report.page_with(page, json.loads(report.RESULTS.read_text("utf-8"))) == page
