"""`init --from` with the address of a database: keys and links as it names them, read by a connection."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.workspace import Workspace
from tests.sql import described

TABLES = """
CREATE TABLE department (code TEXT PRIMARY KEY, title TEXT, parent TEXT REFERENCES department);
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, hired DATE, department TEXT REFERENCES department(code),
                     photo BLOB, password_hash TEXT);
CREATE TABLE "group" (id INTEGER PRIMARY KEY, label TEXT);
CREATE TABLE membership (person INTEGER REFERENCES person(id), "group" INTEGER REFERENCES "group", since TEXT,
                         PRIMARY KEY (person, "group"));
CREATE TABLE bare (a TEXT, b TEXT);
INSERT INTO department VALUES ('A', 'Alpha', NULL), ('B', 'Beta', 'A');
INSERT INTO person VALUES (1, 'Ann', '2020-01-02', 'A', x'0102', 's3cr3t'), (2, 'Bob', '2021-05-06', 'B', NULL, 's4');
INSERT INTO "group" VALUES (1, 'Admins'), (2, 'Users');
INSERT INTO membership VALUES (1, 1, 'x'), (1, 2, 'y'), (2, 2, 'z');
INSERT INTO bare VALUES ('x', 'y'), ('x', 'y');
"""


@pytest.fixture
def hr(tmp_path: Path, capsysbinary, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder that holds nothing but a database."""
    workspace = Workspace(tmp_path / "hr", "", capsysbinary)
    workspace.folder.mkdir()
    with closing(sqlite3.connect(workspace.folder / "hr.db")) as database:
        database.executescript(TABLES)
    monkeypatch.chdir(workspace.folder)
    return workspace


def test_a_database_names_its_keys_and_links_and_what_is_proposed_runs(hr: Workspace) -> None:
    made = hr.done("init", "--from", "sqlite:///hr.db")
    valid = hr.done("validate")
    checked = hr.done("check")
    (first,) = hr.jsonl("run", "Incremental")

    assert "code: the key: the primary key" in made.text
    assert "department: a link to department: the foreign key to department.code" in made.text
    assert "membership: links of person and group: the foreign key to person.id" in made.text.replace("\n     ", "")
    assert "?   password_hash: left out: by its name it may hold secrets" in made.text
    assert "?   bare: left out: no column is unique" in made.text
    assert "deltamark check && deltamark run Incremental" in made.text + made.err
    model = Path("configuration/model.xml").read_text()
    assert '<ConnectionTable Identifier="group" Query="select * from &quot;group&quot;" />' in model
    assert '<Property Identifier="hired" Type="Date" />' in model
    assert '<Property Identifier="photo" Type="Binary" />' in model
    assert "password" not in model
    assert "bare" not in model.partition("<Connection ")[2].partition("</Connection>")[0]
    assert '[deltamark.connections.Hr_Source]\nserver = "sqlite:///hr.db"\n' in Path("deltamark.toml").read_text()
    assert "The sources can be read: 0 files, 0 rows, 1 connection, nothing wrong." in checked.text + checked.err
    assert "3 entity types" in valid.text + valid.err
    assert (first["state"], sum(task["inserted"] for task in first["tasks"])) == ("completed", 6)
    assert sum(task["linked"] for task in first["tasks"]) == 1 + 2 + 3


def test_only_the_tables_that_are_named_are_proposed(hr: Workspace) -> None:
    hr.done("init", "--from", "sqlite:///hr.db", "department")

    model = Path("configuration/model.xml").read_text()
    assert 'EntityType Identifier="department"' in model
    assert "person" not in model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "sqlite:///hr.db", "persn"], 'no table "persn" that the user may see'),
        (["--from", "postgresql://reader:geheim@db/hr"], "the address holds a password"),
        (["--from", "mysql://db/hr", "--password", "geheim"], "must say where the secret is"),
        (["--from", "sqlite:///none.db"], "there is no database none.db"),
        (["--from", "db2://db/hr"], "of no known kind"),
        (["shop", "--user", "me"], "--user belongs to the address of a server"),
    ],
)
def test_what_cannot_be_proposed_is_said_and_nothing_is_written(
    hr: Workspace, arguments: list[str], message: str
) -> None:
    failed = hr.deltamark("init", *arguments)

    assert failed.status != 0
    assert message in failed.err
    assert "geheim" not in failed.err + failed.text
    assert [path.name for path in hr.folder.iterdir()] == ["hr.db"]


def test_check_names_connections_that_cannot_be_used(hr: Workspace) -> None:
    hr.done("init", "--from", "sqlite:///hr.db")
    with closing(sqlite3.connect(hr.folder / "hr.db")) as database:
        database.executescript("DROP TABLE membership; DROP TABLE person")
    model = Path("configuration/model.xml")
    sink = (
        '<Connection Identifier="Feed" Connector="Hr" Package="JsonLinesSink" DisplayName_L1="Feed">'
        '<ConnectionTable Identifier="departments" Subject="department" /></Connection>'
    )
    model.write_text(model.read_text().replace("</ConfigurationFile>", f"{sink}</ConfigurationFile>"))
    settings = Path("deltamark.toml")
    settings.write_text(settings.read_text() + '[deltamark.connections.Feed]\nfolder = "hr.db"\n')

    failed = hr.deltamark("check")

    assert failed.status == 2
    assert 'connection "Hr_Source" cannot be used' in failed.text
    assert 'connection "Feed" cannot be used' in failed.text
    assert "is no folder" in failed.text


CHANGING = """
CREATE TABLE department (code TEXT PRIMARY KEY, title TEXT);
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, department TEXT REFERENCES department,
                     updated_at TEXT NOT NULL, updated_by TEXT);
CREATE INDEX person_updated_at ON person (updated_at);
CREATE TABLE contract (person INTEGER REFERENCES person, "order" INTEGER, salary TEXT, changed_on TEXT,
                       PRIMARY KEY (person, "order"));
INSERT INTO department VALUES ('A', 'Alpha'), ('B', 'Beta');
INSERT INTO person VALUES (1, 'Ann', 'A', '2026-11-28 08:00:00', 'x'), (2, 'Bob', 'B', '2026-11-28 09:00:00', 'y'),
                          (3, 'Cid', 'B', '2026-11-28 07:00:00', 'y');
INSERT INTO contract VALUES (1, 1, '100', '2026-11-01 08:00:00'), (1, 2, '200', NULL), (2, 1, '300', NULL);
"""


def test_a_watermark_and_a_key_of_several_columns_are_proposed_and_deltas_follow(
    tmp_path: Path, capsysbinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    hr = Workspace(tmp_path / "hr", "", capsysbinary)
    hr.folder.mkdir()
    monkeypatch.chdir(hr.folder)
    with closing(sqlite3.connect(hr.folder / "hr.db")) as database:
        database.executescript(CHANGING)

        made = hr.done("init", "--from", "sqlite:///hr.db").text
        hr.done("check")
        hr.done("run", "Incremental")
        database.executescript(
            "UPDATE person SET department = 'A', updated_at = '2026-11-29 08:00:00' WHERE id = 2;"
            "DELETE FROM person WHERE id = 3; DELETE FROM contract WHERE salary = '300';"
            "UPDATE contract SET salary = '250', changed_on = '2026-11-30 08:00:00' WHERE salary = '200'"
        )
        ran = hr.done("run", "Incremental").err
    changes = hr.done("changes", "--run", "2").text

    made = " ".join(made.split())
    assert "updated_at: the watermark: its name and type, it has an index. It must grow" in made
    assert "changed_on: the watermark: its name and type, without an index" in made
    assert "but it may be empty: such rows are read each time" in made
    assert "row_key: the key: made by the Query of the 2 columns of the primary key, person, order" in made
    model = " ".join(Path("configuration/model.xml").read_text().split())
    assert 'Watermark="updated_at" Overlap="00:10:00" Keys="select id from person"' in model
    assert "select person || '|' || &quot;order&quot; as row_key, t.* from contract t" in model
    assert "what changed was read" in ran
    lines = [line.split("Z ", 1)[-1] for line in (" ".join(line.split()) for line in changes.splitlines())]
    assert "deleted contract 2|1 order=1, row_key=2|1, salary=300" in " | ".join(lines)
    for beginning in (
        "deleted person 3 ",
        "unlinked person 2 person_department: department B",
        "linked person 2 person_department: department A",
        "updated contract 1|2 ",
    ):
        assert any(line.startswith(beginning) for line in lines), changes


def test_a_table_without_a_primary_key_gets_one_of_the_columns_that_identify_its_rows(hr: Workspace) -> None:
    with closing(sqlite3.connect("hr.db")) as database:
        database.executescript(
            "create table shift (site text, day text, hours int); "
            "insert into shift values ('N', '2026-01-01', 8), ('N', '2026-01-02', 8), ('S', '2026-01-01', 8);"
        )

    made = hr.done("init", "--from", "hr.db", "shift")  # a file that begins like a database is one
    hr.done("check")
    hr.jsonl("run", "Incremental")

    assert "row_key: the key: made of site and day, which are unique together" in made.text
    assert {item["key"] for item in hr.jsonl("export", "shift")} == {"N|2026-01-01", "N|2026-01-02", "S|2026-01-01"}


def test_what_is_proposed_for_tables_that_change_follows_them(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "hr.db")) as database:

        def execute(*statements: str) -> None:
            database.executescript(";".join(statements))

        described.follows_changes(f"sqlite:///{tmp_path / 'hr.db'}", execute, tmp_path, {})
