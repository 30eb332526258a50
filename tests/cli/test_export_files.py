"""Exports to files: in the format of the extension, and complete or not at all."""

from __future__ import annotations

import json
import os
import stat

import pyarrow.parquet
import pytest


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "out put"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("ending", "form"), [("csv", "csv"), ("jsonl", "jsonl"), ("CSV", "csv")])
@pytest.mark.parametrize("at", [[], ["--at", "run:1"]])
def test_a_file_has_the_text_of_standard_output(past, target, ending, form, at):
    file = target / f"people.{ending}"

    answer = past.done("export", "HR_Person", *at, "-o", str(file))

    assert file.read_bytes() == past.done("export", "HR_Person", *at, "--format", form).out
    assert (answer.out, answer.err) == (b"", f"3 resources of HR_Person written to {file}.\n")


def test_a_parquet_file_has_the_same_rows_with_types(past, target):
    past.done("export", "HR_Person", "-o", str(target / "people.parquet"))

    rows = pyarrow.parquet.read_table(target / "people.parquet").to_pylist()
    documents = past.jsonl("export", "HR_Person")
    assert [row["Salary"] for row in rows] == [1000.0, 2000.5, None]
    assert [row["Hired"] and row["Hired"].isoformat() for row in rows] == [
        "2024-01-02T00:00:00+00:00", "2024-02-03T00:00:00+00:00", None,
    ]  # fmt: skip
    for name in ("Number", "Name", "Mail", "Salary", "Active"):
        assert [row[name] for row in rows] == [document["properties"].get(name) for document in documents]
    assert [row["Staff"] for row in rows] == [document["links"]["Staff"] for document in documents]


def test_an_existing_file_is_replaced_atomically_with_default_permissions(past, target):
    file = target / "people.jsonl"
    file.write_text("old")
    held_open = file.open()

    past.done("export", "HR_Person", "-o", str(file))

    assert held_open.read() == "old"
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 3
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask
    assert os.listdir(target) == ["people.jsonl"]


@pytest.mark.parametrize("arguments", [["HR_Persons"], ["HR_Person", "--at", "run:9"], ["HR_Person", "--at", "99999"]])
def test_a_failed_export_keeps_the_existing_file(past, target, arguments):
    file = target / "people.csv"
    file.write_text("old")

    answer = past.deltamark("export", *arguments, "-o", str(file))

    assert answer.status == 2
    assert file.read_text() == "old"
    assert os.listdir(target) == ["people.csv"]


def test_an_interrupted_export_leaves_no_file(past, target, monkeypatch):
    def interrupting(*_: object, **__: object):
        yield next(iter(past_resources))
        raise KeyboardInterrupt

    past_resources = [object()]
    monkeypatch.setattr("deltamark.interfaces.cli.commands.changes.exported_document", lambda _: {"key": "a"})
    monkeypatch.setattr(
        "deltamark.engine.Engine.export_view",
        lambda engine, entity_type, *_, **__: (engine.type_model(entity_type), interrupting()),
    )

    answer = past.deltamark("export", "HR_Person", "-o", str(target / "people.jsonl"))

    assert answer.status == 130
    assert os.listdir(target) == []


@pytest.mark.parametrize("name", ["people.xlsx", "people", ".csv", "people.csv.gz"])
def test_an_unknown_file_extension_is_refused_with_the_known_ones(past, target, name):
    answer = past.deltamark("export", "HR_Person", "-o", str(target / name))

    assert answer.status == 2
    assert "Use one of .csv, .jsonl, .parquet, .arrow." in answer.err
    assert os.listdir(target) == []


def test_an_output_path_that_cannot_be_written_is_refused(past, target):
    (target / "folder.csv").mkdir()
    (target / "file").write_text("")
    messages = {
        "nowhere/people.csv": "cannot be written: No such file or directory",
        "folder.csv": "is a directory",
        "file/people.csv": "cannot be written: Not a directory",
    }

    for name, message in messages.items():
        answer = past.deltamark("export", "HR_Person", "-o", str(target / name))

        assert answer.status == 2
        assert message in answer.err
        assert "Traceback" not in answer.err
    assert sorted(os.listdir(target)) == ["file", "folder.csv"]
