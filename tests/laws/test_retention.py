"""A retention changes nothing of what is, of what is dirty, and of what is run later, whenever it comes."""

from __future__ import annotations

from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark import HistoryDiscarded, TaskState
from deltamark.application.retention.chosen import Chosen
from deltamark.application.retention.retain import retain
from deltamark.domain.adoption.decommission import NameKind
from tests.application.retention.test_discard import FLAG_ONLY
from tests.scenarios.house import House, configuration
from tests.stores import stores
from tests.tiers import law

PEOPLE = st.dictionaries(st.sampled_from("1234"), st.sampled_from(["Ann", "Bob", "Cem"]), max_size=4)
TEAMS = st.dictionaries(st.sampled_from("TU"), st.sampled_from(["Red", "Blue"]), max_size=2)
MEMBERS = st.sets(st.tuples(st.sampled_from("TU"), st.sampled_from("1234")), max_size=4)
JOBS = st.sampled_from(["People", "Teams", "FlagOnly", "Flags", "Incremental", "Complete"])
STEP = st.one_of(
    st.tuples(st.just("people"), PEOPLE),
    st.tuples(st.just("teams"), TEAMS, MEMBERS),
    *2 * [st.tuples(st.just("run"), JOBS)],
    st.tuples(st.just("retain"), st.sampled_from(["HR", "Teams"]), st.integers(0, 6), st.integers(1, 3), st.booleans()),
)
HISTORY = st.lists(STEP, min_size=4, max_size=14)


def present(house):
    """What is, and what is dirty, where positions do not count."""
    return (
        house.state(),
        house.state("Team"),
        house.pairs(),
        list(house.engine.keys()),
        [(dirty.task, dirty.key) for dirty in house.engine.dirty()],
        [found and found.version for found in (house.engine.resource("Person", number) for number in "1234")],
    )


def past(house):
    """What was at each position of the log that can still be asked for: position -> answers."""
    answers = {}
    for position in range(house.engine.position() + 1):
        with suppress(HistoryDiscarded):
            answers[position] = (house.state(at=position), house.state("Team", at=position), house.pairs(at=position))
    return answers


def done(run):
    """What a run did, where positions do not count."""
    return [(task.identifier, task.state, task.counts, task.effect) for task in run.tasks]


@law(8)
@given(history=HISTORY)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whenever_it_comes_a_retention_moves_nothing_but_the_horizon(kind, history, request, memory, clock):
    folder = memory / str(next(NUMBERS))
    folder.mkdir()
    with stores(kind, folder, lambda: request.getfixturevalue("postgresql_database")) as new:
        configured = configuration(more_jobs=FLAG_ONLY)
        houses = [House(new(), folder / which, clock, configured) for which in ("retained", "whole")]
        try:
            for house in houses:
                house.people({}).teams({})
            for step in history:
                _lived(houses, step)
        finally:
            for house in houses:
                house.engine.close()


NUMBERS = count(1)


def _lived(houses, step):
    retained, whole = houses
    match step:
        case ("people", people):
            for house in houses:
                house.people(people)
        case ("teams", teams, members):
            for house in houses:
                house.teams(teams, *members)
        case ("run", job):
            did, would_do = (done(house.engine.run_job(job, force=True)) for house in houses)
            assert did == would_do
            assert TaskState.FAILED not in [state for _, state, *_ in did]
        case ("retain", connector, keep, at_a_time, has_read_all):
            if has_read_all:
                for house in houses:
                    house.run("Flags")
            _retained(retained, connector, keep, at_a_time)
    assert present(retained) == present(whole)


def _retained(house, connector, keep, at_a_time):
    services = house.engine._services
    before, head = past(house), house.engine.position()
    changes = list(house.engine.changes(kept_only=True))
    chosen = Chosen(NameKind.CONNECTOR, connector)
    found = retain(services, chosen, keep, even_unread=False, progress=lambda done, total: None, at_a_time=at_a_time)
    assert house.engine.verify().discrepancies == ()
    after = past(house)
    assert {position: after[position] for position in after if position <= head} == {
        position: before[position] for position in before if position in after
    }
    assert all(position < found.up_to for position in before if position not in after)
    kept = list(house.engine.changes(kept_only=True))
    assert len(kept) == len(changes) - found.count
    assert [change for change in changes if change in kept] == kept
