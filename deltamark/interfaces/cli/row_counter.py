"""Counts the rows of a long listing on the terminal while they are written elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from deltamark.interfaces.cli.streams import is_quiet
from deltamark.interfaces.cli.terminal import can_redraw, drawing_on

if TYPE_CHECKING:
    from rich.progress import Progress

_PATIENCE_S = 1.0
_EVERY = 1_000

Row = TypeVar("Row")


def counted(rows: Iterable[Row]) -> Iterator[Row]:
    """Yields the rows.

    After a second, shows their number on standard error if that is a terminal.
    """
    if is_quiet() or not can_redraw(sys.stderr):
        yield from rows
        return
    started, live = monotonic(), _progress()
    shown = live.add_task("", total=None)
    try:
        for number, row in enumerate(rows, 1):
            yield row
            if number % _EVERY == 0 and monotonic() - started > _PATIENCE_S:
                with suppress(OSError, ValueError):
                    live.start()
                    live.update(shown, completed=number)
    finally:
        with suppress(OSError, ValueError):
            live.stop()


def _progress() -> Progress:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        console=drawing_on(sys.stderr),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
