"""The sites of the company."""

from __future__ import annotations

from attrs import frozen


@frozen
class Place:
    """A site: its city, the prefix of its telephone numbers, and the culture of most names there."""

    city: str
    prefix: str
    culture: str


PLACES = (
    Place("Lisboa", "+351 21", "Portuguese"),
    Place("Kraków", "+48 12", "Polish"),
    Place("München", "+49 89", "German"),
    Place("Göteborg", "+46 31", "Swedish"),
    Place("Lyon", "+33 4", "French"),
    Place("Praha", "+420 2", "Czech"),
    Place("København", "+45 33", "Danish"),
    Place("Málaga", "+34 952", "Spanish"),
    Place("Torino", "+39 011", "Italian"),
    Place("Galway", "+353 91", "Irish"),
    Place("Zürich", "+41 44", "German"),
    Place("Győr", "+36 96", "Hungarian"),
    Place("Utrecht", "+31 30", "Dutch"),
    Place("Leeds", "+44 113", "British"),
    Place("Timișoara", "+40 256", "Romanian"),
    Place("Tromsø", "+47 77", "Norwegian"),
    Place("Jyväskylä", "+358 14", "Finnish"),
    Place("Zagreb", "+385 1", "Croatian"),
    Place("Thessaloniki", "+30 231", "Greek"),
    Place("Rīga", "+371 67", "Latvian"),
    Place("İzmir", "+90 232", "Turkish"),
    Place("Reykjavík", "+354 5", "Icelandic"),
    Place("Poznań", "+48 61", "Polish"),
    Place("Orléans", "+33 2", "French"),
    Place("Coimbra", "+351 239", "Portuguese"),
    Place("Plzeň", "+420 37", "Czech"),
    Place("Malmö", "+46 40", "Swedish"),
    Place("A Coruña", "+34 981", "Spanish"),
)
"""The largest sites first."""

CITIES = tuple(place.city for place in PLACES)
