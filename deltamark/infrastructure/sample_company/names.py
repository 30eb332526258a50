"""The names of people, as numbers: a million people share a few thousand texts."""

from __future__ import annotations

from attrs import frozen

from deltamark.infrastructure.sample_company.cultures import CULTURES
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.spelling import plain

CULTURE_NAMES = tuple(CULTURES)


class Words:
    """Texts with a number each, and with their plain spelling (and its number: two texts may share one)."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.plain: list[str] = []
        self.plain_number: list[int] = []
        self._numbers: dict[str, int] = {}
        self._plain_numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of a text, a new one where the text is new."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.texts)
            spelled = plain(text)
            self.texts.append(text)
            self.plain.append(spelled)
            self.plain_number.append(self._plain_numbers.setdefault(spelled, len(self._plain_numbers)))
        return found


@frozen
class _Choice:
    given: tuple[int, ...]
    surnames: tuple[int, ...]


class Names:
    """All given names and surnames. The same in every company; only marriages add to them."""

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
        """A given name, by its number."""
        return draws.one_of(self._choices[2 * culture + is_woman].given)

    def draw_surname(self, draws: Draws, culture: int, is_woman: int) -> int:
        """A surname, by its number."""
        return draws.one_of(self._choices[2 * culture + is_woman].surnames)

    def married(self, draws: Draws, old: int, culture: int, is_woman: int) -> int:
        """The surname after a marriage: the other's, or in some cases both."""
        while (new := self.draw_surname(draws, culture, is_woman)) == old:
            pass
        texts = self.surnames.texts
        if draws.chance(0.3) and not {"-", " "} & set(texts[old] + texts[new]):
            return self.surnames.number(f"{texts[old]}-{texts[new]}")
        return new
