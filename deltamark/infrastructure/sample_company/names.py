"""The names of people, as numbers, because a million people share a few thousand names."""

from __future__ import annotations

from attrs import frozen

from deltamark.infrastructure.sample_company.ascii_names import plain
from deltamark.infrastructure.sample_company.cultures import CULTURES
from deltamark.infrastructure.sample_company.draws import Draws

CULTURE_NAMES = tuple(CULTURES)


class Words:
    """Numbered texts with their plain spellings.

    Spellings have numbers of their own: two texts may share one.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.plain: list[str] = []
        self.plain_number: list[int] = []
        self._numbers: dict[str, int] = {}
        self._plain_numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of a text.

        A new text gets the next number.
        """
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.texts)
            spelling = plain(text)
            self.texts.append(text)
            self.plain.append(spelling)
            self.plain_number.append(self._plain_numbers.setdefault(spelling, len(self._plain_numbers)))
        return number


@frozen
class _Choice:
    given: tuple[int, ...]
    surnames: tuple[int, ...]


class PersonNames:
    """All given names and surnames.

    They are the same in every company, but marriages add surnames.
    """

    def __init__(self) -> None:
        self.given = Words()
        self.surnames = Words()
        self._choices = [
            _Choice(
                tuple(self.given.number(name) for name in (culture.women if of_women else culture.men)),
                tuple(self.surnames.number(name) for name in culture.surnames(of_women=of_women)),
            )
            for culture in CULTURES.values()
            for of_women in (False, True)
        ]

    def draw_given(self, draws: Draws, culture: int, is_woman: int) -> int:
        """The number of a random given name."""
        return draws.one_of(self._choices[2 * culture + is_woman].given)

    def draw_surname(self, draws: Draws, culture: int, is_woman: int) -> int:
        """The number of a random surname."""
        return draws.one_of(self._choices[2 * culture + is_woman].surnames)

    def married(self, draws: Draws, old: int, culture: int, is_woman: int) -> int:
        """The number of a surname after a marriage: another one, or in some cases both."""
        while (new := self.draw_surname(draws, culture, is_woman)) == old:
            pass
        texts = self.surnames.texts
        if draws.chance(0.3) and not {"-", " "} & set(texts[old] + texts[new]):
            return self.surnames.number(f"{texts[old]}-{texts[new]}")
        return new
