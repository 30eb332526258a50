"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./-]+)`:\s*\Z")


@frozen
class Block:
    """A fenced block.

    :param file: the file that the line before the block names, as in "`exports/Staff.csv`:"; the block is its content.
    """

    language: str
    text: str
    line: int
    file: str | None


def blocks_of(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for fence in _FENCE.finditer(page):
        before = page[: fence.start()]
        named = _NAMED.search(before)
        yield Block(fence.group(1), fence.group(2), before.count("\n") + 1, named.group(1) if named else None)


def name_of(page: Path) -> str:
    """A page as messages name it."""
    return page.relative_to(ROOT).as_posix()


def prose_of(page: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page)
