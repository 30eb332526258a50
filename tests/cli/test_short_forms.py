"""Short ways to ask: days and the last run as moments, the jobs where none is named, the number of a run at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from deltamark.interfaces.moments import end_of_day
from tests.cli.workspace import LATER, Workspace


def test_days_and_the_last_run_are_moments(company: Workspace) -> None:
    company.done("run", "Incremental")
    before = company.jsonl("show", "HR_Person", "E1")
    company.extract(**LATER)
    company.done("run", "Incremental")
    today = datetime.now(UTC).date()

    assert company.jsonl("show", "HR_Person", "E1", "--at", "run:1") == before
    for moment in ("run:last", today.isoformat()):
        assert company.deltamark("--utc", "diff", "HR_Person", "--from", moment, "--to", "run:last").status == 0
    assert company.deltamark("show", "HR_Person", "E1", "--at", "yesterday").status == 2
    far = (today + timedelta(days=3)).isoformat()
    assert "in the future" in company.deltamark("diff", "HR_Person", "--from", "1", "--to", far).err
    assert "is no day" in company.deltamark("diff", "HR_Person", "--from", "1", "--to", "2026-02-30").err


@pytest.mark.parametrize("zone", [UTC, None])
def test_a_day_ends_before_the_next_begins(zone: tzinfo | None) -> None:
    end = end_of_day(datetime(2026, 3, 29).date(), zone)
    following = end + timedelta(microseconds=1)
    assert (end.day, following.astimezone(zone).hour) == (29, 0)
    assert end_of_day(None, zone) < end_of_day(datetime.now(zone).date(), zone)


def test_a_run_tells_its_number_before_its_result(company: Workspace) -> None:
    done = company.done("run", "Incremental", "--announce", "--by", "ann", "--via", "web")
    assert done.lines[0] == "Run 1"
    assert company.jsonl("runs", "1")[0]["via"] == "web"
    assert "by ann" in company.done("runs", "1").text
    assert "via web" in company.done("runs", "1").text
    first, *_ = company.jsonl("run", "Incremental", "--announce")
    assert first == {"run": 2, "state": "running"}
    assert "Name the person" in company.deltamark("run", "Incremental", "--via", "web").err


def test_without_a_job_the_jobs_are_shown(company: Workspace) -> None:
    shown = company.deltamark("run")
    assert shown.status == 2
    assert shown.out == company.done("jobs").out
    assert "deltamark run JOB" in shown.err
