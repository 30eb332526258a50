"""A value: which resources have it or had it, since when and until when."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from attrs import field, frozen
from litestar import get
from litestar.params import FromQuery
from litestar.response import Template

from deltamark.application.history.resource_pages import has_values
from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Horizon, LoggedChange, Position
from deltamark.domain.history.intervals import HeldValue
from deltamark.domain.resources.resource import ResourceEvent
from deltamark.domain.values import Value
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import BUDGET_S, ROWS, number_in, page
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role


@frozen(kw_only=True)
class ValuePage:
    """Who has or had a value of a property.

    :param held: by whom, and in which time: those that have it first, then those that lost it last.
    :param before: shows those that got or lost it below this position.
    :param scanned_to: how far down the log was searched; None where it was searched as a whole.
    :param is_cut_short: whether more may have it now than are shown.
    :param horizon: what was discarded of the history of the type.
    """

    type: str
    property: str
    value: str
    held: tuple[HeldValue, ...] = field(converter=as_tuple)
    before: Position | None
    scanned_to: Position | None
    is_cut_short: bool
    horizon: Horizon | None


def value_of(
    engine: Engine, entity_type: str, property_name: str, value: str, before: Position | None = None
) -> ValuePage:
    """Who has a value, and who got or lost it in the newest part of the log, or in that below a position.

    The time of each is exact, because the history of each is read.
    """
    now = engine.resources(entity_type, where={property_name: value}, limit=ROWS, budget_s=BUDGET_S)
    horizon = next((each for each in engine.horizons(entity_type) if each.subject == entity_type), None)
    found, scanned_to = _changes(engine, entity_type, property_name, value, before)
    keys = [] if before is not None else [resource.ref.key for resource in now.resources]
    keys += [change.event.ref.key for change in found if isinstance(change.event, ResourceEvent)]
    first, head = (0 if horizon is None else horizon.position), engine.position()
    held: list[HeldValue] = []
    for key in dict.fromkeys(keys):
        try:
            times = list(engine.audit(entity_type, property_name, first, head, key=key))
        except UsageError:  # it was erased since
            continue
        held += [each for each in times if _is(each.value, value)]
    held.sort(key=lambda each: (each.until is not None, -each.until.position if each.until else 0, each.ref.key))
    return ValuePage(
        type=entity_type,
        property=property_name,
        value=value,
        held=held,
        before=before,
        scanned_to=scanned_to,
        is_cut_short=now.more and before is None,
        horizon=horizon,
    )


def _changes(
    engine: Engine, entity_type: str, property_name: str, value: str, before: Position | None
) -> tuple[list[LoggedChange], Position | None]:
    """The newest changes that gave or took a value, as far as they are found in time, and how far that was."""
    found: list[LoggedChange] = []
    deadline, reached = monotonic() + BUDGET_S, before
    while (left := deadline - monotonic()) > 0 and len(found) < ROWS:
        part = engine.changes_page(
            entity_type=entity_type, property_name=property_name, before=reached, limit=ROWS, budget_s=left
        )
        found += [change for change in part.changes if any(_is(each, value) for each in _values(change, property_name))]
        if not part.more:
            return found, None
        reached = part.scanned_to
    return found, reached


def _values(change: LoggedChange, property_name: str) -> Iterator[Value]:
    event = change.event
    if isinstance(event, ResourceEvent) and property_name in event.changes:
        yield event.changes[property_name].before
        yield event.changes[property_name].after


def _is(held: Value, text: str) -> bool:
    """Whether a value is the one that a text of an address means."""
    return has_values({"": held}, {"": text})


@get("/value", opt={ROLE: Role.READER}, sync_to_thread=True)
def value(
    engine: TheEngine,
    user: TheUser,
    type: FromQuery[str],  # noqa: A002, the name in the address
    property: FromQuery[str],  # noqa: A002
    value: FromQuery[str],
    before: FromQuery[str] = "",
) -> Template:
    """Who has or had a value."""
    shown = value_of(engine, type, property, value, number_in(before, "a position"))
    return page("value.html", engine, user, "Resources", shown=shown)


ROUTES = (value,)
