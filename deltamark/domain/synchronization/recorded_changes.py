"""Single changes that a program records for a connector, and the tables of commands that they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.errors import UsageError
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

COMMAND = "command"
_FIRST, _SECOND = "first", "second"

Rows: TypeAlias = list[dict[str, Any]]


def _as_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values)


@frozen
class Upsert:
    """A resource is there with these values; what they do not name stays as it is.

    :param values: property -> value, with the primary key. A value of None empties the property; then all properties
        that the connector maps must be named.
    """

    entity_type: str
    values: Mapping[str, Any] = field(converter=_as_dict)


@frozen
class Delete:
    """A resource is gone, with its links.

    :param key: the value of its primary key.
    """

    entity_type: str
    key: Any


@frozen
class Link:
    """Two resources are linked.

    :param first: the value by which the mapping of the association names the resource at its first end; `second` at the
        other.
    """

    association: str
    first: Any
    second: Any


@frozen
class Unlink:
    """Two resources are no longer linked.

    :param second: None for all links of the first.
    """

    association: str
    first: Any
    second: Any = None


RecordedChange: TypeAlias = Upsert | Delete | Link | Unlink


def with_own_tables(
    resources: Iterable[EntityTypeMapping], links: Iterable[EntityAssociationMapping]
) -> tuple[tuple[EntityTypeMapping, ...], tuple[EntityAssociationMapping, ...]]:
    """The mappings of a connector as recorded changes are read: each from a table of its own, by properties."""
    return (
        tuple(
            evolve(
                mapping,
                connection_table=mapping.entity_type,
                properties=[evolve(mapped, connection_column=mapped.identifier) for mapped in mapping.properties],
                always_complete=False,
            )
            for mapping in resources
        ),
        tuple(
            evolve(
                mapping,
                connection_table=_table_of(mapping),
                column1=_FIRST,
                column2=_SECOND,
                separator1=None,
                separator2=None,
                always_complete=False,
            )
            for mapping in links
        ),
    )


def _table_of(mapping: EntityAssociationMapping) -> str:
    return f"links of {mapping.association}"


def tables_of_changes(
    configuration: Configuration, connector: str, changes: Iterable[object]
) -> tuple[dict[str, Rows], dict[str, Sequence[str]]]:
    """The rows of each table of `with_own_tables`, in the order of the changes, and its columns.

    :raises UsageError: for a change of something that the connector does not feed.
    """
    resources, links = with_own_tables(*configuration.mappings_of_connector(connector))
    types = {mapping.entity_type: mapping for mapping in resources}
    associations = {mapping.association: mapping for mapping in links}
    tables = [*(mapping.connection_table for mapping in resources), *(mapping.connection_table for mapping in links)]
    rows: dict[str, Rows] = {table: [] for table in tables}
    for change in changes:
        match change:
            case Upsert(entity_type, values):
                mapping = _known("entity type", entity_type, types, connector)
                rows[mapping.connection_table].append(_row_of(mapping, values))
            case Delete(entity_type, key):
                mapping = _known("entity type", entity_type, types, connector)
                row = {COMMAND: "delete", mapping.primary_key.identifier: key}
                rows[mapping.connection_table].append(row)
            case Link(association, first, second) | Unlink(association, first, second):
                pairs = _known("association", association, associations, connector)
                command = "insert" if isinstance(change, Link) else "delete"
                if first is None or (second is None and command == "insert"):
                    raise UsageError(f"a {type(change).__name__} of {association} names both of its resources.")
                rows[pairs.connection_table].append({COMMAND: command, _FIRST: first, _SECOND: second})
            case _:
                raise UsageError(
                    f"a change to record is an Upsert, Delete, Link or Unlink, not {type(change).__name__}."
                )
    columns: dict[str, Sequence[str]] = {
        mapping.connection_table: [mapped.identifier for mapped in mapping.properties] for mapping in resources
    }
    return rows, {**columns, **{mapping.connection_table: (_FIRST, _SECOND) for mapping in links}}


def _known(what: str, name: object, known: Mapping[str, Any], connector: str) -> Any:
    if name not in known:
        near = hint(str(name), known)
        raise UsageError(f"connector {connector} feeds no {what} {shown(name)}{near}")
    return known[str(name)]


def _row_of(mapping: EntityTypeMapping, values: Mapping[str, Any]) -> dict[str, Any]:
    mapped = [item.identifier for item in mapping.properties]
    key = mapping.primary_key.identifier
    for name in values:
        if name not in mapped:
            raise UsageError(
                f"connector {mapping.connector} feeds no property {shown(name)} of "
                f"{mapping.entity_type}{hint(str(name), mapped)}"
            )
    if values.get(key) is None:
        raise UsageError(f"an Upsert of {mapping.entity_type} names its primary key, {key}.")
    missing = [name for name in mapped if name not in values]
    if not missing:
        return {COMMAND: "insert", **values}
    emptied = next((name for name, value in values.items() if value is None), None)
    if emptied is not None:
        raise UsageError(
            f"an Upsert of {mapping.entity_type} empties {emptied}, and does not name {', '.join(missing)}. Name all "
            "properties that the connector maps, with their present values."
        )
    return {COMMAND: "merge", **values}
