"""Changes are delivered from the place of a sink on, which moves when the sink has them."""

from __future__ import annotations

from contextlib import suppress
from functools import partialmethod
from pathlib import Path

import pytest

from deltamark import ConsumerMoved, DeliverTask, Engine, Job, SinkError, Step, TaskState, UsageError
from deltamark.application.runs.named_lease import NamedLease, sink_lease
from deltamark.application.sinks import deliver
from deltamark.application.sinks.sink_changes import SinkChanges
from tests.application.sinks.conftest import NewSinkHouse
from tests.scenarios.http_server import Reply, Request, always, http_server
from tests.scenarios.sinks import SinkHouse, csv_rows, json_lines, sink


@pytest.mark.on_every_store
def test_a_sink_gets_what_lies_beyond_its_place(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    house = new_sink_house(sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path / "out")}}).lived()
    end = house.engine.position()

    first = house.engine.deliver("Feed")
    nothing = house.engine.deliver("Feed")
    house.people({"1": {"name": "Anna", "mail": "a@x"}, "2": "Bob"}).run()
    second = house.engine.deliver("Feed")

    assert (first.sent, first.position, nothing.sent, second.sent) == (6, end, 0, 1)
    documents = json_lines(tmp_path / "out")
    assert [(d["change"], d["key"]) for d in documents] == [
        ("created", "1"), ("created", "2"), ("created", "3"), ("updated", "1"), ("deleted", "3"), ("updated", "1"),
        ("updated", "2"),
    ]  # fmt: skip
    assert documents[3]["changes"] == {"name": {"before": "Ann", "after": "Anna"}}
    assert [d["id"] for d in documents] == [f"{house.engine.epoch()}/{d['position']}" for d in documents]
    (status,) = house.engine.sinks()
    assert (status.sink, status.behind, status.refused, status.is_stopped) == ("Feed", 0, 0, False)
    assert house.engine.consumers()[0].name == "Feed"


def test_a_change_of_other_values_is_not_delivered_and_the_place_passes_it(
    new_sink_house: NewSinkHouse, tmp_path: Path
) -> None:
    house = new_sink_house(sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path / "out")}})
    house.people({"1": {"name": "Ann", "age": 40}}).run()
    house.engine.deliver("Feed")

    house.people({"1": {"name": "Ann", "age": 41}}).run()
    done = house.engine.deliver("Feed")

    assert (done.sent, done.position) == (0, house.engine.position())
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_links_are_delivered_where_they_are_asked_for(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    options = {"Subject": "Team", "Associations": "Members"}
    house = new_sink_house(sink("JsonLinesSink", options), settings={"Feed": {"folder": str(tmp_path)}})
    house.people({"1": "Ann", "2": "Bo"}).run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2")).engine.run_job("Teams")
    house.teams({"T": "Team"}, ("T", "2")).engine.run_job("Teams")

    house.engine.deliver("Feed")

    documents = json_lines(tmp_path)
    assert [(d["change"], d["key"], d.get("other_key")) for d in documents] == [
        ("created", "T", None), ("linked", "T", "1"), ("linked", "T", "2"), ("unlinked", "T", "1"),
    ]  # fmt: skip
    assert documents[1]["association"] == "Members"


def test_rows_of_csv_have_all_values_after_each_change(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    house = new_sink_house(sink("CsvSink"), settings={"Feed": {"folder": str(tmp_path)}}).lived()

    house.engine.deliver("Feed")

    rows = csv_rows(tmp_path)
    assert [(r["change"], r["key"], r["changed"], r["name"], r["mail"]) for r in rows] == [
        ("created", "1", "name", "Ann", ""),
        ("created", "2", "name", "Bo", ""),
        ("created", "3", "name", "Cem", ""),
        ("updated", "1", "name", "Anna", ""),
        ("deleted", "3", "name", "Cem", ""),
        ("updated", "1", "mail", "Anna", "a@x"),
    ]


def test_a_dry_run_sends_nothing_and_makes_no_place(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    house = new_sink_house(sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path / "out")}}).lived()

    done = house.engine.deliver("Feed", dry_run=True)

    assert (done.sent, done.position, done.is_dry_run) == (6, house.engine.position(), True)
    assert not (tmp_path / "out").exists()
    assert house.engine.consumers() == []


def test_a_task_of_a_job_delivers(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    job = Job("Feed", [Step("SynchronizeHR"), DeliverTask(identifier="Deliver", connection="Feed")])
    house = new_sink_house(sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path / "out")}}, more_jobs=[job])
    house.people({"1": "Ann"})

    dry = house.run("Feed", dry_run=True)
    assert "would be delivered" in dry.tasks[1].messages[0]
    run = house.run("Feed")

    assert [d["key"] for d in json_lines(tmp_path / "out")] == ["1"]
    assert "1 change delivered" in run.tasks[1].messages[0]
    assert house.engine.verify().is_sound


def test_a_sink_that_takes_nothing_fails_the_task_and_keeps_its_place(
    new_sink_house: NewSinkHouse, tmp_path: Path
) -> None:
    job = Job("Feed", [DeliverTask(identifier="Deliver", connection="Feed")])
    (tmp_path / "out").write_text("a file")
    house = new_sink_house(
        sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path / "out")}}, more_jobs=[job]
    ).lived()

    run = house.engine.run_job("Feed")

    assert run.state is TaskState.FAILED
    assert "cannot be made" in run.tasks[0].messages[0]
    assert house.engine.sinks()[0].position == 0


def test_discarded_changes_are_told_as_a_gap(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    house = new_sink_house(sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path)}})
    house.people({"1": "Ann", "2": "Bo"}).run()
    house.engine.retain("HR", keep=0, even_unread=True)
    house.people({"1": "Anna", "2": "Bo"}).run()

    done = house.engine.deliver("Feed")

    (horizon,) = house.engine.horizons("Person")
    (gap,) = done.gaps
    assert (gap.subject, gap.until, gap.run) == ("Person", horizon.position, horizon.run)
    documents = json_lines(tmp_path)
    assert (documents[0]["change"], documents[0]["position"]) == ("gap", horizon.position)
    assert documents[0]["because"] == "discarded"
    assert documents[1]["changes"] == {"name": {"before": "Ann", "after": "Anna"}}


def test_erased_changes_are_told_as_a_gap(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    house = new_sink_house(sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path)}}).lived()
    erased = house.engine.erase("Person", "3", reason="asked for it")

    done = house.engine.deliver("Feed")

    assert [gap.erased for gap in done.gaps] == [2]
    documents = json_lines(tmp_path)
    assert "Cem" not in str(documents)
    assert [(d["because"], d["changes"]) for d in documents if d["change"] == "gap"] == [("erased", 2)]
    assert erased is not None


def test_retention_keeps_what_a_sink_has_not_got(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    house = new_sink_house(sink("JsonLinesSink"), settings={"Feed": {"folder": str(tmp_path)}})
    house.people({"1": "Ann"}).run()
    house.engine.deliver("Feed")
    house.people({"1": "Anna"}).run()

    house.run("Flags")
    kept = house.engine.retain("HR", keep=0)

    assert "Feed" in str(kept)
    assert house.engine.deliver("Feed").gaps == ()
    assert [d["change"] for d in json_lines(tmp_path)] == ["created", "updated"]


def other_engine(house: SinkHouse) -> Engine:
    return Engine.open(
        house.url,
        configuration=house.engine.configuration,
        export_output=house.folder,
        connections=house.settings,
        clock=house._clock,
    )


@pytest.mark.on_every_store
@pytest.mark.parametrize("is_leased", [True, pytest.param(False, id="control")])
def test_of_two_processes_one_sends(
    new_sink_house: NewSinkHouse, monkeypatch: pytest.MonkeyPatch, is_leased: bool
) -> None:
    refused: list[str] = []
    if not is_leased:
        monkeypatch.setattr(deliver.NamedLease, "take", lambda lease: True)
        monkeypatch.setattr(deliver, "refuse_taken_over", lambda *_: None)

    def meanwhile(request: Request) -> Reply:
        if len(server.requests) == 1:
            with other_engine(house) as other:
                for send in (other.deliver, other.retry_dead_letters):
                    try:
                        send("Feed")
                    except SinkError as e:
                        refused.append(e.problem)
        return Reply()

    with http_server(meanwhile) as server:
        house = new_sink_house(sink("WebhookSink"), settings={"Feed": {"server": server.url}}).lived()
        with suppress(ConsumerMoved):
            house.engine.deliver("Feed")

    ids = [request.headers["webhook-id"] for request in server.requests]
    assert (len(set(ids)) == len(ids)) is is_leased
    assert refused == (["another process delivers to it now"] * 2 if is_leased else [])
    assert house.engine.deliver("Feed").sent == 0 if is_leased else True


def test_a_process_that_was_stopped_for_too_long_sends_no_further_batch(
    new_sink_house: NewSinkHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SinkChanges, "batch", partialmethod(SinkChanges.batch, most=2))

    def stopped(request: Request) -> Reply:
        if len(server.requests) == 1:
            with other_engine(house) as other:
                store = other._services.store
                with store.reading() as reading:
                    (lease,) = reading.leases([sink_lease("Feed")])
                store.renew_leases(lease.run, 0.0)  # as if it was not heard from
                taken.append(NamedLease(store, sink_lease("Feed"), 3600.0).take())
        return Reply()

    taken: list[bool] = []
    with http_server(stopped) as server:
        house = new_sink_house(sink("WebhookSink"), settings={"Feed": {"server": server.url}}).lived()
        with pytest.raises(SinkError, match="was not heard from for too long"):
            house.engine.deliver("Feed")

    assert (taken, len(server.requests)) == ([True], 2)


def test_a_probe_of_a_sink_sends_and_makes_nothing(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    files = {"Feed": {"folder": str(tmp_path / "in" / "out")}}
    house = new_sink_house(sink("JsonLinesSink"), settings=files).lived()

    answer = house.engine.probe("Feed")

    assert (answer.server, answer.problems) == (str(tmp_path / "in" / "out"), ())
    assert not (tmp_path / "in").exists()
    (tmp_path / "in").write_text("a file")
    assert "cannot be written" in house.engine.probe("Feed").problems[0]


@pytest.mark.many
@pytest.mark.parametrize(("status", "problem"), [(204, None), (405, None), (401, "unauthorized"), (503, "answers 503")])
def test_a_probe_of_a_webhook_asks_by_options(
    new_sink_house: NewSinkHouse, monkeypatch: pytest.MonkeyPatch, status: int, problem: str | None
) -> None:
    monkeypatch.setattr("time.sleep", lambda s: None)
    with http_server(always(Reply(status))) as server:
        house = new_sink_house(sink("WebhookSink"), settings={"Feed": {"server": server.url}})
        answer = house.engine.probe("Feed")

    assert {request.method for request in server.requests} == {"OPTIONS"}
    assert [problem in text for text in answer.problems] == ([] if problem is None else [True])


def test_what_is_no_sink_is_refused(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    house = new_sink_house(sink("JsonLinesSink"), settings={})

    with pytest.raises(UsageError, match='no connection "Fed"'):
        house.engine.deliver("Fed")
    with pytest.raises(SinkError, match="no folder is set"):
        house.lived().engine.deliver("Feed")


def test_csv_for_spreadsheets_holds_no_formula(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    options = {"Subject": "Person", "Properties": "name=Name", "SafeForSpreadsheets": "true"}
    house = new_sink_house(sink("CsvSink", options), settings={"Feed": {"folder": str(tmp_path)}})
    house.people({"1": '=HYPERLINK("http://x")', "2": "Bo;=1+1"}).run()

    house.engine.deliver("Feed")
    house.people({"1": "Ann", "2": "Bo;=1+1"}).run()
    again = house.engine.deliver("Feed")

    text = next(iter(sorted(tmp_path.iterdir()))).read_text()
    assert [row["name"] for row in csv_rows(tmp_path)] == ['\'=HYPERLINK("http://x")', "Bo;=1+1", "Ann"]
    assert '"Bo;=1+1"' in text
    assert again.sent == 1
