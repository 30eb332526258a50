"""The tables that user functions read, and the join of their results to resources."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence, Set

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.ports.arrow_schemas import PROPERTY_TYPES, REFUSED, decimals
from deltamark.application.ports.evaluator import DIGEST, STREAM, Inputs
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.function_columns import FunctionColumn
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import Workbench, quoted
from deltamark.infrastructure.evaluation import resource_rows
from deltamark.infrastructure.evaluation.portions import Evaluated, Evaluation
from deltamark.infrastructure.evaluation.resource_rows import ResourceRows
from deltamark.infrastructure.expressions.compiler import Compiled

_SMALL = {PropertyType.BYTE, PropertyType.INT16, PropertyType.INT32}
_BASE64 = {PropertyType.BYTES, PropertyType.BINARY}


def function_tables(
    configuration: Configuration, columns: Sequence[FunctionColumn], inputs: Inputs, workbench: Workbench, at_once: int
) -> Iterator[pa.Table]:
    """The tables that user functions read, portion by portion of the resources."""
    reads_only = Compiled("NULL", tuple(sorted(column.read for column in columns)))
    evaluation = Evaluation(configuration, (), [reads_only], inputs, at_once=at_once)
    digest = f"{_digest_sql([column.name for column in columns])} AS {quoted(DIGEST)}"

    def work(db: duckdb.DuckDBPyConnection, rows: ResourceRows, guarded: Set[int]) -> Evaluated:
        selected = [f"{resource_rows.STREAM} AS {quoted(STREAM)}"]
        for column in columns:
            own = not column.read.path
            value = rows.value(column.read.property, column.declared.type) if own else quoted(column.name)
            selected.append(f"{value} AS {quoted(column.name)}")
        sql = f"SELECT {', '.join(selected)} FROM ({rows.sql('resources.state IS NOT NULL')})"
        table = db.sql(f"SELECT *, {digest} FROM ({sql}) ORDER BY {quoted(STREAM)}").to_arrow_table()
        return Evaluated(rows=table, refused=REFUSED.empty_table())

    for evaluated in evaluation.run(workbench, sorted(evaluation.own), work):
        table = evaluated.rows
        if table.num_rows:
            identity = {name: table.column(name) for name in (STREAM, DIGEST)}
            yield pa.table(identity | {c.name: _typed(c, table.column(c.name)) for c in columns})


def _digest_sql(names: Sequence[str]) -> str:
    """The digest of the values of a row, as JSON: no two different rows are one text."""
    members = ", ".join(f"{quoted(f'value {number}')} := {quoted(name)}" for number, name in enumerate(names))
    return f"sha256(CAST(to_json(struct_pack({members})) AS VARCHAR))" if members else "''"


def _typed(column: FunctionColumn, values: pa.ChunkedArray) -> pa.Array:
    """A column as functions read it."""
    kind = column.declared.type
    whole = values.combine_chunks()
    array = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    if not column.is_collection:
        return _values(kind, array)
    return pa.ListArray.from_arrays(array.offsets, _values(kind, array.values))


def _values(kind: PropertyType, array: pa.Array) -> pa.Array:
    if kind in _SMALL:
        return _narrowed(array, PROPERTY_TYPES[kind])
    if kind in _BASE64:
        return pa.array([_decoded(text) for text in array.to_pylist()], PROPERTY_TYPES[kind])
    if kind is PropertyType.DECIMAL:
        return decimals(pa.chunked_array([array])).combine_chunks()
    return array.cast(PROPERTY_TYPES[kind])


def _narrowed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Whole numbers in a narrower type, null where they do not fit.

    They do not fit if the property was of another type before.
    """
    narrow = array.cast(kind, safe=False)
    return pc.if_else(pc.equal(narrow.cast(pa.int64()), array), narrow, pa.scalar(None, kind))


def _decoded(text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


@frozen
class FunctionResults:
    """The `Joins` of the table ``results`` of a function to the table ``resources``."""

    names: Sequence[str]

    @staticmethod
    def column(name: str) -> str:
        """The column of a property in the joined rows."""
        return quoted(f"result {name}")

    @property
    def columns(self) -> list[str]:
        """What it adds to each resource."""
        return [f"results.{quoted(name)} AS {self.column(name)}" for name in self.names]

    @property
    def sql(self) -> str:
        """The join by the column ``stream``."""
        return f" LEFT JOIN results ON results.{quoted(STREAM)} = resources.stream"
