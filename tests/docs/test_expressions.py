"""The reference of expressions: its examples give what it says, and nothing is missing from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime

import pytest

from deltamark.domain.values import PropertyType
from deltamark.infrastructure.expressions.predefined_functions import FUNCTIONS
from deltamark.infrastructure.expressions.sql_functions import SQL_FUNCTIONS
from tests.docs.pages import ROOT
from tests.expressions.language import value

PAGE = (ROOT / "docs" / "reference" / "expressions.md").read_text("utf-8")
PERSON = {
    "Name": "Ann Lee",
    "Mail": "ann.lee@example.org",
    "Age": 30,
    "Weight": 61.5,
    "Active": True,
    "Born": datetime(1996, 1, 2, 3, 4, 5),
    "Salary": "2480.5",
    "Hired": date(2024, 2, 29),
    "Manager.Name": "Bo",
    "Manager.Department.Label": "Sales",
    "Reports.Name": ["Cid", "Dora"],
    "Reports.Age": [30, 41],
    "Reports.Salary": ["1000", "2000.1"],
}


def rows(header: str) -> Iterator[list[str | None]]:
    """The rows of all tables of that header; a cell is what stands in its code, null is None."""
    for table in re.findall(rf"^\| {re.escape(header)} \|\n\|[- |]+\|\n((?:\|.*\|\n)+)", PAGE, re.MULTILINE):
        for line in table.splitlines():
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            yield [
                None if cell == "null" else cell.removeprefix("`").removesuffix("`").replace("\\|", "|")
                for cell in cells
            ]


SQL = list(rows("SQL | gives"))
PIPES = list(rows("function | given | gives"))


@pytest.mark.parametrize(("expression", "then"), SQL, ids=[str(row[0]) for row in SQL])
def test_an_example_of_sql_gives_what_the_reference_says(expression, then):
    assert value(f"SQL:p: {expression}", **PERSON) == then


@pytest.mark.parametrize(("expression", "given", "then"), PIPES, ids=[str(row[0]) for row in PIPES])
def test_an_example_of_a_predefined_function_gives_what_the_reference_says(expression, given, then):
    assert value(expression, "Name", PropertyType.STRING, Name=given) == then


def test_every_function_has_an_example():
    sql = " ".join(str(expression).lower() for expression, _ in SQL)
    pipes = [call.partition(":")[0] for expression, *_ in PIPES for call in str(expression).split("|")]

    assert [name for name in SQL_FUNCTIONS if not re.search(rf"\b{name}\(", sql)] == []
    assert [name for name in FUNCTIONS if name not in pipes] == []
    assert len(SQL) > 100
