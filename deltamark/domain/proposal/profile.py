"""What tables hold, as far as a configuration can be proposed from it."""

from __future__ import annotations

from attrs import field, frozen

from deltamark.domain.configuration.value_formats import AS_IT_IS, ValueFormat
from deltamark.domain.fields import as_tuple
from deltamark.domain.values import PropertyType


@frozen(kw_only=True)
class Reading:
    """A type that the values of a column may have, and how they are written then."""

    kind: PropertyType = PropertyType.STRING
    written: ValueFormat = AS_IT_IS


@frozen(kw_only=True)
class TriedReading:
    """A reading that was tried on every value of a column.

    :param unreadable: how many values cannot be read so.
    :param example: one of them, and its line.
    """

    reading: Reading
    unreadable: int = 0
    example: str = ""
    line: int | None = None


@frozen(kw_only=True)
class ColumnProfile:
    """The values of a column.

    :param name: as the header spells it.
    :param filled: how many rows have a value.
    :param distinct: how many values differ.
    :param repeated: a value that several rows have, and the line of the second; None if there is none.
    :param empty_line: the line of the first row without a value.
    :param longest: the length of the longest value.
    :param padded: how many values have white space around them.
    :param sample: some of the values, without white space around them.
    :param null_words: the words for nothing that are among the values; they count as values of texts.
    :param filled_but_null_words: how many rows have another value than such a word.
    :param readings: what was tried, the likeliest first.
    :param is_binary: whether the values are bytes.
    """

    name: str
    filled: int
    distinct: int
    repeated: str | None = None
    repeated_line: int | None = None
    empty_line: int | None = None
    longest: int = 0
    padded: int = 0
    sample: tuple[str, ...] = field(converter=as_tuple, default=())
    null_words: tuple[str, ...] = field(converter=as_tuple, default=())
    filled_but_null_words: int = 0
    readings: tuple[TriedReading, ...] = field(converter=as_tuple, default=())
    is_binary: bool = False

    @property
    def is_numeric(self) -> bool:
        """Whether the values that were looked at are digits alone."""
        return bool(self.sample) and all(value.isdigit() for value in self.sample)


@frozen(kw_only=True)
class TableProfile:
    """A file and its columns.

    :param file: its name.
    :param table: the connection table: its name without the ending.
    :param rows: the number of data rows.
    :param encoding: what a mapping must state, None where the file says it or it is UTF-8.
    :param delimiter: what separates the columns, None where the format has nothing of the kind.
    :param skip_lines: how many lines precede the header.
    :param left_out: columns that cannot be mapped, each with the reason.
    :param unreadable: how many rows cannot be split into cells.
    :param flaw: the first of them: its line and what is wrong with it.
    :param is_of_server: whether it is a table of a server or a workbook: `file` is its name there then.
    """

    file: str
    table: str
    rows: int
    columns: tuple[ColumnProfile, ...] = field(converter=as_tuple)
    encoding: str | None = None
    delimiter: str | None = None
    skip_lines: int = 0
    left_out: tuple[tuple[str, str], ...] = field(converter=as_tuple, default=())
    unreadable: int = 0
    flaw: str = ""
    is_of_server: bool = False

    def column(self, name: str) -> ColumnProfile:
        """The column of that name, which is there."""
        return next(column for column in self.columns if column.name == name)


@frozen
class ColumnRef:
    """A column of a table."""

    table: str
    column: str


@frozen(kw_only=True)
class Question:
    """Whether the values of a column are keys of another table.

    :param separator: what separates several values in a cell, None where a cell holds one.
    :param evidence: how much the names speak for it: 0 nothing, 1 something, 2 a lot.
    """

    source: ColumnRef
    target: ColumnRef
    separator: str | None = None
    evidence: int = 0


@frozen(kw_only=True)
class Answer:
    """How many of the different values of a column are keys of another table.

    :param matched: the number of those that are.
    :param matched_in_any_case: the number of those that are, if letter case does not count.
    :param example: one that is none, and its line.
    """

    question: Question
    values: int
    matched: int
    matched_in_any_case: int
    example: str | None = None
    line: int | None = None
