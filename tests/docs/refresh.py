"""Updates the output shown on the pages: ``python -m tests.docs.refresh [PAGE …]``.

Only output that does not agree is replaced, in full. Read the difference before you commit it, and shorten it with
``…``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from attrs import define, field

from tests.docs.pages import PAGES, ROOT, name_of
from tests.docs.running import Reader, agrees


@define
class _Corrector(Reader):
    """Runs the examples of a page, and collects what it should have shown: (before, shown, printed)."""

    corrections: list[tuple[str, str, str]] = field(factory=list)

    def _compare(self, before: str, expected: str, where: str) -> None:
        if not agrees(expected, self.printed):
            self.corrections.append((before, expected, self.printed))


def refreshed(page: str, folder: Path) -> str:
    """Returns the page with what its commands print, run in `folder`."""
    reader = _Corrector(folder)
    reader.follow(page)
    place = 0
    for before, shown, printed in reader.corrections:
        start = page.index(before + shown, place) + len(before)
        end = start + len(shown)
        printed = printed if not printed or printed.endswith("\n") else f"{printed}\n"
        page, place = page[:start] + printed + page[end:], start + len(printed)
    return page


def main(names: list[str]) -> None:
    """Refreshes these pages, or all."""
    for page in [ROOT / name for name in names] or PAGES:
        text = page.read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder:
            new = refreshed(text, Path(folder))
        if new != text:
            page.write_text(new, "utf-8")
            print(name_of(page))


if __name__ == "__main__":
    main(sys.argv[1:])
