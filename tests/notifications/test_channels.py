"""Notifications by webhook and command, of schedules, and the settings of channels."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deltamark import ConfigurationError, Job, Step
from deltamark.application.ports.records import Schedule
from deltamark.application.scheduling.due import timing_of
from deltamark.config.notifications import checked_channels
from tests.notifications.conftest import NewHouse
from tests.scenarios.http_server import Reply, always, http_server, in_turn

WRITE = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + '\\n' + repr(sorted(os.environ)))"


def test_a_webhook_gets_a_cloud_event_with_one_id_however_often(telling: NewHouse) -> None:
    with http_server(in_turn(Reply(500), Reply(204))) as server:
        house = telling({"hook": {"kind": "webhook", "server": server.url}}).fails()
        for _ in range(3):
            house.engine.notify()
            house.later(minutes=10)

        event = json.loads(server.requests[-1].body)
        assert house.engine.notifications() == []
        assert {request.headers["webhook-id"] for request in server.requests} == {event["id"]}
    assert (event["type"], event["subject"], event["data"]["run"]) == ("deltamark.notification.failed", "People", 1)


def test_a_webhook_that_refuses_for_good_is_on_record(telling: NewHouse) -> None:
    with http_server(always(Reply(422))) as server:
        house = telling({"hook": {"kind": "webhook", "server": server.url}}).fails()
        (done,) = house.engine.notify()
    assert (done.failed, done.problem) == (1, "the server answers 422 not processable")


def test_a_command_gets_it_on_standard_input_and_no_secrets(
    telling: NewHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELTAMARK_STORE", "postgresql://u:geheim@x/y")
    hostile, out = "a b;$(touch x)`'\"", tmp_path / "out"
    command = [sys.executable, "-I", "-c", WRITE, str(out), hostile]
    house = telling({"page": {"kind": "command", "command": command}}).fails()
    assert [done.sent for done in house.engine.notify()] == [1]

    event, names = out.read_text().splitlines()
    assert json.loads(event)["data"]["kind"] == "failed"
    assert "DELTAMARK_STORE" not in names


@pytest.mark.parametrize(
    ("code", "problem"),
    [("raise SystemExit(3)", "ended with status 3"), ("import time; time.sleep(60)", "did not end within 1 s")],
)
def test_a_command_that_fails_is_tried_again(telling: NewHouse, code: str, problem: str) -> None:
    command = {"kind": "command", "command": [sys.executable, "-I", "-c", code], "timeout": 1}
    house = telling({"page": command}).fails()
    (done,) = house.engine.notify()
    assert (done.waiting, problem in done.problem) == (1, True)


def test_a_channel_is_told_only_of_what_it_wants(telling: NewHouse, tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", WRITE, str(tmp_path / "out")]
    house = telling({"page": {"kind": "command", "command": command, "on": ["warning", "schedule"]}}).fails()
    assert [done.sent for done in house.engine.notify()] == [0]


def test_a_schedule_that_is_not_kept_is_told_once_for_each_time(telling: NewHouse) -> None:
    hourly = Job("Hourly", [Step("SynchronizeHR")], cron_tab_expression="0 0 * * * *")
    with http_server(always(Reply(204))) as server:
        house = telling({"hook": {"kind": "webhook", "server": server.url}}, more_jobs=[hourly])
        with house.engine._services.store.transaction() as tx:
            handled_to = datetime(2026, 1, 1, tzinfo=UTC)
            tx.put_schedule(Schedule(job="Hourly", timing=timing_of(hourly), handled_to=handled_to))
        assert [done.sent for done in house.engine.notify()] == [0]
        house.later(hours=1, minutes=2)
        assert [done.sent for done in house.engine.notify()] == [1]
        assert [done.sent for done in house.engine.notify()] == [0]
        event = json.loads(server.requests[0].body)
    assert (event["type"], event["id"]) == ("deltamark.notification.schedule", "schedule-Hourly-20260101T010000Z")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"kind": "mial"}, 'did you mean "mail"'),
        ({"kind": "mail", "from": "a@b", "to": ["c@d"]}, "server is missing"),
        ({"kind": "mail", "server": "x", "from": "a@b", "to": ["c@d\nBcc: e@f"]}, "list of texts"),
        ({"kind": "mail", "server": "x", "from": "a@b", "to": ["c@d"], "password": "hunter2"}, "must say where"),
        ({"kind": "mail", "server": "x", "from": "a@b", "to": ["c@d"], "tls": "off"}, "starttls"),
        ({"kind": "command", "command": "mail -s x"}, "must be a list"),
        ({"kind": "webhook", "server": "https://x", "on": ["fail"]}, "on must be a list"),
    ],
)
def test_a_wrong_setting_is_a_fault(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault) as raised:
        checked_channels({"ops": settings})
    assert "hunter2" not in str(raised.value)
