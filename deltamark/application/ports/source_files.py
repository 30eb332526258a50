"""The files of a question, and the place of files: their digests."""

from __future__ import annotations

import json

from deltamark.application.ports.sources import PlaceLost, Question, SourcePlace, SourceUnreachable, WantedTable
from deltamark.domain.configuration.packages import FILE, LINKS

UNCHANGED = "no file changed since the last time"


def file_of(ask: Question, table: WantedTable) -> str:
    """The file of a table; a table of links has that of the table that owns them.

    :raises SourceUnreachable: if there is no such table.
    """
    owner = table.options.get(LINKS)
    if owner is None:
        return table.options[FILE]
    for other in ask.tables:
        if other.name == owner and FILE in other.options:
            return other.options[FILE]
    raise SourceUnreachable(f"{table.name} has the links of {owner}, which is no table of {ask.connection} with a file")


def digests_in(since: SourcePlace) -> dict[str, str]:
    """The digests of files in a place.

    :raises PlaceLost: if it has none.
    """
    try:
        digests = json.loads(since.cookie)
    except ValueError as e:
        raise PlaceLost("the place was written by another version") from e
    if not isinstance(digests, dict):
        raise PlaceLost("the place was written by another version")
    return digests


def place_of(ask: Question, digests: dict[str, str]) -> SourcePlace:
    """The place of files with these digests."""
    return SourcePlace(cookie=json.dumps(digests, sort_keys=True).encode(), scope=ask.scope)
