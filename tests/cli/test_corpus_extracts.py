"""Faulty and odd extracts (tests/corpus/extracts) in a run: its outcome, its messages, and the resulting state."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from deltamark.infrastructure.extracts.csv import cells as csv_cells
from deltamark.infrastructure.extracts.decode import UnpackLimits
from tests.cli.workspace import Workspace

CORPUS = Path(__file__).parent.parent / "corpus" / "extracts"
CASES = tomllib.loads((CORPUS / "expected.toml").read_text("utf-8"))["case"]
HELD = "id,name\nheld,Held\n"

CONFIGURATION = """<ConfigurationFile>
  <Connector Identifier="HR"
    MaximumInsertedLines="0" MaximumUpdatedLines="0" MaximumDeletedLines="0"
    MaximumLinkInsertedLines="0" MaximumLinkDeletedLines="0"
    MaxPercentageInsertedLines="0" MaxPercentageUpdatedLines="0" MaxPercentageDeletedLines="0"
    MaxLinkPercentageInsertedLines="0" MaxLinkPercentageDeletedLines="0" />
  <EntityType Identifier="Person">
    <Property Identifier="Number" IsKey="true" />
    <Property Identifier="Name" Type="{kind}" />
  </EntityType>
  <EntityTypeMapping Identifier="Person" Connector="HR" ConnectionTable="people"{more}>
    <Property Identifier="Number" ConnectionColumn="id" IsPrimaryKey="true" />
    <Property Identifier="Name" ConnectionColumn="name"{pattern} />
  </EntityTypeMapping>
  <Job Identifier="Load" DisplayName_L1="Load">
    <SynchronizeTask Identifier="S" DisplayName_L1="s" Connector="HR" DoNotDeleteChanges="true" />
  </Job>
</ConfigurationFile>
"""


class People(Workspace):
    """A workspace with one extract, shared by all tests here: each begins with the state after the one before."""

    def expecting(self, kind: str = "String", pattern: str = "", **more: str) -> None:
        """Sets how the extract is read."""
        self.configure(
            CONFIGURATION.format(
                kind=kind,
                pattern=f' Format="{pattern}"' if pattern else "",
                more="".join(f' {name}="{value}"' for name, value in more.items()),
            )
        )

    def with_extract(self, name: str, content: bytes | str | Path) -> None:
        """Puts a file in place of all extracts."""
        shutil.rmtree(self.exports)
        self.exports.mkdir()
        if isinstance(content, Path):
            shutil.copy(content, self.exports / name)
        else:
            (self.exports / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def run(self, *options: str):
        """Runs the job, and checks that it shows no traceback."""
        answer = self.deltamark("run", "Load", *options, "--format", "jsonl")
        assert "Traceback" not in answer.err
        assert "internal error" not in answer.err
        assert all(line.isprintable() for line in answer.err.splitlines())
        return answer

    def held(self) -> list[dict]:
        """The existing resources."""
        return self.jsonl("export", "Person")

    def set_aside(self, run: dict) -> list[dict]:
        """The rows of extracts that a run set aside."""
        return [row for row in self.jsonl("runs", str(run["run"]))[0]["set_aside"] if row["line"] is not None]


@pytest.fixture(scope="module")
def shared(lasting_store_url: str, tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people") / "w", lasting_store_url).written()


@pytest.fixture
def people(shared: People, capsysbinary, monkeypatch: pytest.MonkeyPatch) -> People:
    """The shared workspace, always with a person from before the extract of the test."""
    monkeypatch.chdir(shared.folder)
    workspace = People(shared.folder, shared.store, capsysbinary)
    workspace.expecting()
    return workspace


@pytest.fixture
def holding(people: People) -> People:
    """Synchronizes one person."""
    people.with_extract("people.csv", HELD)
    assert people.run().status == 0
    return people


@pytest.fixture(scope="module")
def once(shared: People) -> list[bool]:
    return []


def ending_of(case: dict) -> str:
    return case["file"][case["file"].index(".") :]


@pytest.mark.parametrize("case", CASES, ids=[case["file"] for case in CASES])
def test_an_extract_of_the_corpus_has_the_documented_outcome(people, once, case):
    if not once:
        people.with_extract("people.csv", HELD)
        people.run()
        once.append(True)
    people.expecting(**{name.title(): case[name] for name in ("encoding", "delimiter") if name in case})
    people.with_extract(f"people{ending_of(case)}", CORPUS / case["file"])
    before = people.held()
    assert before

    answer = people.run()

    (run,) = answer.documents
    after = {resource["key"] for resource in people.held()}
    if case.get("keys") == []:
        assert (answer.status, run["state"]) == (3, "blocked")
        assert people.held() == before
    elif case["outcome"] == "refuse":
        assert (answer.status, run["state"]) == (1, "failed")
        assert people.held() == before
        (message,) = run["tasks"][0]["messages"]
        place = [f"people{ending_of(case)}", case.get("line"), case.get("column")]
        assert message.startswith(":".join(str(part) for part in place if part is not None))
        assert re.search(case["message"], message)
        assert "Nothing was changed." in message
        assert message in answer.err
        assert people.set_aside(run) == []
    else:
        assert answer.status == 0
        assert run["state"] == ("warning" if case["outcome"] == "set-aside" else "completed")
        assert set(case["keys"]) <= after
        aside = people.set_aside(run)
        assert run["tasks"][0]["set_aside"] == len(aside)
        if case["outcome"] == "set-aside":
            assert aside[0]["file"] == f"people{ending_of(case)}"
            assert aside[0]["line"] == case["line"]
            assert re.search(case["message"], aside[0]["reason"])
        else:
            assert after == set(case["keys"])
            assert aside == []


# Not a regular file, or large, or with other types


def refused(people: People, message: str, status: int = 1) -> None:
    before = people.held()
    assert before

    answer = people.run()

    assert answer.status == status, answer.err
    assert re.search(message, answer.err), answer.err
    assert people.held() == before


def test_63_a_missing_extract_fails_the_task(holding):
    (holding.exports / "people.csv").unlink()
    refused(holding, r"people.csv: .*holds no people.csv.*the folder is empty")

    holding.exports.rmdir()
    refused(holding, r": there is no such folder, and the extract of people should be in it.*export_output")
    holding.exports.mkdir()


def test_63_an_undecodable_file_name_can_be_shown(holding):
    (holding.exports / "people.csv").rename(holding.exports / os.fsdecode(b"peopl\xff.csv"))

    refused(holding, r"the nearest name there is peopl\\udcff.csv")


def test_64_a_folder_in_place_of_an_extract_fails_the_task(holding):
    (holding.exports / "people.csv").unlink()
    (holding.exports / "people.csv").mkdir()

    refused(holding, "people.csv: this is a folder, not a file")


def test_65_an_unreadable_extract_fails_the_task(holding, monkeypatch):
    original = os.open

    def refusing(path, *arguments, **options):
        if str(path).endswith("people.csv"):
            raise PermissionError(13, "Permission denied", path)
        return original(path, *arguments, **options)

    monkeypatch.setattr("deltamark.infrastructure.extracts.files.os.open", refusing)

    refused(holding, r"people.csv: the file cannot be opened \(permission denied\)")


def test_67_and_107_a_header_alone_is_held_back_unless_forced(holding):
    holding.with_extract("people.csv", "id,name\n")
    refused(holding, "people.csv holds a header and no row, which would remove all 1 resources", status=3)

    assert holding.run("--force").status == 0
    assert holding.held() == []


def test_79_an_endless_row_fails_the_task(holding, monkeypatch):
    monkeypatch.setattr("deltamark.infrastructure.extracts.csv.normalize.LONGEST_ROW", 1 << 20)
    holding.with_extract("people.csv", f'id,name\nk,"{"x" * 200_000}"\n')
    assert holding.run().status == 0

    holding.with_extract("people.csv", b'id,name\nk,"' + b"x" * (24 << 20) + b'"\n')
    refused(holding, "people.csv:2: the row that starts here is longer than")


def test_80_a_row_of_100000_columns_is_set_aside(holding):
    holding.with_extract("people.csv", f"id,name\n{'x,' * 99_999}x\nk,a\n")

    answer = holding.run()

    assert answer.status == 0
    (aside,) = holding.set_aside(answer.documents[0])
    assert (aside["line"], aside["file"]) == (2, "people.csv")
    assert {resource["key"] for resource in holding.held()} == {"held", "k"}


TYPED = {
    "102-dates": (
        "DateTime",
        "dd.MM.yyyy",
        ["31.02.2026", "01/02/26", "32.01.2026", "00.01.2026", "29.02.2025", "1.1.0000", "tomorrow"],
        {"31.12.9999": "9999-12-31T00:00:00Z", "19.01.2038": "2038-01-19T00:00:00Z"},
    ),
    "102-times": (
        "DateTime",
        "",
        ["2026-02-31", "2026-01-01T25:00:00Z", "0000-01-01"],
        {"2026-03-29T02:30:00+01:00": "2026-03-29T01:30:00Z", "9999-12-31": "9999-12-31T00:00:00Z"},
    ),
    "103-doubles": (
        "Double",
        "",
        ["1,5", "1 000", "NaN", "Infinity", "-inf", "1e999", "0x10", "1_0", "１"],
        {"1.50": 1.5, "-0": 0.0, "1e5": 100000.0, "0." + "3" * 400: 1 / 3},
    ),
    "103-whole-numbers": (
        "Int64",
        "",
        ["1.5", "9223372036854775808", "9" * 400, "1e3", "--1"],
        {"9223372036854775807": 9223372036854775807, "-9223372036854775808": -9223372036854775808, "007": 7},
    ),
}


@pytest.mark.parametrize("name", TYPED)
def test_values_of_wrong_types_are_set_aside_with_line_and_column(holding, name):
    kind, pattern, bad, good = TYPED[name]
    holding.expecting(kind, pattern)
    rows = [*((f"bad{n}", text) for n, text in enumerate(bad)), *((f"good{n}", text) for n, text in enumerate(good))]
    holding.with_extract("people.csv", "id,name\nheld,\n" + "".join(f'{key},"{text}"\n' for key, text in rows))

    answer = holding.run()

    assert answer.status == 0
    aside = holding.set_aside(answer.documents[0])
    assert [(row["line"], row["column"], row["key"]) for row in aside] == [
        (n + 3, "name", f"bad{n}") for n in range(len(bad))
    ]
    assert [row["value"][:80] for row in aside] == [text[:80] for text in bad]
    held = {resource["key"]: resource["properties"].get("Name") for resource in holding.held()}
    assert held == {"held": None, **{f"good{n}": value for n, value in enumerate(good.values())}}


def test_104_and_105_formulas_and_markup_are_kept_exactly_in_every_format(holding):
    values = [
        "=cmd|'/c calc'!A1",
        " =1+1",
        "-2+3",
        "@SUM",
        "<script>",
        "{{7*7}}",
        "%s%n",
        "${jndi:}",
        "'; drop table x; --",
    ]
    holding.with_extract(
        "people.csv", "id,name\nheld,\n" + "".join(f'{n},"{value}"\n' for n, value in enumerate(values))
    )

    assert holding.run().status == 0

    assert [resource["properties"].get("Name") for resource in holding.held()] == [*values, None]
    csv_lines = holding.done("export", "Person", "--format", "csv").lines
    assert csv_lines[1] == "0,0,=cmd|'/c calc'!A1"


def test_107_a_smaller_extract_is_applied_and_missing_rows_are_deleted(holding):
    whole = [f"k{n},n\n" for n in range(10)]
    for count in (10, 7, 1):
        holding.with_extract("people.csv", "id,name\n" + "".join(whole[:count]))

        assert holding.run().status == 0

        assert len(holding.held()) == count


def test_108_an_extract_that_grows_while_it_is_read_fails_the_task(holding, monkeypatch):
    original = csv_cells.detect_dialect

    def growing(*arguments, **options):
        with (holding.exports / "people.csv").open("a") as file:
            file.write("l,b\n")
        return original(*arguments, **options)

    with (holding.exports / "people.csv").open("a") as file:
        file.write("k,b\n")  # the same again would not be read
    monkeypatch.setattr(csv_cells, "detect_dialect", growing)

    refused(holding, "people.csv: the file was changed while it was read")


def test_110_a_decompression_bomb_fails_the_task(holding, monkeypatch):
    monkeypatch.setattr(UnpackLimits, "exceeded", lambda limits, packed, unpacked: unpacked > 200 * packed)
    holding.with_extract("people.csv.gz", gzip.compress(b"id,name\n" + b"x" * (32 << 20)))

    refused(holding, "people.csv.gz: .*this looks like a decompression bomb")


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        (b"PK\x03\x04\x14\x00\x01\x00", "zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "people.csv"),
        (b"%PDF-1.7\n", "PDF document"),
        (b"\x7fELF\x02\x01\x01\x00", "people.csv"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "people.csv"),
    ],
    ids=["encrypted-zip", "old-office", "pdf", "program", "zstandard"],
)
def test_110_a_file_that_is_not_csv_fails_the_task(holding, beginning, message):
    holding.with_extract("people.csv", beginning + bytes(range(256)) * 40)

    refused(holding, message)


def test_every_number_of_the_group_has_a_case():
    stored = {number for case in CASES for number in case["numbers"]}
    here = {int(number) for number in re.findall(r"def test_(\d+)", Path(__file__).read_text("utf-8"))}

    assert stored | here | {102, 103, 105, 107} >= set(range(63, 111))
