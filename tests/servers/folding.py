"""What the tables of a source add up to: a mirror of it that readings change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

Row = dict[str, str | None]
State = dict[str, Any]
"""Of a table of entries: key -> row. Of a table of links: the set of its pairs, of resources that are known."""


class Collected:
    """Collects the rows of a reading."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        assert all(field.type == pa.string() for field in batch.schema)
        self.rows.setdefault(table, []).extend(batch.to_pylist())

    @property
    def count(self) -> int:
        """How many rows came."""
        return sum(map(len, self.rows.values()))


class Mirror:
    """Tables as the readings of a source leave them.

    :param keys: table of entries -> its key column.
    :param links: table of pairs -> the table of their owners.
    :param named_by: the column by which values of pairs name resources.
    """

    def __init__(self, keys: Mapping[str, str], links: Mapping[str, str], *, named_by: str) -> None:
        self._keys = keys
        self._links = links
        self._named_by = named_by
        self._entries: dict[str, dict[str, Row]] = {table: {} for table in keys}
        self._pairs: dict[str, set[tuple[str, str]]] = {table: set() for table in links}

    def replace(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Takes a complete reading."""
        for table, key in self._keys.items():
            self._entries[table] = {str(row[key]): dict(row) for row in rows.get(table, ())}
        for table in self._links:
            self._pairs[table] = {(str(row["owner"]), self._named(str(row["value"]))) for row in rows.get(table, ())}

    def apply(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Takes a delta, as a synchronization applies it: rows in their order, resources before pairs."""
        for table, key in self._keys.items():
            for row in rows.get(table, ()):
                cells = dict(row)
                command, identity = cells.pop("command"), str(cells[key])
                assert command in {"insert", "delete"}
                if command == "insert":
                    self._entries[table][identity] = cells
                else:
                    self._entries[table].pop(identity, None)
        self._forget_gone()
        for table, pairs in self._pairs.items():
            for row in rows.get(table, ()):
                owner, value = str(row["owner"]), row["value"]
                if row["command"] == "insert":
                    pairs.add((owner, self._named(str(value))))
                elif value is None:
                    pairs -= {pair for pair in pairs if pair[0] == owner}
                else:
                    pairs.discard((owner, self._named(value)))
        self._forget_gone()

    def _forget_gone(self) -> None:
        """Removes the pairs of resources that are gone."""
        known = {key for entries in self._entries.values() for key in entries}
        for table, owners in self._links.items():
            self._pairs[table] = {
                (owner, value)
                for owner, value in self._pairs[table]
                if owner in self._entries[owners] and value in known
            }

    def _named(self, value: str) -> str:
        """The key of the resource that a value names, as a mapping by a unique property resolves it; or the value."""
        for entries in self._entries.values():
            for key, row in entries.items():
                if (row.get(self._named_by) or "").lower() == value.lower():
                    return key
        return value

    @property
    def state(self) -> State:
        """What the tables hold; pairs that name nothing that is there are left out."""
        self._forget_gone()
        return {**self._entries, **self._pairs}
