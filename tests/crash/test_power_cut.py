"""The power goes at any instant: what a user was told of is kept, and the store is whole."""

from __future__ import annotations

import os
import pickle
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from random import Random, randrange

import pytest

from deltamark.bootstrap import utc_now
from tests.crash import children
from tests.crash.company import ENDED_WELL, JOB, PATIENCE_S, Days, harm_in, lives, opened, seen
from tests.crash.power import Acknowledged, Operation, acknowledged, after_power_cut, library
from tests.store.children import CONTEXT
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
DAYS = 3
CUTS, WHOLE_CUTS = (5_000, 100) if SOAK else (120, 3)
"""How many cuts, and how many of them are followed by the next run."""

pytestmark = pytest.mark.skipif(library() is None, reason="this Python has SQLite built in: nobody can look on")


def recorded(folder: Path, synchronous: str) -> list[Operation]:
    """What a life of some days writes to its store."""
    arguments = (f"sqlite:///{folder}/store.db", folder / "exports", SEED, DAYS, synchronous)
    process = CONTEXT.Process(target=children.record, args=arguments)
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    return list(pickle.loads((folder / "exports" / "operations").read_bytes()))  # noqa: S301 (our own)


def cut(operations: list[Operation], at: int, random: Random, folder: Path) -> Path:
    """The store that is left."""
    folder.mkdir(exist_ok=True)
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (folder / name).unlink(missing_ok=True)
    for name, content in after_power_cut(operations[:at], random).items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(content)
    return folder / "store.db"


def lost_in(path: Path, told: int) -> list[str]:
    """What is damaged, or gone though somebody was told that it is kept."""
    with closing(sqlite3.connect(path)) as db:
        found = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        if not told:
            return found
        try:
            (head,) = db.execute("SELECT coalesce(max(notification_id), 0) FROM stored_events").fetchone()
        except sqlite3.Error as error:
            return [*found, f"everything up to {told} is lost: {error}"]
    return found if head >= told else [*found, f"what lies between {head} and {told} is lost"]


def losses(operations: list[Operation], cuts: int, random: Random, folder: Path) -> list[str]:
    found = []
    for _ in range(cuts):
        at = random.randrange(len(operations) + 1)
        path = cut(operations, at, random, folder)
        found += [f"after operation {at}: {loss}" for loss in lost_in(path, acknowledged(operations[:at]))]
    return found


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> list[Operation]:
    """What such a life writes."""
    return recorded(tmp_path_factory.mktemp("recorded"), "FULL")


@pytest.mark.soak
def test_what_a_user_was_told_of_survives_any_power_cut(operations: list[Operation], tmp_path: Path) -> None:
    assert sum(isinstance(operation, Acknowledged) for operation in operations) >= DAYS * 6

    assert losses(operations, CUTS, Random(SEED), tmp_path / "cut") == [], f"seed {SEED}"


@pytest.mark.soak
@pytest.mark.slow  # the whole store is looked at, and all days run again
def test_after_a_power_cut_the_days_run_again_leave_what_they_would_have_left(
    operations: list[Operation], tmp_path: Path
) -> None:
    random, expected = Random(SEED), lives(SEED, DAYS, tmp_path)[-1]
    for number in range(WHOLE_CUTS):
        path = cut(operations, random.randrange(len(operations) + 1), random, tmp_path / f"cut-{number}")
        extracts = Days(path.parent / "exports", SEED)
        with opened(f"sqlite:///{path}", path.parent / "exports", clock=tomorrow) as engine:
            assert harm_in(engine) == [], f"seed {SEED}, cut {number}"
            for _ in range(DAYS):
                extracts.next()
                assert engine.run_job(JOB).state in ENDED_WELL
            found = seen(engine)
            assert (found.state, found.derived) == (expected.state, expected.derived), f"seed {SEED}, cut {number}"
            assert harm_in(engine) == [], f"seed {SEED}, cut {number}"


def tomorrow() -> datetime:
    """When nobody takes a run for alive whose machine lost its power today."""
    return utc_now() + timedelta(days=1)


@pytest.mark.slow  # like what it controls
def test_control_commits_that_are_not_synced_are_lost(tmp_path: Path) -> None:
    operations = recorded(tmp_path, "NORMAL")

    found = losses(operations, 50, Random(SEED), tmp_path / "cut")

    assert any("is lost" in loss for loss in found)
