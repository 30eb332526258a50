"""Stores as released versions wrote them: how one is lived, what is asked of it, and how it is kept and brought back.

`python -m tests.store.released` writes the files for the format of the code that it runs with into tests/data/stores.
Files that are there already are never written again: they are what that version wrote.
"""

from __future__ import annotations

import base64
import json
import lzma
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deltamark import Engine, Job, TaskState, Thresholds
from deltamark.bootstrap import open_store
from deltamark.infrastructure.store.migrations import STEPS
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.sqlite.address import path_of
from tests.scenarios.house import House, configuration

FILES = Path(__file__).parent.parent / "data" / "stores"
ODD = 'Zoë "Z"\\ Ünlü\u2028 😀'


class Calendar:
    """A clock that advances by a second with every reading."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


def live(house: House) -> None:
    """Everything that writes to a store, as far as two connectors allow."""
    ann = {"name": "Ann", "mail": "Ann@X", "age": 40, "weight": 61.5, "born": "1985-02-03", "active": "true"}
    house.people({"1": ann, "2": ODD, "3": "Cem"}).run("Complete")
    house.teams({"T": "Team", "U": ODD}, ("T", "1"), ("T", "2"), ("U", "3"), ("U", "later"))
    house.engine.run_job("Teams")
    house.run("Flags")
    house.people({"1": {**ann, "name": "Anna", "age": ""}, "2": ODD, "4": "Dea"}).run("Incremental")
    house.teams({"T": "Team"}, ("T", "1"), ("T", "4")).engine.run_job("Teams")
    house.engine.run_job("Nothing")
    rows = [{"number": "1", "name": "Anna"}, {"number": "", "name": "nobody"}, {"number": "2", "age": "old"}]
    house.write("people", ["number", "name", "mail", "age", "weight", "born", "token", "active"], rows)
    house.engine.run_job("People")
    if hasattr(house.engine, "erase"):
        house.engine.erase("Person", "3", reason="request 17")
    house.engine.retain("Teams", keep=2, even_unread=True)
    house.people({"1": "Anne", "2": ODD, "4": "Dea"}).run("People")
    house.configured(limits=Thresholds(maximum_deleted_lines=1), **MORE)
    house.people({"5": "Eve"})
    assert house.engine.run_job("Incremental").state is TaskState.BLOCKED


MORE: dict[str, Any] = {"keep_teams": False, "more_jobs": [Job("Nothing")]}


def told(engine: Engine) -> dict[str, Any]:
    """The answers of the store as JSON data, which no later version may change."""
    found = {
        "position": engine.position(),
        "changes": [
            [c.position, c.kind, c.event.at.isoformat(), str(c.event.ref), c.run, c.task, _values(c.event)]
            for c in engine.changes(kept_only=True)
        ],
        "runs": [
            [run.number, run.job, run.state.value, [[t.identifier, t.state.value, list(t.messages)] for t in run.tasks]]
            for run in engine.runs()
        ],
        "keys": [[key.rule, key.side, key.key, key.value] for key in engine.keys(None)],
        "dirty": [str(one) for one in engine.dirty()],
        "pending": len(list(engine.pending(max(run.number for run in engine.runs())))),
    }
    for when in (None, 7, engine.position() - 20):
        for kind in ("Person", "Team"):
            try:
                rows = [[r.key, dict(r.values), r.links] for r in engine.export_resources(kind, at=when)]
            except Exception as e:  # the horizon
                rows = [type(e).__name__]
            found[f"{kind} at {when}"] = rows
    return json.loads(json.dumps(found, default=str))


def _values(event: Any) -> Any:
    if hasattr(event, "updates"):
        return {name: [change.before, change.after] for name, change in event.updates.items()}
    return dict(getattr(event, "values", {}))


_COLUMNS = """SELECT column_name::text FROM information_schema.columns
    WHERE table_schema=current_schema() AND table_name=?1 ORDER BY ordinal_position"""


def rows_of(url: str) -> dict[str, Any]:
    """All tables of a PostgreSQL store as JSON data."""
    store = open_store(url)
    assert isinstance(store, PostgreSQLStore)
    found = {}
    with store._connection("BEGIN") as connection:
        db = PostgreSQLDatabase(connection)
        names = db.all("SELECT tablename::text FROM pg_tables WHERE schemaname=current_schema() ORDER BY 1")
        for (name,) in names:
            columns = [column for (column,) in db.all(_COLUMNS, (name,))]
            rows = db.all(f"SELECT {', '.join(columns)} FROM {name}")
            found[name] = {"columns": columns, "rows": [[_plain(v) for v in row] for row in rows]}
        connection.execute("ROLLBACK")
    store.close()
    return found


def _plain(value: Any) -> Any:
    return {"b": base64.b64encode(value).decode()} if isinstance(value, bytes | memoryview) else value


def _given(value: Any) -> Any:
    return base64.b64decode(value["b"]) if isinstance(value, dict) else value


def bring_back(version: int, url: str) -> None:
    """Restores a store from the files of a format, without migration."""
    if url.startswith("sqlite"):
        path_of(url).write_bytes(lzma.decompress((FILES / f"format-{version}.db.xz").read_bytes()))
        return
    held = json.loads(lzma.decompress((FILES / f"format-{version}.rows.json.xz").read_bytes()))
    PostgreSQLStore(url, Calendar(), steps=STEPS[:version]).close()
    store = PostgreSQLStore(url, Calendar(), steps=STEPS[:version])
    with store._connection("BEGIN") as connection:
        for name, table in held.items():
            connection.execute(f"DELETE FROM {name}".encode())
            marks = ", ".join(["%s"] * len(table["columns"]))
            for row in table["rows"]:
                sql = f"INSERT INTO {name} ({', '.join(table['columns'])}) VALUES ({marks})"
                connection.execute(sql.encode(), [_given(value) for value in row])
            if "id" in table["columns"] and table["rows"]:
                sql = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"
                connection.execute(sql.encode())
        connection.execute("COMMIT")
    store.close()


def known(version: int) -> dict[str, Any]:
    """The answers of the store when it was written."""
    found: dict[str, Any] = json.loads((FILES / f"format-{version}.json").read_text())
    return found


def write() -> None:
    """Writes the files of the format of this code."""
    from tests.postgresql import running

    version = STEPS[-1].version
    if (FILES / f"format-{version}.json").exists():
        sys.exit(f"format {version} is kept already")
    FILES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, running({}) as server:
        folder, said = Path(name), []
        for url in (f"sqlite:///{folder}/store.db", server.url("postgres")):
            house = House(url, folder / "exports", Calendar(), configuration(**MORE))
            live(house)
            said.append(told(house.engine))
            house.engine.close()
        assert said[0] == said[1]
        (FILES / f"format-{version}.json").write_text(json.dumps(said[0], indent=1, ensure_ascii=False) + "\n")
        (FILES / f"format-{version}.db.xz").write_bytes(lzma.compress((folder / "store.db").read_bytes()))
        rows = json.dumps(rows_of(server.url("postgres")))
        (FILES / f"format-{version}.rows.json.xz").write_bytes(lzma.compress(rows.encode()))


if __name__ == "__main__":
    write()
