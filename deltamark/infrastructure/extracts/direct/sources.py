"""What a program may give for a connection table: checked when it is given, and read by the task that needs it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import pyarrow as pa

from deltamark.domain.errors import UsageError
from deltamark.domain.synchronization.direct_input import Delta
from deltamark.infrastructure.extracts.direct.object_rows import is_row

ACCEPTED = "an Arrow table or stream, a list or generator of rows or batches, or a function that returns one of these"


def check_source(what: str, source: object, *, again: bool) -> None:
    """Refuses what cannot be read as a table, without reading it.

    :param what: the table, as messages call it.
    :param again: whether every run reads it.
    :raises UsageError: naming what to give.
    """
    rows = source.rows if isinstance(source, Delta) else source
    refuse_unreadable(what, rows)
    if again:
        refuse_read_once(what, rows)


def refuse_unreadable(what: str, source: object) -> None:
    """Refuses what cannot be read as a table, and says by which call it can.

    :param what: the table, as messages call it.
    :raises UsageError: if it is no table, or one that was read before.
    """
    name = type(source).__name__
    for given, advice in _ADVICE.items():
        if name == given:
            raise UsageError(f"{what} is given as {advice[0]}. {advice[1]}")
    if inspect.iscoroutine(source) or inspect.isawaitable(source):
        raise UsageError(
            f"{what} is given as a coroutine, which has no rows yet. Give what it returns: await it first."
        )
    if hasattr(source, "__aiter__"):
        raise UsageError(
            f"{what} is given as an asynchronous generator. Give its rows as a list: [row async for row in …]."
        )
    if isinstance(source, Mapping):
        raise UsageError(f"{what} is given as one mapping. Give a list of rows, or a table: pyarrow.table(…).")
    if isinstance(source, str | bytes | bytearray | type) or (is_row(source) and not _is_arrow(source)):
        raise UsageError(f"{what} is given as {name}, which is one value. Give {ACCEPTED}.")
    if inspect.isgenerator(source) and inspect.getgeneratorstate(source) != inspect.GEN_CREATED:
        raise UsageError(f"{what} is given as a generator that was read already. Give a new one.")
    if not (_is_arrow(source) or isinstance(source, Iterable) or callable(source)):
        raise UsageError(f"{what} is given as {name}. Give {ACCEPTED}.")


def refuse_read_once(what: str, source: object) -> None:
    """Refuses what can be read only once, where every run reads it.

    :raises UsageError: naming what to give.
    """
    if can_be_read_once(source):
        raise UsageError(
            f"{what} is given as {type(source).__name__}, which can be read once, and every run reads it. Give a "
            "function that returns a new one."
        )


def can_be_read_once(source: object) -> bool:
    """Whether something is an iterator or a stream, which has nothing left after it was read."""
    return hasattr(source, "__next__") or isinstance(source, pa.RecordBatchReader)


def batches_or_rows(what: str, source: Any) -> pa.RecordBatchReader | Iterable[Any]:
    """What a source gives, after it was called if it is a function: a reader of batches, or an iterable.

    :raises UsageError: as `refuse_unreadable`, for what a function returns.
    :raises ArrowException: for a single column.
    """
    if callable(source) and not _is_arrow(source) and not isinstance(source, Iterable):
        source = source()
        refuse_unreadable(what, source)
    return reader_of(source) if _is_arrow(source) else iter(source)


def reader_of(source: Any) -> pa.RecordBatchReader:
    """The batches of an Arrow table, stream or batch.

    :raises ArrowException: for a single column.
    """
    if hasattr(source, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(source)
    batch = pa.record_batch(source)
    return pa.RecordBatchReader.from_batches(batch.schema, [batch])


def first_of(items: Iterable[Any]) -> tuple[Any, Iterable[Any]]:
    """The first item (None if there is none), and all items."""
    iterator = iter(items)
    for item in iterator:
        return item, chain([item], iterator)
    return None, ()


def is_batch(item: object) -> bool:
    """Whether an item of an iterable is an Arrow batch or table."""
    return _is_arrow(item)


def _is_arrow(source: object) -> bool:
    is_class = isinstance(source, type)
    return not is_class and (hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"))


_ADVICE = {
    "LazyFrame": ("a LazyFrame, which has no rows yet", "Give its .collect()."),
    "DuckDBPyConnection": ("an open DuckDB connection", 'Give one of its queries: connection.sql("select …").'),
}
