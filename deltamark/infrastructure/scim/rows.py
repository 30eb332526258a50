"""The tables that are asked for, and the rows that resources become."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from attrs import define, field, frozen

from deltamark.application.ports.sources import COMMAND, Question, SourceUnreachable, Tables, WantedTable
from deltamark.domain.configuration.packages import ATTRIBUTE, ENDPOINT, FILTER, LINKS, OVERLAP, RESOURCE_TYPE
from deltamark.domain.configuration.scim_paths import ScimPath, scim_path, value_of
from deltamark.domain.values import shown
from deltamark.infrastructure.scim.client import Document

ID, OWNER = "id", "owner"
INSERT, DELETE, REPLACE = "insert", "delete", "replace"

_ROWS_OF_A_BATCH = 5_000
_LARGEST_VALUE = 1 << 20
_CORE = ":schemas:core:"

Row = tuple[str | None, ...]


@frozen(kw_only=True)
class LinkTable:
    """A table of pairs: the values of one attribute of the resources of another table."""

    name: str
    columns: tuple[str, ...]
    path: ScimPath
    attribute: str

    def row(self, owner: str, value: str | None) -> Row:
        """A pair as a row."""
        return tuple(owner if column.lower() == OWNER else value for column in self.columns)


@frozen(kw_only=True)
class ResourceTable:
    """A table of resources.

    :param kind: its resource type; None where the endpoint is named instead.
    :param links: the tables of pairs whose owners they are.
    """

    name: str
    columns: tuple[str, ...]
    paths: tuple[ScimPath, ...]
    kind: str | None
    endpoint: str | None
    filter: str | None
    overlap: str | None
    links: tuple[LinkTable, ...]

    @property
    def requested(self) -> str:
        """What a service is asked for to have all of its values."""
        paths = [*self.paths, *(link.path for link in self.links)]
        return ",".join(dict.fromkeys([ID, *(path.requested for path in paths)]))

    def deleted_row(self, identity: str) -> Row:
        """The row of a resource of which only its identifier is known."""
        return tuple(identity if column.lower() == ID else None for column in self.columns)


def asked_tables(ask: Question) -> list[ResourceTable]:
    """The tables of a question, each with those of its links."""
    return [_resource_table(ask, table) for table in ask.tables if LINKS not in table.options]


def _resource_table(ask: Question, table: WantedTable) -> ResourceTable:
    return ResourceTable(
        name=table.name,
        columns=table.columns,
        paths=tuple(scim_path(column) for column in table.columns),
        kind=table.options.get(RESOURCE_TYPE),
        endpoint=table.options.get(ENDPOINT),
        filter=table.options.get(FILTER),
        overlap=table.options.get(OVERLAP),
        links=tuple(
            LinkTable(
                name=other.name,
                columns=other.columns,
                path=scim_path(other.options[ATTRIBUTE]),
                attribute=other.options[ATTRIBUTE],
            )
            for other in ask.tables
            if other.options.get(LINKS) == table.name
        ),
    )


@define
class Rows:
    """Makes rows of resources, and hands them on in batches.

    :param is_delta: whether each row has a command.
    :ivar messages: what a user must know of the values, each once.
    """

    into: Tables
    is_delta: bool
    messages: dict[str, None] = field(factory=dict)
    _waiting: dict[str, list[Row]] = field(factory=dict)
    _columns: dict[str, tuple[str, ...]] = field(factory=dict)

    def add(self, table: ResourceTable, identity: str, resource: Document) -> None:
        """Adds the row of a resource, and its links, which are all that it has."""
        cells = (
            self._cell(table, identity, resource, *column) for column in zip(table.columns, table.paths, strict=True)
        )
        self._add(table, tuple(cells), INSERT)
        for link in table.links:
            values = dict.fromkeys(_texts(table.name, link.attribute, link.path, identity, resource))
            for value in values or ([None] if self.is_delta else []):
                self._add(link, link.row(identity, value), REPLACE)

    def delete(self, table: ResourceTable, identity: str) -> None:
        """Says that a resource is gone."""
        self._add(table, table.deleted_row(identity), DELETE)

    def finish(self) -> None:
        """Hands on what waits."""
        for table in self._waiting:
            self._write(table)

    def _cell(self, table: ResourceTable, identity: str, resource: Document, column: str, path: ScimPath) -> str | None:
        texts = sorted(set(_texts(table.name, column, path, identity, resource)))
        if len(texts) > 1:
            primary = list(_texts(table.name, column, path, identity, resource, only_primary=True))
            if len(primary) == 1:
                return primary[0]
            self.messages[
                f"{table.name}: {column} has several values; the first one in sorted order was taken, or the one that "
                "is primary"
            ] = None
        return texts[0] if texts else None

    def _add(self, table: ResourceTable | LinkTable, row: Row, command: str) -> None:
        rows = self._waiting.setdefault(table.name, [])
        self._columns[table.name] = table.columns
        rows.append((command, *row) if self.is_delta else row)
        if len(rows) >= _ROWS_OF_A_BATCH:
            self._write(table.name)

    def _write(self, table: str) -> None:
        rows = self._waiting[table]
        if not rows:
            return
        names = (COMMAND, *self._columns[table]) if self.is_delta else self._columns[table]
        arrays = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        self.into.write(table, pa.record_batch(arrays, names=list(names)))
        rows.clear()


def _texts(
    table: str, column: str, path: ScimPath, identity: str, resource: Document, *, only_primary: bool = False
) -> Iterator[str]:
    """The values of an attribute as texts.

    :raises SourceUnreachable: if one is of several parts, or too large.
    """
    value = value_of(_container(path, resource), path.attribute)
    for item in value if isinstance(value, list) else [value]:
        if path.chooses is not None and not (isinstance(item, dict) and path.chooses(item)):
            continue
        if only_primary and value_of(item, "primary") is not True:
            continue
        part = path.part
        if part is None and isinstance(item, dict) and value_of(item, "value") is not None:
            part = "value"
        single = item if part is None else value_of(item, part)
        for text in single if isinstance(single, list) else [single]:
            if text is None or text == "":
                continue
            if isinstance(text, dict):
                raise SourceUnreachable(
                    f"{table}: {column} of {shown(identity)} has the parts {', '.join(map(shown, text))}",
                    f"Name the part that is meant, such as {column}.{next(iter(text), 'value')}.",
                )
            yield _text(table, column, identity, text)


def _container(path: ScimPath, resource: Document) -> Any:
    if path.schema is None:
        return resource
    extension = value_of(resource, path.schema)
    return resource if extension is None and _CORE in path.schema.lower() else extension


def _text(table: str, column: str, identity: str, value: Any) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    if len(text) > _LARGEST_VALUE:
        raise SourceUnreachable(
            f"{table}: {column} of {shown(identity)} has {len(text):,} characters, and at most {_LARGEST_VALUE:,} are "
            "read",
            "Leave it out of the mapping.",
        )
    return text
