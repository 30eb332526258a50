"""The payloads of many changes at once: the very texts that the mapper writes, made column by column.

A test compares both, event by event.
"""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.domain.resources.events import Cause

_TO_ESCAPE = r'["\\\x00-\x1f]'


@frozen
class Head:
    """What all changes of one append share: the time, in microseconds, and their cause without its line."""

    micros: int
    cause: Cause

    def columns(self, line: pa.Array) -> list[Any]:
        """The first members of the payload, up to and with the line."""
        start = f'{{"a":{self.micros},"r":{self.cause.run},"t":{self.cause.task},'
        with_line = pc.binary_join_element_wise('"l":', line.cast(pa.string()), ",", "")
        return [start, pc.fill_null(with_line, "")]


def json_texts(texts: pa.Array) -> pa.Array:
    """Each text as a JSON string."""
    if pc.any(pc.match_substring_regex(texts, _TO_ESCAPE)).as_py():
        return pa.array([orjson.dumps(text).decode() for text in texts.to_pylist()], type=pa.string())
    return pc.binary_join_element_wise('"', texts, '"', "")


def resource_payloads(
    head: Head, entity_type: str, key: pa.Array, line: pa.Array, values: pa.Array, computed: pa.Array | None = None
) -> pa.Array:
    """The payloads of created, updated, computed or deleted resources of one entity type.

    :param computed: the last computed values of deleted resources.
    """
    middle = f'"e":{_text(entity_type)},"k":'
    end = [values, "}"] if computed is None else [values, _where_any(computed), "}"]
    joined = pc.binary_join_element_wise(
        *head.columns(line), middle, json_texts(key), ',"v":', *end, "", null_handling="emit_null"
    )
    return joined.cast(pa.binary())


def _where_any(computed: pa.Array) -> pa.Array:
    """The member for computed values; nothing where there are none."""
    return pc.if_else(pc.equal(computed, "{}"), "", pc.binary_join_element_wise(',"c":', computed, ""))


def link_payloads(
    head: Head,
    association: str,
    types: tuple[str, str],
    source_key: pa.Array,
    target_key: pa.Array,
    line: pa.Array,
) -> pa.Array:
    """The payloads of linked or unlinked pairs of one association."""
    middle = f'"n":{_text(association)},"e":{_text(types[0])},"k":'
    other = f',"f":{_text(types[1])},"o":'
    joined = pc.binary_join_element_wise(
        *head.columns(line), middle, json_texts(source_key), other, json_texts(target_key), "}", ""
    )
    return joined.cast(pa.binary())


def _text(text: str) -> str:
    return orjson.dumps(text).decode()
