"""Regular expressions in expressions: short literals, which RE2 matches in linear time."""

from __future__ import annotations

import re
from functools import lru_cache

import duckdb

from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import literal, locked_down

LONGEST_PATTERN = 200
MOST_REPETITIONS = 100
_COUNTED = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def checked_pattern(pattern: str) -> str:
    """The pattern, if it compiles.

    DuckDB matches with RE2 (https://github.com/google/re2), which takes linear time for every pattern.

    :raises ExpressionRefused: if it does not compile, or is too long.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise ExpressionRefused(f"holds a regular expression of more than {LONGEST_PATTERN} characters")
    for least, most in _COUNTED.findall(pattern):
        if len(least) > 3 or len(most) > 3 or max(int(least), int(most or 0)) > MOST_REPETITIONS:
            raise ExpressionRefused(
                f"repeats more than {MOST_REPETITIONS} times in the regular expression {shown(pattern)}"
            )
    problem = _problem(pattern)
    if problem:
        raise ExpressionRefused(f"holds the regular expression {shown(pattern)}, which does not compile: {problem}")
    return pattern


@lru_cache(maxsize=512)
def _problem(pattern: str, instead: str = "") -> str | None:
    with locked_down() as db:
        try:
            db.execute(f"SELECT regexp_replace('', {literal(pattern)}, {literal(instead)})")
        except duckdb.Error as e:
            return str(e).splitlines()[0].partition(": ")[2]
    return None


def checked_replacement(pattern: str, instead: str) -> str:
    """The text that replaces what a pattern matches, if it inserts only groups that the pattern has.

    :raises ExpressionRefused: if it does not.
    """
    if _problem(pattern, instead):
        raise ExpressionRefused(
            f"inserts {shown(instead)}, and the regular expression {shown(pattern)} has no such group in brackets"
        )
    return instead


def checked_options(options: str) -> str:
    """The options of a regular expression.

    `i` ignores case, `g` replaces all, `s` lets a dot match line ends.

    :raises ExpressionRefused: if there is another one.
    """
    if set(options) - set("igsc"):
        raise ExpressionRefused(f"gives a regular expression the options {shown(options)}; there are i, g, s and c")
    return options


def insertions(replacement: str) -> tuple[int, int]:
    """The number of groups that a replacement inserts, and its number of characters."""
    groups = len(re.findall(r"\\\d", replacement))
    return groups, len(replacement)
