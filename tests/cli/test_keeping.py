"""The commands that back up a store and print grants for other roles."""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from deltamark.infrastructure.store.sqlite import backup as sqlite_backup
from tests.cli.terminal import in_terminal
from tests.cli.workspace import Workspace

in_a_file = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
in_a_server = pytest.mark.parametrize("new_store", ["postgresql"], indirect=True)


@in_a_file
def test_a_backup_is_a_store_with_the_same_answers(two_days: Workspace) -> None:
    position = two_days.jsonl("changes")[-1]["position"]

    answer = two_days.done("backup", "copy.db")

    assert answer.out == b""
    size = (two_days.folder / "copy.db").stat().st_size
    assert answer.err.startswith(f"copy.db: a whole copy, {size:,} bytes, up to position ")
    assert int(answer.err.rsplit(" ", 1)[1].rstrip(".\n")) >= position
    for command in (["changes"], ["runs"], ["export", "HR_Person"], ["keys"]):
        assert two_days.jsonl("--store", "sqlite:///copy.db", *command) == two_days.jsonl(*command)


@in_a_file
def test_a_backup_replaces_a_file_only_with_overwrite(two_days: Workspace) -> None:
    first = two_days.done("backup", "copy.db").err
    two_days.done("run", "Incremental")

    refused = two_days.deltamark("backup", "copy.db")
    replaced = two_days.done("backup", "--overwrite", "copy.db")

    assert (refused.status, refused.out) == (2, b"")
    assert "copy.db exists already" in refused.err
    assert "--overwrite" in refused.err
    assert replaced.err != first


@in_a_file
def test_a_backup_needs_no_configuration(two_days: Workspace) -> None:
    shutil.rmtree(two_days.folder / "configuration")

    two_days.done("backup", "copy.db")


@in_a_file
@pytest.mark.parametrize("file", ["nowhere/copy.db", ".", "exports", ""])
def test_an_impossible_backup_target_has_status_2(two_days: Workspace, file: str) -> None:
    answer = two_days.deltamark("backup", file)

    assert (answer.status, answer.out) == (2, b"")
    assert answer.err
    assert "Traceback" not in answer.err


def test_a_missing_store_cannot_be_backed_up(company: Workspace) -> None:
    answer = company.deltamark("backup", "copy.db")

    assert answer.status == 2
    assert "there is no store yet" in answer.err
    assert not (company.folder / "copy.db").exists()


@in_a_file
def test_a_failed_backup_has_status_1(two_days: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sqlite_backup, "_to_disk", full)
    before = {path.name for path in two_days.folder.iterdir()}

    answer = two_days.deltamark("backup", "copy.db")

    assert answer.status == 1
    assert "copy.db: the backup cannot be written: No space left on device. It was removed" in answer.err
    assert {path.name for path in two_days.folder.iterdir()} == before


@in_a_server
def test_for_postgresql_the_backup_command_of_the_server_is_named(two_days: Workspace) -> None:
    answer = two_days.deltamark("backup", "copy.dump")

    assert (answer.status, answer.out) == (2, b"")
    schema = two_days.store.rsplit("=", 1)[1]
    assert f"pg_dump --format=custom --schema={schema} --file=copy.dump postgresql://" in answer.err


AT_ONCE = """
import sys
from deltamark.interfaces.cli import main, progress
progress._PATIENCE_S = -1
main.main(sys.argv[1:])
"""


@in_a_file
@pytest.mark.parametrize(("program", "bars"), [(AT_ONCE, True), (AT_ONCE.replace("= -1", "= 3600"), False)])
def test_a_long_backup_draws_its_progress_and_leaves_only_its_result(
    two_days: Workspace, program: str, bars: bool
) -> None:
    shown = in_terminal(two_days.folder, "backup", "copy.db", program=(sys.executable, "-c", program))

    assert shown.status == 0
    assert ("copying to copy.db" in shown.raw) is bars
    assert [line.split(":")[0] for line in shown.screen if line] == ["copy.db"]
    assert shown.cursor_is_visible
    assert shown.unknown == ()


# Grants


@pytest.fixture
def roles(postgresql_database: str) -> Iterator[tuple[str, str]]:
    """A role that writes and a role that reads."""
    names = (f"writer {uuid4().hex[:8]}", f"reader-{uuid4().hex[:8]}")
    with psycopg.connect(postgresql_database, autocommit=True) as admin:
        for name in names:
            admin.execute(SQL("CREATE ROLE {}").format(Identifier(name)))
        yield names
        for name in names:
            admin.execute(SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(Identifier(name)))


@in_a_server
def test_the_printed_grants_can_be_executed(
    company: Workspace, postgresql_database: str, roles: tuple[str, str]
) -> None:
    writer, reader = roles

    printed = company.done("grants", "--writer", writer, "--reader", reader)

    schema = company.store.rsplit("=", 1)[1]
    assert printed.err == ""
    assert f'REVOKE UPDATE, DELETE ON "{schema}".stored_events FROM "{writer}";' in printed.lines
    assert f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO "{reader}";' in printed.lines
    with psycopg.connect(postgresql_database, autocommit=True) as owner:
        owner.execute(printed.out)
        asked = "SELECT has_table_privilege(%s, %s, %s)"
        may = [
            owner.execute(asked, (role, f"{schema}.stored_events", right)).fetchone() == (True,)
            for role in roles
            for right in ("SELECT", "INSERT", "DELETE")
        ]
    assert may == [True, True, False, True, False, False]


@in_a_server
@pytest.mark.parametrize("options", [(), ("--writer", "nobody here"), ("--reader", "public"), ("--writer", "")])
def test_invalid_roles_have_status_2(company: Workspace, options: tuple[str, ...]) -> None:
    answer = company.deltamark("grants", *options)

    assert (answer.status, answer.out) == (2, b"")
    assert "role" in answer.err or "names nothing" in answer.err


@in_a_file
def test_grants_for_a_sqlite_store_are_refused(company: Workspace) -> None:
    before = sorted(company.folder.rglob("*"))

    answer = company.deltamark("grants", "--reader", "somebody")

    assert (answer.status, answer.out) == (2, b"")
    assert sorted(company.folder.rglob("*")) == before
    assert "a file, which knows no roles" in answer.err
