"""Following the log gives existing and then new changes, each once, none missed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Event, Thread

import pytest

from deltamark import Engine, HistoryDiscarded, LoggedChange, UsageError
from tests.store.company import Company, configuration

PATIENCE_S = 300


class Follower:
    """Follows in a thread of its own, like a program."""

    def __init__(self, changes: Iterator[LoggedChange]) -> None:
        self._changes = changes
        self._seen: Queue[LoggedChange | BaseException | None] = Queue()
        self._thread = Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            for change in self._changes:
                self._seen.put(change)
            self._seen.put(None)
        except BaseException as e:
            self._seen.put(e)

    def next(self, count: int) -> list[LoggedChange | BaseException | None]:
        """Waits for the next changes."""
        return [self._seen.get(timeout=PATIENCE_S) for _ in range(count)]

    def rest(self) -> list[LoggedChange | BaseException | None]:
        """The further changes, after it has ended."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "it goes on following"
        return [self._seen.get_nowait() for _ in range(self._seen.qsize())]


@contextmanager
def following(engine: Engine, after: int | None = 0) -> Iterator[Follower]:
    stop = Event()
    follower = Follower(engine.follow(after, stop=stop))
    try:
        yield follower
    finally:
        stop.set()
        follower.rest()


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path / "exports", seed=7)


@pytest.fixture
def engine(store_url: str, tmp_path: Path) -> Iterator[Engine]:
    with Engine.open(store_url, configuration=configuration(), export_output=tmp_path / "exports") as engine:
        yield engine


def test_existing_and_new_changes_are_seen_once_in_order(engine: Engine, company: Company) -> None:
    company.complete_day()
    engine.run_job("Complete")
    there = list(engine.changes())

    with following(engine) as follower:
        assert follower.next(len(there)) == there
        for _ in range(3):
            before = engine.position()
            company.complete_day()
            engine.run_job("Complete", force=True)

            new = list(engine.changes(after=before))

            assert new
            assert follower.next(len(new)) == new
    assert follower.rest() == []


def test_without_a_position_only_new_changes_are_seen(engine: Engine, company: Company) -> None:
    company.complete_day()
    engine.run_job("Complete")
    before = engine.position()

    with following(engine, None) as follower:
        company.complete_day()
        engine.run_job("Complete", force=True)

        new = list(engine.changes(after=before))
        assert follower.next(len(new)) == new


def test_following_ends_after_the_given_time_without_changes(engine: Engine, company: Company) -> None:
    company.complete_day()
    engine.run_job("Complete")

    assert list(engine.follow(0, timeout=0.01)) == list(engine.changes())


def test_one_resource_or_entity_type_can_be_followed(engine: Engine, company: Company) -> None:
    company.complete_day()
    engine.run_job("Complete")

    found = list(engine.follow(0, entity_type="Department", timeout=0))

    assert found == list(engine.changes(entity_type="Department"))
    assert 0 < len(found) < len(list(engine.changes()))


def test_many_changes_are_read_in_batches_without_a_gap(
    engine: Engine, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltamark.application.history.follow._BATCH", 7)
    company.complete_day()
    engine.run_job("Complete")

    assert list(engine.follow(0, timeout=0)) == list(engine.changes())


def test_changes_discarded_before_they_were_read_raise_an_error(store_url: str, tmp_path: Path) -> None:
    company = Company(tmp_path / "exports", seed=7)
    company.complete_day()
    settings = {"configuration": configuration(keep=False), "export_output": tmp_path / "exports"}
    with Engine.open(store_url, **settings) as engine:
        engine.run_job("Complete")

        with pytest.raises(HistoryDiscarded):
            list(engine.follow(0, timeout=0))

        kept = list(engine.follow(0, timeout=0, kept_only=True))
        assert kept == list(engine.changes(kept_only=True))
        assert kept


def test_a_position_beyond_the_log_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(UsageError):
        engine.follow(1)
