"""Guessing the name that somebody meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from deltamark.domain.values import shown

MOST_COMPARED = 300
"""Comparing every wrong name with thousands of known ones would take longer than the whole check."""
MOST_LISTED = 8
LONGEST_COMPARED = 200


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most probably stands for, or None.

    A name that differs in letter case alone comes first; then the most similar one.
    """
    if len(name) > LONGEST_COMPARED:
        return None
    names = list(known)
    folded = name.casefold()
    for candidate in names:
        if candidate.casefold() == folded:
            return candidate
    reach = max(3, len(name) // 2)
    near = [candidate for candidate in names if abs(len(candidate) - len(name)) <= reach][:MOST_COMPARED]
    by_folded = {candidate.casefold(): candidate for candidate in near}
    matches = get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or the few that there are."""
    names = sorted(set(known))
    guess = nearest(name, names)
    if guess is not None:
        return f"; did you mean {shown(guess)}?"
    if not names:
        return "; there is none"
    if len(names) <= MOST_LISTED:
        return f"; there is {', '.join(shown(known_name) for known_name in names)}"
    return ""
