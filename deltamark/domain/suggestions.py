"""Suggestions of the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

from deltamark.domain.values import shown

MOST_COMPARED = 300
"""Comparing every unknown name with thousands of known ones would take longer than the whole validation."""
MOST_LISTED = 8
LONGEST_COMPARED = 200
LIKELY = 0.8


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that was probably meant, or None.

    A name that differs only in letter case comes first; then the most similar one.
    """
    if len(name) > LONGEST_COMPARED:
        return None
    names = list(known)
    folded = name.casefold()
    for known_name in names:
        if known_name.casefold() == folded:
            return known_name
    largest_difference = max(3, len(name) // 2)
    candidates = [known_name for known_name in names if abs(len(known_name) - len(name)) <= largest_difference]
    by_folded: dict[str, list[str]] = {}
    for candidate in candidates[:MOST_COMPARED]:
        by_folded.setdefault(candidate.casefold(), []).append(candidate)
    matches = get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    if not matches:
        return None
    return max(by_folded[matches[0]], key=lambda candidate: SequenceMatcher(None, name, candidate).ratio())


def likely(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that was almost certainly meant, or None: hardly a letter differs."""
    guess = nearest(name, known)
    if guess is None or SequenceMatcher(None, name.casefold(), guess.casefold()).ratio() <= LIKELY:
        return None
    return guess


def hint(name: str, known: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: the nearest name, or a short list."""
    names = sorted(set(known))
    guess = nearest(name, names)
    if guess is not None:
        return f"; did you mean {shown(guess)}?"
    if not names:
        return "; there is none"
    listed = ", ".join(shown(known_name) for known_name in names[:MOST_LISTED])
    return f"; there is {listed}" + (f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else "")
