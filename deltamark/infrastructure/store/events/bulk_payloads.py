"""Writes the payloads of many changes at once, column by column.

They are the same texts as those of the mapper.

A test compares both, event by event.
"""

from __future__ import annotations

from typing import Any

import orjson
from attrs import evolve, frozen

from deltamark.domain.resources.events import Origin
from deltamark.infrastructure.store.arrow import pa, pc
from deltamark.infrastructure.store.events import payload

_TO_ESCAPE = r'["\\\x00-\x1f]'


@frozen
class Head:
    """What all changes of one append share.

    That is the time, in microseconds, and their cause without the line.
    """

    micros: int
    cause: Origin

    def columns(self, line: pa.Array) -> list[Any]:
        """Returns the first members of the payload, up to and including the line."""
        start = orjson.dumps(payload.head(self.micros, evolve(self.cause, line=None))).decode().replace("}", ",")
        with_line = pc.binary_join_element_wise(f'"{payload.LINE}":', line.cast(pa.string()), ",", "")
        return [start, pc.fill_null(with_line, "")]


def json_texts(texts: pa.Array) -> pa.Array:
    """Returns each text as a JSON string."""
    if pc.any(pc.match_substring_regex(texts, _TO_ESCAPE)).as_py():
        return pa.array([orjson.dumps(text).decode() for text in texts.to_pylist()], type=pa.string())
    return pc.binary_join_element_wise('"', texts, '"', "")


def resource_payloads(
    head: Head,
    entity_type: str,
    key: pa.Array,
    line: pa.Array,
    values: pa.Array,
    computed: pa.Array | None = None,
    grounds: pa.Array | str = "",
) -> pa.Array:
    """Returns the payloads of changes of one kind to resources of one entity type.

    They are created, updated, computed or deleted.

    :param computed: the last computed values of deleted resources.
    :param grounds: the last members of computed values, each after a comma; see `computed_grounds`.
    """
    middle = _members({payload.ENTITY_TYPE: entity_type}, payload.KEY)
    last = [] if isinstance(grounds, str) and not grounds else [grounds]
    end = [values, *last, "}"] if computed is None else [values, _where_any(computed), "}"]
    joined = pc.binary_join_element_wise(
        *head.columns(line), middle, json_texts(key), f',"{payload.VALUES}":', *end, "", null_handling="emit_null"
    )
    return joined.cast(pa.binary())


def _where_any(computed: pa.Array) -> pa.Array:
    """Returns the member for computed values, or an empty text if there are none."""
    return pc.if_else(
        pc.equal(computed, "{}"), "", pc.binary_join_element_wise(f',"{payload.COMPUTED_VALUES}":', computed, "")
    )


def computed_grounds(first: pa.Array, last: pa.Array, whole: pa.Array) -> pa.Array:
    """Returns the members that say why values were computed, each after a comma.

    :param first: the position of the first change, null where no change made the resource dirty; `last` is that of the
        last one.
    :param whole: the word for the reason why all resources were computed, or null.
    """
    positions = first.cast(pa.string())
    end = pc.if_else(pc.equal(first, last), "", pc.binary_join_element_wise(",", last.cast(pa.string()), ""))
    because = pc.binary_join_element_wise(f',"{payload.GROUNDS}":[', positions, end, "]", "")
    why = pc.binary_join_element_wise(f',"{payload.WHOLE}":"', whole, '"', "")
    return pc.binary_join_element_wise(pc.fill_null(because, ""), pc.fill_null(why, ""), "")


def link_payloads(
    head: Head,
    association: str,
    types: tuple[str, str],
    source_key: pa.Array,
    target_key: pa.Array,
    line: pa.Array,
    because: pa.Array | str = "",
) -> pa.Array:
    """Returns the payloads of linked or unlinked pairs of one association.

    :param because: why they are unlinked, one text for all or one for each.
    """
    source = _members({payload.ASSOCIATION: association, payload.ENTITY_TYPE: types[0]}, payload.KEY)
    target = "," + _members({payload.TARGET_TYPE: types[1]}, payload.TARGET_KEY)
    grounds = [] if isinstance(because, str) and not because else [f',"{payload.GROUNDS}":"', because, '"']
    joined = pc.binary_join_element_wise(
        *head.columns(line), source, json_texts(source_key), target, json_texts(target_key), *grounds, "}", ""
    )
    return joined.cast(pa.binary())


def _members(known: dict[str, str], name: str) -> str:
    """Returns members that all rows share, up to the name of the first one that differs."""
    return f'{orjson.dumps(known).decode()[1:-1]},"{name}":'
