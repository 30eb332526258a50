"""Files of a folder are delivered whole or not at all, and not again while they are the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from deltamark import ConnectionTransformation, TaskState
from deltamark.infrastructure.system.stable_files import StableFile
from tests.extracts.workbooks import workbook
from tests.scenarios.database_source import messages
from tests.scenarios.file_source import GROUP, MEMBER, PERSON, FileSource, configuration
from tests.stores import NewStore

PEOPLE = "id;name\na;Ann\nb;Bob\n"
JSON = (
    '{"id": "g", "name": "All", "members": [{"id": "a"}, {"id": "b"}]}\n'
    '{"id": "h", "name": "None", "members": []}\n'
    '{"id": "i", "name": "Few", "members": [{"id": "b"}]}\n'
)


@pytest.fixture
def csv(new_store: NewStore, tmp_path: Path) -> Iterator[FileSource]:
    with FileSource(new_store(), tmp_path, configuration("Csv", {PERSON: {"File": "hr/people-*.csv"}})) as source:
        source.write("hr/people-1.csv", PEOPLE)
        yield source


def test_a_file_is_copied_and_read_when_it_is_applied(csv: FileSource) -> None:
    run = csv.run()

    assert run.state is TaskState.COMPLETED
    assert "everything was read (1 file)" in messages(run)
    assert csv.stored() == {"a": "Ann", "b": "Bob"}
    assert [place.rows for place in csv.engine.places()] == [2]
    assert csv.engine.verify().is_sound


def test_a_file_that_did_not_change_is_not_read_again(csv: FileSource) -> None:
    csv.run()
    csv.write("hr/people-1.csv", PEOPLE)
    position = csv.engine.position()

    run = csv.run()

    assert "no file changed since the last time" in messages(run)
    assert "what changed was read (0 rows)" in messages(run)
    assert list(csv.engine.changes(after=position)) == []


def test_a_changed_file_is_compared_as_a_whole_under_another_name_too(csv: FileSource) -> None:
    csv.run()
    (csv.files / "hr/people-1.csv").unlink()
    csv.write("hr/people-2.csv", "id;name\na;Anna\nc;Cid\n")

    run = csv.run()

    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (1, 1, 1)
    assert csv.stored() == {"a": "Anna", "c": "Cid"}


def test_a_row_that_was_set_aside_is_read_once_its_mapping_is_corrected(new_store: NewStore, tmp_path: Path) -> None:
    store, tables = new_store(), {PERSON: {"File": "p.jsonl"}}
    with FileSource(store, tmp_path, configuration("JsonLines", tables)) as source:
        source.write("p.jsonl", '{"id": "a", "name": "Ann", "nick": "Annie"}')
        source.run()

    with FileSource(store, tmp_path, configuration("JsonLines", tables, {PERSON: ("id", "nick")})) as source:
        source.run()

        assert source.stored() == {"a": "Annie"}


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("none.csv", "none.csv below"),
        ("linked.csv", "cannot be read (too many levels of symbolic links)"),
        ("inner/people.csv", "cannot be read (not a directory)"),
        ("none-*.csv", "no file of"),
        ("two-*.csv", "2 files of"),
        ("folder.csv", "folder.csv is no file"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused_and_changes_nothing(
    new_store: NewStore, tmp_path: Path, file: str, problem: str
) -> None:
    with FileSource(new_store(), tmp_path, configuration("Csv", {PERSON: {"File": file}})) as source:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "people.csv").write_text(PEOPLE)
        (source.files / "linked.csv").symlink_to(outside / "people.csv")
        (source.files / "inner").symlink_to(outside)
        (source.files / "folder.csv").mkdir()
        source.write("two-1.csv", PEOPLE)
        source.write("two-2.csv", PEOPLE)

        run = source.run()

        assert run.state is TaskState.FAILED
        assert problem in messages(run)
        assert source.stored() == {}
        assert source.engine.probe("HR_Source").problems != ()


@pytest.mark.parametrize("file", ["../people.csv", "/etc/people.csv", "a//people.csv", "*/people.csv", "p\\q.csv"])
def test_a_path_that_may_lead_out_of_the_folder_is_a_fault(tmp_path: Path, file: str) -> None:
    with pytest.raises(Exception, match="path below the folder of the connection"):
        FileSource("sqlite://", tmp_path, configuration("Csv", {PERSON: {"File": file}}))


@pytest.mark.parametrize("same_times", [True, False], ids=["with its old times", "in place"])
def test_a_file_that_changes_while_it_is_read_fails(
    csv: FileSource, monkeypatch: pytest.MonkeyPatch, same_times: bool
) -> None:
    csv.run()
    place = csv.engine.places()
    path = csv.write("hr/people-1.csv", "id;name\na;Anna\n")
    status, blocks = path.stat(), StableFile.blocks

    def changed(file: StableFile) -> Iterator[bytes]:
        assert file.digest
        path.write_text("id;name\na;Xxxx\n")
        if same_times:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return blocks(file)

    with monkeypatch.context() as patched:
        patched.setattr(StableFile, "blocks", changed)
        run = csv.run()
    control = csv.run()

    assert run.state is TaskState.FAILED
    assert "the file hr/people-1.csv was changed while it was read" in messages(run)
    assert csv.engine.places() != place
    assert (control.state, control.counts.updated) == (TaskState.COMPLETED, 1)


def test_lists_become_links(new_store: NewStore, tmp_path: Path) -> None:
    tables = {
        PERSON: {"File": "people.jsonl"},
        GROUP: {"File": "groups.jsonl"},
        MEMBER: {"Links": GROUP, "Attribute": "members.id", "Key": "id"},
    }
    with FileSource(new_store(), tmp_path, configuration("JsonLines", tables)) as source:
        source.write("people.jsonl", '{"id": "a", "name": "Ann"}\n{"id": "b", "name": "Bob"}\n')
        source.write("groups.jsonl", JSON)

        first = source.run()
        assert first.state is TaskState.COMPLETED
        assert source.members() == {("g", "a"), ("g", "b"), ("i", "b")}

        source.write("people.jsonl", '{"id": "a", "name": "Ann"}\n')
        source.run()
        source.write("people.jsonl", '{"id": "a", "name": "Ann"}\n{"id": "b", "name": "Bob"}\n')
        source.run()
        assert source.members() == {("g", "a"), ("g", "b"), ("i", "b")}

        source.write("groups.jsonl", JSON + '{"id": "h", "members":\n')
        assert source.run().state is TaskState.WARNING
        assert source.members() == {("g", "a"), ("g", "b"), ("i", "b")}


def test_a_sheet_is_read_by_its_name(new_store: NewStore, tmp_path: Path) -> None:
    tables = {PERSON: {"File": "book.xlsx", "Sheet": "Staff"}, GROUP: {"File": "book.xlsx", "Sheet": "Teams"}}

    def second_sheet(book: object) -> None:
        sheet = book.create_sheet("Teams")  # type: ignore[attr-defined]
        for row in (("id", "name"), (7, "Seven"), (8, "#N/A")):
            sheet.append(row)

    with FileSource(new_store(), tmp_path, configuration("Excel", tables)) as source:
        source.write("book.xlsx", workbook([("id", "name"), ("00123", "Ann")], second_sheet, sheet="Staff"))

        run = source.run()

        assert source.stored() == {"00123": "Ann"}
        assert source.stored(GROUP) == {"7": "Seven"}
        assert run.state is TaskState.WARNING
        assert "B3 holds the error #N/A" in "\n".join(row.reason for task in run.tasks for row in task.set_aside)


@pytest.mark.parametrize(
    ("package", "options", "fault"),
    [
        ("Csv", {}, 'has no File; name the file below the folder of the connection, such as File="people.csv"'),
        ("Excel", {"File": "people.xls"}, "whose ending is none of .xlsx"),
        ("Csv", {"File": "p.csv", "Sheet": "S"}, "has Sheet, which package Csv does not read"),
        ("JsonLines", {"File": "p.jsonl", "Key": "id"}, "has Key, but no Links"),
        ("JsonLines", {"Links": "x", "File": "p.jsonl"}, "has Links and File"),
        ("JsonLines", {"Links": "x"}, "has Links, but no Attribute"),
        ("JsonLines", {"Links": "x", "Attribute": "y"}, "has Links, but no Key"),
        ("JsonLines", {"Links": "x", "Attribute": "y", "Key": "z"}, "which is no table of entries"),
    ],
)
def test_faults_of_tables_of_files_are_named(tmp_path: Path, package: str, options: dict[str, str], fault: str) -> None:
    with pytest.raises(Exception, match=fault.replace(".", r"\.")):
        FileSource("sqlite://", tmp_path, configuration(package, {PERSON: options}))


def test_the_folder_must_be_given(new_store: NewStore, tmp_path: Path, csv: FileSource) -> None:
    from deltamark import Engine

    with Engine.open(new_store(), configuration=csv.engine.configuration, export_output=tmp_path) as engine:
        assert "no folder is given" in engine.probe("HR_Source").problems[0]


def test_a_transformation_reads_a_sheet_that_was_copied(new_store: NewStore, tmp_path: Path) -> None:
    query = "SELECT id, upper(name) AS name FROM Raw WHERE id <> 'b'"
    configured = evolve(
        configuration("Excel", {"Raw": {"File": "book.xlsx", "Sheet": "Staff"}}),
        entity_types=configuration("Excel", {PERSON: {}}).entity_types,
        entity_type_mappings=configuration("Excel", {PERSON: {}}).entity_type_mappings,
        transformations=[ConnectionTransformation(PERSON, "HR", "Raw", query)],
    )
    with FileSource(new_store(), tmp_path, configured) as source:
        content = workbook([("id", "name"), ("a", "Ann"), ("b", "Bob")], lambda book: book.create_sheet("X"), "Staff")
        source.write("book.xlsx", content)

        source.run()

        assert source.stored() == {"a": "ANN"}
