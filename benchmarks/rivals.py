"""Other tools on the same files: a first load, 1 % changed, nothing changed; then what a bad extract deletes.

Each is tuned as its documentation advises, keeps every change, and is as durable as it can be set. After each step, its
rows must be those of the file.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import duckdb
from attrs import evolve

from benchmarks.data import COLUMNS, KEY, configuration
from benchmarks.figures import Bench, Goal
from benchmarks.jobs import People
from benchmarks.measure import Measure, WorkFailed, measure, report, report_samples
from deltamark import Engine
from deltamark.domain.configuration.entity_model import CONNECTOR_DEFAULTS

PART = "rivals"
_OTHERS = COLUMNS[1:]
_NAMES = ", ".join(COLUMNS)
_BATCH = 1_000


def _rows(extract: Path) -> Iterator[dict[str, str]]:
    with extract.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def _from_csv(extract: Path) -> str:
    return f"(SELECT {_NAMES} FROM read_csv('{extract}', all_varchar=true, header=true))"


class Rival(ABC):
    """A tool that keeps the people of extracts and their changes in a folder."""

    label: str
    package: str | None = None
    setting: str
    """How it is used, and how durable it is."""
    modules: Sequence[str] = ()
    """What it imports: that is not part of the work."""
    at_most: int | None = None
    """The most people that it is given: it takes too long for more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def apply(self, extract: Path) -> None:
        """Makes the people those of an extract."""

    @abstractmethod
    def titles(self) -> Mapping[str, str]:
        """The title of each person now, by key."""


class Deltamark(Rival):
    """Deltamark, with the thresholds that every connector has, save the number of updates, which 1 % may exceed."""

    label = "Deltamark"
    package = "deltamark"
    setting = "SQLite, WAL, synchronous=FULL; default thresholds, but any number of updates up to 5 %"

    def apply(self, extract: Path) -> None:
        exports = self.folder / "exports"
        exports.mkdir(exist_ok=True)
        shutil.copy(extract, exports / "HR_Person.csv")
        definition = configuration(evolve(CONNECTOR_DEFAULTS, maximum_updated_lines=0))
        with Engine.open(self._url, configuration=definition, export_output=str(exports)) as engine:
            engine.run_job("Complete").raise_for_state()

    def titles(self) -> Mapping[str, str]:
        with Engine.open(self._url, configuration=configuration(), export_output=str(self.folder)) as engine:
            table = engine.export("HR_Person")
            return dict(zip(table[KEY].to_pylist(), table["Title"].to_pylist(), strict=True))

    @property
    def _url(self) -> str:
        return f"sqlite:///{self.folder}/store.db"


class TriggerAudit(Rival):
    """A hand-written audit: a table, three triggers, a bulk upsert."""

    label = "SQLite triggers"
    setting = "by hand: triggers write JSON into a table, bulk upsert, WAL, synchronous=FULL"

    def apply(self, extract: Path) -> None:
        connection = self._open()
        columns = f"{KEY} TEXT PRIMARY KEY, {' TEXT, '.join(_OTHERS)} TEXT"
        new, old = (
            "json_object(" + ", ".join(f"'{name}', {row}.{name}" for name in COLUMNS) + ")" for row in ("new", "old")
        )
        connection.executescript(
            f"""CREATE TABLE IF NOT EXISTS people ({columns}) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, at TEXT DEFAULT current_timestamp, what TEXT,
                key TEXT, old TEXT, new TEXT);
            CREATE TRIGGER IF NOT EXISTS i AFTER INSERT ON people BEGIN
                INSERT INTO audit (what, key, new) VALUES ('created', new.{KEY}, {new}); END;
            CREATE TRIGGER IF NOT EXISTS u AFTER UPDATE ON people BEGIN
                INSERT INTO audit (what, key, old, new) VALUES ('updated', new.{KEY}, {old}, {new}); END;
            CREATE TRIGGER IF NOT EXISTS d AFTER DELETE ON people BEGIN
                INSERT INTO audit (what, key, old) VALUES ('deleted', old.{KEY}, {old}); END;
            CREATE TEMP TABLE incoming ({columns}) WITHOUT ROWID;"""
        )
        with extract.open(newline="", encoding="utf-8") as stream:
            rows = csv.reader(stream)
            assert tuple(next(rows)) == COLUMNS
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT INTO incoming VALUES ({','.join('?' * len(COLUMNS))})", rows)
        values, olds, news = (", ".join(f"{p}{name}" for name in _OTHERS) for p in ("", "people.", "excluded."))
        connection.execute(
            f"""INSERT INTO people SELECT * FROM incoming WHERE true ON CONFLICT DO UPDATE
            SET ({values}) = ({news}) WHERE ({olds}) IS NOT ({news})"""
        )
        connection.execute(f"DELETE FROM people WHERE {KEY} NOT IN (SELECT {KEY} FROM incoming)")
        connection.execute("COMMIT")
        connection.close()

    def titles(self) -> Mapping[str, str]:
        return dict(self._open().execute(f"SELECT {KEY}, Title FROM people").fetchall())

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.folder / "audit.db", isolation_level=None)
        for setting in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-64000", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {setting}")
        return connection


class DuckDBRecompute(Rival):
    """DuckDB that reads everything again, and keeps what differs."""

    label = "DuckDB, everything again"
    package = "duckdb"
    setting = "replaces the table, keeps what differs from the one before; one transaction"

    def apply(self, extract: Path) -> None:
        with duckdb.connect(self.folder / "people.duckdb") as db:
            db.execute(
                f"""BEGIN; CREATE TABLE IF NOT EXISTS people AS SELECT * FROM {_from_csv(extract)} LIMIT 0;
                CREATE TABLE IF NOT EXISTS changes AS SELECT now() AS at, o, n FROM people o, people n LIMIT 0;
                CREATE TABLE incoming AS FROM {_from_csv(extract)};
                INSERT INTO changes SELECT now(), o, n FROM people o FULL JOIN incoming n USING ({KEY})
                    WHERE o IS DISTINCT FROM n;
                DROP TABLE people; ALTER TABLE incoming RENAME TO people; COMMIT"""
            )

    def titles(self) -> Mapping[str, str]:
        with duckdb.connect(self.folder / "people.duckdb", read_only=True) as db:
            return dict(db.execute(f"SELECT {KEY}, Title FROM people").fetchall())


class DeltaLake(Rival):
    """A Delta table: one merge a file, with the change data feed."""

    label = "deltalake"
    package = "deltalake"
    modules = ("deltalake",)
    setting = "merge with a predicate for what differs, change data feed; files are not synchronized to disk"

    def apply(self, extract: Path) -> None:
        import deltalake
        import pyarrow as pa

        with duckdb.connect() as db:
            table: pa.Table = db.sql(f"FROM {_from_csv(extract)}").to_arrow_table()
        path = str(self.folder / "people")
        if not deltalake.DeltaTable.is_deltatable(path):
            deltalake.write_deltalake(path, table, configuration={"delta.enableChangeDataFeed": "true"})
            return
        differs = " OR ".join(f"(t.{name} IS DISTINCT FROM s.{name})" for name in _OTHERS)
        (
            deltalake.DeltaTable(path)
            .merge(table, f"t.{KEY} = s.{KEY}", source_alias="s", target_alias="t")
            .when_matched_update_all(predicate=differs)
            .when_not_matched_insert_all()
            .when_not_matched_by_source_delete()
            .execute()
        )

    def titles(self) -> Mapping[str, str]:
        import deltalake
        import pyarrow as pa

        table = pa.table(deltalake.DeltaTable(str(self.folder / "people")).to_pyarrow_table())
        return dict(zip(table[KEY].to_pylist(), table["Title"].to_pylist(), strict=True))


class Dlt(Rival):
    """dlt with slowly changing dimensions, from Arrow tables."""

    label = "dlt, scd2"
    package = "dlt"
    modules = ("dlt", "dlt.sources.helpers.transform", "dlt.destinations", "pandas")
    setting = "Arrow tables with row hashes into DuckDB, strategy scd2"

    def apply(self, extract: Path) -> None:
        import dlt
        from dlt.sources.helpers.transform import add_row_hash_to_table

        with duckdb.connect() as db:
            table = db.sql(f"FROM {_from_csv(extract)}").to_arrow_table()
        merge = {"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_hash"}
        people = dlt.resource(table, name="people", write_disposition=merge, primary_key=KEY)
        people.add_map(add_row_hash_to_table("row_hash"))
        destination = dlt.destinations.duckdb(str(self.folder / "dlt.duckdb"))
        pipeline = dlt.pipeline(
            "people", pipelines_dir=str(self.folder / "pipelines"), destination=destination, dataset_name="hr"
        )
        pipeline.run(people).raise_on_failed_jobs()

    def titles(self) -> Mapping[str, str]:
        with duckdb.connect(self.folder / "dlt.duckdb", read_only=True) as db:
            query = "SELECT employee_id, title FROM hr.people WHERE _dlt_valid_to IS NULL"
            return dict(db.execute(query).fetchall())


class Dbt(Rival):
    """A dbt snapshot on DuckDB; a process of dbt each time."""

    label = "dbt snapshot"
    package = "dbt-duckdb"
    setting = "strategy check on all columns, hard deletes invalidate, on DuckDB; with the start of dbt"

    def apply(self, extract: Path) -> None:
        project = self.folder / "project"
        (project / "snapshots").mkdir(parents=True, exist_ok=True)
        (project / "dbt_project.yml").write_text('name: people\nversion: "1.0"\nprofile: people\n')
        (project / "profiles.yml").write_text(
            f"people:\n  target: t\n  outputs:\n    t: {{type: duckdb, path: '{self.folder}/dbt.duckdb', threads: 2}}\n"
        )
        (project / "snapshots" / "people.sql").write_text(
            f"""{{% snapshot people %}}{{{{ config(unique_key='{KEY}', strategy='check', check_cols='all',
            hard_deletes='invalidate', target_schema='main') }}}}
            SELECT * FROM {_from_csv(extract)}{{% endsnapshot %}}"""
        )
        command = [str(Path(sys.executable).with_name("dbt")), "-q", "snapshot", "--profiles-dir", "."]
        environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def titles(self) -> Mapping[str, str]:
        with duckdb.connect(self.folder / "dbt.duckdb", read_only=True) as db:
            query = f"SELECT {KEY}, Title FROM main.people WHERE dbt_valid_to IS NULL"
            return dict(db.execute(query).fetchall())


class Continuum(Rival):
    """SQLAlchemy-Continuum: a versioned class, one session a file."""

    label = "SQLAlchemy-Continuum"
    package = "SQLAlchemy-Continuum"
    modules = ("sqlalchemy.orm", "sqlalchemy_continuum")
    setting = "one session and one commit a file, SQLite, WAL, synchronous=FULL"
    at_most = 10_000

    def apply(self, extract: Path) -> None:
        person, session = self._session()
        with session:
            known = {one.EmployeeId: one for one in session.query(person)}
            for row in _rows(extract):
                one = known.pop(row[KEY], None)
                if one is None:
                    session.add(person(**row))
                    continue
                for name in _OTHERS:
                    if getattr(one, name) != row[name]:
                        setattr(one, name, row[name])
            for one in known.values():
                session.delete(one)
            session.commit()

    def titles(self) -> Mapping[str, str]:
        person, session = self._session()
        with session:
            return {one.EmployeeId: one.Title for one in session.query(person)}

    def _session(self) -> tuple[Any, Any]:
        import sqlalchemy as sa
        from sqlalchemy.orm import Session, configure_mappers, declarative_base
        from sqlalchemy_continuum import make_versioned

        if not _continuum:
            make_versioned(user_cls=None)
            base = declarative_base()
            members: dict[str, Any] = {"__tablename__": "person", "__versioned__": {}}
            members |= {name: sa.Column(sa.Text, primary_key=name == KEY) for name in COLUMNS}
            _continuum.append(type("Person", (base,), members))
            configure_mappers()
        engine = sa.create_engine(f"sqlite:///{self.folder}/continuum.db")

        def set_durable(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        sa.event.listen(engine, "connect", set_durable)
        _continuum[0].metadata.create_all(engine)
        return _continuum[0], Session(engine)


_continuum: list[Any] = []


class EventSourcing(Rival):
    """The `eventsourcing` library: an aggregate a person, as its documentation teaches."""

    label = "eventsourcing"
    package = "eventsourcing"
    modules = ("eventsourcing.application", "eventsourcing.sqlite")
    setting = f"an aggregate a person, saved {_BATCH:,} at a time, SQLite as the library sets it"
    at_most = 20_000

    def apply(self, extract: Path) -> None:
        person, application = self._application()
        index = self.folder / "keys.json"
        known = set(json.loads(index.read_text())) if index.exists() else set()
        changed: list[Any] = []
        seen = set()

        def save(at_least: int) -> None:
            if len(changed) >= at_least:
                application.save(*changed)
                changed.clear()

        for row in _rows(extract):
            seen.add(row[KEY])
            if row[KEY] not in known:
                changed.append(person(row))
            else:
                one = application.repository.get(_identifier(row[KEY]))
                if one.values != row:
                    one.update({name: value for name, value in row.items() if one.values.get(name) != value})
                    changed.append(one)
            save(_BATCH)
        for key in known - seen:
            one = application.repository.get(_identifier(key))
            one.update(dict.fromkeys(COLUMNS))
            changed.append(one)
            save(_BATCH)
        save(1)
        index.write_text(json.dumps(sorted(seen)))

    def titles(self) -> Mapping[str, str]:
        _, application = self._application()
        keys = json.loads((self.folder / "keys.json").read_text())
        return {key: application.repository.get(_identifier(key)).values["Title"] for key in keys}

    def _application(self) -> tuple[Any, Any]:
        from eventsourcing.application import Application

        environment = {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(self.folder / "events.db"),
        }
        return _person_class(), Application(environment)


def _identifier(key: str) -> Any:
    return uuid5(NAMESPACE_URL, f"/people/{key}")


_person: list[Any] = []


def _person_class() -> Any:
    if _person:
        return _person[0]
    from eventsourcing.domain import Aggregate, event

    class Person(Aggregate):
        """A person of the benchmark."""

        @event("Created")
        def __init__(self, values: dict[str, str]) -> None:
            self.values = dict(values)

        @staticmethod
        def create_id(values: dict[str, str]) -> Any:
            """The identifier of the person of a key."""
            return _identifier(values[KEY])

        @event("Updated")
        def update(self, values: dict[str, str]) -> None:
            """Sets some values."""
            self.values |= values

    globals()["Person"] = Person  # the library finds a class by its module and its name
    Person.__qualname__ = "Person"
    for name in ("Created", "Updated"):
        getattr(Person, name).__qualname__ = f"Person.{name}"
    _person.append(Person)
    return Person


RIVALS: Mapping[str, type[Rival]] = {
    rival.label: rival
    for rival in (Deltamark, TriggerAudit, DuckDBRecompute, DeltaLake, Dlt, Dbt, Continuum, EventSourcing)
}


def work(what: str, name: str, folder: str, extract: str) -> None:
    """Applies an extract; or prints how many people there are, after an extract that may be refused."""
    rival = RIVALS[name](Path(folder))
    match what:
        case "apply":
            for module in rival.modules:
                import_module(module)
            report(lambda: rival.apply(Path(extract)))
            expected = {row[KEY]: row["Title"] for row in _rows(Path(extract))}
            if rival.titles() != expected:
                raise WorkFailed(f"{name} does not hold the people of {extract}")
        case "attempt":
            try:
                rival.apply(Path(extract))
            except Exception as e:
                print(f"refused: {type(e).__name__}", file=sys.stderr)
            report_samples([len(rival.titles())])


def measure_part(bench: Bench) -> None:
    """Measures those that are installed; then the first load of Deltamark against the audit by hand."""
    loads: dict[str, Measure] = {}
    for name, rival in RIVALS.items():
        try:
            installed = "" if rival.package is None else version(rival.package)
        except PackageNotFoundError:
            bench.fail(PART, name, "not installed: pip install 'deltamark[rivals]'")
            continue
        count = min(bench.people, rival.at_most or bench.people)
        people = People.write(count, bench.folder / f"people-{count}")
        with bench.attempt(PART, name):
            parameters = {"version": installed, "setting": rival.setting, "people": count}
            loads[name] = _measure(bench, name, people, parameters)
    ours, by_hand = loads.get(Deltamark.label), loads.get(TriggerAudit.label)
    if ours is not None and by_hand is not None:
        bench.add(
            PART, "first load: CPU", ours.of_cpu, store=Deltamark.label, count=bench.people,
            limit=(TriggerAudit.label, by_hand.of_cpu), goal=Goal("ratio", at_most=1.0),
        )  # fmt: skip


def _measure(bench: Bench, name: str, people: People, parameters: Mapping[str, Any]) -> Measure:
    """Returns the first load."""
    folder = bench.folder / "rivals" / name.replace(" ", "-")
    saved = folder.with_name("saved")

    def emptied() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def save() -> None:
        shutil.rmtree(saved, ignore_errors=True)
        shutil.copytree(folder, saved)
        os.sync()  # otherwise the first commit waits until the copy is on disk

    def restored() -> None:
        shutil.rmtree(folder)
        shutil.copytree(saved, folder)
        os.sync()

    def step(label: str, extract: Path, before: Callable[[], None]) -> Measure:
        measured = measure("rival", "apply", name, str(folder), str(extract), before=before)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        bench.add(PART, label, measured, store=name, count=people.count, disk_bytes=size, parameters=parameters)
        save()
        return measured

    load = step("first load", people.first, emptied)
    step("1 % changed", people.second, restored)
    step("nothing changed", people.second, restored)
    for label, rows in (("an empty extract deletes", 0), ("a truncated extract deletes", people.count // 2)):
        restored()
        bad = people.exports / "bad.csv"
        with people.second.open(encoding="utf-8") as source:
            bad.write_text("".join(line for _, line in zip(range(rows + 1), source, strict=False)), encoding="utf-8")
        left = measure("rival", "attempt", name, str(folder), str(bad), rounds=1).seconds
        bench.add(PART, label, [people.count - left], store=name, unit="rows", parameters=parameters)
    shutil.rmtree(folder.parent)
    return load
