"""Tries expressions before there are values: what DuckDB refuses in them, and constants that have no value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import duckdb
from attrs import frozen

from deltamark.domain.derivation.dependency_paths import ExpressionRefused, Read
from deltamark.infrastructure.duckdb.connection import Workbench, quoted
from deltamark.infrastructure.evaluation.failures import FAILURES, reason_of
from deltamark.infrastructure.expressions.compiler import Compiled, register_functions
from deltamark.infrastructure.expressions.sql_value import count_column
from deltamark.infrastructure.expressions.translator import Part


def not_evaluable(reason: str) -> ExpressionRefused:
    """The refusal of an expression that DuckDB does not evaluate."""
    return ExpressionRefused(f"cannot be evaluated: {reason}")


@frozen
class Trial:
    """Tries an expression, or parts of it, without values.

    :param types: the SQL types of what they read.
    """

    workbench: Workbench
    types: Mapping[Read, str]

    def of_whole(self, compiled: Compiled) -> tuple[str, ...]:
        """Why an expression cannot be evaluated: every reason that is known without values.

        Constants in it are computed. What reads something is planned only: its value depends on what it reads.
        """
        constants = list(dict.fromkeys(_constants(compiled.parts)))
        with self.workbench.connection() as db:
            reason = self._reason(db, compiled.sql, is_constant=not compiled.reads)
            if constants and reason is None:
                reason = self._reason(db, f"[{', '.join(f'({sql}) IS NULL' for sql in constants)}]", is_constant=True)
            if reason is None:
                return ()
            of_parts = self._of_parts(db, compiled.parts)
            return tuple(dict.fromkeys(of_parts)) or (reason,)

    def are_evaluable(self, expressions: Sequence[Compiled]) -> bool:
        """Whether `of_whole` has no reason against any of these expressions; in few queries, which take most time."""
        planned = [compiled.sql for compiled in expressions if compiled.reads]
        computed = [compiled.sql for compiled in expressions if not compiled.reads]
        computed += [f"({sql}) IS NULL" for compiled in expressions for sql in _constants(compiled.parts)]
        with self.workbench.connection() as db:
            return not any(
                self._reason(db, ", ".join(dict.fromkeys(some)), is_constant=is_constant)
                for some, is_constant in ((planned, False), (computed, True))
                if some
            )

    def of_sql(self, expressions: Iterable[str]) -> tuple[str, ...]:
        """Why some of these expressions cannot be evaluated for a row without values; constants in them are computed.

        Each is tried inside `try(…)`, where a failure is no value: what remains is what cannot be planned.
        """
        with self.workbench.connection() as db:
            reasons = [
                self._reason(db, f"try({{'v': {sql}}})", is_constant=True) or self._reason(db, sql, is_constant=False)
                for sql in expressions
            ]
        return tuple(dict.fromkeys(reason for reason in reasons if reason is not None))

    def of_parts(self, parts: Iterable[Part]) -> tuple[str, ...]:
        """Why parts of an expression cannot be evaluated: the reasons of the smallest ones that cannot."""
        parts = tuple(parts)
        self.workbench.prepare(lambda root: register_functions(root, " ".join(part.sql for part in parts)))
        with self.workbench.connection() as db:
            return tuple(dict.fromkeys(self._of_parts(db, parts)))

    def _of_parts(self, db: duckdb.DuckDBPyConnection, parts: Iterable[Part]) -> Iterator[str]:
        for part in parts:
            reason = self._reason(db, part.sql, is_constant=part.is_constant)
            inner = [] if reason is None and part.is_constant else list(self._of_parts(db, part.parts))
            if inner or reason is not None:
                yield from inner or [reason or ""]

    def _reason(self, db: duckdb.DuckDBPyConnection, sql: str, *, is_constant: bool) -> str | None:
        columns = [f"CAST(NULL AS {kind}) AS {quoted(str(read))}" for read, kind in self.types.items()]
        columns += [f"CAST(NULL AS BIGINT) AS {count_column(str(read))}" for read in self.types]
        query = f"SELECT {sql} FROM (SELECT {', '.join(columns) or 'NULL'})"
        try:
            db.execute(query if is_constant else f"EXPLAIN {query}").fetchall()
        except FAILURES as e:
            return reason_of(e)
        return None


def _constants(parts: Iterable[Part]) -> Iterator[str]:
    """The largest parts that read nothing and may have no value: a literal has one."""
    for part in parts:
        if not part.is_constant:
            yield from _constants(part.parts)
        elif part.parts or "(" in part.sql:
            yield part.sql
