"""The decisions: each has the same four headings, and stands in the list under its title."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "adr"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
HEADINGS = ["Context", "Options", "Decision", "Consequences"]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_four_headings_and_stands_in_the_list_under_its_title(page: Path) -> None:
    text = page.read_text("utf-8")
    number, title = re.match(r"# (\d{4}): (.+)\n", text).groups()  # type: ignore[union-attr]

    assert page.name.startswith(f"{number}-")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert f"| [{number}]({page.name}) | {title} |\n" in (FOLDER / "README.md").read_text("utf-8")


def test_the_numbers_of_the_decisions_have_no_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
