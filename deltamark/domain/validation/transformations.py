"""Faults of transformations that need no look at their queries."""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.names import table_problem
from deltamark.domain.errors import Fault
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown


def transformation_faults(configuration: Configuration) -> Iterator[Fault]:
    """The faults of the names of transformations: used twice, read by no mapping, made of each other."""
    seen: set[tuple[str, str]] = set()
    names = {(item.connector, item.identifier) for item in configuration.transformations}
    for item in configuration.transformations:
        where = f"transformation {shown(item.identifier)}"
        for name in (item.identifier, item.table):
            problem = table_problem(name)
            if problem is not None:
                yield Fault(item.location, f"connection table {shown(name)} of {where} {problem}")
        if (item.connector, item.identifier) in seen:
            yield Fault(item.location, f"{where} of connector {shown(item.connector)} is defined twice; remove one")
        seen.add((item.connector, item.identifier))
        if item.table != item.identifier and (item.connector, item.table) in names:
            yield Fault(
                item.location,
                f"{where} reads {shown(item.table)}, which is made by a transformation itself; read what that one "
                "reads, and write both in one query",
            )
        mapped = [mapping.connection_table for mapping in configuration.all_mappings_of(item.connector)]
        if item.identifier not in mapped:
            yield Fault(
                item.location,
                f"no mapping of connector {shown(item.connector)} has the ConnectionTable {shown(item.identifier)}, "
                f"which {where} makes{hint(item.identifier, mapped)}; map it, or remove the transformation",
            )
