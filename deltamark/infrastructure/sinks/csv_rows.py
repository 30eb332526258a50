"""Changes as rows of CSV: the values of a resource after each change, or, of a deletion, before it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from attrs import frozen

from deltamark.domain.sinks.batch import Batch, OutgoingChange
from deltamark.domain.spreadsheets import guarded
from deltamark.domain.values import Value
from deltamark.infrastructure.sinks.files import End

HEAD = ("id", "position", "at", "change", "entity_type", "key", "changed", "association", "other_entity_type",
        "other_key")  # fmt: skip
_END = re.compile(r"count=(\d+) sha256=([0-9a-f]{64})\Z")


@frozen
class CsvRows:
    """Rows whose values stand in columns of their own, by their names at the sink.

    :param is_for_spreadsheets: whether no cell must be what a spreadsheet takes for a formula.
    """

    names: tuple[str, ...]
    is_for_spreadsheets: bool = False
    ending: str = ".csv"

    def head(self, batch: Batch) -> bytes:
        """The names of the columns."""
        return self._line((*HEAD, *self.names))

    def change(self, change: OutgoingChange) -> bytes:
        """A row."""
        document = change.document()
        values = change.before if change.kind == "deleted" else change.after
        if change.gap is not None:
            document |= {"entity_type": change.gap.subject, "changed": document["because"]}
        else:
            document["changed"] = " ".join(change.changes)
        return self._line((*(document.get(name) for name in HEAD), *(values.get(name) for name in self.names)))

    def end(self, end: End) -> bytes:
        """A row with the change `end`."""
        key = f"count={end.count} sha256={end.digest}"
        row: dict[str, Value] = {"id": f"{end.store}/{end.until}", "position": end.until, "change": "end", "key": key}
        return self._line((*(row.get(name) for name in HEAD), *("" for _ in self.names)))

    def read_end(self, line: bytes) -> End | None:
        """The end that a row says."""
        try:
            row = next(csv.reader([line.decode()]), [])
        except (UnicodeDecodeError, csv.Error):
            return None
        if len(row) < len(HEAD) or row[3] != "end" or not row[1].isdecimal():
            return None
        match = _END.match(row[5])
        store, _, _ = row[0].partition("/")
        return None if match is None else End(store=store, until=int(row[1]), count=int(match[1]), digest=match[2])

    def _line(self, cells: Iterable[Value]) -> bytes:
        stream = io.StringIO()
        if self.is_for_spreadsheets:
            # Quotes keep a spreadsheet with another separator from splitting a cell.
            texts = [guarded(cell) if isinstance(cell, str) else _text(cell) for cell in cells]
            csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(texts)
        else:
            csv.writer(stream, lineterminator="\n").writerow([_text(cell) for cell in cells])
        return stream.getvalue().encode()


def _text(value: Value) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
