"""A clock that steps backwards, leaps ahead or stands still: order, times and durations stay sound."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deltamark.infrastructure.store.session import Session
from tests.crash.company import ENDED_WELL, JOB, Days, harm_in, lives, opened, seen
from tests.tiers import SOAK

DAYS = 12 if SOAK else 3
SEEDS = range(8 if SOAK else 1)
STEPS = (
    timedelta(days=-400),
    timedelta(hours=-1),  # the end of summer time, on a clock of local time that somebody reads as UTC
    timedelta(seconds=-1),
    timedelta(microseconds=-1),
    timedelta(),
    timedelta(seconds=1),
    timedelta(hours=1),
    timedelta(days=3_650),
)
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2400, 1, 1, tzinfo=UTC)


def leaping(seed: int) -> Callable[[], datetime]:
    """A clock that leaps with every look."""
    random, now = Random(seed), datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)

    def look() -> datetime:
        nonlocal now
        now = min(max(now + random.choice(STEPS), EARLIEST), LATEST)
        return now

    return look


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_leaps_changes_nothing_but_the_times(store_url: str, tmp_path: Path, seed: int) -> None:
    expected = lives(seed, DAYS, tmp_path)
    extracts = Days(tmp_path / "leaping", seed)

    for day in expected:
        extracts.next()
        with opened(store_url, tmp_path / "leaping", clock=leaping(seed)) as engine:
            assert engine.run_job(JOB).state in ENDED_WELL

            assert harm_in(engine) == []
            assert seen(engine) == day
            for run in engine.runs():
                assert run.ended_at is not None
                assert run.started_at < run.ended_at
                for task in run.tasks:
                    assert task.started_at is not None
                    assert task.ended_at is not None
                    assert run.started_at < task.started_at < task.ended_at < run.ended_at
                    assert task.seconds is not None
                    assert 0 <= task.seconds < 60


@pytest.mark.slow  # like what it controls
def test_control_a_store_that_believes_the_clock_is_caught(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Session.__init__

    def believing(self: Session, *arguments: Any) -> None:
        begin(self, *arguments)
        self._micros = self._began_at

    monkeypatch.setattr(Session, "__init__", believing)
    extracts, clock = Days(tmp_path / "exports", 1), leaping(1)
    with opened(store_url, tmp_path / "exports", clock=clock) as engine:
        for _ in range(4):
            extracts.next()
            engine.run_job(JOB)

        assert any("go backwards" in harm or "before it started" in harm for harm in harm_in(engine))
