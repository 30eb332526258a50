"""The law of deliveries: deltas by a watermark equal readings of everything and an oracle, whatever ends them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deltamark import TaskState
from deltamark.application.sources import places
from tests.scenarios.database_source import OPTIONS, DatabaseSource, configuration
from tests.stores import NewStore
from tests.tiers import SOAK

ROUNDS = 60 if SOAK else 8
KEYS = [f"k{number}" for number in range(12)]
APPLY = "deltamark.application.execution.task_types.synchronize"
WRITE = "deltamark.application.synchronization.synchronize.move_places"


class _Killed(BaseException):
    """Ends a run as the end of its process would: nothing is put on record."""


def edited(source: DatabaseSource, random: Random) -> None:
    """Writes, marks and removes some people; a row may be committed late, with an earlier version."""
    for _ in range(random.randint(1, 5)):
        key = random.choice(KEYS)
        match random.randint(0, 5):
            case 0:
                source.mark_deleted(key)
            case 1:
                source.put(**{key: None})
            case 2:
                late = max(source.version - random.randint(0, 1), 1)
                source.execute("INSERT OR REPLACE INTO person VALUES (?, ?, ?, 0)", key, f"late{late}", late)
            case _:
                source.put(**{key: f"n{random.randint(0, 9)}"})


def ended(source: DatabaseSource, patch: pytest.MonkeyPatch, at: str) -> None:
    """A run that ends at a step, as by a kill."""

    def kill(*_: Any, **__: Any) -> None:
        raise _Killed

    with patch.context() as patched:
        patched.setattr(at, kill)
        with pytest.raises(_Killed):
            source.run()


def live(store: str, folder: Path, seed: int, patch: pytest.MonkeyPatch, *, check: Callable[..., None]) -> None:
    """Rounds of edits, each followed by a run, some of which are ended or resumed."""
    random = Random(seed)
    with DatabaseSource(store, folder, configuration()) as source:
        source.put(**dict.fromkeys(KEYS[:6], "first"))
        for _ in range(ROUNDS):
            edited(source, random)
            match random.randint(0, 3):
                case 0:
                    ended(source, patch, APPLY)
                case 1:
                    ended(source, patch, WRITE)
                case 2:
                    source.run("Read")
                    edited(source, random)
            run = source.run(random.choice(["Changes", "Changes", "Prepared", "Everything"]))
            assert run.state in (TaskState.COMPLETED, TaskState.WARNING), run
            check(source.stored(), source.people())
        assert source.engine.verify().is_sound


def equal(stored: dict[str, Any], oracle: dict[str, Any]) -> None:
    assert stored == oracle


@pytest.mark.law
@pytest.mark.slow  # many runs
@pytest.mark.parametrize("seed", range(8 if SOAK else 1))
def test_deltas_equal_readings_of_everything_and_an_oracle(
    new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    live(new_store(), tmp_path, seed, monkeypatch, check=equal)


@pytest.mark.slow  # like what it controls
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_control_a_place_that_moves_when_it_is_read_loses_changes(
    new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DatabaseSource(new_store(), tmp_path, configuration(options={**OPTIONS, "Overlap": "0"})) as source:
        source.put(a="Ann")
        source.run()
        source.put(a="Anna", b="Bob")
        ended(source, monkeypatch, APPLY)
        with source.engine._services.store.transaction() as tx:
            delivery = source.engine._services.deliveries.newest(tx.epoch(), "HR_Source")  # type: ignore[union-attr]
            assert delivery is not None
            places.move_places(tx, places.places_of([delivery], {}), places.Origin(1, 1))
        source.put(c="Cid")

        source.run()

        assert source.stored() != source.people()
