"""Lays out tables within a width: no word, number or date is broken, and no line is longer unless one value is.

A table that is too wide loses the columns that say the same in every row; then texts of several words are wrapped; then
the last columns are said in words, as `title value`: beside the first ones where that takes fewer lines, or else below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import define, evolve, field, frozen

from deltamark.interfaces.cli.terminal import width_of, wrapped, wrapped_list

_GAP, _INDENT = "  ", "    "
_NARROWEST_WRAPPED = 24
"""A text is not wrapped into a narrower column: it would take many lines."""
_NARROWEST_BESIDE = 40
"""Columns are not said in words beside others in less space."""

Row = Sequence[str]
Style = Callable[[str, str], str]
"""Colours a cell, given the title of its column; it must not change its width."""


@frozen
class ColumnLayout:
    """How the cells of a column are laid out.

    :param is_number: aligned to the right.
    :param is_count: 0 says nothing: where a cell would stand below its row, it is left out.
    :param is_list: parts with commas between them, broken there rather than within a part.
    """

    title: str
    is_number: bool = False
    is_count: bool = False
    is_list: bool = False

    def wrapped(self, text: str, width: int) -> list[str]:
        """A cell in lines of at most a width; a longer word has a line of its own."""
        return wrapped_list(text, width) if self.is_list else wrapped(text, width)

    def says_nothing(self, text: str) -> bool:
        """Whether a cell need not be shown."""
        return not text or (self.is_count and text == "0")

    def parts_of(self, text: str) -> list[str]:
        """A cell with its title, in parts to be shown with commas between them."""
        parts = text.split(", ") if self.is_list else [text]
        return [f"{self.title} {parts[0]}", *parts[1:]]


@frozen
class _Plan:
    """How the rows of a table are shown.

    :param constant: index of a column that is not shown -> its value in every row.
    :param widths: index of a column in the line of a row -> its width, in order.
    :param in_words: the columns that are said in words.
    :param is_beside: whether those stand beside the others, and not below them.
    """

    constant: Mapping[int, str]
    widths: Mapping[int, int]
    in_words: Sequence[int] = ()
    is_beside: bool = False


@define
class TableLayout:
    """The lines of a table whose rows come in portions.

    The first portion decides; a later one that does not fit gets a header of its own.

    :param width: the cells of a terminal in a line.
    """

    columns: Sequence[ColumnLayout]
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
        if plan.constant or plan.in_words:
            return None
        widths = {n: max(width, self._natural(n, rows)) for n, width in plan.widths.items()}
        return evolve(plan, widths=widths) if _total(widths) <= self.width else None

    def _planned(self, rows: Sequence[Row]) -> _Plan:
        widths = {n: self._natural(n, rows) for n in range(len(self.columns))}
        if _total(widths) <= self.width:
            return _Plan({}, widths)
        constant = {} if len(rows) < 2 else {n: rows[0][n] for n in widths if len({row[n] for row in rows}) == 1}
        if len(constant) == len(widths):
            del constant[0]
        widths = {n: width for n, width in widths.items() if n not in constant}
        narrowed = self._narrowed(widths, rows)
        if _total(narrowed) <= self.width:
            return _Plan(constant, narrowed)
        return self._stacked(constant, widths, rows)

    def _natural(self, column: int, rows: Sequence[Row]) -> int:
        return max([width_of(self.columns[column].title), *(width_of(row[column]) for row in rows)])

    def _narrowed(self, widths: Mapping[int, int], rows: Sequence[Row]) -> dict[int, int]:
        """The widths when texts of several words are wrapped as far as need be, the widest first."""
        least = {n: min(width, max(_NARROWEST_WRAPPED, self._least(n, rows))) for n, width in widths.items()}
        narrowed = dict(widths)
        while (excess := _total(narrowed) - self.width) > 0:
            widest = max((n for n in narrowed if narrowed[n] > least[n]), key=lambda n: narrowed[n], default=None)
            if widest is None:
                break
            narrowed[widest] = max(least[widest], narrowed[widest] - excess)
        return narrowed

    def _least(self, column: int, rows: Sequence[Row]) -> int:
        """The width of a column in which no word is broken."""
        return max([width_of(self.columns[column].title), *(_longest_word(row[column]) for row in rows)])

    def _stacked(self, constant: Mapping[int, str], widths: Mapping[int, int], rows: Sequence[Row]) -> _Plan:
        """As many of the first columns as fit side by side, the others in words; counts stay together."""
        shown: dict[int, int] = {}
        for n, width in widths.items():
            if shown and (self.columns[n].is_number or _total({**shown, n: width}) > self.width):
                break
            shown[n] = width if shown else min(width, max(self.width, self._least(n, rows)))
        below = _Plan(constant, shown, [n for n in widths if n not in shown])
        if self.width - _total(shown) - len(_GAP) < _NARROWEST_BESIDE:
            return below
        beside = evolve(below, is_beside=True)
        return min((below, beside), key=lambda plan: sum(1 for row in rows for _ in self._row(plan, row)))

    def _header(self, plan: _Plan) -> Iterator[str]:
        said = self._said(plan.constant)
        if said:
            yield from _filled("every row:", said, self.width)
        yield self._line(plan, {n: self.columns[n].title for n in plan.widths}, is_header=True).rstrip(" ")

    def _row(self, plan: _Plan, row: Row) -> Iterator[str]:
        cells = {n: self.columns[n].wrapped(row[n], min(width, self.width)) for n, width in plan.widths.items()}
        said = self._said({n: row[n] for n in plan.in_words})
        beside = self._beside(plan, said)
        for number in range(max([len(beside), *map(len, cells.values())])):
            line = self._line(plan, {n: lines[number] if number < len(lines) else "" for n, lines in cells.items()})
            yield f"{line}{_GAP}{beside[number]}" if number < len(beside) else line.rstrip(" ")
        if said and not beside:
            yield from _filled("", said, self.width)

    def _beside(self, plan: _Plan, said: Sequence[str]) -> list[str]:
        """What is said in words beside the line of a row, in lines; nothing where a word has no room there."""
        if not (said and plan.is_beside):
            return []
        room = self.width - _total(plan.widths) - len(_GAP)
        lines = wrapped_list(", ".join(said), room)
        return lines if max(map(width_of, lines)) <= room else []

    def _said(self, cells: Mapping[int, str]) -> list[str]:
        """Cells with their titles, without those that say nothing."""
        shown = ((self.columns[n], text) for n, text in cells.items() if not self.columns[n].says_nothing(text))
        return [part for column, text in shown for part in column.parts_of(text)]

    def _line(self, plan: _Plan, cells: Mapping[int, str], *, is_header: bool = False) -> str:
        parts = []
        for n, width in plan.widths.items():
            blanks = " " * (width - width_of(cells[n]))
            cell = self.style(cells[n], "" if is_header else self.columns[n].title)
            is_right = self.columns[n].is_number and width <= self.width
            parts.append(blanks + cell if is_right else cell + blanks)
        return _GAP.join(parts)


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
