"""Locations in files."""

from __future__ import annotations

from attrs import frozen


@frozen(order=True)
class Location:
    """Where something was read, as precisely as it is known.

    `line` counts from 1. `column` is the name of a column of an extract, or the position in a line of a
    configuration file.
    """

    file: str
    line: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        line = f":{self.line}" if self.line is not None else ""
        column = f":{self.column}" if self.column is not None else ""
        return f"{self.file}{line}{column}"
