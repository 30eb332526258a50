"""Bad and unusual extracts (tests/corpus/extracts, numbered in its expected.toml), and some too large to store."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from deltamark.domain.errors import SourceError
from tests.extracts.folder import STRING, lines

CORPUS = Path(__file__).parent.parent / "corpus" / "extracts"
CASES = tomllib.loads((CORPUS / "expected.toml").read_text("utf-8"))["case"]


@pytest.mark.parametrize("case", CASES, ids=[case["file"] for case in CASES])
def test_an_extract_of_the_corpus_has_the_documented_outcome(folder, case):
    ending = case["file"][case["file"].index(".") :]
    shutil.copy(CORPUS / case["file"], folder.path / f"people{ending}")

    outcome, found, problem = "accept", None, None
    try:
        found = folder.read_mapped(
            {"id": STRING, "name": STRING}, encoding=case.get("encoding"), delimiter=case.get("delimiter")
        )
        if found.cleansed.set_aside:
            outcome = "set-aside"
            first = found.cleansed.set_aside[0]
            problem = (first.line, first.column, first.reason)
    except SourceError as error:
        outcome = "refuse"
        problem = (error.where.line, error.where.column, str(error))

    assert outcome == case["outcome"], problem
    if problem:
        line, column, message = problem
        assert re.search(case["message"], message), message
        assert case.get("line") in (None, line)
        assert case.get("column") in (None, column)
    if outcome == "refuse":
        assert message.startswith(f"people{ending}")
        assert "Nothing was changed." in message
    if found is not None:
        assert found.rows["key"].to_pylist() == case["keys"]
        assert case.get("lines") in (None, lines(found))
        assert found.cleansed.read.rows == found.rows.num_rows + len(found.cleansed.set_aside)


def test_every_stored_extract_has_an_expectation():
    stored = {path.name for path in CORPUS.iterdir()} - {"expected.toml", ".gitattributes"}

    assert stored == {case["file"] for case in CASES}


def test_77_a_quote_that_is_never_closed_is_reported_in_its_line(folder):
    rows = "".join(f"{i},n\n" for i in range(100_000))

    with pytest.raises(SourceError, match=re.escape("people.csv:3: a quoted field starts here")):
        folder.read('id,name\na,b\nc,"d\n' + rows)


def test_80_a_row_of_100000_columns_is_set_aside(folder):
    found = folder.read("id,name\n" + "x," * 100_000 + "x\nk,a\n")

    assert found.rows["key"].to_pylist() == ["k"]
    (row,) = found.cleansed.set_aside
    assert (row.line, row.reason) == (2, "the row has 100001 columns, the header has 2")
    assert len(row.value) <= 1000


def test_80_a_header_of_too_many_columns_is_refused(folder):
    with pytest.raises(SourceError, match="5,000 columns, more than 4,096"):
        folder.read(",".join(f"c{i}" for i in range(5000)) + "\n")


@pytest.mark.slow  # writes and reads 64 megabytes
def test_79_a_row_longer_than_64_megabytes_is_refused_cleanly(folder):
    with pytest.raises(SourceError, match=re.escape("people.csv:2: the row that starts here is longer than 64 MB")):
        folder.read(b'id,name\nk,"' + b"x" * (150 << 20) + b'"\n')
