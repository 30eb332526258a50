"""`init --from` with the address of a database: keys and links as it names them, read by a connection."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.workspace import Workspace

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
        (["--from", "oracle://db/hr"], "of no known kind"),
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
