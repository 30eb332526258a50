"""Awkward values of databases: each is in the store exactly, or its row is set aside; none becomes another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import EntityType, Property, TaskState
from deltamark.domain.values import PropertyType
from tests.scenarios.database_source import PERSON, DatabaseSource, configuration
from tests.stores import NewStore

AWKWARD = (
    *("1234567.89", "18446744073709551615", "9223372036854775807", "0000-00-00", "infinity", "0044-03-15 BC", "NaN"),
    *("2026-11-30 10:00:00+00", "a\0b", "AP8=", "x\t\\N\n'\""),
)
EXACT: dict[PropertyType, dict[str, Any]] = {
    PropertyType.STRING: {text: text for text in AWKWARD},
    PropertyType.INT64: {"9223372036854775807": 9223372036854775807},
    PropertyType.DECIMAL: {text: text for text in ("1234567.89", "18446744073709551615", "9223372036854775807")},
    PropertyType.DATE_TIME: {"2026-11-30 10:00:00+00": "2026-11-30T10:00:00Z"},
}


@pytest.mark.on_every_store
@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
def test_a_value_is_exact_or_its_row_is_set_aside(new_store: NewStore, tmp_path: Path, kind: PropertyType) -> None:
    typed = [EntityType(PERSON, [Property("Id2", is_key=True), Property("Name", kind)])]
    with DatabaseSource(new_store(), tmp_path, evolve(configuration(), entity_types=typed)) as source:
        source.put(**{f"k{number}": text for number, text in enumerate(AWKWARD)}, empty="", absent=None)

        run = source.run("Everything")

        stored, exact = source.stored(), EXACT[kind]
        assert (stored.pop("empty"), stored.pop("absent")) == (None, None)
        aside = [row for task in run.tasks for row in task.set_aside]
        assert stored == {f"k{number}": exact[text] for number, text in enumerate(AWKWARD) if text in exact}
        assert len(aside) == len(AWKWARD) - len(exact)
        assert {row.column for row in aside} <= {"name"}
        assert run.state is (TaskState.WARNING if aside else TaskState.COMPLETED)
        assert source.engine.verify().is_sound
