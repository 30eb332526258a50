"""Every relative link leads to a file and a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, prose_of

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors_of(page: str) -> set[str]:
    """The names by which the headings of a page can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links of a page whose target does not exist."""
    broken = []
    for link in _LINK.findall(prose_of(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = target.exists() and target.is_relative_to(ROOT)
        if not is_there or (anchor and anchor not in anchors_of(target.read_text("utf-8"))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page, page.read_text("utf-8")) == []


def test_a_link_to_nowhere_is_found() -> None:
    text = "[a](nowhere.md) [b](README.md#no-such-heading) [c](README.md) [d](https://example.org/x) [e](/etc/hosts)"

    assert broken_links(ROOT / "CHANGELOG.md", text) == ["nowhere.md", "README.md#no-such-heading", "/etc/hosts"]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(prose_of(page.read_text("utf-8"))))
        waiting += [(page.parent / link).resolve() for link in links if link and not re.match(r"[a-z]+:", link)]

    assert set(PAGES) - reached == set()
