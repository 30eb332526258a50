"""Compares sources with the configuration before a run; writes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field, frozen

from deltamark.application.ports.extracts import Extracts, LinkExtract, ResourceExtract
from deltamark.application.synchronization.prepare import read_links, read_resources
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Connector,
    EntityAssociationMapping,
    EntityTypeMapping,
    PropertyRef,
)
from deltamark.domain.configuration.value_formats import Comparison
from deltamark.domain.errors import Fault, SourceError
from deltamark.domain.location import Location
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import SetAside
from deltamark.domain.synchronization.rows import each_row_once
from deltamark.domain.synchronization.thresholds import limits_met_by_one_change
from deltamark.domain.validation.validate import in_file_order
from deltamark.domain.values import shown

MOST_SHOWN = 3
"""Rows with a fault of one column that are shown one by one."""


@frozen(kw_only=True)
class SourceReport:
    """What is wrong with the sources of a configuration, in the order of the files.

    :param faults: what would fail a run.
    :param warnings: what a run would set aside, leave waiting, or hold back.
    :param files: the number of files that could be read.
    :param rows: the number of their rows.
    """

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    files: int
    rows: int


def check_sources(configuration: Configuration, extracts: Extracts) -> SourceReport:
    """Reads all extracts of the connectors that a job synchronizes as a run does, every row, and compares nothing.

    Tables that a connection reads from its source are left out: they are no files.

    The links of an extract are compared with the keys in the other extracts, unless one of these could not be read or
    is a delta.
    """
    check = _Check(configuration, extracts)
    for connector in configuration.connectors:
        if connector.identifier in configuration.synchronized_connectors and not connector.is_deactivated:
            check.read(connector)
    check.compare_links()
    return SourceReport(
        faults=in_file_order(dict.fromkeys(check.faults)),
        warnings=in_file_order(dict.fromkeys((*_set_aside(check.set_aside), *check.warnings))),
        files=len(check.rows_of_files),
        rows=sum(check.rows_of_files.values()),
    )


@define
class _Check:
    configuration: Configuration
    extracts: Extracts
    faults: list[Fault] = field(factory=list)
    warnings: list[Fault] = field(factory=list)
    refused: set[tuple[Location, str]] = field(factory=set)
    set_aside: list[SetAside] = field(factory=list)
    rows_of_files: dict[str, int] = field(factory=dict)
    resources: dict[str, ResourceExtract] = field(factory=dict)
    links: list[tuple[EntityAssociationMapping, LinkExtract]] = field(factory=list)

    def read(self, connector: Connector) -> None:
        """Reads the extracts of a connector."""
        resources, links = self.configuration.mappings_of_connector(connector.identifier)
        delivered = self._delivered(connector.identifier)
        read = self.configuration.table_read
        resources = tuple(mapping for mapping in resources if read(mapping) not in delivered)
        links = tuple(mapping for mapping in links if read(mapping) not in delivered)
        tables = Counter([*(m.connection_table for m in resources), *(m.connection_table for m in links)])
        command = self._command_column(connector.identifier)
        counts: dict[str, int] = {}
        for mapping in resources:
            extract = self._resources(mapping, command, is_shared=tables[mapping.connection_table] > 1)
            if extract is not None:
                self._keep(extract)
                self.resources[mapping.entity_type] = extract
                if not extract.is_delta:
                    counts[mapping.entity_type] = extract.rows.num_rows
        for link_mapping in links:
            pairs = self._links(link_mapping, command, is_shared=tables[link_mapping.connection_table] > 1)
            if pairs is not None:
                self._keep(pairs)
                self.links.append((link_mapping, pairs))
        if len(counts) == len(resources):
            self._check_thresholds(connector, resources, counts)

    def _delivered(self, connector: str) -> Collection[str]:
        """The tables that a connection reads from its source, which are no files."""
        connections = (one for one in self.configuration.connections if one.connector == connector)
        return {table.identifier for connection in connections for table in connection.tables}

    def _command_column(self, connector: str) -> str | None:
        """The column with the commands, where a job reads the extracts of a connector as deltas."""
        tasks = (task for job in self.configuration.jobs for task in self.configuration.called_by(job))
        return next((task.command_column for task in tasks if task.prepares == connector and task.command_column), None)

    def _resources(self, mapping: EntityTypeMapping, command: str | None, *, is_shared: bool) -> ResourceExtract | None:
        try:
            return read_resources(self.configuration, self.extracts, mapping, command, is_shared=is_shared)
        except SourceError as error:
            self._refuse(error, mapping)
            return None

    def _links(self, mapping: EntityAssociationMapping, command: str | None, *, is_shared: bool) -> LinkExtract | None:
        try:
            return read_links(self.configuration, self.extracts, mapping, command, is_shared=is_shared)
        except SourceError as error:
            self._refuse(error, mapping)
            return None

    def _refuse(self, error: SourceError, mapping: EntityTypeMapping | EntityAssociationMapping) -> None:
        if (error.where, error.problem) in self.refused:
            return  # by another mapping of the same file
        self.refused.add((error.where, error.problem))
        value = f" (read: {shown(error.value)})" if error.value is not None else ""
        at = f" The mapping is at {mapping.location}." if mapping.location else ""
        self.faults.append(Fault(error.where, f"{error.problem}{value}. {error.advice}{at}"))

    def _keep(self, extract: ResourceExtract | LinkExtract) -> None:
        cleansed = extract.cleansed
        self.rows_of_files[cleansed.read.file] = max(cleansed.read.rows, self.rows_of_files.get(cleansed.read.file, 0))
        self.set_aside += cleansed.set_aside
        if cleansed.incomplete:
            self.warnings.append(Fault(Location(cleansed.read.file), cleansed.incomplete))

    def _check_thresholds(
        self, connector: Connector, mappings: Iterable[EntityTypeMapping], counts: Mapping[str, int]
    ) -> None:
        subjects = [
            (f"connector {connector.identifier}", connector.thresholds, connector.location, sum(counts.values()))
        ]
        subjects += [
            (f"the mapping of {mapping.entity_type}", mapping.thresholds, mapping.location, counts[mapping.entity_type])
            for mapping in mappings
        ]
        for owner, thresholds, location, rows in subjects:
            met = limits_met_by_one_change(thresholds, rows)
            if met:
                text = (
                    f"of the {how_many(rows, 'row')} of {owner}, a single change exceeds {', '.join(met)}: a run would "
                    "be held back. Raise the percentages, or set them to 0"
                )
                self.warnings.append(Fault(location, text))

    def compare_links(self) -> None:
        """Finds the links whose ends no extract has as a key."""
        for mapping, extract in self.links:
            if extract.is_delta:
                continue
            ends = (
                ("value1", mapping.column1, mapping.entity_property_mapping1),
                ("value2", mapping.column2, mapping.entity_property_mapping2),
            )
            for values, column, ref in ends:
                keys = self._keys(ref)
                if keys is not None:
                    self._check_end(extract, values, column, ref, keys, ignores_case=self._ignores_case(ref))

    def _keys(self, ref: PropertyRef) -> pa.ChunkedArray | None:
        """The keys of a type in its extract, also of rows that are set aside; None where they are not all known."""
        mapping, extract = self.configuration.mapping_of(ref.entity_type), self.resources.get(ref.entity_type)
        if mapping is None or extract is None or extract.is_delta or mapping.primary_key.identifier != ref.property:
            return None
        return pa.chunked_array([*extract.rows.column("key").chunks, extract.kept], pa.string())

    def _ignores_case(self, ref: PropertyRef) -> bool:
        mapping = self.configuration.mapping_of(ref.entity_type)
        assert mapping is not None, "its keys are known"
        return mapping.primary_key.comparison is not Comparison.EXACT

    def _check_end(
        self,
        extract: LinkExtract,
        values: str,
        column: str,
        ref: PropertyRef,
        keys: pa.ChunkedArray,
        *,
        ignores_case: bool,
    ) -> None:
        rows = extract.rows.filter(pc.is_valid(extract.rows.column(values)))
        named = rows.column(values)
        if ignores_case:
            named, keys = pc.utf8_lower(named), pc.utf8_lower(keys)
        missing = rows.filter(pc.invert(pc.is_in(named, value_set=pc.unique(keys))))
        missing = missing.filter(pc.invert(pc.is_in(missing.column(values), value_set=extract.kept)))
        if missing.num_rows:
            line, example = missing.column("line")[0].as_py(), missing.column(values)[0].as_py()
            verb = "names" if missing.num_rows == 1 else "name"
            text = (
                f"{how_many(missing.num_rows, 'link')} of {rows.num_rows:,} {verb} no {ref.entity_type} of its extract"
                f", such as {shown(example)}: a run leaves them waiting until there is one"
            )
            self.warnings.append(Fault(Location(extract.cleansed.read.file, line, column), text))


def _set_aside(rows: Iterable[SetAside]) -> Iterator[Fault]:
    """The rows that a run would set aside: of each column the first, and how many more there are."""
    of_columns: dict[tuple[str, str | None], list[SetAside]] = defaultdict(list)
    for row in each_row_once(rows):
        of_columns[row.file, row.column].append(row)
    for (file, column), faulty in of_columns.items():
        for number, row in enumerate(faulty[:MOST_SHOWN], 1):
            value = f" (read: {shown(row.value)})" if row.value is not None else ""
            more = len(faulty) - number if number == MOST_SHOWN else 0
            others = f", and {how_many(more, 'more row')} for this column" if more else ""
            yield Fault(Location(file, row.line, column), f"{row.reason}{value}; a run sets the row aside{others}")
