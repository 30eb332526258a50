"""Resources: by type and key, and the search box of all pages."""

from __future__ import annotations

from attrs import field, frozen
from litestar import get
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from deltamark.domain.fields import as_tuple
from deltamark.domain.resources.resource import Resource, ResourceRef
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import BUDGET_S, ROWS, page, refuse_partial_sight
from deltamark.interfaces.http.console.rendering import log_url, resource_url
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role


@frozen(kw_only=True)
class Resources:
    """A part of the resources of a type, by key.

    :param columns: the properties of the table: those with a value among the first rows.
    :param after: the key beyond which the next part begins; None at the end.
    :param is_cut_short: whether the search ended before there were enough, to answer in time.
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


_MOST_COLUMNS = 6


def resources_of(
    engine: Engine,
    entity_type: str,
    *,
    prefix: str = "",
    property_name: str = "",
    value: str = "",
    after: str | None = None,
) -> Resources:
    """A part of the resources of a type; of the first type where none is named."""
    types = list(engine.counts().items())
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
    )


@frozen(kw_only=True)
class Found:
    """What a search may mean: resources of several types that have the key."""

    asked: str
    resources: tuple[ResourceRef, ...] = field(converter=as_tuple)
    beginning: tuple[ResourceRef, ...] = field(converter=as_tuple)


def found_by(engine: Engine, asked: str) -> str | Found:
    """The address of what a search names, or else all that it may mean.

    It names a position (`#5877`), a run (`run 30`), or a resource by its type and key, or by its key alone.
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
    return Found(asked=asked, resources=exact, beginning=beginning)


@get("/resources", opt={ROLE: Role.READER}, sync_to_thread=True)
def resources(
    engine: TheEngine,
    user: TheUser,
    type: FromQuery[str] = "",  # noqa: A002, the name in the address
    prefix: FromQuery[str] = "",
    property: FromQuery[str] = "",  # noqa: A002
    value: FromQuery[str] = "",
    after: FromQuery[str | None] = None,
) -> Template:
    """The resources of a type."""
    shown = resources_of(engine, type, prefix=prefix, property_name=property, value=value, after=after)
    return page("resources.html", engine, user, "Resources", shown=shown)


@get("/find", opt={ROLE: Role.READER}, sync_to_thread=True)
def find(engine: TheEngine, user: TheUser, q: FromQuery[str] = "") -> Template | Redirect:
    """What the search box names."""
    refuse_partial_sight(user)
    found = found_by(engine, q)
    return Redirect(found) if isinstance(found, str) else page("find.html", engine, user, shown=found)


ROUTES = (resources, find)
