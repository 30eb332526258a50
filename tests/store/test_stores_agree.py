"""Every kind of store gives the same answers: their logs and projections are equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from deltamark import Engine, HistoryDiscarded, JobRun
from tests.store.company import KEYS, Company, configuration
from tests.stores import EveryStore

Answers = dict[str, object]


@pytest.mark.slow  # runs days on both stores
@pytest.mark.parametrize("keep", [True, False], ids=["changes kept", "changes discarded"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])  # seconds each
def test_the_same_days_leave_the_same_log_and_projections(
    every_store: EveryStore, tmp_path: Path, seed: int, keep: bool
) -> None:
    company, chance = Company(tmp_path / "exports", seed), Random(seed)
    with ExitStack() as stack:
        engines = {
            kind: stack.enter_context(
                Engine.open(
                    url, configuration=configuration(keep=keep), export_output=tmp_path / "exports", clock=ticking()
                )
            )
            for kind, url in every_store().items()
        }
        for day in range(5):
            incremental = day > 0 and chance.random() < 0.5
            (company.incremental_day if incremental else company.complete_day)()
            dry_run = day > 0 and chance.random() < 0.2
            for engine in engines.values():
                engine.run_job("Incremental" if incremental else "Complete", dry_run=dry_run, force=True)

            asked = chance.sample(KEYS, 5)
            first, second = (answers(engine, asked) for engine in engines.values())

            for question in first:
                assert first[question] == second[question], f"day {day}: {question}"
    assert first["keys"]
    assert first["horizons"] if not keep else first["changes"]


def ticking() -> Callable[[], datetime]:
    start, seconds = datetime(2026, 1, 1, tzinfo=UTC), count()
    return lambda: start + timedelta(seconds=next(seconds))


def answers(engine: Engine, keys: Sequence[str]) -> Answers:
    """All answers of a store to a user, also about the resources of some keys."""
    head = engine.position()
    found: Answers = {
        "head": head,
        "changes": list(engine.changes(kept_only=True)),
        "runs": [timeless(engine.run(run.number)) for run in engine.runs()],
        "horizons": engine.horizons(),
        "keys": list(engine.keys()),
        "matches": list(engine.matches()),
        "dirty": engine.dirty(),
        "run ends": [engine.position(run.ended_at) for run in engine.runs()],
    }
    for entity_type in ("Person", "Department", "Account"):
        found[f"export {entity_type}"] = list(engine.export_resources(entity_type))
        for position in {head // 3, head // 2, head - 1, head}:
            found[f"export {entity_type} at {position}"] = past(engine, entity_type, position)
        for key in (*keys, "Sales"):
            found[f"{entity_type} {key[:9]}"] = (engine.resource(entity_type, key), engine.links(entity_type, key))
            found[f"history of {entity_type} {key[:9]}"] = list(
                engine.changes(entity_type=entity_type, key=key, kept_only=True)
            )
            found[f"links of {entity_type} {key[:9]} before"] = past_links(engine, entity_type, key, head - 3)
    return found


def past(engine: Engine, entity_type: str, position: int) -> object:
    try:
        return list(engine.export_resources(entity_type, at=position))
    except HistoryDiscarded as e:
        return str(e)


def past_links(engine: Engine, entity_type: str, key: str, position: int) -> object:
    try:
        return engine.links(entity_type, key, at=position)
    except HistoryDiscarded as e:
        return str(e)


def timeless(run: JobRun) -> JobRun:
    """A run without what differs between any two runs."""
    return evolve(run, tasks=tuple(evolve(task, seconds=0.0) for task in run.tasks))
