"""How the changes of one table are told: by a watermark, by a list of all keys beside it, or by a table of changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.ports.sources import COMMAND, PlaceLost, SourceUnreachable, Tables, WantedTable
from deltamark.domain.configuration.packages import (
    CHANGE_TABLE,
    DELETED,
    KEYS,
    OPERATION,
    OVERLAP,
    QUERY,
    SEQUENCE,
    WATERMARK,
    transaction_column,
)
from deltamark.domain.messages import how_many
from deltamark.domain.suggestions import nearest
from deltamark.domain.values import shown
from deltamark.infrastructure.sql.reader import Among, Condition, Mark, Since, SQLReader, text_schema

_NOT_DELETED = pa.array(["", "0", "false", "f", "no", "n"])
_OPERATIONS = pa.array(["i", "u", "d"])
_ASKED_AT_ONCE = 500
"""Keys whose rows are read again by one statement."""


@frozen(kw_only=True)
class TablePlace:
    """How far a table was read.

    :param mark: the newest value that was seen; None where there was none.
    :param key: the column of the key by which deletions are told; None where none is needed.
    :param keys: the digest of all keys, as they are kept beside the delivery.
    """

    mark: Mark | None
    key: str | None = None
    keys: str | None = None


def told_by(table: WantedTable) -> str:
    """How changes and deletions of a table are told, for people."""
    if CHANGE_TABLE in table.options:
        return f"changes and deletions by {table.options[CHANGE_TABLE]}"
    if WATERMARK not in table.options:
        return "read as a whole"
    deletions = [
        text
        for name, text in ((DELETED, f"by {table.options.get(DELETED)}"), (KEYS, "by all keys"))
        if name in table.options
    ]
    ending = f", deletions {' and '.join(deletions)}" if deletions else ", no deletions"
    return f"changes by {table.options[WATERMARK]}{ending}"


def checked_key(reader: SQLReader, table: WantedTable) -> str | None:
    """The column of the key of a table that needs one.

    :raises SourceUnreachable: if a query lacks a column, or has one twice.
    """
    options = table.options
    watermark = options.get(WATERMARK)
    column = None if watermark is None else transaction_column(watermark) or watermark
    _check_columns(reader, f"the Query of {table.name}", options[QUERY], [*_read_columns(table), column])
    if CHANGE_TABLE in options:
        query = _change_query(table)
        wanted = [table.key, options[SEQUENCE], options.get(OPERATION)]
        _check_columns(reader, f"the ChangeTable of {table.name}", query, wanted)
        return table.key
    if KEYS not in options:
        return None
    found = list(reader.columns(options[KEYS]))
    if found != [table.key]:
        raise SourceUnreachable(
            f"the Keys of {table.name} gives {', '.join(map(shown, found))}, and the key of its resources is "
            f"{shown(table.key)}",
            f"Let Keys select {table.key} alone.",
        )
    return table.key


def _check_columns(reader: SQLReader, where: str, query: str, columns: list[str | None]) -> None:
    present = list(reader.columns(query))
    for name in dict.fromkeys(name for name in columns if name is not None):
        if present.count(name) != 1:
            how = "has no column" if name not in present else "has several columns"
            raise SourceUnreachable(
                f"{where} {how} {shown(name)}{_nearest(name, present)}; it has {', '.join(map(shown, present))}",
                "Correct the query or the mapping.",
            )


def _nearest(name: str, present: Sequence[str]) -> str:
    near = None if name in present else nearest(name, present)
    return "" if near is None else f" (the nearest is {shown(near)})"


def read_everything(reader: SQLReader, table: WantedTable, into: Tables) -> TablePlace | None:
    """Reads all rows of a table; gives the place from which changes can be read, None where none are told."""
    key = checked_key(reader, table)
    place = None
    if WATERMARK in table.options:
        place = TablePlace(mark=_newest(reader, table), key=key)
    if CHANGE_TABLE in table.options:
        place = TablePlace(mark=reader.newest(_change_query(table), table.options[SEQUENCE]), key=key)
    if KEYS in table.options:
        present = _all_keys(reader, table)
        place = TablePlace(
            mark=None if place is None else place.mark, key=key, keys=into.keep_keys(table.name, present)
        )
    _write(table, _rows(reader, table), into)
    return place


def read_changes(reader: SQLReader, table: WantedTable, since: TablePlace | None, into: Tables) -> TablePlace | None:
    """Reads what changed in a table since a place; everything where changes are not told.

    :raises PlaceLost: if it cannot go on from there.
    """
    if WATERMARK not in table.options and CHANGE_TABLE not in table.options:
        return read_everything(reader, table, into)
    key = checked_key(reader, table)
    if since is None or since.key != key:
        raise PlaceLost(f"the changes of {table.name} were told in another way before")
    if CHANGE_TABLE in table.options:
        return _read_change_table(reader, table, since, into)
    return _read_by_watermark(reader, table, since, into)


def _read_by_watermark(reader: SQLReader, table: WantedTable, since: TablePlace, into: Tables) -> TablePlace:
    newest, mark = _newest(reader, table), since.mark
    if mark is not None and (newest is None or reader.is_before(newest, mark)):
        raise _went_back(table, table.options[WATERMARK], newest, mark)
    overlap = table.options.get(OVERLAP)
    start = mark if mark is None or overlap is None else reader.earlier(mark, overlap)
    watermark = table.options[WATERMARK]
    column = transaction_column(watermark) or watermark
    condition = None if start is None else Since(column=column, mark=start)
    if KEYS not in table.options:
        _write_commands(table, _rows(reader, table, condition), into)
        return TablePlace(mark=newest, key=since.key)
    keys = _KeyedChanges(reader, table, into, since)
    keys.write(condition)
    return TablePlace(mark=newest, key=since.key, keys=keys.digest)


class _KeyedChanges:
    """The changes of a table of which all keys are read, and compared with those of the delivery before."""

    def __init__(self, reader: SQLReader, table: WantedTable, into: Tables, since: TablePlace) -> None:
        assert table.key is not None, "a checked table with Keys has a key"
        before = None if since.keys is None else into.kept_keys(table.name, since.keys)
        if before is None:
            raise PlaceLost(f"the keys of {table.name} of the last delivery are not kept any more")
        self._reader = reader
        self._table = table
        self._into = into
        self._key = table.key
        present = _all_keys(reader, table)
        self._gone = before.filter(pc.invert(pc.is_in(before, value_set=present)))
        self._new = present.filter(pc.invert(pc.is_in(present, value_set=before)))
        self.digest = into.keep_keys(table.name, present)

    def write(self, condition: Condition | None) -> None:
        """Writes the deletions, what the condition gives, and the rows of new keys that it does not give."""
        _write_deletions(self._table, self._gone, self._into)
        told: list[pa.Array] = []
        for batch in _rows(self._reader, self._table, condition):
            if len(self._new):
                told.append(batch.column(self._table.columns.index(self._key)))
            _write_commands(self._table, iter([batch]), self._into)
        untold = self._new
        if told:
            untold = untold.filter(pc.invert(pc.is_in(untold, value_set=pa.concat_arrays(told))))
        for asked, rows in _read_again(self._reader, self._table, untold):
            _check_found(self._table, asked, rows)
            _write_commands(self._table, iter(rows), self._into)


def _read_change_table(reader: SQLReader, table: WantedTable, since: TablePlace, into: Tables) -> TablePlace:
    query, sequence = _change_query(table), table.options[SEQUENCE]
    name = f"{table.options[CHANGE_TABLE]}.{sequence}"
    newest, mark = reader.newest(query, sequence), since.mark
    condition = None
    if mark is not None:
        if newest is None or reader.is_before(newest, mark):
            raise _went_back(table, name, newest, mark)
        oldest = reader.oldest(query, sequence)
        if oldest is None or reader.is_before(mark, oldest):
            raise PlaceLost(
                f"the oldest {name} is {shown('' if oldest is None else oldest.text)}, after {shown(mark.text)} of the "
                "last delivery: changes were removed that were not read"
            )
        overlap = table.options.get(OVERLAP)
        condition = Since(column=sequence, mark=mark if overlap is None else reader.earlier(mark, overlap))
    for asked, rows in _read_again(reader, table, _changed_keys(reader, table, condition)):
        _write_deletions(table, _not_found(table, asked, rows), into)
        _write_commands(table, iter(rows), into)
    return TablePlace(mark=newest, key=since.key)


def _changed_keys(reader: SQLReader, table: WantedTable, condition: Condition | None) -> pa.Array:
    """The keys that the table of changes names, each once.

    :raises PlaceLost: if something happened that it does not tell row by row.
    """
    assert table.key is not None, "a checked table with a ChangeTable has a key"
    operation = table.options.get(OPERATION)
    keys = pa.array([], pa.string())
    for batch in reader.batches(
        _change_query(table), [table.key, *([] if operation is None else [operation])], condition
    ):
        if operation is not None:
            first = pc.utf8_lower(pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(batch.column(1)), 0, 1))
            others = batch.column(1).filter(pc.fill_null(pc.invert(pc.is_in(first, value_set=_OPERATIONS)), True))
            if len(others):
                raise PlaceLost(
                    f"{table.options[CHANGE_TABLE]} has the {operation} {shown(str(others[0].as_py()))}, which is none "
                    "of I, U and D"
                )
        if batch.column(0).null_count:
            raise PlaceLost(f"{table.options[CHANGE_TABLE]} has a change without {table.key}")
        keys = pa.concat_arrays([keys, batch.column(0)]).unique()
    return keys


def _read_again(
    reader: SQLReader, table: WantedTable, keys: pa.Array
) -> Iterator[tuple[pa.Array, list[pa.RecordBatch]]]:
    """The rows of keys, portion by portion: some of the keys, and their rows."""
    assert table.key is not None, "rows are read again by a key"
    for start in range(0, len(keys), _ASKED_AT_ONCE):
        asked = keys.slice(start, _ASKED_AT_ONCE)
        yield asked, list(_rows(reader, table, Among(column=table.key, values=asked.to_pylist())))


def _not_found(table: WantedTable, asked: pa.Array, rows: list[pa.RecordBatch]) -> pa.Array:
    assert table.key is not None, "rows are read again by a key"
    found = [batch.column(table.columns.index(table.key)) for batch in rows]
    return asked.filter(pc.invert(pc.is_in(asked, value_set=pa.concat_arrays(found)))) if found else asked


def _check_found(table: WantedTable, asked: pa.Array, rows: list[pa.RecordBatch]) -> None:
    lost = _not_found(table, asked, rows)
    if len(lost):
        raise SourceUnreachable(
            f"the Keys of {table.name} gives {shown(lost[0].as_py())}, which its Query does not have", _SAME_ROWS
        )


_SAME_ROWS = "Let Keys select the key of exactly the rows that the Query has, with the same conditions."


def _all_keys(reader: SQLReader, table: WantedTable) -> pa.Array:
    """All keys of a table, sorted, each once.

    :raises SourceUnreachable: if they are not those of its query: deletions would be told that are none, or not told.
    """
    assert table.key is not None, "a checked table with Keys has a key"
    read = [batch.column(0) for batch in reader.batches(table.options[KEYS], [table.key])]
    keys = pa.concat_arrays(read).unique().drop_null() if read else pa.array([], pa.string())
    count = reader.count(table.options[QUERY], table.key)
    if count != len(keys):
        raise SourceUnreachable(
            f"the Keys of {table.name} gives {how_many(len(keys), 'key')}, and its Query has {count}", _SAME_ROWS
        )
    return keys.take(pc.sort_indices(keys))


def _newest(reader: SQLReader, table: WantedTable) -> Mark | None:
    watermark = table.options[WATERMARK]
    column = transaction_column(watermark)
    if column is not None:
        return reader.horizon(table.options[QUERY], column)
    return reader.newest(table.options[QUERY], watermark)


def _went_back(table: WantedTable, what: str, newest: Mark | None, mark: Mark) -> PlaceLost:
    found = "nothing" if newest is None else shown(newest.text)
    return PlaceLost(
        f"the newest {what} of {table.name} is {found}, before {shown(mark.text)} of the last delivery: rows were "
        "deleted, or the database was restored from a backup"
    )


def _change_query(table: WantedTable) -> str:
    return f"SELECT * FROM {table.options[CHANGE_TABLE]}"


def _read_columns(table: WantedTable) -> list[str]:
    """The columns to be read: those that are delivered, and the one that says whether a row is deleted."""
    deleted = table.options.get(DELETED)
    return [*table.columns, *([deleted] if deleted is not None else [])]


def _rows(reader: SQLReader, table: WantedTable, condition: Condition | None = None) -> Iterator[pa.RecordBatch]:
    return reader.batches(table.options[QUERY], _read_columns(table), condition)


def _is_live(table: WantedTable, batch: pa.RecordBatch) -> pa.Array | None:
    """Which rows are not deleted; None where no column says so."""
    if DELETED not in table.options:
        return None
    said = pc.utf8_lower(pc.utf8_trim_whitespace(batch.column(batch.num_columns - 1)))
    return pc.or_(pc.is_null(said), pc.is_in(said, value_set=_NOT_DELETED))


def _write(table: WantedTable, batches: Iterator[pa.RecordBatch], into: Tables) -> None:
    """Writes the rows that are not deleted, of a table that is read as a whole."""
    schema = text_schema(table.columns)
    into.write(table.name, _empty(schema))
    for batch in batches:
        live = _is_live(table, batch)
        rows = pa.record_batch(batch.columns[: len(table.columns)], schema=schema)
        into.write(table.name, rows if live is None else rows.filter(live))


def _write_commands(table: WantedTable, batches: Iterator[pa.RecordBatch], into: Tables) -> None:
    """Writes rows, each with its command first."""
    schema = text_schema([COMMAND, *table.columns])
    into.write(table.name, _empty(schema))
    for batch in batches:
        live = _is_live(table, batch)
        if live is None:
            commands = pa.array(["insert"] * batch.num_rows, pa.string())
        else:
            commands = pc.if_else(live, "insert", "delete")
        into.write(table.name, pa.record_batch([commands, *batch.columns[: len(table.columns)]], schema=schema))


def _write_deletions(table: WantedTable, keys: pa.Array, into: Tables) -> None:
    """Writes the deletion of each key: what links it has is gone with it."""
    assert table.key is not None, "deletions are told by a key"
    schema = text_schema([COMMAND, *table.columns])
    cells = [keys if name == table.key else pa.nulls(len(keys), pa.string()) for name in table.columns]
    commands = pa.array(["delete"] * len(keys), pa.string())
    into.write(table.name, pa.record_batch([commands, *cells], schema=schema))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array([], kind) for kind in schema.types], schema=schema)
