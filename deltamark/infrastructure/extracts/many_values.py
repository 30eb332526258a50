"""Cells that hold several values: how they are split, and the rows that they become."""

from __future__ import annotations

import duckdb
import pyarrow as pa
from attrs import evolve

from deltamark.domain.configuration.value_formats import ValueFormat
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.conversions import Conversion, conversion, text_in_ascii
from deltamark.infrastructure.extracts.cells import FetchedRows


def split_conversion(
    kind: PropertyType, cell: str, separator: str, written: ValueFormat, where: Location, white: str
) -> Conversion:
    """The conversion of a cell with several values: its text is a list, NULL if one of them is not of the type.

    :param white: SQL of the characters that are left out around values.
    """
    each = conversion(kind, "part", written, where)
    sign = text_in_ascii(separator)
    escaped = text_in_ascii("\\" + separator)
    # No text of an extract holds NUL.
    split = f"string_split(replace({cell}, {escaped}, chr(0)), {sign})"
    restored = f"trim(replace(part, chr(0), {escaped}), {white})"
    nothing = ", ".join(text_in_ascii(text) for text in ("", *written.null_values))
    parts = f"list_filter(list_transform({split}, lambda part: {restored}), lambda part: part not in ({nothing}))"
    text = f"list_transform({parts}, lambda part: {each.text})"
    if not each.is_total:
        text = f"case when list_count({text}) = len({text}) then {text} end"
    return Conversion(text=text, has_value=f"coalesce(len({parts}), 0) > 0", is_total=each.is_total)


def one_row_each(connection: duckdb.DuckDBPyConnection, fetched: FetchedRows) -> FetchedRows:
    """The rows of links with a row for each pair of values, in the order of the extract.

    A pair that several values of one row, or several rows without commands, name is there once, in its first line.

    :param fetched: rows of ``key`` and ``value2``, of which either or both are lists.
    """
    rows = fetched.rows
    for name in ("key", "value2"):
        if pa.types.is_list(rows.schema.field(name).type):
            connection.register("fetched", rows)
            values = f"case when coalesce(len({name}), 0) = 0 then [NULL::VARCHAR] else {name} end"
            others = ", ".join(other for other in rows.column_names if other != name)
            place = f"generate_subscripts({values}, 1) as place_{name}"
            query = f"select unnest({values}) as {name}, {place}, {others} from fetched"
            rows = connection.sql(query).to_arrow_table()
            connection.unregister("fetched")
    connection.register("fetched", rows)
    places = sorted(name for name in rows.column_names if name.startswith("place_"))
    names = [name for name in rows.column_names if name not in places]
    within = "line, command" if "command" in names else "''"
    order = ", ".join(["line", *places])
    repeated = f"row_number() over (partition by key, value2, fault, {within} order by {order}) > 1"
    rows = connection.sql(
        f"select {', '.join(names)} from fetched "
        f"qualify fault is not null or key is null or value2 is null or not {repeated} order by {order}"
    ).to_arrow_table()
    connection.unregister("fetched")
    return evolve(fetched, rows=rows, read=fetched.rows.num_rows)
