"""Output is never written in the place of what the workspace lives from."""

import os
import re

import pytest


@pytest.fixture
def workspace(company):
    settings = company.folder / "deltamark.toml"
    settings.write_text(re.sub("store = .*", 'store = "sqlite:///company.db"', settings.read_text()))
    company.done("run", "Incremental")
    return company


def content(folder):
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".db-wal", ".db-shm")
    }


def refused(workspace, *command):
    before = content(workspace.folder)
    answer = workspace.deltamark(*command)
    assert answer.status == 2
    assert content(workspace.folder) == before
    return answer.err


@pytest.mark.parametrize("table", ["people", "members"])
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_extract_is_not_replaced(workspace, table, ending):
    folder = next(path.parent for path in workspace.folder.rglob("people.csv"))

    assert f"is the extract of {table}" in refused(
        workspace, "export", "HR_Person", "-o", str(folder / f"{table}{ending}")
    )


def test_another_file_beside_the_extracts_is_written(workspace):
    folder = next(path.parent for path in workspace.folder.rglob("people.csv"))

    workspace.done("export", "HR_Person", "-o", str(folder / "report.csv"))
    workspace.done("export", "HR_Person", "-o", str(folder / "report.csv"))


def test_the_configuration_and_the_settings_are_not_replaced(workspace):
    configuration = next(path for path in workspace.folder.rglob("*.xml"))

    assert "configuration" in refused(workspace, "config", "export", "-o", str(configuration))
    assert "configuration" in refused(workspace, "config", "export", "-o", str(configuration.parent / "new.xml"))
    assert "is the settings" in refused(workspace, "config", "export", "-o", "deltamark.toml")
    assert "is the settings" in refused(workspace, "backup", "deltamark.toml", "--overwrite")
    assert "configuration" in refused(workspace, "backup", str(configuration), "--overwrite")


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal", ".lock", ""])
def test_no_file_of_the_store_is_written(workspace, ending):
    store = workspace.folder / "company.db"
    for command in (["checkpoint", "--out"], ["checkpoint", "--new-key"], ["config", "export", "-o"]):
        assert "the store" in refused(workspace, *command, f"{store}{ending}")


def test_a_store_of_any_name_is_not_replaced_by_rows(workspace):
    store = workspace.folder / "company.db"
    workspace.done("backup", "other.csv")
    workspace.done("backup", "other.csv", "--overwrite")
    os.link(store, workspace.folder / "same.csv")

    assert "is a Deltamark store" in refused(workspace, "export", "HR_Person", "-o", "other.csv")
    assert "is the store" in refused(workspace, "export", "HR_Person", "-o", "same.csv")


def test_a_link_to_the_store_is_not_written_through(workspace):
    store = workspace.folder / "company.db"
    (workspace.folder / "link.csv").symlink_to(store)
    (workspace.folder / "nowhere.csv").symlink_to("not-there.csv")

    assert "is the store" in refused(workspace, "export", "HR_Person", "-o", "link.csv")
    assert "is a link" in refused(workspace, "export", "HR_Person", "-o", "nowhere.csv")


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_pipe_or_folder_does_not_hang_and_stays(workspace, kind):
    place = workspace.folder / "out.jsonl"
    (os.mkfifo if kind == "pipe" else os.mkdir)(place)

    answer = workspace.deltamark("export", "HR_Person", "-o", "out.jsonl")

    assert answer.status == 2
    assert place.is_fifo() if kind == "pipe" else place.is_dir()
