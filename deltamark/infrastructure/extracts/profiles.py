"""What files hold of which nothing is known yet: read as a run reads extracts, and counted set-wise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, field, frozen

from deltamark.application.ports.proposal import WorkbookSheet
from deltamark.domain.configuration.entity_model import EntityTypeMapping
from deltamark.domain.configuration.names import table_problem
from deltamark.domain.configuration.packages import SHEET
from deltamark.domain.errors import SourceError, UsageError
from deltamark.domain.location import Location
from deltamark.domain.proposal.keys import BETWEEN_PARTS
from deltamark.domain.proposal.profile import Answer, ColumnProfile, ColumnRef, Question, TableProfile, TriedReading
from deltamark.domain.proposal.readings import NULL_WORDS, candidates
from deltamark.domain.synchronization.keys import INVISIBLE
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import conversion, in_ascii, text_in_ascii
from deltamark.infrastructure.extracts.cells import Cells, ExtractSource, UnreadableRow
from deltamark.infrastructure.extracts.connection import extract_connection
from deltamark.infrastructure.extracts.copies import Copies, copies
from deltamark.infrastructure.extracts.csv.cells import CsvCells
from deltamark.infrastructure.extracts.decode import UnpackLimits
from deltamark.infrastructure.extracts.files import ExtractFile, check_signature, open_extract
from deltamark.infrastructure.extracts.formats import ENDINGS, format_of
from deltamark.infrastructure.extracts.query import blank_row

_COLUMNS_AT_ONCE = 8
"""Memory is needed for so many columns of a file, not for all."""

_SAMPLE = 200
_FIRST_ROWS = 10_000
_MOST_LINES_BEFORE = 10


@contextmanager
def file_profiles() -> Iterator[FileProfiles]:
    """Looks at files; what it keeps of them lasts for the block."""
    with ExitStack() as stack:
        yield FileProfiles(stack.enter_context(extract_connection()), stack.enter_context(copies()))


class FileProfiles:
    """Looks at files of which nothing is known yet (see `Profiles`)."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, all_copies: Copies) -> None:
        self._connection = connection
        self._copies = all_copies
        self._tables: dict[ColumnRef, str] = {}
        """Column -> the table of its different values: ``v``, how many rows have it (``n``), their first line."""
        self._paths: dict[str, tuple[Path, _Opened]] = {}

    def tables(self, files: Sequence[Path | WorkbookSheet]) -> list[TableProfile]:
        """What files or sheets hold, in their order.

        :raises UsageError: with everything that a run could not read either.
        """
        tables, problems = list[TableProfile](), list[str]()
        for file in files:
            try:
                tables.append(self._table(file))
            except SourceError as error:
                problems.append(f"{error.where}: {error.problem}. {error.advice}")
        if problems:
            raise UsageError("\n".join(problems))
        return tables

    def answers(self, questions: Iterable[Question]) -> list[Answer]:
        """How many values of columns are keys of other tables, in the order of the questions."""
        return [self._answer(question) for question in questions]

    def unique_together(self, table: str, sets: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Those of some sets of columns whose values together differ in all rows, in their order.

        The file is read once more. Sets that repeat among the first rows are not counted in all of them, and sets that
        are larger than the first one found are not counted at all.
        """
        if not sets:
            return []
        path, opened = self._paths[table]
        names = list(dict.fromkeys(name for parts in sets for name in parts))
        name, ending = _name_and_ending(path)
        with open_extract(path.parent, name, [ending], self._copies) as file:
            cells = self._cells(evolve(file, known_endings=ENDINGS), opened, names)
            fetched = cells.fetch("select * from cells", [cells.names.index(name) for name in names])
        self._connection.register("fetched", fetched.rows)
        try:
            trimmed = [f"trim(w{number}, {in_ascii(INVISIBLE)}) as c{number}" for number in range(len(names))]
            self._connection.execute(
                f"create or replace temp table together as select {', '.join(trimmed)} from fetched "
                f"where not ({blank_row(len(names))})"
            )
        finally:
            self._connection.unregister("fetched")
        try:
            unique = list[tuple[str, ...]]()
            for parts in sets:
                if unique and len(parts) > len(unique[0]):
                    break
                if self._is_unique([names.index(name) for name in parts]):
                    unique.append(parts)
            return unique
        finally:
            self._connection.execute("drop table together")

    def _is_unique(self, columns: Sequence[int]) -> bool:
        parts = ", ".join(f"c{number}" for number in columns)
        joined = f" || {literal(BETWEEN_PARTS)} || ".join(f"c{number}" for number in columns)
        repeats = "select 1 from {} group by {} having count(*) > 1 limit 1"
        first = f"(select {parts} from together limit {_FIRST_ROWS})"
        return not self._all(repeats.format(first, parts)) and not self._all(repeats.format("together", joined))

    def _table(self, given: Path | WorkbookSheet) -> TableProfile:
        sheet = given if isinstance(given, WorkbookSheet) else None
        path = given if isinstance(given, Path) else given.workbook
        name, ending = _name_and_ending(path)
        table, options = (name, {}) if sheet is None else (sheet.table, {SHEET: sheet.sheet})
        with open_extract(path.parent, name, [ending], self._copies) as file:
            file = evolve(file, known_endings=ENDINGS)
            form = format_of(ending)
            check_signature(file, file.head(), form.signature, form.described)
            opened = self._opened(file, table, options)
            self._paths[table] = (path, opened)
            return self._profile(file, table, opened)

    def _opened(self, file: ExtractFile, table: str, options: Mapping[str, str]) -> _Opened:
        """The cells of a file, in the first encoding in which it can be read, and from the line of its header on."""
        first: SourceError | None = None
        for encoding in (None, "windows-1252", "utf-16"):
            asked = _Asked(EntityTypeMapping(table, "", table, encoding=encoding), options)
            try:
                cells = self._cells(file, asked, ())
            except SourceError as error:
                first = first or error
                continue
            if encoding == "windows-1252" and _has_controls(cells.names):
                continue
            opened = _Opened(asked.mapping, options, cells)
            return self._below_other_lines(file, opened) if _may_be_a_title(cells.names) else opened
        assert first is not None
        raise first

    def _below_other_lines(self, file: ExtractFile, opened: _Opened) -> _Opened:
        """The cells below a title, or as they are where no line further down has more columns."""
        for skipped in range(1, _MOST_LINES_BEFORE + 1):
            below = _Asked(evolve(opened.mapping, skip_lines=skipped), opened.options)
            try:
                cells = self._cells(file, below, ())
            except SourceError:
                continue
            if len(cells.names) > len(opened.cells.names) and not _may_be_a_title(cells.names):
                return _Opened(below.mapping, opened.options, cells)
        return opened

    def _cells(
        self,
        file: ExtractFile,
        asked: _Asked,
        columns: Sequence[str],
        binary: frozenset[str] = frozenset(),
    ) -> Cells:
        file.stream.seek(0)
        return format_of(file.ending).read(
            ExtractSource(
                connection=self._connection,
                file=file,
                mapping=asked.mapping,
                columns=columns,
                bytes_columns=binary,
                identifier_columns=frozenset(),
                copies=self._copies,
                limits=UnpackLimits(),
                options=asked.options,
            )
        )

    def _profile(self, file: ExtractFile, table: str, opened: _Opened) -> TableProfile:
        names, left_out = _usable(opened.cells.names)
        groups = [
            self._group(file, table, opened, names[start : start + _COLUMNS_AT_ONCE])
            for start in range(0, len(names), _COLUMNS_AT_ONCE)
        ]
        read = [group for group in groups if group.columns]
        if not read:
            raise SourceError(file.where, "there is no column that can be read", advice="Export the table again.")
        empty = reduce(lambda some, others: some.filter(pc.is_in(some, value_set=others)), [g.empty for g in read])
        unreadable = read[0].unreadable
        return TableProfile(
            file=file.name,
            table=table,
            rows=read[0].rows - len(empty),
            columns=[column for group in groups for column in group.columns],
            encoding=opened.mapping.encoding,
            delimiter=opened.cells.delimiter if isinstance(opened.cells, CsvCells) else None,
            skip_lines=opened.mapping.skip_lines,
            left_out=[*left_out, *(refused for group in groups for refused in group.refused)],
            unreadable=len(unreadable),
            flaw=f"line {unreadable[0].line}, {unreadable[0].reason}" if unreadable else "",
        )

    def _group(self, file: ExtractFile, table: str, opened: _Opened, names: Sequence[str]) -> _Group:
        """Some columns of a file, without those that cannot be read."""
        wanted, refused, binary = [*names], list[tuple[str, str]](), frozenset[str]()
        while wanted:
            try:
                cells = self._cells(file, opened, wanted, binary)
                fetched = cells.fetch("select * from cells", [cells.names.index(name) for name in wanted])
            except SourceError as error:
                column = error.where.column
                if column not in wanted:
                    raise
                if column not in binary and "bytes" in error.problem:
                    binary |= {column}
                else:
                    wanted.remove(column)
                    refused.append((column, error.problem))
                continue
            self._connection.register("fetched", fetched.rows)
            try:
                columns = [self._column(table, number, name, name in binary) for number, name in enumerate(wanted)]
                blank = f"select line from fetched where {blank_row(len(wanted))}"
                empty = self._connection.sql(blank).to_arrow_table()["line"]
            finally:
                self._connection.unregister("fetched")
            return _Group(
                columns=columns,
                refused=refused,
                rows=fetched.rows.num_rows,
                empty=empty,
                unreadable=fetched.unreadable,
            )
        return _Group(refused=refused)

    def _column(self, table: str, number: int, name: str, is_binary: bool) -> ColumnProfile:
        values = f"values{len(self._tables)}"
        self._tables[ColumnRef(table, name)] = values
        trimmed = f"trim(w{number}, {in_ascii(INVISIBLE)})"
        self._connection.execute(
            f"create or replace temp table {values} as select v, count(*) as n, min(line) as line, "
            f"min(line, 2)[2] as second, count(*) filter (v <> raw) as padded "
            f"from (select {trimmed} as v, w{number} as raw, line from fetched) where v <> '' group by v"
        )
        row = self._one(
            f"select coalesce(sum(n), 0)::bigint, count(*), coalesce(max(length(v)), 0), "
            f"coalesce(sum(padded), 0)::bigint, arg_min(v, second), min(second) from {values}"
        )
        filled, distinct, longest, padded, repeated, repeated_line = row
        empty = self._one(f"select min(line) from fetched where coalesce({trimmed}, '') = ''")[0]
        words = ", ".join(text_in_ascii(word) for word in NULL_WORDS)
        null_words = self._all(f"select v, n from {values} where v in ({words}) order by v")
        sample = [v for (v,) in self._all(f"select v from {values} order by line limit {_SAMPLE}")]
        readings = [] if is_binary else list(self._tried(values, name, sample, words))
        return ColumnProfile(
            name=name,
            filled=filled,
            distinct=distinct,
            repeated=repeated,
            repeated_line=repeated_line,
            empty_line=empty,
            longest=longest,
            padded=padded,
            sample=sample,
            null_words=tuple(word for word, _ in null_words),
            filled_but_null_words=filled - sum(count for _, count in null_words),
            readings=readings,
            is_binary=is_binary,
        )

    def _tried(self, values: str, name: str, sample: Sequence[str], null_words: str) -> Iterator[TriedReading]:
        """Tries the readings that the look of the values allows on all of them, as a run would convert them."""
        for reading in candidates(name, sample):
            converted = conversion(reading.kind, "v", reading.written, Location(name))
            count, example, line = self._one(
                f"select coalesce(sum(n), 0)::bigint, arg_min(v, line), min(line) from {values} "
                f"where v not in ({null_words}) and {converted.has_value} and ({converted.text}) is null"
            )
            yield TriedReading(reading=reading, unreadable=count, example=example or "", line=line)

    def _answer(self, question: Question) -> Answer:
        source, target = self._tables[question.source], self._tables[question.target]
        if question.separator is not None:
            parts = f"unnest(string_split(v, {literal(question.separator)}))"
            pairs = f"select trim({parts}) as v, line from {source}"
            source = f"(select v, min(line) as line from ({pairs}) where v <> '' group by v)"
        matched = f"v in (select v from {target})"
        in_any_case = f"lower(v) in (select lower(v) from {target})"
        values, exact, loose, example, line = self._one(
            f"select count(*), count(*) filter ({matched}), count(*) filter ({in_any_case}), "
            f"arg_min(v, line) filter (not {in_any_case}), min(line) filter (not {in_any_case}) from {source}"
        )
        return Answer(
            question=question, values=values, matched=exact, matched_in_any_case=loose, example=example, line=line
        )

    def _one(self, query: str) -> tuple[Any, ...]:
        return self._all(query)[0]

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.sql(query).fetchall()


@frozen
class _Asked:
    """How a file is read: what a mapping states, and what its `ConnectionTable` does."""

    mapping: EntityTypeMapping
    options: Mapping[str, str]


@frozen
class _Opened(_Asked):
    """The cells of a file that is read so."""

    cells: Cells


@frozen(kw_only=True)
class _Group:
    """Some columns of a file.

    :param refused: those that cannot be read, each with the reason.
    :param empty: the lines (int64) in which all of them are empty.
    """

    columns: Sequence[ColumnProfile] = ()
    refused: Sequence[tuple[str, str]] = ()
    rows: int = 0
    empty: pa.ChunkedArray = field(factory=lambda: pa.chunked_array([], pa.int64()), eq=False)
    unreadable: Sequence[UnreadableRow] = ()


def _name_and_ending(path: Path) -> tuple[str, str]:
    """The name of a connection table and the ending.

    :raises SourceError: if the ending is none of the formats, or the name is none of a connection table.
    """
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.endswith(ending) and len(path.name) > len(ending):
            table = path.name[: -len(ending)]
            problem = table_problem(table)
            if problem is not None:
                raise SourceError(Location(path.name), f"{shown(table)} {problem}", advice="Rename the file.")
            return table, ending
    listed = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
    raise SourceError(
        Location(path.name), f"this is no file of a kind that is read: {listed}", advice="Export it as one of these."
    )


def _usable(names: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The columns that a mapping can name, and the others with the reason."""
    usable: list[str] = []
    left_out: list[tuple[str, str]] = []
    for name in names:
        if not name.strip():
            left_out.append((name, "the header has no name for this column"))
        elif names.count(name) > 1:
            if name not in (other for other, _ in left_out):
                left_out.append((name, "the header names this column twice"))
        else:
            usable.append(name)
    return usable, left_out


def _may_be_a_title(names: Sequence[str]) -> bool:
    """Whether a line is rather a title than a header: most of its cells are empty, or there is but one."""
    return len(names) == 1 or sum(not name.strip() for name in names) > len(names) / 2


def _has_controls(names: Sequence[str]) -> bool:
    return any("\0" in name for name in names)
