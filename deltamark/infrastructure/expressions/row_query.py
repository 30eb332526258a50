"""Compiles the query of a transformation: one SELECT over one row at a time, in the language of expressions.

What is not named here is refused: the text of a query never reaches the database (ADR 0009, ADR 0074).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

from attrs import define, field, frozen
from sqlglot import exp

from deltamark.domain.configuration.entity_model import ConnectionTransformation
from deltamark.domain.configuration.value_formats import CellType
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, SeveralProblems
from deltamark.domain.suggestions import MOST_LISTED
from deltamark.domain.synchronization.transformed_tables import OutputColumn, TransformedTable
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.expressions.parser import LONGEST, parse
from deltamark.infrastructure.expressions.sql_value import (
    DATES,
    NUMBERS,
    Growth,
    Shape,
    Typed,
    as_text,
    watched_peak,
)
from deltamark.infrastructure.expressions.translator import Translation

LONGEST_ROW = 16 << 20
"""Bytes of the longest text that may be made of a row."""

MOST_COLUMNS = 1_000
_UNNEST = "unnest"

_OF_SEVERAL_ROWS = frozenset(
    {
        *("any_value", "arg_max", "arg_min", "array_agg", "avg", "count", "first", "group_concat", "last", "lag"),
        *("lead", "list", "listagg", "max", "median", "min", "rank", "row_number", "string_agg", "sum"),
    }
)
_OF_THE_MOMENT = frozenset(
    {
        *("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"),
        *("current_user", "session_user", "user"),
    }
)

_REFUSED_CLAUSES = {
    "with_": ("WITH", "write one SELECT over the table"),
    "distinct": ("DISTINCT", "rows that are equal are taken once anyway"),
    "joins": ("a join", "it sees one row at a time; link the two tables by an association instead"),
    "laterals": ("LATERAL", "it sees one row at a time"),
    "group": ("GROUP BY", "it sees one row at a time; read a database by a query that groups"),
    "having": ("HAVING", "it sees one row at a time"),
    "order": ("ORDER BY", "the order of rows does not matter"),
    "limit": ("LIMIT", "write a condition"),
    "offset": ("OFFSET", "write a condition"),
    "qualify": ("QUALIFY", "it sees one row at a time"),
    "windows": ("WINDOW", "it sees one row at a time"),
    "sample": ("a sample", "write a condition"),
    "into": ("INTO", "the table is named by Identifier"),
    "pivots": ("PIVOT", "write unnest([column, column]) as name"),
}
"""Part of the tree -> its name, and what to write instead."""


@frozen(kw_only=True)
class CompiledColumn:
    """A column of a query as SQL.

    :param sql: its text, or a list of texts where it is unnested.
    :param cell_type: the type that its texts stand for, where it is computed.
    """

    output: OutputColumn
    sql: str
    cell_type: CellType | None = None


@frozen(kw_only=True)
class RowQuery:
    """The query of a transformation as SQL.

    Its expressions read the columns of the table as `quoted(name)`, all of them texts, and may call functions that
    `register_functions` registers. None of them raises in `try(…)`.

    :param condition: whether a row is there; None where each is.
    :param peak: a bound of the longest text that is made of a row.
    """

    table: TransformedTable
    columns: Mapping[str, CompiledColumn]
    condition: str | None = None
    peak: Growth = Growth()

    def column(self, name: str) -> CompiledColumn | None:
        """A column that it gives, or None."""
        known = self.columns.get(name)
        output = self.table.column(name) if known is None else None
        return known if output is None else CompiledColumn(output=output, sql=quoted(name))

    @property
    def sql(self) -> Iterator[str]:
        """Each of its expressions."""
        yield from (column.sql for column in self.columns.values())
        if self.condition is not None:
            yield self.condition


@lru_cache(maxsize=1_000)
def row_query(transformation: ConnectionTransformation) -> RowQuery:
    """Checks and compiles the query of a transformation.

    :raises ExpressionRefused: with everything that is not allowed.
    """
    if len(transformation.query) > LONGEST:
        raise ExpressionRefused(f"is longer than {LONGEST} characters")
    # In a thread, so that the allowed nesting of an expression does not depend on the stack of the caller.
    with ThreadPoolExecutor(max_workers=1) as own_stack:
        return own_stack.submit(_compiled, transformation).result()


def _compiled(transformation: ConnectionTransformation) -> RowQuery:
    if "\0" in transformation.query:
        raise ExpressionRefused("contains the character NUL, which no text may contain")
    tree = parse(transformation.query)
    if not isinstance(tree, exp.Select):
        raise ExpressionRefused(f'is no SELECT; write "select … from {transformation.table} where …"')
    problems = [ExpressionRefused(problem) for problem in _clause_problems(tree)]
    name = _name_of_table(tree, transformation, problems)
    with watched_peak() as peak:
        compilation = _Compilation(name, problems)
        try:
            columns = compilation.columns(tree.expressions)
            condition = compilation.condition(tree.args.get("where"))
        except RecursionError as e:
            raise ExpressionRefused("nests too deep") from e
    if problems:
        raise SeveralProblems({str(problem): problem for problem in problems}.values())
    return RowQuery(
        table=TransformedTable(
            columns=[column.output for column in columns.values()],
            has_all_others=any(isinstance(item, exp.Star) or _is_qualified_star(item) for item in tree.expressions),
            condition_reads=() if condition is None else condition[1],
            is_filtered=condition is not None,
        ),
        columns=columns,
        condition=None if condition is None else condition[0],
        peak=peak.growth,
    )


def _clause_problems(tree: exp.Select) -> Iterator[str]:
    for part, value in tree.args.items():
        if not value or part in ("expressions", "from_", "where"):
            continue
        name, instead = _REFUSED_CLAUSES.get(part, (part.rstrip("_").upper(), "write SELECT, FROM and WHERE only"))
        yield f"has {name}, which a transformation must not have; {instead}"
    if len(tree.expressions) > MOST_COLUMNS:
        yield f"gives more than {MOST_COLUMNS:,} columns"


def _name_of_table(
    tree: exp.Select, transformation: ConnectionTransformation, problems: list[ExpressionRefused]
) -> str:
    """The name by which columns are qualified."""
    start = tree.args.get("from_")
    table = None if start is None else start.this
    if table is None:
        return transformation.table
    is_plain = isinstance(table, exp.Table) and not any(
        value for part, value in table.args.items() if part not in ("this", "alias")
    )
    if not is_plain or not isinstance(table.this, exp.Identifier) or table.name != transformation.table:
        problems.append(
            ExpressionRefused(
                f"reads {shown(table.sql(dialect='duckdb'))}, and the transformation reads "
                f"{shown(transformation.table)}; write from {transformation.table}"
            )
        )
    return str(table.alias_or_name)


def _is_qualified_star(item: exp.Expr) -> bool:
    return isinstance(item, exp.Column) and isinstance(item.this, exp.Star)


@define
class _Cells:
    """The columns of the table, each a text: which there are is known when it is read."""

    table: str
    reads: dict[str, None] = field(factory=dict)

    def read(self, parts: Sequence[str], verb: str) -> Typed:
        """A cell as a text."""
        if len(parts) > 1:
            raise ExpressionRefused(
                f"{verb} {shown('.'.join([self.table, *parts]))}; a row of a table has columns only, write "
                f"{self.table}.{parts[0]}"
            )
        self.reads[parts[0]] = None
        return Typed(quoted(parts[0]), Shape.TEXT, growth=Growth(1, 0))


@define
class _Compilation:
    """Compiles the parts of one query, and notes everything that is wrong with them."""

    table: str
    problems: list[ExpressionRefused]
    lengths: dict[str, int] = field(factory=dict)
    """Unnested column -> how many values it has."""

    def columns(self, items: Iterable[exp.Expr]) -> dict[str, CompiledColumn]:
        """The columns of the select list by name, without `*`."""
        columns: dict[str, CompiledColumn] = {}
        for number, item in enumerate(items, 1):
            with self._noted():
                if isinstance(item, exp.Star) or _is_qualified_star(item):
                    self._star(item)
                    continue
                column = self._column(item, number)
                if column.output.name in columns:
                    raise ExpressionRefused(f"gives the column {shown(column.output.name)} twice")
                columns[column.output.name] = column
        if len(set(self.lengths.values())) > 1:  # all lists of a row are taken apart together
            listed = ", ".join(f"{name} {length}" for name, length in list(self.lengths.items())[:MOST_LISTED])
            self.problems.append(ExpressionRefused(f"unnests lists of different lengths ({listed}); make them equal"))
        return columns

    def condition(self, where: exp.Expr | None) -> tuple[str, tuple[str, ...]] | None:
        """The condition, and what it reads."""
        if where is None:
            return None
        with self._noted():
            translation, cells = self._translation()
            sql = translation.boolean(self._qualified(where.this), "WHERE")
            self._take(translation)
            return sql, tuple(cells.reads)
        return None

    def _star(self, item: exp.Expr) -> None:
        star = item.this if isinstance(item, exp.Column) else item
        if any(star.args.values()):
            raise ExpressionRefused("changes what * gives; name the columns")
        if isinstance(item, exp.Column) and item.table != self.table:
            raise ExpressionRefused(f"names {shown(item.table)}.*; write {self.table}.*")

    def _column(self, item: exp.Expr, number: int) -> CompiledColumn:
        inner = item.this if isinstance(item, exp.Alias) else item
        name = item.alias if isinstance(item, exp.Alias) else inner.name if isinstance(inner, exp.Column) else ""
        if not name:
            raise ExpressionRefused(f"gives column {number} no name; write … as name")
        if isinstance(inner, exp.Anonymous) and str(inner.this).lower() == _UNNEST:
            return self._unnested(name, inner)
        translation, cells = self._translation()
        value = translation.single(self._qualified(inner))
        self._take(translation)
        source, is_plain = _source(inner, cells.reads)
        return CompiledColumn(
            output=OutputColumn(name=name, reads=cells.reads, source=source, is_plain=is_plain),
            sql=as_text(value).sql,
            cell_type=_cell_type(value.shape),
        )

    def _unnested(self, name: str, call: exp.Anonymous) -> CompiledColumn:
        listed = call.expressions[0] if len(call.expressions) == 1 else None
        if not isinstance(listed, exp.Array) or not listed.expressions:
            raise ExpressionRefused("uses unnest with something that is no list in brackets; write unnest([a, b]) as c")
        translation, cells = self._translation()
        self.lengths[name] = len(listed.expressions)
        values = [translation.single(self._qualified(item)) for item in listed.expressions]
        self._take(translation)
        kinds = {_cell_type(value.shape) for value in values if value.shape is not Shape.NOTHING}
        if len(kinds) > 1:
            described = " and ".join(sorted({value.described for value in values}))
            raise ExpressionRefused(f"mixes {described} in unnest; convert one of them with cast(… as …)")
        texts = ", ".join(as_text(value).sql for value in values)
        return CompiledColumn(
            output=OutputColumn(name=name, reads=cells.reads, is_unnested=True),
            sql=f"CAST([{texts}] AS VARCHAR[])",
            cell_type=next(iter(kinds), None),
        )

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Notes what is refused in this block."""
        try:
            yield
        except ExpressionRefused as refused:
            self.problems += refused.problems

    def _translation(self) -> tuple[Translation, _Cells]:
        cells = _Cells(self.table)
        return Translation(cells, self.table), cells

    def _take(self, translation: Translation) -> None:
        self.problems += translation.problems

    def _qualified(self, node: exp.Expr) -> exp.Expr:
        """The expression with each column named by its table."""
        copy = node.copy()
        for call in copy.find_all(exp.Anonymous):
            name = str(call.this).lower()
            if name in _OF_SEVERAL_ROWS:
                raise ExpressionRefused(f"uses {shown(name)}, which needs several rows; it sees one row at a time")
            if name == _UNNEST:
                raise ExpressionRefused("uses unnest within an expression; write unnest([a, b]) as c")
        for column in list(copy.find_all(exp.Column)):
            if not column.table:
                if column.name.lower() in _OF_THE_MOMENT and not column.this.quoted:
                    raise ExpressionRefused(
                        f"uses {shown(column.name)}, which differs from run to run; a transformation may depend on its "
                        f'row only. A column of that name is written "{column.name}" in quotes'
                    )
                column.set("table", exp.to_identifier(self.table, quoted=True))
        return copy


def _source(node: exp.Expr, reads: Iterable[str]) -> tuple[str | None, bool]:
    """The column whose value an expression gives, perhaps with fixed texts joined to it, and whether it is plain."""
    if isinstance(node, exp.Column):
        return next(iter(reads), None), True
    parts = list(_joined(node))
    columns = [part for part in parts if isinstance(part, exp.Column)]
    if len(columns) == 1 and all(isinstance(part, exp.Column) or _is_text(part) for part in parts):
        return next(iter(reads), None), False
    return None, False


def _joined(node: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(node, exp.DPipe):
        yield from _joined(node.this)
        yield from _joined(node.expression)
    elif isinstance(node, exp.Paren):
        yield from _joined(node.this)
    else:
        yield node


def _is_text(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _cell_type(shape: Shape) -> CellType | None:
    """The type for which a computed text stands; a text itself is written as the mapping says."""
    if shape in NUMBERS:
        return CellType.NUMBER
    return CellType.DATE if shape in DATES else None
