"""Eight processes share a store for some time: nothing is lost, nothing is seen twice, and nobody meets an error."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from random import randrange
from typing import Any

import pytest

from deltamark import Engine, TaskState
from tests.soak.roles import PATIENCE_S, ROLES, Place, counted, exported, fold, follower, soaked
from tests.store import children
from tests.store.company import Company
from tests.tiers import SOAK

SECONDS = float(os.environ.get("DELTAMARK_SOAK_SECONDS") or (120 if SOAK else 5))
SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))

Told = dict[str, dict[str, Any]]


def shared(url: str, folder: Path) -> Told:
    """Has all roles play at once on one store; gives what each tells."""
    start, over = children.CONTEXT.Barrier(len(ROLES)), children.CONTEXT.Event()
    processes = []
    for number, (name, role, arguments, options) in enumerate(ROLES):
        place = Place(url, folder, name, SEED + number, SECONDS, start, over)
        processes.append(children.CONTEXT.Process(target=role, args=(place, *arguments), kwargs=options, name=name))
    for process in processes:
        process.start()
    followers = [p for p, (_, role, _, _) in zip(processes, ROLES, strict=True) if role is follower]
    for process in (*(p for p in processes if p not in followers), *followers):
        if process in followers:
            over.set()
        process.join(SECONDS + PATIENCE_S)
        assert process.exitcode == 0, f"{process.name} did not end as it should"
    return {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name, *_ in ROLES}


@pytest.mark.soak
@pytest.mark.slow  # five seconds of eight processes, on each store
def test_processes_that_share_a_store_lose_nothing_and_meet_no_error(store_url, tmp_path, capsys):
    url = store_url
    Company(tmp_path / "first", SEED).complete_day()
    with Engine.open(url, configuration=soaked(), export_output=tmp_path / "first") as engine:
        engine.run_job("Complete")

    told = shared(url, tmp_path)

    assert {name: each["error"] for name, each in told.items() if "error" in each} == {}, f"seed {SEED}"
    acknowledged = [(run, changes) for each in told.values() for run, changes in each.get("runs", ())]
    with Engine.open(url, configuration=soaked(), export_output=tmp_path / "first") as engine:
        in_log, runs = counted(engine), engine.runs()
        assert {run: in_log[run] for run, _ in acknowledged} == dict(acknowledged)
        assert {run.number for run in runs} == {1, *(run for run, _ in acknowledged)}
        assert {run.state for run in runs} <= {TaskState.COMPLETED, TaskState.WARNING}
        assert _overlapping(runs) == []
        resources, links = {}, set()
        fold(engine.changes(), resources, links)
        assert exported(engine) == (resources, links)
        for each in told.values():
            if "seen" in each:
                assert each["seen"] == [change.position for change in engine.changes(after=each["start"])]
        engine.run_job("Keys")
        assert engine.dirty() == []
        assert engine.verify_derived().differences == ()
    refused, compared = (sum(each.get(what, 0) for each in told.values()) for what in ("refused", "compared"))
    assert acknowledged
    assert compared
    with capsys.disabled() if SOAK else nullcontext():
        print(
            f"\n{url.split(':')[0]}, seed {SEED}: {len(ROLES)} processes for {SECONDS:g} s: {len(acknowledged)} runs, "
            f"{sum(changes for _, changes in acknowledged)} changes, {refused} refused, {compared} exports compared"
        )


def _overlapping(runs: list[Any]) -> list[tuple[int, int]]:
    """Pairs of runs that had a task in common and were there at the same time."""
    found = []
    for one in runs:
        for other in runs:
            both = {task.identifier for task in one.tasks} & {task.identifier for task in other.tasks}
            if both and one.number < other.number and other.started_at < one.ended_at:
                found.append((one.number, other.number))
    return found
