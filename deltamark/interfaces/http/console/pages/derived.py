"""Derived: correlation keys, matched pairs, ambiguous keys, classifications, and what is to be computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from attrs import field, frozen
from litestar import get
from litestar.params import FromQuery
from litestar.response import Template

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import rule_names
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import DirtyResource, MatchedPair
from deltamark.domain.resources.resource import ResourceRef
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import ROWS, number_in, page
from deltamark.interfaces.http.given import TheEngine, TheUser
from deltamark.interfaces.http.users import Role


@frozen(kw_only=True)
class Ambiguous:
    """A value of a rule that several resources have on one side, so that it matches more than one pair."""

    rule: str
    value: str
    sources: tuple[ResourceRef, ...] = field(converter=as_tuple)
    targets: tuple[ResourceRef, ...] = field(converter=as_tuple)


@frozen(kw_only=True)
class Derived:
    """A part of what was derived.

    :param show: which part: one of `SHOWN`.
    :param name: the rule, type or task that it is cut down to; empty for all.
    :param names: those that there are.
    :param after: how many rows come before; `more` whether others follow.
    :param counts: task -> how many resources it would compute, for what is to be computed.
    """

    show: str
    name: str
    names: tuple[str, ...] = field(converter=as_tuple)
    rows: tuple[object, ...] = field(converter=as_tuple)
    after: int
    more: bool
    counts: Mapping[str, int]


SHOWN = {
    "ambiguous": "Ambiguous keys",
    "pairs": "Matched pairs",
    "keys": "Correlation keys",
    "classifications": "Classifications",
    "dirty": "To be computed",
}
"""The parts of the page, and their titles."""

NAMED = {"ambiguous": "Rule", "pairs": "Rule", "keys": "Rule", "classifications": "Type", "dirty": "Task"}
"""What each part is cut down by."""


def derived_of(engine: Engine, show: str = "ambiguous", name: str = "", after: int = 0) -> Derived:
    """A part of what was derived."""
    show = show if show in SHOWN else "ambiguous"
    rows = list(islice(_ROWS[show](engine, name or None), after, after + ROWS + 1))
    return Derived(
        show=show,
        name=name,
        names=_names(engine.configuration, show),
        rows=rows[:ROWS],
        after=after,
        more=len(rows) > ROWS,
        counts=Counter(row.task for row in engine.dirty()) if show == "dirty" else {},
    )


def _names(configuration: Configuration, show: str) -> list[str]:
    if show == "classifications":
        return sorted({kind.target_entity_type for kind in configuration.resource_types})
    if show == "dirty":
        return sorted({task.identifier for task in configuration.all_calls_of(ComputingTask) if task.dirty})
    return [name for name, _ in rule_names(configuration.correlation_rules)]


def _ambiguous(engine: Engine, rule: str | None) -> Iterable[Ambiguous]:
    """The values of rules that match more than one pair, by rule and value."""
    pairs: dict[tuple[str, str], list[MatchedPair]] = {}
    for pair in engine.matches(rule):
        pairs.setdefault((pair.rule, pair.value), []).append(pair)
    for (name, value), matched in pairs.items():
        if len(matched) > 1:
            yield Ambiguous(
                rule=name,
                value=value,
                sources=sorted({ResourceRef(pair.source_entity_type, pair.source_key) for pair in matched}),
                targets=sorted({ResourceRef(pair.target_entity_type, pair.target_key) for pair in matched}),
            )


def _dirty(engine: Engine, task: str | None) -> Iterable[DirtyResource]:
    return engine.dirty(task=task)


_ROWS: Mapping[str, Callable[[Engine, str | None], Iterable[object]]] = {
    "ambiguous": _ambiguous,
    "pairs": lambda engine, rule: engine.matches(rule),
    "keys": lambda engine, rule: engine.keys(rule),
    "classifications": lambda engine, name: engine.classifications(name),
    "dirty": _dirty,
}


@get("/derived", opt={ROLE: Role.READER}, sync_to_thread=True)
def derived(
    engine: TheEngine, user: TheUser, show: FromQuery[str] = "", name: FromQuery[str] = "", after: FromQuery[str] = ""
) -> Template:
    """What was derived of the resources."""
    shown = derived_of(engine, show, name, number_in(after, "the number of a row") or 0)
    return page("derived.html", engine, user, "Derived", shown=shown, parts=SHOWN, named=NAMED)


ROUTES = (derived,)
