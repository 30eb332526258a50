"""What a source gives, as files of a folder: whole or nothing, and no store knows of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from attrs import evolve

from deltamark import ConnectionTable, Engine, SourceError, UsageError
from tests.scenarios.database_source import PERSON, DatabaseSource, configuration, messages


@pytest.fixture
def source(tmp_path: Path) -> DatabaseSource:
    made = DatabaseSource("sqlite://", tmp_path / "s", configuration())
    made.put(a="Ann", b='B "ob", x', c=None)
    return made


def test_the_tables_of_a_connection_are_files_and_the_store_is_as_before(
    source: DatabaseSource, tmp_path: Path
) -> None:
    with source:
        rows, _ = source.engine.export_source("HR_Source", tmp_path / "seen")
        source.engine.export_source("HR_Source", tmp_path / "csv", as_csv=True)

        assert rows == {PERSON: 3}
        assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["HR_Person.parquet", "delivery.json"]
        table = pq.read_table(tmp_path / "seen" / "HR_Person.parquet")
        assert dict(zip(*(table[name].to_pylist() for name in ("id", "name")), strict=True)) == source.people()
        record = json.loads((tmp_path / "seen" / "delivery.json").read_text())
        assert (record["kind"], record["tables"][PERSON]["rows"]) == ("snapshot", 3)
        with (tmp_path / "csv" / "HR_Person.csv").open(newline="", encoding="utf-8") as stream:
            assert {row["id"]: row["name"] or None for row in csv.DictReader(stream)} == source.people()
        assert source.engine.places() == []
        assert list(source.engine.runs()) == []
        assert source.run().counts.inserted == 3


def test_a_folder_that_is_not_empty_and_an_unknown_connection_are_refused(
    source: DatabaseSource, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine").write_text("mine")
    with source:
        with pytest.raises(UsageError, match="is not empty"):
            source.engine.export_source("HR_Source", kept)
        with pytest.raises(UsageError, match='no connection "HR_Sorce"'):
            source.engine.export_source("HR_Sorce", tmp_path / "new")
    assert [path.name for path in kept.iterdir()] == ["mine"]


def test_a_source_that_fails_leaves_nothing(source: DatabaseSource, tmp_path: Path) -> None:
    with source:
        source.execute("DROP TABLE person")
        with pytest.raises(SourceError):
            source.engine.export_source("HR_Source", tmp_path / "seen")
    assert list((tmp_path / "seen").iterdir()) == []


def test_a_program_gives_all_tables_of_a_connection_or_none(tmp_path: Path) -> None:
    made = configuration()
    (connection,) = made.connections
    (mapping,) = made.entity_type_mappings
    other = ConnectionTable("HR_Other", {"Query": "select * from person"})
    (entity_type,) = made.entity_types
    made = evolve(
        made,
        connections=[evolve(connection, tables=[*connection.tables, other])],
        entity_types=[entity_type, evolve(entity_type, identifier="HR_Other")],
        entity_type_mappings=[mapping, evolve(mapping, identifier="HR_Other", connection_table="HR_Other")],
    )
    rows = [{"id": "a", "name": "Ann"}]
    with Engine.open("sqlite://", configuration=made, export_output=tmp_path) as engine:
        some = engine.run_job("Apply", extracts={PERSON: rows})
        all_of_them = engine.run_job("Apply", extracts={PERSON: rows, "HR_Other": rows})

    assert 'the program gives "HR_Person", and the connection delivers 2 tables together' in messages(some)
    assert "Give all of them (HR_Person, HR_Other), or none." in messages(some)
    assert all_of_them.counts.inserted == 2
