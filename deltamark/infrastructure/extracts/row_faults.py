"""The faults of rows: the codes that SQL computes, and the messages that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen

from deltamark.application.ports.sources import unread_cell
from deltamark.domain.configuration.value_formats import ValueFormat
from deltamark.domain.runs.run import SetAside
from deltamark.domain.synchronization.unreadable_values import reason_unreadable
from deltamark.domain.values import PropertyType

ROW_EMPTY, KEY_EMPTY, KEY_TOO_LONG, COMMAND_UNKNOWN, HEADER_AGAIN, HEADER_MOVED, NOT_READ, FIRST_CONVERSION = range(8)
"""Codes. `FIRST_CONVERSION` plus the number of a mapped column: its value is not of the type of its property.

A row of `ROW_EMPTY` is no fault: nothing is in its mapped cells, and it is passed over. One of `HEADER_MOVED` makes all
rows after it unreadable, so the file is refused. One of `NOT_READ` has the reason why its source could not read it
(`unread_cell`).
"""

HALF_ROW, ROW_TOO_LONG, CONDITION_FAILED, FIRST_OUTPUT = -3, -2, -1, -100_000
"""Codes of rows that a transformation cannot judge.

`FIRST_OUTPUT` plus the number of a column: it cannot be computed.
"""

LONGEST_KEY = 4_096
"""Characters."""

COMMANDS = {"insert": "insert", "add": "insert", "update": "update", "delete": "delete", "merge": "merge"}
"""The values of a command column, in lower case (any case is accepted), and the command that each means."""

LINK_COMMANDS = {**COMMANDS, "replace": "replace"}
"""Those of rows of links."""


@frozen(kw_only=True)
class MappedColumn:
    """A column that a mapping names.

    :param kind: the type of its property.
    :param written: how its values are written.
    """

    name: str
    kind: PropertyType
    written: ValueFormat


@frozen(kw_only=True)
class DescribedColumns:
    """The columns of an extract, as messages name them.

    :param columns: the mapped ones, in the order of the codes.
    :param key: the number of the column that identifies the resource.
    :param commands: what the column with commands may hold.
    :param outputs: the columns that a transformation gives, in the order of their codes.
    :param transformation: its name; None where there is none.
    """

    columns: Sequence[MappedColumn]
    key: int
    command_column: str | None
    commands: Iterable[str] = COMMANDS
    outputs: Sequence[str] = ()
    transformation: str | None = None

    def losses(self, faults: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
        """How many rows with faults do not show which resource they are about, and why, for `why_incomplete`.

        :param faults: rows with ``fault`` and ``key``.
        """
        codes = [row["fault"] for row in faults]
        without_key = [row for row in faults if row["key"] is None and (row["fault"] or 0) < 0]
        counts = [
            ("without a key", codes.count(KEY_EMPTY)),
            ("with a key of another type", codes.count(FIRST_CONVERSION + self.key)),
            ("with the header once more", codes.count(HEADER_AGAIN)),
            ("of which no key can be computed", len(without_key)),
        ]
        return [(what, count) for what, count in counts if count]

    def set_aside(self, row: dict[str, Any], file: str) -> SetAside:
        """A row with a fault, as a run reports it.

        :param row: its ``line``, ``key``, ``fault`` and ``fault_value``. For a repeated key also ``other`` (the
            number of another such line) and ``same`` (whether the rows are equal).
        """
        column, reason = self._explanation(row)
        value = row["key"] if row["fault"] is None else row["fault_value"]
        if row["fault"] == NOT_READ:
            value = unread_cell(value).value
        return SetAside(file=file, line=row["line"], column=column, reason=reason, value=value, key=row["key"])

    def _explanation(self, row: dict[str, Any]) -> tuple[str | None, str]:
        key, code = self.columns[self.key].name, row["fault"]
        if code is None:
            if row["same"]:
                return key, f"the same row as line {row['other']}"
            differing = "" if self.command_column else " with other values"
            return key, f"the key also occurs in line {row['other']}{differing}"
        if code == KEY_EMPTY:
            return key, "the key is empty"
        if code == HEADER_AGAIN:
            return key, "the row is the header once more: join files without the header of the second"
        if code == KEY_TOO_LONG:
            return key, f"the key is longer than {LONGEST_KEY:,} characters"
        if code == NOT_READ:
            cell = unread_cell(row["fault_value"])
            return cell.column, cell.reason
        if code == COMMAND_UNKNOWN:
            return self.command_column, f"the command is not one of {', '.join(self.commands)}"
        if code < 0:
            return self._not_transformed(code)
        column = self.columns[code - FIRST_CONVERSION]
        return column.name, reason_unreadable(row["fault_value"], column.kind, column.written)

    def _not_transformed(self, code: int) -> tuple[str | None, str]:
        if code == HALF_ROW:
            return self.command_column, (
                f"the transformation {self.transformation} needs whole rows: give insert, update or delete"
            )
        if code == ROW_TOO_LONG:
            return None, f"the transformation {self.transformation} may make too long a text of this row"
        if code == CONDITION_FAILED:
            return None, f"the condition of the transformation {self.transformation} cannot be computed for this row"
        column = self.outputs[code - FIRST_OUTPUT]
        return column, f"the transformation {self.transformation} cannot compute this column for this row"
