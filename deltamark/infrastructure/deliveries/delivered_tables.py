"""The tables of deliveries as extracts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from attrs import evolve, frozen

from deltamark.application.ports.applied_rows import RowDigests
from deltamark.application.ports.deliveries import Delivery
from deltamark.application.ports.extracts import (
    Extracts,
    FileDigest,
    LinkColumn,
    LinkExtract,
    ResourceExtract,
    Transformation,
)
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityType, EntityTypeMapping
from deltamark.domain.configuration.jobs import COMMAND
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location

_DELIVER_AGAIN = "Run the ExportTask of this connection again, which replaces the delivery."
_Extract = TypeVar("_Extract", ResourceExtract, LinkExtract)


@frozen
class DeliveredExtracts:
    """Reads tables of deliveries, each whole or as a delta, as it was delivered; and all other tables as before.

    :param delivered: table -> its delivery, and what reads the folder of that.
    """

    delivered: Mapping[str, tuple[Delivery, Extracts]]
    others: Extracts

    @property
    def reader(self) -> str | None:
        """None: a delivery moves the place of its source, which the next one is not to be compared with."""
        return None

    def file_of(self, table: str) -> FileDigest:
        """The file of a connection table, see `Extracts`."""
        if table not in self.delivered:
            return self.others.file_of(table)
        return self.delivered[table][1].file_of(table)

    def resources(
        self,
        mapping: EntityTypeMapping,
        entity_type: EntityType,
        command_column: str | None,
        *,
        is_shared: bool = False,
        transformation: Transformation | None = None,
        digests: RowDigests | None = None,
    ) -> ResourceExtract:
        """The cleansed rows of an entity type's connection table (see `Extracts`).

        All of them: what was applied of a delivery is not known.
        """
        table = mapping.connection_table
        if table not in self.delivered:
            return self.others.resources(
                mapping, entity_type, command_column, is_shared=is_shared, transformation=transformation
            )
        delivery, extracts = self.delivered[table]
        command = COMMAND if delivery.tables[table].is_delta else None
        mapping = evolve(mapping, always_complete=False)  # each table is what it was delivered as
        with _as_delivered(delivery, extracts, table):
            extract = extracts.resources(
                mapping, entity_type, command, is_shared=is_shared, transformation=transformation
            )
        return _checked(extract, delivery, table)

    def links(
        self,
        mapping: EntityAssociationMapping,
        ends: tuple[LinkColumn, LinkColumn],
        command_column: str | None,
        *,
        may_lack_first: bool = False,
        is_shared: bool = False,
        transformation: Transformation | None = None,
    ) -> LinkExtract:
        """The cleansed pairs of an association's connection table (see `Extracts`)."""
        table = mapping.connection_table
        if table not in self.delivered:
            return self.others.links(
                mapping,
                ends,
                command_column,
                may_lack_first=may_lack_first,
                is_shared=is_shared,
                transformation=transformation,
            )
        delivery, extracts = self.delivered[table]
        command = COMMAND if delivery.tables[table].is_delta else None
        mapping = evolve(mapping, always_complete=False)
        with _as_delivered(delivery, extracts, table):
            extract = extracts.links(
                mapping,
                ends,
                command,
                may_lack_first=may_lack_first,
                is_shared=is_shared,
                transformation=transformation,
            )
        return _checked(extract, delivery, table)

    def with_tables(self, sources: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> DeliveredExtracts:
        """The extracts of one run, to which a program gives some of the other tables (see `Extracts`)."""
        return evolve(self, others=self.others.with_tables(sources, columns))


@contextmanager
def _as_delivered(delivery: Delivery, extracts: Extracts, table: str) -> Iterator[None]:
    """A block in which the file of a table is read; where it is not the one that was delivered, it is to be made anew.

    :raises SourceError: with that advice.
    """
    try:
        yield
    except SourceError as error:
        try:
            is_as_delivered = extracts.file_of(table).digest == delivery.tables[table].digest
        except SourceError:
            is_as_delivered = False
        if is_as_delivered:
            raise
        raise SourceError(error.where, error.problem, value=error.value, advice=_DELIVER_AGAIN) from error


def _checked(extract: _Extract, delivery: Delivery, table: str) -> _Extract:
    """The extract of a table, as incomplete as its delivery.

    :raises SourceError: if its file is not the one that was delivered.
    """
    cleansed = extract.cleansed
    if cleansed.read.digest != delivery.tables[table].digest:
        raise SourceError(
            Location(cleansed.read.file),
            f"the file is not the one that the {delivery.name} wrote",
            advice=_DELIVER_AGAIN,
        )
    if delivery.incomplete is None or cleansed.incomplete is not None:
        return extract
    reason = f"{table}: {delivery.incomplete}; nothing is deleted because it is missing there"
    return evolve(extract, cleansed=evolve(cleansed, incomplete=reason))
