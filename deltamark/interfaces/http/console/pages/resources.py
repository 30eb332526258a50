"""Resources: by type and key, with how many have which value, and the search box of all pages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

from attrs import field, frozen
from litestar import get
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import LoggedChange, Position
from deltamark.domain.resources.resource import Resource, ResourceEvent, ResourceRef
from deltamark.domain.values import Value, Values
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import BUDGET_S, ROWS, number_in, page, refuse_partial_sight
from deltamark.interfaces.http.console.rendering import log_url, resource_url
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role

FEW = 20_000
"""Values are counted without being asked for where a type has at most so many resources."""

COUNT_S = 0.1
"""How long values are counted."""

_AT_ONCE = 1_000
_MOST_VALUES = 200
"""A property with more values than these has none by which one would choose."""
_SHOWN_VALUES = 12


@frozen(kw_only=True)
class ValueCount:
    """How many resources have a value of a property.

    :param text: the value as an address has it; None where it is too long for one.
    """

    value: Value
    text: str | None
    count: int


@frozen(kw_only=True)
class Facet:
    """The values of a property, the most frequent ones first.

    :param more: how many further values there are.
    """

    name: str
    values: tuple[ValueCount, ...] = field(converter=as_tuple)
    more: int


@frozen(kw_only=True)
class Facets:
    """How many resources have which values, of the properties that have few.

    :param counted: how many resources were looked at.
    :param is_whole: whether these are all.
    """

    facets: tuple[Facet, ...] = field(converter=as_tuple)
    counted: int
    is_whole: bool


def facets_of(
    engine: Engine, entity_type: str, *, prefix: str = "", where: Mapping[str, Value] | None = None
) -> Facets:
    """How many of the resources that are asked for have which values, as far as they can be counted in time."""
    counts: dict[str, Counter[Value]] = {
        each.identifier: Counter() for each in engine.type_model(entity_type).properties
    }
    search = Search(engine, entity_type, COUNT_S, prefix=prefix, where=where)
    for resource in search:
        values = resource.values
        for name, found in list(counts.items()):
            value = values.get(name)
            if value is not None:
                found[value] += 1
                if len(found) > _MOST_VALUES:
                    del counts[name]
    facets = [_facet(name, found) for name, found in counts.items() if found and max(found.values()) > 1]
    return Facets(facets=facets, counted=search.read, is_whole=search.after is None)


def _facet(name: str, counts: Counter[Value]) -> Facet:
    shown = [
        ValueCount(value=value, text=text_of(value), count=count) for value, count in counts.most_common(_SHOWN_VALUES)
    ]
    return Facet(name=name, values=shown, more=len(counts) - len(shown))


class Search:
    """The resources that are asked for, as far as they are read in time.

    `after` is then the key beyond which the others are; None where there are none. `read` is how many there were.
    """

    def __init__(
        self,
        engine: Engine,
        entity_type: str,
        seconds: float,
        *,
        prefix: str = "",
        where: Mapping[str, Value] | None = None,
        after: str | None = None,
    ) -> None:
        self._engine, self._type, self._prefix, self._where = engine, entity_type, prefix, where
        self._deadline = monotonic() + seconds
        self.after = after
        self.read = 0

    def __iter__(self) -> Iterator[Resource]:
        """Reads at least one part, so that who goes on where a search ended comes to an end."""
        while True:
            left = max(self._deadline - monotonic(), 0)
            found = self._engine.resources(
                self._type, after=self.after, prefix=self._prefix, where=self._where, limit=_AT_ONCE, budget_s=left
            )
            self.after = found.scanned_to if found.more else None
            self.read += len(found.resources)
            yield from found.resources
            if self.after is None or monotonic() >= self._deadline:
                return


LONGEST_TEXT = 200
"""A longer value is not searched for by an address."""


def text_of(value: Value) -> str | None:
    """A value as the text that an address has of it; None where it has none."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if 0 < len(text) <= LONGEST_TEXT and text.isprintable() else None


@frozen(kw_only=True)
class Resources:
    """A part of the resources of a type, by key.

    :param columns: the properties of the table: those with a value among the first rows.
    :param after: the key beyond which the next part begins; None at the end.
    :param is_cut_short: whether the search ended before there were enough, to answer in time.
    :param facets: how many have which values; None where it would take long, until it is asked for.
    """

    type: str
    types: tuple[tuple[str, int], ...] = field(converter=as_tuple)
    properties: tuple[str, ...] = field(converter=as_tuple, default=())
    prefix: str = ""
    property: str = ""
    value: str = ""
    rows: tuple[Resource, ...] = field(converter=as_tuple, default=())
    columns: tuple[str, ...] = field(converter=as_tuple, default=())
    after: str | None = None
    is_cut_short: bool = False
    facets: Facets | None = None


_MOST_COLUMNS = 6


def resources_of(
    engine: Engine,
    entity_type: str,
    *,
    prefix: str = "",
    property_name: str = "",
    value: str = "",
    after: str | None = None,
    are_counted: bool = False,
) -> Resources:
    """A part of the resources of a type; of the first type where none is named."""
    counts = engine.counts()
    types = list(counts.items())
    chosen = entity_type or (types[0][0] if types else "")
    if not chosen:
        return Resources(type="", types=types)
    where = {property_name: value or None} if property_name else None
    found = engine.resources(chosen, after=after, prefix=prefix, where=where, limit=ROWS, budget_s=BUDGET_S)
    model = engine.type_model(chosen)
    filled = [
        name.identifier for name in model.properties if any(name.identifier in row.values for row in found.resources)
    ]
    if property_name in filled:
        filled.remove(property_name)
        filled.insert(0, property_name)
    return Resources(
        type=chosen,
        types=types,
        properties=[each.identifier for each in model.properties],
        prefix=prefix,
        property=property_name,
        value=value,
        rows=found.resources,
        columns=filled[:_MOST_COLUMNS],
        after=found.scanned_to if found.more else None,
        is_cut_short=found.more and len(found.resources) < ROWS,
        facets=facets_of(engine, chosen, prefix=prefix, where=where)
        if are_counted or counts.get(chosen, 0) <= FEW
        else None,
    )


@frozen(kw_only=True)
class Found:
    """What a search may mean: resources of several types that have the key, whose keys begin so, or with such values.

    :param rest: where the search in values goes on; None where all were searched.
    :param past: where none has such values, changes that took them away, newest first.
    :param past_below: the position below which the search in changes goes on; None where all were searched.
    """

    asked: str
    resources: tuple[ResourceRef, ...] = field(converter=as_tuple)
    beginning: tuple[ResourceRef, ...] = field(converter=as_tuple)
    values: tuple[FoundValue, ...] = field(converter=as_tuple)
    rest: Place | None
    past: tuple[LoggedChange, ...] = field(converter=as_tuple)
    past_below: Position | None


@frozen
class Place:
    """How far a search in the values of all types came."""

    entity_type: str
    after: str | None


@frozen(kw_only=True)
class FoundValue:
    """A resource with values that have the words of a search.

    :param values: those with at least one of the words, by property.
    """

    ref: ResourceRef
    values: Mapping[str, str]


FIRST = Place("", None)


def found_by(
    engine: Engine, asked: str, place: Place = FIRST, before: Position | None = None, *, is_nowhere: bool = True
) -> str | Found:
    """The address of what a search names, or else all that it may mean.

    It names a position (`#5877`), a run (`run 30`), or a resource by its type and key, by its key alone, or by words of
    its values.

    :param place: where the search in values goes on.
    :param before: where the search in changes goes on; none of the resources has such values then.
    :param is_nowhere: whether nothing was found before `place`.
    """
    words = asked.strip()
    number = words.removeprefix("#").replace(",", "")
    if words.startswith("#") and number.isascii() and number.isdigit() and len(number) < 19:
        return log_url(before=int(number) + 1)
    first, _, rest = words.partition(" ")
    if first.lower() == "run" and rest.isascii() and rest.isdigit() and len(rest) < 19:
        return f"/runs/{int(rest)}"
    types = list(engine.counts())
    if first in types and rest:
        return resource_url(ResourceRef(first, rest))
    exact = [ResourceRef(name, words) for name in types if words and engine.resource(name, words) is not None]
    if len(exact) == 1:
        return resource_url(exact[0])
    beginning = (
        []
        if exact or not words
        else [found.ref for name in types for found in engine.resources(name, prefix=words, limit=10).resources]
    )
    values, place_of_rest = (
        _with_words(engine, types, words.casefold().split(), place) if words and before is None else ([], None)
    )
    is_nowhere = is_nowhere and not values and place_of_rest is None
    past, past_below = _had_words(engine, words, before) if words and is_nowhere else ([], None)
    return Found(
        asked=asked,
        resources=exact,
        beginning=beginning,
        values=values,
        rest=place_of_rest,
        past=past,
        past_below=past_below,
    )


MOST_TIMES = 50
"""So many times a search that found nothing goes on by itself, in the browser."""

FOUND_VALUES = 20
"""So many resources are found by their values at once."""


def _with_words(
    engine: Engine, types: Sequence[str], words: Sequence[str], place: Place
) -> tuple[list[FoundValue], Place | None]:
    """Resources whose values have all of the words, from a place on, and where to go on if not all were searched."""
    found: list[FoundValue] = []
    deadline = monotonic() + BUDGET_S
    first = types.index(place.entity_type) if place.entity_type in types else 0
    after = place.after if types and place.entity_type == types[first] else None
    for name in types[first:]:
        search = Search(engine, name, max(deadline - monotonic(), 0), after=after)
        for resource in search:
            having = _values_with(resource.values, words)
            if having:
                found.append(FoundValue(ref=resource.ref, values=having))
                if len(found) == FOUND_VALUES:
                    return found, Place(name, resource.ref.key)
        if search.after is not None:
            return found, Place(name, search.after)
        after = None
    return found, None


def _had_words(engine: Engine, words: str, before: Position | None) -> tuple[list[LoggedChange], Position | None]:
    """The newest changes that took away values with all of the words, and the position below which others are."""
    found: list[LoggedChange] = []
    deadline, reached = monotonic() + BUDGET_S, before
    while True:
        left = max(deadline - monotonic(), 0)
        part = engine.changes_page(before=reached, limit=_AT_ONCE, budget_s=left)
        for change in part.changes:
            if isinstance(change.event, ResourceEvent):
                taken = {name: both.before for name, both in change.event.changes.items()}
                if _values_with(taken, words.casefold().split()):
                    found.append(change)
                    if len(found) == FOUND_VALUES:
                        return found, change.position
        if not part.more:
            return found, None
        reached = part.scanned_to
        if monotonic() >= deadline:
            return found, reached


def _values_with(values: Values, words: Sequence[str]) -> dict[str, str]:
    """The values that have some of the words, if together they have all of them."""
    texts = {name: text for name, text in values.items() if isinstance(text, str)}
    whole = "\n".join(texts.values()).casefold()
    if not words or not all(word in whole for word in words):
        return {}
    return {name: text for name, text in texts.items() if any(word in text.casefold() for word in words)}


@get("/resources", opt={ROLE: Role.READER}, sync_to_thread=True)
def resources(
    engine: TheEngine,
    user: TheUser,
    type: FromQuery[str] = "",  # noqa: A002, the name in the address
    prefix: FromQuery[str] = "",
    property: FromQuery[str] = "",  # noqa: A002
    value: FromQuery[str] = "",
    after: FromQuery[str | None] = None,
    count: FromQuery[str] = "",
) -> Template:
    """The resources of a type.

    :param count: whether values are counted though there are many resources.
    """
    shown = resources_of(
        engine, type, prefix=prefix, property_name=property, value=value, after=after, are_counted=count == "1"
    )
    return page("resources.html", engine, user, "Resources", shown=shown)


@get("/find", opt={ROLE: Role.READER}, sync_to_thread=True)
def find(
    engine: TheEngine,
    user: TheUser,
    q: FromQuery[str] = "",
    type: FromQuery[str] = "",  # noqa: A002, the name in the address
    after: FromQuery[str | None] = None,
    before: FromQuery[str] = "",
    times: FromQuery[str] = "",
) -> Template | Redirect:
    """What the search box names.

    :param before: the position below which a search in changes goes on.
    :param times: in how many parts nothing was found; so often the page goes on by itself.
    :param type: the type at which a search in values goes on, beyond the key `after`.
    """
    refuse_partial_sight(user)
    parts, place = number_in(times, "the times") or 0, Place(type, after)
    found = found_by(engine, q, place, number_in(before, "a position"), is_nowhere=parts > 0 or place == FIRST)
    return (
        Redirect(found)
        if isinstance(found, str)
        else page("find.html", engine, user, shown=found, times=parts, most_times=MOST_TIMES)
    )


ROUTES = (resources, find)
