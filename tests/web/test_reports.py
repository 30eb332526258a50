"""Reports that take long: verifications, dry runs and what accepting would do, each by a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deltamark.domain.errors import CannotResume
from deltamark.engine import Engine
from deltamark.interfaces.http.reports import MOST_KEPT, ReportKind, ReportNotFound, Reports, ReportUnderWay
from deltamark.interfaces.http.settings import utc_now
from deltamark.interfaces.http.users import Role, SignInMethod, User
from tests.web.conftest import OWN, NewSite
from tests.web.test_runs import _blocked, company, runs_of, store  # noqa: F401, fixtures

A = "/api/v1"
ANN = User(name="ann", role=Role.ADMIN, method=SignInMethod.LINK)

SAYS = (
    "import sys, time; print('progress: 3 of 9', file=sys.stderr, flush=True); print('{\"a\": 1}', flush=True); "
    "time.sleep(float(sys.argv[1])); print('{\"b\": 2}'); print('two rows', file=sys.stderr); sys.exit(4)"
)


@pytest.fixture
def reports() -> Iterator[Reports]:
    made = Reports((sys.executable, "-c", SAYS), {}, lambda: datetime(2026, 11, 30, tzinfo=UTC))
    yield made
    made.close()


def until(seen: Any) -> None:
    for _ in range(2_000):
        if seen():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


def test_a_report_is_read_while_it_is_made_and_afterwards(reports: Reports) -> None:
    report = reports.begin(ReportKind.VERIFICATION, "it", ["0.3"], ANN)

    until(lambda: report.progress == (3, 9))
    assert report.is_going_on
    with pytest.raises(ReportUnderWay):
        reports.begin(ReportKind.VERIFICATION, "it", ["0"], ANN)
    until(lambda: not report.is_going_on)

    assert list(report.documents()) == [{"a": 1}, {"b": 2}]
    assert (report.status, report.words) == (4, "two rows")
    assert reports.newest(ReportKind.VERIFICATION, "it") is report
    with pytest.raises(ReportNotFound):
        reports.report(ReportKind.DRY_RUN, report.identifier)


def test_old_reports_are_forgotten_and_none_outlives_the_server(reports: Reports) -> None:
    for number in range(MOST_KEPT + 3):
        made = reports.begin(ReportKind.DRY_RUN, str(number), ["0"], ANN)
        until(lambda made=made: not made.is_going_on)
    going_on = reports.begin(ReportKind.DRY_RUN, "long", ["600"], ANN)

    assert len(reports.all(ReportKind.DRY_RUN)) == MOST_KEPT
    reports.close()
    until(lambda: not going_on.is_going_on)
    assert going_on.status != 4


def test_a_resume_can_be_tried_and_leaves_nothing(store: Engine) -> None:  # noqa: F811
    head, changes = store.position(), []

    tried = store.resume(2, dry_run=True, rehearsed=lambda rows: changes.extend(rows))

    assert (store.position(), store.run(2).state.value, store.run(2).resumed) == (head, "blocked", ())
    assert tried.is_dry_run
    with pytest.raises(CannotResume):
        store.resume(1, dry_run=True)
    done = store.resume(2)
    assert [task.counts for task in done.tasks] == [task.counts for task in tried.tasks]
    assert tried.counts.flagged
    assert len([change for change in changes if change.kind == "deleted"]) == done.counts.deleted


@pytest.mark.slow  # processes
def test_what_is_asked_of_the_server_is_done_by_processes(new_site: NewSite, store: Engine, company: Path) -> None:  # noqa: F811
    runs = runs_of(store, company)
    site = new_site(store, {"runs": runs, "reports": Reports(runs.command, runs.environment, utc_now)})
    admin, reader = site.signed_in(), site.signed_in(Role.READER)

    def ended(path: str) -> dict[str, Any]:
        until(lambda: reader_or(path)["state"] != "running")
        return reader_or(path)

    def reader_or(path: str) -> Any:
        return admin.get(A + path).json()

    begun = admin.post(f"{A}/verifications", json={}, headers=OWN)
    assert (begun.status_code, begun.json()["is_sound"]) == (202, None)
    proven = ended(f"/verifications/{begun.json()['id']}")
    assert (proven["state"], proven["is_sound"], proven["findings"]) == ("done", True, []), proven
    assert "the log is whole" in proven["says"]
    assert reader.get(f"{A}/verifications").json()[0] == proven

    begun = admin.post(f"{A}/runs/2/held/effect", headers=OWN)
    assert begun.status_code == 202, begun.text
    effect = ended("/runs/2/held/effect")
    counts = {task["task"]: task for task in effect["run"]["tasks"]}
    assert counts["SetRecentlyModifiedFlag"]["flagged"]
    assert store.run(2).state.value == "blocked"
    assert admin.post(f"{A}/runs/1/held/effect", headers=OWN).status_code == 404

    begun = admin.post(f"{A}/dry-runs", json={"job": "Incremental", "force": True}, headers=OWN)
    tried = ended(f"/dry-runs/{begun.json()['id']}")
    assert tried["run"]["dry_run"] is True
    lines = admin.get(f"{A}/dry-runs/{tried['id']}/changes?format=jsonl").text.splitlines()
    page = admin.get(f"{A}/dry-runs/{tried['id']}/changes", params={"limit": 2}).json()
    assert page["changes"] == [json.loads(line) for line in lines[:2]]
    assert page["next"] == 2
    assert admin.post(f"{A}/dry-runs", json={"job": "Nothing"}, headers=OWN).status_code == 400

    assert [fault["severity"] for fault in reader.get(f"{A}/faults").json() if fault["severity"] == "error"] == []
    (company / "configuration" / "broken.xml").write_text("<Deltamark><Job/></Deltamark>", "utf-8")
    assert "error" in [fault["severity"] for fault in reader.get(f"{A}/faults").json()]
