"""Payloads made column by column equal those that the mapper makes event by event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.link import Linked, LinkRef, Unlinked
from deltamark.domain.resources.resource import (
    WHOLE_REASONS,
    Because,
    Change,
    Computed,
    Created,
    Deleted,
    ResourceRef,
    Updated,
)
from deltamark.domain.values import Value
from deltamark.infrastructure.store.events.bulk_payloads import (
    Head,
    computed_grounds,
    link_payloads,
    resource_payloads,
)
from deltamark.infrastructure.store.events.mapper import COMPUTED, ChangeMapper, from_micros
from tests.tiers import examples

MICROS = 1_795_508_130_123_456

ODD = '"\\/\x01\x08\t\n\x0c\r\x1f\x7f\x80\x9f \xa0é\u0301\u2028\u2029\ufeff\ufffd\uffff😀\U0010ffff{}[]:,0a'
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=12)
NAMES = st.text(st.sampled_from('AZaz09_-"é😀'), min_size=1, max_size=8)
VALUES: st.SearchStrategy[Value] = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
STATES = st.dictionaries(NAMES, VALUES, max_size=4)
LINES = st.one_of(st.none(), st.integers(1, 2**40))
CAUSES = st.builds(Origin, st.integers(1, 2**31), st.integers(1, 999))


def canonical(plain: dict[str, Any]) -> str:
    return orjson.dumps(dict(sorted(plain.items()))).decode()


def column(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    return pa.array(values, type=kind)


def one_by_one(events: Sequence[Any]) -> list[bytes]:
    mapper = ChangeMapper()
    return [mapper.to_stored_event(event).state for event in events]


def head(number: int) -> dict[str, Any]:
    return {"originator_id": str(number), "originator_version": 1, "at": from_micros(MICROS)}


def with_line(cause: Origin, line: int | None) -> Origin:
    return Origin(cause.run, cause.task, line)


@settings(max_examples=examples(200), deadline=None)
@given(CAUSES, NAMES, st.lists(st.tuples(TEXTS, LINES, STATES), max_size=5), st.sampled_from([Created, Deleted]))
@example(Origin(1, 1), 'P"', [('"', None, {}), ("\u2028", 2, {"n": "\\"}), ("\x1f", 3, {"n": "\x7f"})], Created)
@example(Origin(1, 1), "P", [("plain", None, {"n": 1e22}), ("é😀", 7, {"n": -0.0})], Deleted)
def test_payloads_of_created_and_deleted_resources_equal_those_of_the_mapper(
    cause: Origin, entity_type: str, found: list[tuple[str, int | None, dict[str, Value]]], kind: type
) -> None:
    keys, lines, states = ([row[n] for row in found] for n in range(3))

    bulk = resource_payloads(
        Head(MICROS, cause),
        entity_type,
        column(keys, pa.string()),
        column(lines, pa.int64()),
        column([canonical(state) for state in states], pa.string()),
    )

    events = [
        kind(**head(n), cause=with_line(cause, line), ref=ResourceRef(entity_type, key), values=state)
        for n, (key, line, state) in enumerate(found)
    ]
    assert bulk.to_pylist() == one_by_one(events)


@settings(max_examples=examples(100), deadline=None)
@given(CAUSES, st.lists(st.tuples(TEXTS, LINES, STATES, STATES), max_size=5))
@example(Origin(1, 1), [("plain", None, {}, {}), ("é😀", 7, {"n": 1}, {"n": "\\"})])
def test_payloads_of_deleted_resources_with_computed_values_equal_those_of_the_mapper(
    cause: Origin, found: list[tuple[str, int | None, dict[str, Value], dict[str, Value]]]
) -> None:
    keys, lines, states, computed = ([row[n] for row in found] for n in range(4))

    bulk = resource_payloads(
        Head(MICROS, cause),
        "Person",
        column(keys, pa.string()),
        column(lines, pa.int64()),
        column([canonical(state) for state in states], pa.string()),
        column([canonical(values) for values in computed], pa.string()),
    )

    events = [
        Deleted(**head(n), cause=with_line(cause, line), ref=ResourceRef("Person", key), values=state, computed=values)
        for n, (key, line, state, values) in enumerate(found)
    ]
    assert bulk.to_pylist() == one_by_one(events)


@settings(max_examples=examples(100), deadline=None)
@given(
    CAUSES,
    st.lists(st.tuples(TEXTS, LINES, st.dictionaries(NAMES, st.tuples(VALUES, VALUES), min_size=1)), max_size=4),
    st.sampled_from([Updated, Computed]),
)
def test_payloads_of_updated_and_computed_resources_equal_those_of_the_mapper(
    cause: Origin, found: list[tuple[str, int | None, dict[str, tuple[Value, Value]]]], kind: type
) -> None:
    keys, lines, updates = ([row[n] for row in found] for n in range(3))

    bulk = resource_payloads(
        Head(MICROS, cause),
        "Person",
        column(keys, pa.string()),
        column(lines, pa.int64()),
        column([canonical({name: list(pair) for name, pair in update.items()}) for update in updates], pa.string()),
    )

    events = [
        kind(
            **head(n),
            cause=with_line(cause, line),
            ref=ResourceRef("Person", key),
            updates={name: Change(*pair) for name, pair in update.items()},
        )
        for n, (key, line, update) in enumerate(found)
    ]
    assert bulk.to_pylist() == one_by_one(events)


def because_of(positions: tuple[int, int] | None, whole: str | None) -> Because | None:
    if positions is None and whole is None:
        return None
    first, last = positions or (None, None)
    return Because(first=first, last=last, whole=whole)


POSITIONS = st.none() | st.tuples(st.integers(1, 2**62), st.integers(0, 9)).map(lambda p: (p[0], p[0] + p[1]))


@settings(max_examples=examples(100), deadline=None)
@given(CAUSES, st.lists(st.tuples(POSITIONS, st.none() | st.sampled_from(sorted(WHOLE_REASONS))), max_size=5))
def test_payloads_of_computed_values_with_grounds_equal_those_of_the_mapper(
    cause: Origin, found: list[tuple[tuple[int, int] | None, str | None]]
) -> None:
    first, last = (column([None if p is None else p[n] for p, _ in found], pa.int64()) for n in (0, 1))
    whole = column([word for _, word in found], pa.string())
    keys, lines = ([text] * len(found) for text in ("1", None))

    bulk = resource_payloads(
        Head(MICROS, cause),
        "Person",
        column(keys, pa.string()),
        column(lines, pa.int64()),
        column(['{"A":[1,2]}'] * len(found), pa.string()),
        grounds=computed_grounds(first, last, whole),
    )

    events = [
        Computed(
            **head(n),
            cause=cause,
            ref=ResourceRef("Person", "1"),
            updates={"A": Change(1, 2)},
            because=because_of(p, word),
        )
        for n, (p, word) in enumerate(found)
    ]
    assert bulk.to_pylist() == one_by_one(events)
    assert [ChangeMapper().event("1", n, COMPUTED, state) for n, state in enumerate(bulk.to_pylist())] == [
        evolve(event, originator_id="1", originator_version=n, at=from_micros(MICROS)) for n, event in enumerate(events)
    ]


@pytest.mark.parametrize("because", ["task", ["source", "both", "target"]])
def test_payloads_of_unlinked_pairs_with_grounds_equal_those_of_the_mapper(because: str | list[str]) -> None:
    words = [because] * 3 if isinstance(because, str) else because
    texts = column(["a", "b", "c"], pa.string())

    bulk = link_payloads(
        Head(MICROS, Origin(1, 2)),
        "Members",
        ("Group", "Person"),
        texts,
        texts,
        column([None, 7, None], pa.int64()),
        because if isinstance(because, str) else column(because, pa.string()),
    )

    events = [
        Unlinked(
            **head(n),
            cause=Origin(1, 2, 7 if n == 1 else None),
            ref=LinkRef("Members", ResourceRef("Group", text), ResourceRef("Person", text)),
            because=words[n],
        )
        for n, text in enumerate("abc")
    ]
    assert bulk.to_pylist() == one_by_one(events)


@settings(max_examples=examples(100), deadline=None)
@given(
    CAUSES,
    NAMES,
    NAMES,
    NAMES,
    st.lists(st.tuples(TEXTS, TEXTS, LINES), max_size=5),
    st.sampled_from([Linked, Unlinked]),
)
@example(Origin(1, 1), "A", "G", "P", [('"', "plain", None), ("plain", "\\", 2)], Linked)
def test_payloads_of_links_equal_those_of_the_mapper(
    cause: Origin, association: str, source: str, target: str, found: list[tuple[str, str, int | None]], kind: type
) -> None:
    sources, targets, lines = ([row[n] for row in found] for n in range(3))

    bulk = link_payloads(
        Head(MICROS, cause),
        association,
        (source, target),
        column(sources, pa.string()),
        column(targets, pa.string()),
        column(lines, pa.int64()),
    )

    events = [
        kind(
            **head(n),
            cause=with_line(cause, line),
            ref=LinkRef(association, ResourceRef(source, one), ResourceRef(target, other)),
        )
        for n, (one, other, line) in enumerate(found)
    ]
    assert bulk.to_pylist() == one_by_one(events)


def test_control_an_unescaped_text_would_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deltamark.infrastructure.store.events.bulk_payloads._TO_ESCAPE", r"[\x00]")

    (payload,) = resource_payloads(
        Head(MICROS, Origin(1, 1)),
        "Person",
        column(['a"b'], pa.string()),
        column([None], pa.int64()),
        column(["{}"], pa.string()),
    )

    event = Created(**head(1), cause=Origin(1, 1), ref=ResourceRef("Person", 'a"b'), values={})
    assert payload.as_py() != one_by_one([event])[0]
