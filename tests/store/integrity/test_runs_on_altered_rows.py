"""A run that meets an altered row writes nothing; after a replay, the next run computes what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import Job, Step, StoreError, TaskState, Thresholds
from tests.scenarios.house import House, configuration
from tests.store.released import Calendar
from tests.store.tables import LOG, alter, tables, verified

FLAG = Step("SetRecentlyModifiedFlag")
KEYS = {"keys": "SELECT rule, resource, value FROM correlation_keys"}

ALTERED = {
    "a flag of another resource": "UPDATE flags SET resource=resource+1 WHERE number=(SELECT max(number) FROM flags)",
    "a flag of an older change": "UPDATE flags SET newest=1, position=1",
    "a place that is further": "UPDATE consumed SET flag=flag+1, position=position+1",
    "another digest of what was computed": "UPDATE consumed SET digest='d'",
    "changes that were not flagged": "UPDATE places SET position=position+1",
    "a rule of another name": "UPDATE rules SET name='Other' WHERE id=(SELECT min(id) FROM rules)",
    "a dependency on another property": "UPDATE dependencies SET property='Age' WHERE property='Mail'",
    "the next flag": "UPDATE store SET next_flag=next_flag+3",
    "an earlier next stream": "UPDATE store SET next_stream=next_stream-1",
}


def lived(url: str, folder: Path) -> House:
    """People with keys, flags of changes that no task has read, and extracts with another change."""
    house = House(url, folder, Calendar(), configuration(more_jobs=[Job("OnlyFlags", [FLAG])]))
    house.people(
        {"1": {"name": "Ann", "mail": "a"}, "2": {"name": "Bob", "mail": "b"}, "3": {"name": "C", "mail": "c"}}
    )
    house.run("Complete")
    house.run("Flags")
    house.run("Incremental")
    house.people(
        {"1": {"name": "Ann", "mail": "x"}, "2": {"name": "Bob", "mail": "y"}, "3": {"name": "C", "mail": "c"}}
    )
    house.run("People")
    house.run("OnlyFlags")
    return house.people({"1": {"name": "Ann", "mail": "z"}, "2": {"name": "Bob", "mail": "y"}})


@pytest.mark.many
@pytest.mark.on_every_store
@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[pytest.mark.slow] * (number > 1)) for number, what in enumerate(ALTERED)]
)  # seconds each
def test_a_run_on_an_altered_row_writes_nothing_and_a_replay_repairs_it(
    store_url: str, tmp_path: Path, what: str
) -> None:
    house = lived(store_url, tmp_path)
    assert alter(store_url, ALTERED[what]) >= 1
    before = tables(store_url, KEYS)

    try:
        state = house.engine.run_job("Incremental").state
    except StoreError as e:
        state, said = None, str(e)
        assert "is not what was written" in said

    assert state in (None, TaskState.FAILED)
    assert tables(store_url, KEYS) == before
    assert not verified(store_url).is_sound
    house.engine.replay()
    assert verified(store_url).discrepancies == ()
    house.run("Incremental")
    assert house.engine.verify_derived().differences == ()


def test_after_altered_pending_changes_a_connector_waits_for_a_complete_synchronization(
    store_url: str, tmp_path: Path
) -> None:
    house = House(store_url, tmp_path, Calendar(), configuration())
    house.people({"1": "Ann", "2": "Bob"}).run("Complete")
    house.configured(limits=Thresholds(maximum_deleted_lines=1))
    house.people({})
    assert house.engine.run_job("Incremental").state is TaskState.BLOCKED
    log = tables(store_url, LOG)
    assert alter(store_url, "UPDATE pending SET task=task+1 WHERE part=0") == 1

    assert "the table pending" in {fault.subject for fault in verified(store_url).discrepancies}
    house.engine.replay()

    assert verified(store_url).discrepancies == ()
    assert tables(store_url, LOG) == log
    (held,) = tables(store_url, {"blocked": "SELECT connector, needs_complete FROM blocked"})["blocked"]
    assert held == ("HR", 1)
    assert tables(store_url, {"pending": "SELECT run FROM pending"}) == {"pending": []}


def test_an_altered_block_is_made_anew_from_the_pending_changes(store_url: str, tmp_path: Path) -> None:
    house = House(store_url, tmp_path, Calendar(), configuration())
    house.people({"1": "Ann", "2": "Bob"}).run("Complete")
    house.configured(limits=Thresholds(maximum_deleted_lines=1))
    house.people({})
    run = house.engine.run_job("Incremental")
    assert run.state is TaskState.BLOCKED
    assert alter(store_url, "UPDATE blocked SET connector='Teams'") == 1

    failed = house.engine.run_job("Incremental")
    assert failed.state is TaskState.FAILED
    problem = 'the table blocked: the row of connector "Teams" is not what was written'
    assert any(problem in message for task in failed.tasks for message in task.messages)
    house.engine.replay()

    assert verified(store_url).discrepancies == ()
    (held,) = tables(store_url, {"blocked": "SELECT connector, run, needs_complete FROM blocked"})["blocked"]
    assert held == ("HR", run.number, 1)


@pytest.mark.on_every_store
def test_an_earlier_row_of_the_store_is_found_and_later_flags_get_new_numbers(store_url: str, tmp_path: Path) -> None:
    house = lived(store_url, tmp_path)
    columns = ("last_at", "next_stream", "next_run", "next_flag", "forgotten_flag", "seal")
    (earlier,) = tables(store_url, {"store": f"SELECT {', '.join(columns)} FROM store"})["store"]
    house.run("People")
    house.run("OnlyFlags")
    settings = ", ".join(f"{name}={value}" for name, value in zip(columns, earlier, strict=True))

    assert alter(store_url, f"UPDATE store SET {settings}") == 1
    found = verified(store_url).discrepancies
    assert any(fault.problem.startswith("the next flag is") for fault in found)
    house.engine.replay()

    assert verified(store_url).discrepancies == ()
    house.people({"1": {"name": "Ann", "mail": "w"}, "2": {"name": "Bob", "mail": "v"}})
    house.run("Incremental")
    assert house.engine.verify_derived().differences == ()
    assert verified(store_url).discrepancies == ()
