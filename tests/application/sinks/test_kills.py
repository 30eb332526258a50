"""A delivery that ends anywhere is gone on with: each change arrives at least once, in order, by one id, none missing.

The law is A18 of the design. A *step* is a line of the code that delivers: the delivery is ended at each of them, by an
exception that nothing catches, as a process that is killed ends there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import deltamark.application.sinks as use_cases
import deltamark.infrastructure.sinks as adapters
import deltamark.infrastructure.sql.sink as tables
from deltamark.application.ports.sinks import Confirmed
from deltamark.application.runs.named_lease import sink_lease
from deltamark.application.sinks import deliver, sink_changes
from tests.application.sinks.conftest import NewSinkHouse
from tests.scenarios.http_server import Server, http_server
from tests.scenarios.sinks import Document, SinkHouse, faults, json_lines, sink
from tests.store.children import CONTEXT
from tests.tiers import SOAK

FOLDERS = (*(str(Path(str(package.__file__)).parent) for package in (use_cases, adapters)), str(tables.__file__))


class Killed(BaseException):
    """Ends a delivery; nothing in the product catches it."""


@contextmanager
def killed_at(line: int) -> Iterator[list[int]]:
    """Ends what delivers at so many lines; gives how many were executed."""
    lines = [0]

    def in_module(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            lines[0] += 1
            if lines[0] == line:
                raise Killed
        return in_module

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        return in_module if frame.f_code.co_filename.startswith(FOLDERS) else None

    earlier = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    except Killed:
        pass
    finally:
        sys.settrace(earlier)


Received = Callable[[], list[Document]]
Receiver = tuple[SinkHouse, Received, Callable[[], None]]


def rows(file: Path) -> list[Document]:
    if not file.exists():
        return []
    with closing(sqlite3.connect(file)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name='people'").fetchone():
            return []
        return [json.loads(text) for (text,) in connection.execute("SELECT document FROM people ORDER BY position")]


def posted(server: Server) -> list[Document]:
    return [json.loads(request.body)["data"] for request in server.requests]


@contextmanager
def receiving(new: NewSinkHouse, folder: Path, package: str) -> Iterator[Receiver]:
    """A house with six changes, what a receiver got of them, and how it forgets that."""
    out, file = folder / "out", folder / "there.db"
    if package == "JsonLinesSink":
        house = new(sink(package), settings={"Feed": {"folder": str(out)}}).lived()
        yield house, lambda: json_lines(out), lambda: shutil.rmtree(out, ignore_errors=True)
    elif package == "SqlSink":
        house = new(sink(package), settings={"Feed": {"server": f"sqlite:///{file}"}}).lived()
        yield house, lambda: rows(file), lambda: file.unlink(missing_ok=True)
    else:
        with http_server() as server:
            house = new(sink(package), settings={"Feed": {"server": server.url}}).lived()
            yield house, lambda: posted(server), server.requests.clear


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes in a batch, so that a delivery has several."""
    monkeypatch.setattr(sink_changes.SinkChanges.batch, "__defaults__", (2,))


def broken_at(receiver: Receiver, line: int) -> tuple[list[str], bool]:
    """What is wrong after a delivery that ended at a line, and one after it; whether that line was reached."""
    house, received, forget = receiver
    forget()
    if house.engine.consumers():
        house.engine.remove_consumer("Feed")
    with killed_at(line) as lines:
        house.engine.deliver("Feed")
    # A process that ended holds no lease; this one goes on.
    with house.engine._services.store.transaction() as tx:
        for lease in tx.leases([sink_lease("Feed")]):
            tx.release_leases(lease.run)
    house.engine.deliver("Feed")
    return faults(received(), wanted(house)), lines[0] >= line


def wanted(house: SinkHouse) -> list[Document]:
    """What one delivery without any failure brings."""
    services = house.engine._services
    with services.store.reading() as reading:
        (connection,) = house.engine.configuration.sinks
        batch = sink_changes.SinkChanges(reading, house.engine.configuration, connection).batch(0, reading.head(), 1000)
    return [change.document() for change in batch.changes]


PACKAGES = ("JsonLinesSink", "SqlSink", "WebhookSink")


@pytest.mark.parametrize(
    ("package", "stride"),
    [
        *((name, 149) for name in PACKAGES),
        *(pytest.param(name, 1 if SOAK else 17, marks=pytest.mark.soak) for name in PACKAGES),
    ],
)
def test_a_delivery_may_end_at_any_line(
    new_sink_house: NewSinkHouse, tmp_path: Path, package: str, stride: int
) -> None:
    line, reached = 1, True
    with receiving(new_sink_house, tmp_path, package) as receiver:
        while reached:
            found, reached = broken_at(receiver, line)
            assert found == [], f"ended at line {line} of the delivery"
            line += stride
    assert line > 400, "a delivery of six changes has more lines"


def test_control_a_place_that_moves_before_the_sink_confirmed_loses_changes(
    new_sink_house: NewSinkHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = deliver._confirmed

    def hasty(services: Any, connection: Any, sink: Any, batch: Any) -> Iterator[Confirmed]:
        yield Confirmed(position=batch.until, sent=0)
        for _ in right(services, connection, sink, batch):
            pass

    monkeypatch.setattr(deliver, "_confirmed", hasty)
    with receiving(new_sink_house, tmp_path, "JsonLinesSink") as receiver:
        lost = [fault for line in range(1, 600, 61) for fault in broken_at(receiver, line)[0]]
    assert any("missing" in fault for fault in lost)


def test_control_a_change_that_comes_by_another_id_is_noticed(new_sink_house: NewSinkHouse, tmp_path: Path) -> None:
    with receiving(new_sink_house, tmp_path, "JsonLinesSink") as (house, received, _):
        house.engine.deliver("Feed")
        got = received()

    assert faults(got, got) == []
    assert faults([*got, {**got[0], "id": "other"}], got) == [f"position {got[0]['position']} came by two ids"]
    assert "out of order" in faults(got[::-1], got)[0]
    assert "missing" in faults(got[1:], got)[0]


def _deliver_until_killed(url: str, folder: str, address: str, after: int) -> None:
    from deltamark import Engine
    from tests.scenarios.house import configuration
    from tests.scenarios.sinks import with_sinks

    sink_changes.SinkChanges.batch.__defaults__ = (2,)  # type: ignore[assignment]
    configured = with_sinks(configuration(), sink("WebhookSink"))
    count = [0]

    def kill(frame: FrameType, event: str, argument: Any) -> Any:
        count[0] += 1
        if count[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    with Engine.open(
        url, configuration=configured, export_output=folder, connections={"Feed": {"server": address}}
    ) as engine:
        sys.settrace(kill)
        engine.deliver("Feed")


@pytest.mark.soak
def test_a_process_may_be_killed_at_any_call(lasting_store_url: str, tmp_path: Path, clock: Any) -> None:
    with http_server() as server:
        house = SinkHouse(
            lasting_store_url, tmp_path / "x", clock, sink("WebhookSink"), settings={"Feed": {"server": server.url}}
        ).lived()
        for after in range(200, 6200, 300):
            process = CONTEXT.Process(
                target=_deliver_until_killed, args=(lasting_store_url, str(tmp_path / "x"), server.url, after)
            )
            process.start()
            process.join()
            house.people({"1": f"A{after}", "2": "Bo"}).run()
        house.engine.deliver("Feed")
        assert faults(posted(server), wanted(house)) == []
        house.engine.close()
