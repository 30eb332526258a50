"""A process that reads a source and applies what it read is killed at any step: both happen, or neither."""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random, randrange
from typing import Any

import pytest

from deltamark import CannotResume, TaskState
from tests.crash import source_children
from tests.laws.test_deliveries import KEYS, edited
from tests.scenarios.database_source import DatabaseSource, configuration
from tests.store.children import CONTEXT, steps_of
from tests.stores import NewStore
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
ROUNDS = 250 if SOAK else 4
CONTEXT.set_forkserver_preload(["tests.store.children", source_children.__name__])


class Life:
    """A source that one store follows by deltas through kills, and another one by reading everything."""

    def __init__(
        self, new_store: NewStore, folder: Path, seed: int, child: Callable[..., None] = source_children.run
    ) -> None:
        self._random = Random(seed)
        self._url, self._folder, self._child = new_store(), folder / "deltas", child
        self.by_deltas = DatabaseSource(self._url, self._folder, configuration())
        self.by_deltas.put(**dict.fromkeys(KEYS[:6], "first"))
        self.whole = DatabaseSource(new_store(), folder / "whole", configuration(), self.by_deltas.database)
        self.steps = 1
        self.kills = self.before = self.after = self.resumed = 0

    def close(self) -> None:
        self.by_deltas.engine.close()
        self.whole.engine.close()

    def round(self) -> None:
        """Edits, kills, and a run that ends."""
        edited(self.by_deltas, self._random)
        for _ in range(self._random.choice([0, 1, 1, 1, 2, 3])):
            self._kill()
        self._ends()
        assert self.by_deltas.stored() == self.by_deltas.people()
        self.whole.run("Everything")
        assert self.whole.stored() == self.by_deltas.stored()

    def _kill(self) -> None:
        """Runs a process that is killed, or ends where it had fewer steps; both leave all or nothing."""
        held, place = self.by_deltas.stored(), self.by_deltas.place()
        resumes = self._random.random() < 0.4
        if self._runs(self._random.randint(1, self.steps), resumes=resumes) is not None:
            return
        self.kills += 1
        now, wanted = self.by_deltas.place(), self.by_deltas.people()
        if now == place:
            self.before += 1
            stored = self.by_deltas.stored()
            if self._is_at_the_end(place):  # rows came late, with versions that were read before: it stays where it is
                assert stored in (held, wanted), "a part was applied"
            else:
                assert stored == held, "something was applied, and the place is as before"
        else:
            self.after += 1
            assert self.by_deltas.stored() == wanted, "the place moved, and not all was applied"

    def _is_at_the_end(self, place: Any) -> bool:
        """Whether a reading now would reach the place that is kept."""
        with closing(sqlite3.connect(self.by_deltas.database)) as connection:
            ((newest,),) = connection.execute("SELECT max(version) FROM person")
        return place is not None and f'["{newest}"' in base64.b64decode(place).decode()

    def _runs(self, at_step: int, *, resumes: bool) -> int | None:
        """Runs a process; gives the number of its steps, or None if it was killed."""
        return steps_of(self._child, self._url, self._folder, at_step, resumes)

    def _ends(self) -> None:
        """A run that nobody kills; from time to time its steps are counted."""
        if self.steps == 1 or self._random.random() < 0.1:
            self.steps = self._runs(0, resumes=False) or 1
            return
        resumes = self._random.random() < 0.5
        source_children.run_or_resume(self.by_deltas, resumes=resumes)
        self.resumed += resumes
        self.by_deltas.run()


@pytest.mark.law
@pytest.mark.slow  # a process for each kill
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_kill_at_any_step_leaves_all_or_nothing_and_the_next_run_ends_where_a_complete_reading_does(
    new_store: NewStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    life = Life(new_store, tmp_path, SEED)
    try:
        for number in range(ROUNDS):
            try:
                life.round()
            except AssertionError as error:
                raise AssertionError(f"seed {SEED}, round {number}: {error}") from error
        assert life.by_deltas.engine.verify().is_sound
    finally:
        life.close()

    with capsys.disabled():
        print(
            f"\nseed {SEED}: {ROUNDS} rounds, {life.kills} kills among {life.steps} steps, {life.before} before the "
            f"place moved, {life.after} after it, {life.resumed} resumed"
        )
    if SOAK:
        assert life.before


@pytest.mark.slow  # like what it controls
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_control_a_place_that_moves_by_itself_is_caught(new_store: NewStore, tmp_path: Path) -> None:
    life = Life(new_store, tmp_path, 1, source_children.run_that_moves_the_place_first)
    life.by_deltas.run()
    life.by_deltas.put(a="Ann")
    try:
        with pytest.raises(AssertionError, match="the place moved, and not all was applied"):
            life._kill()
    finally:
        life.close()


class HeldBack:
    """Two deletions of a delta that a threshold held back, in a store of which each process gets a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with self._opened("held") as source:
            source.put(a="Ann", b="Bob", c="Cid")
            source.run()
            source.mark_deleted("a", "b")
            assert source.run().state is TaskState.BLOCKED
            self.before = (source.stored(), source.place())
        with self._copied("resumed") as source:
            assert source.engine.resume(source.engine.runs()[-1].number).state is TaskState.COMPLETED
            self.after = (source.stored(), source.place())
        assert self.after[0] == {"c": "Cid"}
        assert self.before[1] != self.after[1]

    def _url(self, name: str) -> str:
        return f"sqlite:///{self.folder / name / 'store.db'}"

    def _opened(self, name: str) -> DatabaseSource:
        (self.folder / name).mkdir(exist_ok=True)
        return DatabaseSource(self._url(name), self.folder / name, source_children.one_deletion())

    def _copied(self, name: str) -> DatabaseSource:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.folder / "held", self.folder / name)
        return self._opened(name)

    def killed(self, at_step: int, child: Callable[..., None] = source_children.resume) -> bool | None:
        """Whether all was applied where a process was killed at that step; None if it had fewer."""
        self._copied("killed").engine.close()
        if steps_of(child, self._url("killed"), self.folder / "killed", at_step) is not None:
            return None
        with self._opened("killed") as source:
            left = (source.stored(), source.place())
            assert left in (self.before, self.after), f"killed at step {at_step}: the place or the changes alone"
            with suppress(CannotResume):  # only its end was missing
                source.engine.resume(source.engine.runs()[-1].number)
            assert (source.stored(), source.place()) == self.after
            assert source.engine.held_back() == ()
            assert source.run().counts.changed == 0
            assert source.engine.verify().is_sound
        return left == self.after


@pytest.mark.slow  # a process for each kill
def test_a_kill_while_held_back_changes_are_applied_leaves_both_or_neither_of_changes_and_place(tmp_path: Path) -> None:
    held_back = HeldBack(tmp_path)
    step, stride, applied = 1, 1 if SOAK else 13, []
    while (was_applied := held_back.killed(step)) is not None:
        applied.append(was_applied)
        step += stride
    assert set(applied) == {False, True}, f"of {step} steps none was before, or none after the transaction"


@pytest.mark.slow  # like what it controls
def test_control_a_place_that_moves_before_held_back_changes_are_applied_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the place or the changes alone"):
        HeldBack(tmp_path).killed(0, source_children.resume_that_moves_the_place_first)
