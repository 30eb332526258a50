"""Stores of released versions can be opened, are upgraded, verify, and give the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltamark import StoreError
from deltamark.infrastructure.store.migrations import STEPS, Step
from tests.scenarios.house import House, configuration
from tests.store.released import FILES, MORE, Calendar, bring_back, known, told
from tests.store.tables import alter, replayed_into, tables, verified
from tests.store.test_schema_versions import opened
from tests.stores import EveryStore

VERSIONS = sorted(int(path.stem.removeprefix("format-")) for path in FILES.glob("format-*.json"))
CONFIGURED: dict[str, Any] = MORE


def house(url: str, tmp_path: Path) -> House:
    return House(url, tmp_path / "exports", Calendar(), configuration(**CONFIGURED))


def test_there_are_stores_of_released_formats() -> None:
    assert VERSIONS
    assert max(VERSIONS) <= STEPS[-1].version


@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_store_gives_its_recorded_answers(store_url: str, tmp_path: Path, version: int) -> None:
    bring_back(version, store_url)

    lived = house(store_url, tmp_path)

    said = told(lived.engine)
    lived.engine.close()
    assert {name: said[name] for name in known(version)} == known(version)
    assert verified(store_url).discrepancies == ()


@pytest.mark.many
@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_store_runs_further_jobs(store_url: str, tmp_path: Path, version: int) -> None:
    bring_back(version, store_url)
    lived = house(store_url, tmp_path)

    lived.engine.cancel(max(run.number for run in lived.engine.runs()))
    lived.people({"1": "Anne", "2": "Bo", "4": "Dea"}).run("Complete")
    lived.people({"1": "Anne", "2": "Bob", "4": "Dea"}).run("Incremental")

    assert lived.names() == {"1": "Anne", "2": "Bob", "4": "Dea"}
    assert lived.engine.verify_derived().faults == ()
    lived.engine.close()
    assert verified(store_url).is_sound


@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_store_is_copied_to_the_other_kind(every_store: EveryStore, version: int) -> None:
    url, other = every_store().values()
    bring_back(version, url)

    replayed_into(url, other)

    assert tables(other)["events"] == tables(url)["events"]
    assert verified(other).is_sound


@pytest.mark.parametrize("version", VERSIONS)
def test_an_alteration_of_an_upgraded_released_store_is_found(store_url: str, version: int) -> None:
    bring_back(version, store_url)
    opened(store_url).close()

    assert alter(store_url, "UPDATE stored_events SET state=seal WHERE notification_id=1") == 1

    assert verified(store_url).discrepancies[0].position == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failing_upgrade_step_leaves_a_released_store_unchanged(store_url: str, version: int) -> None:
    def broken(types: object) -> list[str]:
        return ["CREATE TABLE never (x INTEGER)", "INSERT INTO nowhere VALUES (1)"]

    bring_back(version, store_url)
    with pytest.raises(StoreError):
        opened(store_url, (*STEPS, Step(STEPS[-1].version + 1, broken)))

    held = opened(store_url, STEPS[:version]) if version < STEPS[-1].version else opened(store_url)
    held.close()
    assert verified(store_url).is_sound
