"""DuckDB writes what does not fit into memory to a temporary folder of the process, never to the working directory."""

from pathlib import Path

import pyarrow as pa

from deltamark.infrastructure.duckdb.connection import Workbench, locked_down
from deltamark.infrastructure.extracts.connection import extract_connection


def place(connection) -> Path:
    return Path(
        connection.sql("select current_setting('temp_directory') as place").to_arrow_table()["place"][0].as_py()
    )


def test_no_database_spills_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with Workbench().connection() as comparing, extract_connection() as reading, locked_down() as other:
        places = [place(connection) for connection in (comparing, reading, other)]

    for folder in places:
        assert folder.parent.name.startswith(".deltamark-temporary-")
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_one_file_is_not_taken_for_another_that_was_read_before():
    with extract_connection() as connection:
        table: pa.Table = connection.sql(
            "select current_setting('enable_external_file_cache') as kept"
        ).to_arrow_table()

    assert table["kept"].to_pylist() == [False]
