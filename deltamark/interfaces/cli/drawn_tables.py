"""Tables drawn on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def draw(titles: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], *, with_header: bool) -> None:
    """Draws rows on standard output.

    :param numeric: which columns hold numbers, aligned to the right.
    :param with_header: whether the titles are shown.
    """
    table = Table(box=SIMPLE_HEAD, show_header=with_header, pad_edge=False, header_style="bold")
    for title, is_number in zip(titles, numeric, strict=True):
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, highlight=False).print(table)
