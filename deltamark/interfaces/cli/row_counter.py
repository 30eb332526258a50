"""How far a long listing is: a count that lives on the terminal while rows go elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_PATIENCE_S = 1.0
_EVERY = 1_000

Row = TypeVar("Row")


def counted(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows; where they take longer than a second, their number is shown on standard error if it is a terminal."""
    console = Console(file=sys.stderr, highlight=False)
    if not console.is_terminal:
        yield from rows
        return
    started, live = monotonic(), _progress(console)
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


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
