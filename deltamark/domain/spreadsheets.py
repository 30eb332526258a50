"""Texts that no spreadsheet takes for a formula, wherever CSV is meant to be opened by one."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠]|'*\t")
_BREAK = re.compile(r"'*[\r\n]")


def guarded(text: str) -> str:
    """A text with an apostrophe before each line that a spreadsheet might take for a formula.

    Those are lines that begin, behind white space, with ``=``, ``+``, ``-`` or ``@``, or with a tab; and a text that
    begins with the end of a line. A line that looks as if it had been guarded gets one more apostrophe, so taking one
    from each line that is such a line behind apostrophes gives the text back.
    """
    lines = text.splitlines(keepends=True)
    guards = ("'" if _FORMULA.match(line) or (n == 0 and _BREAK.match(line)) else "" for n, line in enumerate(lines))
    return "".join(guard + line for guard, line in zip(guards, lines, strict=True))
