"""Rows that methods of the engine return, also as Arrow: a table, or batches that are read one after the other."""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import orjson
from attrs import asdict, fields

from deltamark.application.history.history import OriginNames
from deltamark.application.ports.arrow_columns import text_column
from deltamark.application.ports.records import ChangeBatch
from deltamark.domain.history.changes import CorrelationKey, LoggedChange
from deltamark.domain.history.intervals import HeldLink, HeldValue
from deltamark.domain.representation import MOST_ROWS, html_table
from deltamark.domain.resources.link import LinkEvent
from deltamark.domain.runs.run import Counts, JobRun
from deltamark.domain.values import Value

if TYPE_CHECKING:
    import pyarrow as pa

_Row = TypeVar("_Row")

_BATCH = 2_000
"""Larger batches are read slower: the memory of each one is taken from the system anew."""
_SHOWN = 5

Columns: TypeAlias = Mapping[str, type]
"""The columns of a kind of rows, each with the type of its values: text, whole number, Boolean or time."""

_SIDES = ("since", "until")
_ORIGIN: Columns = {"position": int, "at": datetime, "run": int, "job": str, "task": str}

CHANGE: Columns = {
    "position": int, "at": datetime, "change": str, "entity_type": str, "key": str, "association": str,
    "other_entity_type": str, "other_key": str, "changes": str, "run": int, "job": str, "task": str, "user": str,
    "trigger": str, "by": str, "reason": str, "file": str, "line": int,
}  # fmt: skip
_BOUNDS: Columns = {f"{side}_{name}": kind for side in _SIDES for name, kind in _ORIGIN.items()}
HELD_VALUE: Columns = {"entity_type": str, "key": str, "property": str, "value": str, **_BOUNDS}
HELD_LINK: Columns = {
    "association": str, "entity_type": str, "key": str, "other_entity_type": str, "other_key": str, **_BOUNDS,
}  # fmt: skip
KEY: Columns = {"rule": str, "side": str, "entity_type": str, "key": str, "value": str}
RUN: Columns = {
    "run": int, "job": str, "state": str, "started_at": datetime, "ended_at": datetime, "user": str, "host": str,
    "by": str, "reason": str, "trigger": str, "forced": bool, **{attribute.name: int for attribute in fields(Counts)},
}  # fmt: skip

_Make: TypeAlias = Callable[[_Row], tuple[Any, ...]]
_ReadBatches: TypeAlias = "Callable[[pa.Schema, int], Iterator[pa.RecordBatch]]"
"""Reads rows as batches of a schema of at most so many rows, without an object for each row."""


class _AsArrow(ABC, Generic[_Row]):
    """What rows have in common: their Arrow forms. Reading one reads the rows."""

    _columns: Columns
    _make: _Make[_Row]

    @abstractmethod
    def _rest(self) -> Iterator[_Row]:
        """The rows that were not read yet."""

    def batches(self) -> pa.RecordBatchReader:
        """The rows as a stream of batches of at most 2,000: memory does not grow with their number."""
        import pyarrow as pa

        schema = _schema(self._columns)

        def read() -> Iterator[pa.RecordBatch]:
            rows = self._rest()
            while chunk := list(map(self._make, islice(rows, _BATCH))):
                columns = zip(*chunk, strict=True)
                arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, read())

    def to_arrow(self) -> pa.Table:
        """The rows as a table, all in memory."""
        return self.batches().read_all()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows for pandas, Polars, DuckDB and whatever else takes a stream of Arrow."""
        return self.batches().__arrow_c_stream__(requested_schema)


class RowIterator(_AsArrow[_Row], Iterator[_Row]):
    """Rows that are read from the store when they are asked for, once."""

    _batches: Iterator[pa.RecordBatch] | None = None

    def __init__(
        self, rows: Iterator[_Row], columns: Columns, make: _Make[_Row], read: _ReadBatches | None = None
    ) -> None:
        self._rows, self._columns, self._make, self._read = rows, columns, make, read

    def batches(self) -> pa.RecordBatchReader:
        rows = self._rows
        if self._read is None or not inspect.isgenerator(rows) or inspect.getgeneratorstate(rows) != "GEN_CREATED":
            return super().batches()
        import pyarrow as pa

        schema = _schema(self._columns)
        batches = self._read(schema, _BATCH)
        rows.close()
        self._batches = batches  # for `close`
        return pa.RecordBatchReader.from_batches(schema, batches)

    def __next__(self) -> _Row:
        return next(self._rows)

    def _rest(self) -> Iterator[_Row]:
        return self

    def close(self) -> None:
        """Ends reading, and gives the connection to the store back."""
        for opened in (self._rows, self._batches):
            close = getattr(opened, "close", None)
            if close is not None:
                close()

    def __repr__(self) -> str:
        return f"<rows, read when they are asked for: {', '.join(self._columns)}>"


class RowList(_AsArrow[_Row], list[_Row]):
    """Rows that were read: a list."""

    def __init__(self, rows: Iterable[_Row], columns: Columns, make: _Make[_Row]) -> None:
        super().__init__(rows)
        self._columns, self._make = columns, make

    def _rest(self) -> Iterator[_Row]:
        return iter(self)

    def __repr__(self) -> str:
        more = f", … ({len(self):,} in all)" if len(self) > _SHOWN else ""
        return f"[{', '.join(map(repr, islice(self, _SHOWN)))}{more}]"

    def _repr_html_(self) -> str:
        return html_table(f"{len(self):,} rows", self._columns, map(self._make, islice(self, MOST_ROWS)), len(self))


def _schema(columns: Columns) -> pa.Schema:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), datetime: pa.timestamp("us", tz="UTC")}
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def named_batch(batch: ChangeBatch, names: list[OriginNames], schema: pa.Schema) -> pa.RecordBatch:
    """Changes in columns with those that the records of their runs add."""
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays = {name: batch.columns.column(name) for name in batch.columns.schema.names}
    for name, values in zip(OriginNames._fields, zip(*names, strict=True), strict=True):
        arrays[name] = text_column(values).take(batch.origin)
    no_file = pa.nulls(len(batch.origin), pa.string())
    arrays["file"] = pc.if_else(arrays["line"].is_null(), no_file, arrays["file"])
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _change(change: LoggedChange) -> tuple[Any, ...]:
    event = change.event
    if isinstance(event, LinkEvent):
        source, target = event.ref.source, event.ref.target
        where: tuple[Any, ...] = (
            source.entity_type, source.key, event.ref.association, target.entity_type, target.key, None,
        )  # fmt: skip
    else:
        changed = {name: {"before": c.before, "after": c.after} for name, c in event.changes.items()}
        values = orjson.dumps(changed).decode()
        where = (event.ref.entity_type, event.ref.key, None, None, None, values)
    return (
        change.position, change.at, change.kind, *where, change.run, change.job, change.task, change.user,
        change.trigger.value, change.by, change.reason, change.file, event.cause.line,
    )  # fmt: skip


def _bound(change: LoggedChange | None) -> tuple[Any, ...]:
    if change is None:
        return (None,) * len(_ORIGIN)
    return change.position, change.at, change.run, change.job, change.task


def _text(value: Value) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _held_value(held: HeldValue) -> tuple[Any, ...]:
    ref = held.ref
    return (ref.entity_type, ref.key, held.property, _text(held.value), *_bound(held.since), *_bound(held.until))


def _held_link(held: HeldLink) -> tuple[Any, ...]:
    source, target = held.ref.source, held.ref.target
    ends = (source.entity_type, source.key, target.entity_type, target.key)
    return (held.ref.association, *ends, *_bound(held.since), *_bound(held.until))


def _key(key: CorrelationKey) -> tuple[Any, ...]:
    return key.rule, key.side, key.entity_type, key.key, key.value


def _run(run: JobRun) -> tuple[Any, ...]:
    return (
        run.number, run.job, run.state.value, run.started_at, run.ended_at, run.user, run.host, run.by, run.reason,
        run.trigger.kind.value, run.forced, *asdict(run.counts).values(),
    )  # fmt: skip


def changes_read(rows: Iterator[LoggedChange], read: _ReadBatches | None = None) -> RowIterator[LoggedChange]:
    """Changes of the log."""
    return RowIterator(rows, CHANGE, _change, read)


values_read = partial(RowIterator[HeldValue], columns=HELD_VALUE, make=_held_value)
links_read = partial(RowIterator[HeldLink], columns=HELD_LINK, make=_held_link)
keys_read = partial(RowIterator[CorrelationKey], columns=KEY, make=_key)
change_list = partial(RowList[LoggedChange], columns=CHANGE, make=_change)
run_list = partial(RowList[JobRun], columns=RUN, make=_run)
