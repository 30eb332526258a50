"""The sites of the company."""

from __future__ import annotations

from attrs import frozen


@frozen
class Site:
    """A site: its city, its telephone prefix, and the culture of most names there."""

    city: str
    prefix: str
    culture: str


SITES = (
    Site("Lisboa", "+351 21", "Portuguese"),
    Site("Kraków", "+48 12", "Polish"),
    Site("München", "+49 89", "German"),
    Site("Göteborg", "+46 31", "Swedish"),
    Site("Lyon", "+33 4", "French"),
    Site("Praha", "+420 2", "Czech"),
    Site("København", "+45 33", "Danish"),
    Site("Málaga", "+34 952", "Spanish"),
    Site("Torino", "+39 011", "Italian"),
    Site("Galway", "+353 91", "Irish"),
    Site("Zürich", "+41 44", "German"),
    Site("Győr", "+36 96", "Hungarian"),
    Site("Utrecht", "+31 30", "Dutch"),
    Site("Leeds", "+44 113", "British"),
    Site("Timișoara", "+40 256", "Romanian"),
    Site("Tromsø", "+47 77", "Norwegian"),
    Site("Jyväskylä", "+358 14", "Finnish"),
    Site("Zagreb", "+385 1", "Croatian"),
    Site("Thessaloniki", "+30 231", "Greek"),
    Site("Rīga", "+371 67", "Latvian"),
    Site("İzmir", "+90 232", "Turkish"),
    Site("Reykjavík", "+354 5", "Icelandic"),
    Site("Poznań", "+48 61", "Polish"),
    Site("Orléans", "+33 2", "French"),
    Site("Coimbra", "+351 239", "Portuguese"),
    Site("Plzeň", "+420 37", "Czech"),
    Site("Malmö", "+46 40", "Swedish"),
    Site("A Coruña", "+34 981", "Spanish"),
)
"""The largest sites first."""

CITIES = tuple(place.city for place in SITES)
