"""Laws: whatever was lived, what was erased is in no table, and of the others everything is as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltamark import LoggedChange, ResourceRef, RunMoment, StoreError
from deltamark.infrastructure.store.commands.erase import ErasureCommands
from tests.application.retention.test_erase import holds
from tests.scenarios.house import House
from tests.store.integrity.test_chain import held_against
from tests.store.tables import replayed_into, verified
from tests.stores import NewStore
from tests.tiers import examples

pytestmark = pytest.mark.law

PEOPLE, TEAMS = ("1", "2", "3"), ("S", "T")
BOB: dict[str, Any] = {"bob": "Bob"}  # without anybody, an extract would be held back

DAY = st.fixed_dictionaries(
    {
        "people": st.dictionaries(st.sampled_from(PEOPLE), st.integers(0, 3)),
        "members": st.sets(st.tuples(st.sampled_from(TEAMS), st.sampled_from(PEOPLE))),
        "retain": st.sampled_from([None, None, None, "HR", "Teams"]),
    }
)
DAYS = st.lists(DAY, min_size=1, max_size=5)
ERASED = st.sets(st.sampled_from(PEOPLE), min_size=1, max_size=2)
LAW = settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))


def canary(number: str) -> str:
    """What stands in every value of a person, in any case, and nowhere else."""
    return f"qx{number}xq"


def lived(house: House, days: list[dict[str, Any]]) -> list[int]:
    """Lives the days, with Bob, who is always in team S; gives the runs whose ends can still be asked for."""
    runs: list[int] = []
    for day in days:
        people = {n: {"name": f"{canary(n)}-{v}", "mail": f"{canary(n)}@{v}"} for n, v in day["people"].items()}
        house.people(BOB | people).run("Incremental")
        members = sorted(pair for pair in day["members"] if pair[1] in people)
        runs.append(house.teams({team: team for team in TEAMS}, ("S", "bob"), *members).run("Teams").number)
        if day["retain"] and house.engine.retain(day["retain"], keep=0, even_unread=True).count:
            runs.clear()
    return runs


def stories(house: House, runs: list[int], *, without: set[str]) -> dict[object, object]:
    """All that can be told of everybody but some people: today, at the ends of runs, change by change, keys."""
    told: dict[object, object] = {}
    for when in ({}, *({"at": RunMoment(run)} for run in runs)):
        at = repr(when)
        told["people", at] = {n: state for n, state in house.state(**when).items() if n not in without}
        told["teams", at] = house.state("Team", **when)
        told["members", at] = {pair for pair in house.pairs(**when) if pair[1] not in without}
    told["keys"] = {side: value for side, value in house.keys().items() if side[1] not in without}
    told["changes"] = [change for change in house.engine.changes(kept_only=True) if not without & keys_of(change)]
    return told


def keys_of(change: LoggedChange) -> set[str]:
    """The key of what changed; of a link, of both ends."""
    ref = change.event.ref
    return {ref.key} if isinstance(ref, ResourceRef) else {ref.source.key, ref.target.key}


def holding(url: str, text: str) -> list[str]:
    """The tables in which a text stands, in any case."""
    return sorted({table for spelled in (text, text.upper()) for table in holds(url, spelled)})


@pytest.fixture
def house_in(new_store: NewStore, clock: Callable[[], datetime]) -> Callable[[Path], House]:
    """Gives a new house in a folder."""
    return lambda folder: House(new_store(), folder / "exports", clock)


def erased(house: House, numbers: set[str]) -> set[str]:
    """Erases those of some people who ever were; gives them."""
    with house.engine._store.reading() as reading:
        known = {row[0] for row in reading._db.all("SELECT key FROM resources")}
    for number in sorted(numbers & known):
        house.engine.erase("Person", number, reason="request")
    return numbers & known


@LAW
@given(days=DAYS, numbers=ERASED)
def test_what_was_erased_is_nowhere_and_of_the_others_everything_is_as_it_was(
    house_in: Callable[[Path], House], new_store: NewStore, days: list[dict[str, Any]], numbers: set[str]
) -> None:
    with TemporaryDirectory() as folder:
        house = house_in(Path(folder))
        runs = lived(house, days)
        before = stories(house, runs, without=numbers)
        with house.engine._store.reading() as reading:
            known = reading.checkpoint()

        gone = erased(house, numbers)

        assert {number: holding(house.url, canary(number)) for number in gone} == {number: [] for number in gone}
        after = stories(house, runs, without=numbers)
        for what in before:
            assert after[what] == before[what], what
        assert held_against(house.url, known).discrepancies == ()
        target = new_store()
        replayed_into(house.url, target)
        assert verified(target).is_sound
        house.engine.close()


@LAW
@given(days=DAYS, numbers=ERASED)
def test_after_an_erasure_an_incremental_run_leaves_what_a_complete_run_leaves(
    house_in: Callable[[Path], House], days: list[dict[str, Any]], numbers: set[str]
) -> None:
    with TemporaryDirectory() as folder:
        house = house_in(Path(folder))
        lived(house, days)

        gone = erased(house, numbers)
        people = BOB | {n: canary(n) for n in days[-1]["people"] if n not in gone}
        house.people(people).run("Incremental")

        assert house.engine.verify_derived().differences == ()
        assert set(house.names()) == set(people)
        keys = house.keys()
        house.run("Complete")
        assert house.keys() == keys
        house.engine.close()


A_DAY = {"people": {"1": 0, "2": 0}, "members": {("T", "1")}, "retain": None}


def test_control_with_leaves_that_are_not_kept_the_law_fails(
    house_in: Callable[[Path], House], new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ErasureCommands, "keep_stubs", lambda self, positions: None)

    with pytest.raises(StoreError, match="to erase differ from the record"):
        test_what_was_erased_is_nowhere_and_of_the_others_everything_is_as_it_was.hypothesis.inner_test(
            house_in, new_store, [A_DAY], {"1"}
        )


def test_control_with_only_the_first_change_emptied_the_law_fails(
    house_in: Callable[[Path], House], new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ErasureCommands._events_of
    monkeypatch.setattr(ErasureCommands, "_events_of", lambda self, stream: own(self, stream)[:1])

    with pytest.raises(AssertionError, match="events"):
        test_what_was_erased_is_nowhere_and_of_the_others_everything_is_as_it_was.hypothesis.inner_test(
            house_in, new_store, [A_DAY], {"1"}
        )
