"""Resources that are compared some at a time give what all of them give at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark import EntityType, Property
from deltamark.application.ports.arrow_schemas import RESOURCES
from deltamark.application.ports.comparer import ResourceComparison
from deltamark.application.ports.extracts import Cleansed, ResourceExtract
from deltamark.domain.runs.run import ExtractRead
from deltamark.infrastructure.comparison.comparer import DuckComparer
from deltamark.infrastructure.duckdb.connection import Workbench
from deltamark.infrastructure.store.postgresql import database as postgresql
from deltamark.infrastructure.store.sqlite import database as sqlite
from tests.store.builders import PERSON as TYPE
from tests.store.builders import create
from tests.store.test_schema_versions import opened
from tests.stores import NewStore
from tests.tiers import law

PERSON = EntityType("Person", [Property("Id", is_key=True), Property("Name")])
KEYS = st.sampled_from(["a", "b", "c", "d", "é", "x y"])
STATES = st.dictionaries(KEYS, st.sampled_from(["1", "2"]), max_size=6)


def states(values: Mapping[str, str]) -> pa.Table:
    texts = [f'{{"Id":"{key}","Name":"{value}"}}' for key, value in values.items()]
    return pa.table([list(values), texts], schema=pa.schema([("key", pa.string()), ("state", pa.string())]))


def compared(after: Mapping[str, str], stored: Sequence[pa.Table], kept: Sequence[str]) -> ResourceComparison:
    rows = states(after)
    lines = pa.array(range(2, rows.num_rows + 2), pa.int64())
    extract = ResourceExtract(
        rows=pa.table([rows["key"], lines, rows["state"]], names=RESOURCES.names),
        kept=pa.array(kept, pa.string()),
        cleansed=Cleansed(read=ExtractRead(subject="Person", file="f", rows=len(after), digest="")),
    )
    return DuckComparer(Workbench(threads=1)).resources(extract, stored, PERSON, complete=True)


def told(found: ResourceComparison) -> list[object]:
    changes = found.changes
    return [table.to_pylist() for table in (changes.created, changes.updated, changes.deleted)]


@law(60)
@given(before=STATES, after=STATES, kept=st.lists(KEYS, max_size=2), size=st.integers(1, 3))
def test_portions_are_compared_as_the_whole(
    before: dict[str, str], after: dict[str, str], kept: list[str], size: int
) -> None:
    whole = states(before)
    portions = [whole.slice(0, 0), *(whole.slice(start, size) for start in range(0, whole.num_rows, size))]
    assert told(compared(after, portions, kept)) == told(compared(after, [whole], kept))


def test_a_portion_left_out_is_found() -> None:
    whole = states({"a": "1", "b": "1", "c": "1"})
    portions = [whole.slice(0, 1), whole.slice(1, 1)]
    assert told(compared({"a": "1"}, portions, [])) != told(compared({"a": "1"}, [whole], []))


@pytest.mark.on_every_store
def test_a_store_gives_its_resources_in_portions(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_STREAMS", 2)
    monkeypatch.setattr(sqlite, "_RANGES", 2)
    monkeypatch.setattr(postgresql, "_STREAMS", 4)
    store = opened(new_store())
    with store.transaction() as tx:
        create(tx, TYPE, {f"p{number}": {"Name": "n"} for number in range(9)})
    with store.reading() as view:
        portions = list(view.live_resource_portions(TYPE))
        keys = sorted(key for portion in portions for key in portion["key"].to_pylist())
        assert len(portions) > 1
        assert keys == [f"p{number}" for number in range(9)]
        assert view.live_resources(TYPE).num_rows == 9
    store.close()
