"""Regular expressions in expressions: literal, short, and matched in linear time by RE2."""

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
    """The pattern, once it is known to compile.

    DuckDB matches with RE2 (https://github.com/google/re2): no pattern takes more than linear time.

    :raises ExpressionRefused: if it does not compile, or is too big.
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
def _problem(pattern: str) -> str | None:
    with locked_down() as db:
        try:
            db.execute(f"SELECT regexp_matches('', {literal(pattern)})")
        except duckdb.Error as e:
            return str(e).splitlines()[0].partition(": ")[2]
    return None


def checked_options(options: str) -> str:
    """The options of a regular expression: `i` ignores letter case, `g` replaces all, with `s` a point matches all."""
    if set(options) - set("igsc"):
        raise ExpressionRefused(f"gives a regular expression the options {shown(options)}; there are i, g, s and c")
    return options


def insertions(replacement: str) -> tuple[int, int]:
    """How many groups a replacement inserts, and how many characters of its own."""
    groups = len(re.findall(r"\\\d", replacement))
    return groups, len(replacement)
