"""Derived: correlation keys, matched pairs, ambiguous keys, classifications, and what is to be computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen
from litestar import get
from litestar.params import FromQuery
from litestar.response import Template

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import CorrelationKey, MatchedPair
from deltamark.domain.history.pages import AmbiguousKey, DirtyCount
from deltamark.domain.resources.resource import ResourceRef
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import ROWS, page
from deltamark.interfaces.http.cursors import cursor_of, parts_of, row_at
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role


@frozen(kw_only=True)
class Derived:
    """A part of what was derived.

    :param show: which part: one of `SHOWN`.
    :param name: the rule, type or task that it is cut down to; empty for all.
    :param names: those that there are.
    :param after: what the next part begins after, as addresses hold it; empty at the end.
    :param counts: how many resources each task would compute, where that is shown.
    """

    show: str
    name: str
    names: tuple[str, ...] = field(converter=as_tuple)
    rows: tuple[Any, ...] = field(converter=as_tuple)
    after: str
    counts: tuple[DirtyCount, ...] = field(converter=as_tuple, default=())

    @property
    def needs_name(self) -> bool:
        """Whether it is shown for one rule or task at a time."""
        return self.show in _ONE_AT_A_TIME


SHOWN = {
    "ambiguous": "Ambiguous keys",
    "pairs": "Matched pairs",
    "keys": "Correlation keys",
    "classifications": "Classifications",
    "dirty": "To be computed",
}
"""The parts of the page, and their titles."""

EXPLAINED = {
    "ambiguous": "A value that several resources have on one side of a rule matches more pairs than one: look at these "
    "first.",
    "pairs": "Two resources with the same key by a rule are taken for the same thing: a person and their account.",
    "keys": "What each rule computes of a resource, to find its counterpart.",
    "classifications": "Which resource type each resource has, and the rule that says so.",
    "dirty": "Resources of which something changed that computed values read: a job computes them next.",
}

NAMED = {"ambiguous": "Rule", "pairs": "Rule", "keys": "Rule", "classifications": "Type", "dirty": "Task"}
"""What each part is cut down by."""


_ONE_AT_A_TIME = ("ambiguous", "dirty")
_KEYS: dict[str, type] = {
    "pairs": MatchedPair,
    "keys": CorrelationKey,
    "classifications": ResourceRef,
    "dirty": ResourceRef,
}


def derived_of(engine: Engine, show: str = "ambiguous", name: str = "", after: str = "") -> Derived:
    """A part of what was derived.

    :param after: of the part before.
    """
    show = show if show in SHOWN else "ambiguous"
    names = _names(engine.configuration, show)
    if show in _ONE_AT_A_TIME and not name:
        name = names[0] if names else ""
    found = list(_rows(engine, show, name, _place(show, after))) if name or show not in _ONE_AT_A_TIME else []
    rows = found[:ROWS]
    return Derived(
        show=show,
        name=name,
        names=names,
        rows=rows,
        after=_written(rows[-1]) if len(found) > ROWS else "",
        counts=engine.dirty_counts() if show == "dirty" else (),
    )


def _rows(engine: Engine, show: str, name: str, after: Any) -> Iterable[object]:
    """One row more than a page has, so that it knows whether others follow."""
    most = ROWS + 1
    match show:
        case "pairs":
            return engine.matches(name or None, after=after, limit=most)
        case "keys":
            return engine.keys(name or None, after=after, limit=most)
        case "classifications":
            return engine.classifications(name or None, after=after, limit=most)
        case "dirty":
            return engine.dirty(task=name, after=after, limit=most)
    return engine.ambiguous(name, after=after, limit=most)


def _written(row: Any) -> str:
    """What names a row in an address."""
    if isinstance(row, AmbiguousKey):
        return cursor_of(row.value)
    if isinstance(row, MatchedPair | CorrelationKey):
        return cursor_of(row)
    return cursor_of(row.entity_type, row.key)


def _place(show: str, after: str) -> Any:
    """The row that an address names; None without one.

    :raises UsageError: if it names none.
    """
    if not after:
        return None
    kind = _KEYS.get(show)
    return parts_of(after, str)[0] if kind is None else row_at(after, kind)


def _names(configuration: Configuration, show: str) -> list[str]:
    if show == "classifications":
        return sorted({kind.target_entity_type for kind in configuration.resource_types})
    if show == "dirty":
        return sorted({task.identifier for task in configuration.all_calls_of(ComputingTask) if task.dirty})
    return [name for name, _ in rule_names(configuration.correlation_rules)]


@get("/derived", opt={ROLE: Role.READER}, sync_to_thread=True)
def derived(
    engine: TheEngine, user: TheUser, show: FromQuery[str] = "", name: FromQuery[str] = "", after: FromQuery[str] = ""
) -> Template:
    """What was derived of the resources."""
    found = derived_of(engine, show, name, after)
    return page("derived.html", engine, user, "Derived", shown=found, parts=SHOWN, named=NAMED, explained=EXPLAINED)


ROUTES = (derived,)
