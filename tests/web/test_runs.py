"""Runs over HTTP: started once, decided about once, by those who may."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deltamark.domain.configuration.jobs import TaskState
from deltamark.engine import Engine
from deltamark.infrastructure.sample_company import write_workspace
from deltamark.interfaces.http.children import Runs
from deltamark.interfaces.http.users import Role
from tests.web.conftest import OWN, NewSite, Site

A = "/api/v1"


@pytest.fixture(scope="module")
def _blocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company whose second run, by ann, holds deletions back."""
    folder = tmp_path_factory.mktemp("blocked") / "company"
    write_workspace(folder, people=40)
    with opened(folder) as engine:
        engine.run_job("Incremental")
        people = folder / "exports" / "HR_Person.csv"
        lines = people.read_text("utf-8").splitlines(keepends=True)
        people.write_text("".join(lines[: len(lines) // 4]), "utf-8")
        blocked = engine.run_job("Incremental", by="ann")
        assert blocked.state is TaskState.BLOCKED, blocked
    return folder


def opened(folder: Path) -> Engine:
    return Engine.open(
        f"sqlite:///{folder}/deltamark.db", configuration=folder / "configuration", export_output=folder / "exports"
    )


@pytest.fixture
def company(_blocked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_blocked, tmp_path / "company"))


@pytest.fixture
def store(company: Path) -> Iterator[Engine]:
    with opened(company) as store:
        yield store


def runs_of(store: Engine, company: Path, **options: Any) -> Runs:
    environment = {
        "DELTAMARK_STORE": f"sqlite:///{company}/deltamark.db",
        "DELTAMARK_CONFIGURATION": str(company / "configuration"),
        "DELTAMARK_EXPORT_OUTPUT": str(company / "exports"),
        "PATH": "/usr/bin:/bin",
    }
    return Runs(store, environment=environment, **options)


@pytest.fixture
def site(new_site: NewSite, store: Engine, company: Path) -> Iterator[Site]:
    site = new_site(store, {"runs": runs_of(store, company)})
    yield site
    site.close()


@pytest.fixture
def of_four_eyes(new_site: NewSite, store: Engine, company: Path) -> Iterator[Site]:
    site = new_site(store, {"runs": runs_of(store, company, four_eyes=True)})
    yield site
    site.close()


def version(client: Any, run: int = 2) -> dict[str, str]:
    return {**OWN, "If-Match": client.get(f"{A}/runs/{run}").headers["etag"]}


def ended(store: Engine, run: int) -> Any:
    for _ in range(600):
        record = store.run(run)
        if record.ended_at is not None and record.state is not TaskState.RUNNING:
            return record
        time.sleep(0.05)
    raise AssertionError(record)


def test_what_is_held_back_is_counted_shown_and_dropped_on_record(site: Site, store: Engine) -> None:
    reviewer = site.signed_in(Role.REVIEWER, "bob")
    counts = reviewer.get(f"{A}/runs/2/held/counts").json()
    shown = reviewer.get(f"{A}/runs/2/held", params={"limit": 1000}).json()
    lines = reviewer.get(f"{A}/runs/2/held", params={"format": "jsonl", "limit": 7}).text.splitlines()
    assert sum(count["count"] for count in counts) == len(shown["changes"]) == len(lines) - 1 > 10

    said = version(reviewer)
    done = reviewer.post(f"{A}/runs/2/held/drop", json={"reason": "not meant"}, headers=said)
    again = reviewer.post(f"{A}/runs/2/held/drop", json={"reason": "not meant"}, headers=said)

    assert (done.status_code, again.status_code) == (202, 412)
    cancelled = store.run(2).cancelled_by
    assert cancelled is not None
    assert (cancelled.by, cancelled.reason) == ("bob", "not meant")
    assert reviewer.get(f"{A}/runs/2/held").status_code == 404


@pytest.mark.slow  # starts a process
def test_what_is_held_back_is_accepted_on_record_by_a_process_of_its_own(site: Site, store: Engine) -> None:
    reviewer = site.signed_in(Role.REVIEWER, "bob")

    done = reviewer.post(f"{A}/runs/2/held/accept", json={"reason": "they left"}, headers=version(reviewer))

    assert done.status_code == 202, done.text
    record = ended(store, 2)
    assert record.state in (TaskState.COMPLETED, TaskState.WARNING)
    operator = record.resumed[0].operator
    assert (operator.by, operator.reason) == ("bob", "they left")


def test_a_decision_needs_the_version_a_reason_and_another_person(of_four_eyes: Site) -> None:
    ann, bob = of_four_eyes.signed_in(Role.ADMIN, "ann"), of_four_eyes.signed_in(Role.REVIEWER, "bob")

    def decide(client: Any, headers: dict[str, str], **body: str) -> int:
        return int(client.post(f"{A}/runs/2/held/drop", json=body, headers=headers).status_code)

    assert decide(bob, OWN, reason="yes") == 428
    assert decide(bob, {**OWN, "If-Match": '"other"'}, reason="yes") == 412
    assert decide(bob, version(bob)) == 400
    assert decide(ann, version(ann), reason="yes") == 403
    assert ann.post(f"{A}/runs/2/cancel", json={}, headers=version(ann)).status_code == 403
    assert ann.post(f"{A}/runs/2/resume", json={}, headers=version(ann)).status_code == 403
    operator = of_four_eyes.signed_in(Role.OPERATOR, "eve")
    assert operator.post(f"{A}/runs/2/cancel", json={}, headers=version(operator)).status_code == 403
    assert decide(bob, version(bob), reason="yes") == 202


@pytest.mark.slow  # starts a process
def test_a_run_is_started_once_with_a_key_of_its_own(site: Site, store: Engine) -> None:
    operator = site.signed_in(Role.OPERATOR, "eve")
    key = {**OWN, "Idempotency-Key": "one"}
    body = {"job": "Complete", "reason": "--force; $(touch x)"}

    first = operator.post(f"{A}/runs", json=body, headers=key)
    again = operator.post(f"{A}/runs", json=body, headers=key)
    other = operator.post(f"{A}/runs", json={"job": "Complete"}, headers=key)

    assert first.status_code == 202, first.text
    assert first.headers["location"] == again.headers["location"] == f"{A}/runs/3"
    assert other.status_code == 422
    record = ended(store, 3)
    assert (record.by, record.reason) == ("eve", "--force; $(touch x)")
    assert not record.forced


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"job": "Nothing"}, 400),
        ({"job": "--help"}, 400),
        ({"job": "Complete", "force": True}, 403),
        ({"job": "Complete", "reason": "a\x00b"}, 400),
        ({"job": "Complete", "other": 1}, 400),
        ({}, 400),
    ],
)
def test_what_cannot_be_started_is_refused_and_starts_nothing(
    site: Site, store: Engine, body: dict[str, Any], status: int
) -> None:
    answer = site.signed_in(Role.OPERATOR).post(f"{A}/runs", json=body, headers=OWN)

    assert answer.status_code == status, answer.text
    assert len(store.runs()) == 2


def test_a_command_that_refuses_says_why(new_site: NewSite, store: Engine) -> None:
    code = "import sys; sys.stderr.write('deltamark: task T is already running.\\n'); sys.exit(2)"
    site = new_site(store, {"runs": Runs(store, command=(sys.executable, "-c", code))})

    answer = site.signed_in(Role.OPERATOR).post(f"{A}/runs", json={"job": "Complete"}, headers=OWN)

    assert answer.status_code == 409
    assert answer.json()["detail"] == "task T is already running."
