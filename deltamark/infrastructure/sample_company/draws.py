"""Random draws that are the same on every machine for the same seed and topic."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A sequence of draws for one topic.

    Uses only `Random.random`, whose sequence Python promises never to change
    (https://docs.python.org/3/library/random.html#notes-on-reproducibility). Topics are independent: draws for accounts
    never change those for people.
    """

    def __init__(self, seed: int, topic: str) -> None:
        digest = hashlib.sha256(f"{seed}/{topic}".encode()).digest()
        self.fraction = Random(int.from_bytes(digest[:8], "big")).random  # noqa: S311 (nothing here is secret)

    def small_fraction(self) -> float:
        """A number from 0 to 1, more often a small one.

        Computed by a product, because powers differ by machine.
        """
        fraction = self.fraction()
        return fraction * (0.5 + 0.5 * fraction)

    def below(self, bound: int) -> int:
        """A whole number from 0 to `bound` - 1."""
        return int(self.fraction() * bound)

    def chance(self, probability: float) -> bool:
        """Whether an event of this probability happens."""
        return self.fraction() < probability

    def one_of(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.fraction() * len(items))]

    def about(self, expected: float, at_least: int = 0) -> int:
        """A whole number next to `expected`, which is the mean, but not below `at_least`."""
        return max(at_least, int(expected + self.fraction()))
