"""Graphs as the script of the console lays them out and draws them: boxes with names, and arrows between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.task_calls import Group
from deltamark.domain.values import escaped

_WIDEST = 34
_WIDEST_NAME = 54
"""A name is written in two rows."""


@frozen(kw_only=True)
class Box:
    """A box of a graph.

    :param name: what tells it from others.
    :param below: a second line.
    :param kind: a word for its look: the state of a task, `computed`, `centre`.
    """

    name: str
    label: str
    below: str = ""
    address: str | None = None
    kind: str = ""


@frozen
class Arrow:
    """An arrow from one box to another, and the word on it.

    :param is_shown: whether it is drawn; otherwise it only places its head behind its tail.
    """

    tail: str
    head: str
    label: str = ""
    is_shown: bool = True


@frozen(kw_only=True)
class Graph:
    """Boxes and arrows. Arrows to boxes that are not there are left out.

    :param is_across: whether arrows lead from left to right, not downwards.
    """

    boxes: tuple[Box, ...] = field(converter=as_tuple)
    arrows: tuple[Arrow, ...] = field(converter=as_tuple)
    is_across: bool = True

    @property
    def data(self) -> str:
        """The graph as JSON for the script."""
        known = {box.name for box in self.boxes}
        return json.dumps(
            {
                "across": self.is_across,
                "boxes": [_box(box) for box in self.boxes],
                "arrows": [
                    [arrow.tail, arrow.head, _short(arrow.label), arrow.is_shown]
                    for arrow in _once(self.arrows)
                    if arrow.tail in known and arrow.head in known
                ],
            }
        )


def task_arrows(groups: Sequence[Group]) -> Iterator[Arrow]:
    """Arrows to each task from those that it waits for, and hidden ones that place a group behind the one before."""
    for before, group in zip(((), *groups), groups, strict=False):
        for call in group:
            yield from (Arrow(str(parent), str(call.ordinal)) for parent in call.parents)
            yield from (Arrow(str(earlier.ordinal), str(call.ordinal), is_shown=False) for earlier in before)


def _box(box: Box) -> dict[str, str | None]:
    return {
        "name": box.name,
        "label": _short(box.label, _WIDEST_NAME),
        "below": _short(box.below),
        "address": box.address,
        "kind": box.kind,
        "title": escaped(f"{box.label} {box.below}".strip()),
    }


def _once(arrows: Iterable[Arrow]) -> Iterable[Arrow]:
    return dict.fromkeys(arrows)


def _short(text: str, most: int = _WIDEST) -> str:
    shown = escaped(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
