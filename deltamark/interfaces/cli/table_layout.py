"""Lays out tables within a width: no word, number or date is broken, and no line is longer unless one value is.

A table that is too wide loses the columns that say the same in every row; then texts of several words are wrapped; then
the last columns move below each row, as `title value`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import define, evolve, field, frozen

from deltamark.interfaces.cli.terminal import width_of, wrapped

_GAP, _INDENT = "  ", "    "
_NARROWEST_WRAPPED = 24
"""A text is not wrapped into a narrower column: it would take many lines."""
_NOTHING = {"", "0"}

Row = Sequence[str]
Style = Callable[[str, str], str]
"""Colours a cell, given the title of its column; it must not change its width."""


@frozen
class _Plan:
    """How the rows of a table are shown.

    :param constant: index of a column that is not shown -> its value in every row.
    :param widths: index of a column in the line of a row -> its width, in order.
    :param below: the columns that are shown below the line of a row.
    """

    constant: Mapping[int, str]
    widths: Mapping[int, int]
    below: Sequence[int]


@define
class TableLayout:
    """The lines of a table whose rows come in portions.

    The first portion decides; a later one that does not fit gets a header of its own.

    :param numeric: which columns hold numbers, aligned to the right.
    :param width: the cells of a terminal in a line.
    """

    titles: Row
    numeric: Sequence[bool]
    width: int
    style: Style = field(default=lambda text, _: text)
    _plan: _Plan | None = field(default=None, init=False)

    def lines(self, rows: Sequence[Row]) -> Iterator[str]:
        """The lines of a portion of rows, after the header where one is due."""
        plan = self._plan
        if plan is not None:
            plan = self._widened(plan, rows) or (plan if self._suits(plan, rows) else None)
            if plan is None:
                yield ""
        if plan is None:
            plan = self._planned(rows)
            yield from self._header(plan)
        self._plan = plan
        for row in rows:
            yield from self._row(plan, row)

    def _suits(self, plan: _Plan, rows: Sequence[Row]) -> bool:
        if any(row[column] != value for column, value in plan.constant.items() for row in rows):
            return False
        return all(_longest_word(row[column]) <= width for column, width in plan.widths.items() for row in rows)

    def _widened(self, plan: _Plan, rows: Sequence[Row]) -> _Plan | None:
        """A plan with wider columns for a later portion, which needs no new header; None if it does not fit."""
        if plan.constant or plan.below:
            return None
        widths = {n: max(width, self._natural(n, rows)) for n, width in plan.widths.items()}
        return evolve(plan, widths=widths) if _total(widths) <= self.width else None

    def _planned(self, rows: Sequence[Row]) -> _Plan:
        widths = {n: self._natural(n, rows) for n in range(len(self.titles))}
        if _total(widths) <= self.width:
            return _Plan({}, widths, ())
        constant = {} if len(rows) < 2 else {n: rows[0][n] for n in widths if len({row[n] for row in rows}) == 1}
        if len(constant) == len(widths):
            del constant[0]
        widths = {n: width for n, width in widths.items() if n not in constant}
        narrowed = self._narrowed(widths, rows)
        if _total(narrowed) <= self.width:
            return _Plan(constant, narrowed, ())
        return self._stacked(constant, widths, rows)

    def _natural(self, column: int, rows: Sequence[Row]) -> int:
        return max([width_of(self.titles[column]), *(width_of(row[column]) for row in rows)])

    def _narrowed(self, widths: Mapping[int, int], rows: Sequence[Row]) -> dict[int, int]:
        """The widths when texts of several words are wrapped as far as need be, the widest first."""
        least = {
            n: min(width, max(_NARROWEST_WRAPPED, len(self.titles[n]), *(_longest_word(row[n]) for row in rows), 0))
            for n, width in widths.items()
        }
        narrowed = dict(widths)
        while (excess := _total(narrowed) - self.width) > 0:
            widest = max((n for n in narrowed if narrowed[n] > least[n]), key=lambda n: narrowed[n], default=None)
            if widest is None:
                break
            narrowed[widest] = max(least[widest], narrowed[widest] - excess)
        return narrowed

    def _stacked(self, constant: Mapping[int, str], widths: Mapping[int, int], rows: Sequence[Row]) -> _Plan:
        """As many of the first columns as fit side by side, the others below; counts stay together."""
        shown: dict[int, int] = {}
        for n, width in widths.items():
            if shown and (self.numeric[n] or _total({**shown, n: width}) > self.width):
                break
            shown[n] = width
        return _Plan(constant, shown, [n for n in widths if n not in shown])

    def _header(self, plan: _Plan) -> Iterator[str]:
        said = [f"{self.titles[n]} {value}" for n, value in plan.constant.items() if value not in _NOTHING]
        if said:
            yield from _filled("every row:", said, self.width)
        yield self._line(plan, {n: self.titles[n] for n in plan.widths}, is_header=True)

    def _row(self, plan: _Plan, row: Row) -> Iterator[str]:
        cells = {n: wrapped(row[n], width) for n, width in plan.widths.items()}
        for number in range(max(map(len, cells.values()), default=1)):
            yield self._line(plan, {n: lines[number] if number < len(lines) else "" for n, lines in cells.items()})
        said = [f"{self.titles[n]} {row[n]}" for n in plan.below if row[n] not in _NOTHING]
        if said:
            yield from _filled(_INDENT.rstrip(" "), said, self.width)

    def _line(self, plan: _Plan, cells: Mapping[int, str], *, is_header: bool = False) -> str:
        parts = []
        for n, width in plan.widths.items():
            blanks = " " * (width - width_of(cells[n]))
            cell = self.style(cells[n], "" if is_header else self.titles[n])
            parts.append(blanks + cell if self.numeric[n] else cell + blanks)
        return _GAP.join(parts).rstrip()


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _longest_word(text: str) -> int:
    return max(map(width_of, text.split(" ")), default=0)


def _filled(start: str, parts: Sequence[str], width: int) -> Iterator[str]:
    """Parts with commas between them, in lines of at most a width; all but a start are indented."""
    line = start
    for number, part in enumerate(parts):
        piece = part + ("," if number < len(parts) - 1 else "")
        lead = " " if line.strip() else _INDENT
        if line.strip() and width_of(line + lead + piece) > width:
            yield line
            line, lead = "", _INDENT
        for inner, words in enumerate(wrapped(piece, width - len(_INDENT))):
            if inner:
                yield line
                line, lead = "", _INDENT
            line = line + lead + words
    yield line
