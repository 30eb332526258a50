"""All present and former people of the company, in columns.

They need less memory than objects.
"""

from __future__ import annotations

from array import array

from deltamark.infrastructure.sample_company.departments import NO_MANAGER
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.functions import GRADES
from deltamark.infrastructure.sample_company.names import CULTURE_NAMES, PersonNames
from deltamark.infrastructure.sample_company.sites import SITES

NO_MAIL = 0
NO_PHONE = 0
NO_PLACE = 255
MOST_LOCAL = 0.75
_CULTURE_OF_PLACE = tuple(CULTURE_NAMES.index(place.culture) for place in SITES)


class Staff:
    """People, numbered in the order in which they were hired. Former people keep their numbers.

    `mail` numbers the people with the same spelling of their names, from 1; 0 is for a person without mail address.
    """

    def __init__(self, names: PersonNames) -> None:
        self.names = names
        self.given = array("H")
        self.surname = array("I")
        self.mail = array("I")
        self.phone = array("I")
        self.place = bytearray()
        self.culture = bytearray()
        self.is_woman = bytearray()
        self.work = bytearray()
        self.grade = bytearray()
        self.hired = array("I")
        self.department = array("i")
        self.manager = array("i")
        self.works = bytearray()
        self._same_spelling: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.given)

    def hire(self, draws: Draws, department: int, manager: int, hired: int) -> int:
        """Hires a person for a department, and returns the number.

        `hired` is a day as in `date.toordinal`.
        """
        place = int(len(SITES) * draws.small_fraction())
        culture = _CULTURE_OF_PLACE[place] if draws.chance(MOST_LOCAL) else draws.below(len(CULTURE_NAMES))
        is_woman = draws.below(2)
        number = len(self.given)
        self.given.append(self.names.draw_given(draws, culture, is_woman))
        self.surname.append(self.names.draw_surname(draws, culture, is_woman))
        self.mail.append(NO_MAIL)
        self.phone.append(NO_PHONE if draws.chance(0.08) else 100_000 + draws.below(900_000))
        self.place.append(NO_PLACE if draws.chance(0.02) else place)
        self.culture.append(culture)
        self.is_woman.append(is_woman)
        self.work.append(draws.below(4))
        self.grade.append(draws.below(len(GRADES)))
        self.hired.append(hired)
        self.department.append(department)
        self.manager.append(manager)
        self.works.append(1)
        if not draws.chance(0.03):
            self.give_mail(number)
        return number

    def give_mail(self, person: int) -> None:
        """Gives a person a mail address of the present name. No address is ever used for two people."""
        given = self.names.given.plain_number[self.given[person]]
        spelling = given << 32 | self.names.surnames.plain_number[self.surname[person]]
        self.mail[person] = self._same_spelling[spelling] = self._same_spelling.get(spelling, 0) + 1

    def managers(self) -> bytearray:
        """For each person, whether anyone reports to them."""
        is_manager = bytearray(len(self.given))
        for person, manager in enumerate(self.manager):
            if manager != NO_MANAGER and self.works[person]:
                is_manager[manager] = 1
        return is_manager
