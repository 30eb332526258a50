"""The proposed configuration, table by table, and what was guessed for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import define, field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Connection,
    ConnectionTransformation,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Property,
    PropertyMapping,
    PropertyRef,
    Thresholds,
)
from deltamark.domain.configuration.jobs import (
    ExportTask,
    Job,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    SynchronizationMode,
    SynchronizeTask,
)
from deltamark.domain.configuration.packages import package_named
from deltamark.domain.configuration.value_formats import Comparison
from deltamark.domain.fields import as_tuple
from deltamark.domain.messages import how_many
from deltamark.domain.proposal.descriptions import Description
from deltamark.domain.proposal.keys import BETWEEN_PARTS, KeyChoice
from deltamark.domain.proposal.links import LinkChoice, pairs_of
from deltamark.domain.proposal.names import entity_type_name, property_name, without_date, without_key_words
from deltamark.domain.proposal.profile import ColumnProfile, ColumnRef, Reading, TableProfile
from deltamark.domain.proposal.readings import Choice, chosen_reading, shows_month_first
from deltamark.domain.proposal.thresholds import fitting_thresholds
from deltamark.domain.values import PropertyType, shown

_COMMANDS = {"insert", "add", "update", "delete", "merge"}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS_OF_QUERIES = frozenset(
    {
        *("all", "alter", "and", "as", "between", "by", "case", "create", "cross", "current_date", "current_user"),
        *("default", "distinct", "drop", "else", "end", "except", "false", "fetch", "for", "force", "from", "glob"),
        *("grant", "group", "having", "ilike", "in", "inner", "insert", "intersect", "into", "is", "join", "lateral"),
        *("like", "limit", "not", "notnull", "null", "offset", "on", "only", "or", "order", "outer", "positional"),
        *("qualify", "returning", "revoke", "rollback", "select", "summarize", "tablesample", "then", "true", "union"),
        *("user", "using", "values", "when", "where", "window", "with"),
        *("current_time", "current_timestamp", "install", "localtime", "localtimestamp", "session_user"),
    }
)
"""Names of columns that a query must have in quotes."""


@frozen(kw_only=True)
class Note:
    """Something that was guessed.

    :param column: empty where it is about the file as a whole.
    :param text: a clause.
    :param is_unsure: whether a person must look at it.
    """

    file: str
    column: str
    text: str
    is_unsure: bool = False


@frozen(kw_only=True)
class Section:
    """A part of a configuration file.

    :param comment: what precedes it; empty for nothing.
    :param items: the objects of the configuration.
    :param comments: of objects, also of those inside others, by their `id`.
    """

    items: tuple[object, ...] = field(converter=as_tuple)
    comment: str = ""
    comments: Mapping[int, str] = field(factory=dict)


@frozen(kw_only=True)
class Proposal:
    """A configuration that synchronizes some files, or tables of a server.

    :param model: the connector, then the tables and their links, as a file should show them.
    :param jobs: the jobs, likewise.
    :param notes: what was guessed, in the order of the files.
    :param description: what the server said; None for files.
    """

    connector: Connector
    model: tuple[Section, ...] = field(converter=as_tuple)
    jobs: tuple[Section, ...] = field(converter=as_tuple)
    notes: tuple[Note, ...] = field(converter=as_tuple)
    description: Description | None = None

    @property
    def job(self) -> Job:
        """The job that synchronizes the files."""
        return next(item for section in self.jobs for item in section.items if isinstance(item, Job))

    @property
    def configuration(self) -> Configuration:
        """The whole configuration."""
        items = [item for section in (*self.model, *self.jobs) for item in section.items]
        return Configuration(
            connectors=_only(Connector, items),
            connections=_only(Connection, items),
            entity_types=_only(EntityType, items),
            associations=_only(EntityAssociation, items),
            entity_type_mappings=_only(EntityTypeMapping, items),
            transformations=_only(ConnectionTransformation, items),
            association_mappings=_only(EntityAssociationMapping, items),
            jobs=_only(Job, items),
        )


_Item = TypeVar("_Item")


def _only(kind: type[_Item], items: Iterable[object]) -> list[_Item]:
    return [item for item in items if isinstance(item, kind)]


def proposal(
    tables: Sequence[TableProfile],
    keys: Mapping[str, KeyChoice],
    links: Sequence[LinkChoice],
    *,
    connector: str,
    description: Description | None = None,
) -> Proposal:
    """The configuration for some tables.

    :param keys: table -> its key.
    :param links: the columns that name resources of tables.
    :param connector: its name.
    :param description: what their server says of them; None where they are files.
    """
    return _Draft(tables, keys, links, connector, description).finished()


def connection_name(connector: str) -> str:
    """The name of the connection that is proposed for a connector."""
    return f"{connector}_Source"


@define
class _Type:
    """A table that becomes an entity type: the names of its properties by column."""

    profile: TableProfile
    key: str
    name: str
    properties: dict[str, str] = field(factory=dict)
    navigations: list[str] = field(factory=list)

    @property
    def taken(self) -> list[str]:
        return [*self.properties.values(), *self.navigations]

    def ref(self, column: str) -> PropertyRef:
        return PropertyRef(self.name, self.properties[column])


def with_parts(table: str, name: str, parts: Sequence[str]) -> str:
    """The query that adds a key which is made of several columns."""
    joined = f" || '{BETWEEN_PARTS}' || ".join(_quoted(part) for part in parts)
    return f"select {joined} as {name}, * from {_quoted(table)}"


def _quoted(column: str) -> str:
    """A column in a query, in quotes where it needs them."""
    if _PLAIN_NAME.fullmatch(column) and column.lower() not in _WORDS_OF_QUERIES:
        return column
    escaped = column.replace('"', '""')
    return f'"{escaped}"'


class _Draft:
    """Collects the parts of a proposal."""

    def __init__(
        self,
        tables: Sequence[TableProfile],
        keys: Mapping[str, KeyChoice],
        links: Sequence[LinkChoice],
        connector: str,
        description: Description | None,
    ) -> None:
        self._description = description
        self._tables = tables
        self._keys = keys
        self._connector = connector
        self._notes: list[Note] = []
        self._sections: list[Section] = []
        self._month_first = shows_month_first(column for table in tables for column in table.columns)
        self._pure = {
            table.table: ends for table in tables if (ends := pairs_of(table, keys[table.table].column, links))
        }
        self._types = self._named_types()
        self._links = [link for link in links if {link.source.table, link.target.table} <= set(self._types)]
        self._referring = [*self._links, *(end for ends in self._pure.values() for end in ends)]
        for draft in self._types.values():
            self._name_properties(draft)

    def _named_types(self) -> dict[str, _Type]:
        types: dict[str, _Type] = {}
        for table in self._tables:
            key = self._keys[table.table].column
            if table.table in self._pure or key is None:
                continue
            name = entity_type_name(table.table, [known.name for known in types.values()])
            types[table.table] = _Type(table, key, name)
        return types

    def _name_properties(self, draft: _Type) -> None:
        """Names the properties of a type: its key, what links refer to, and all columns that are no links."""
        table = draft.profile
        linked = {link.source.column for link in self._links if link.source.table == table.table}
        for column in table.columns:
            if column.name not in linked or column.name == draft.key or self._referring_to(table, column):
                draft.properties[column.name] = property_name(column.name, draft.taken)

    def _referring_to(self, table: TableProfile, column: ColumnProfile) -> list[LinkChoice]:
        return [link for link in self._referring if link.target == ColumnRef(table.table, column.name)]

    def finished(self) -> Proposal:
        """The proposal."""
        for table in self._tables:
            self._say_about_file(table)
            if table.table in self._types:
                self._add_type(self._types[table.table])
            elif table.table in self._pure:
                self._add_link_table(table, *self._pure[table.table])
            else:
                self._leave_out(table)
        connector = self._made_connector()
        return Proposal(
            connector=connector,
            model=[self._connector_section(connector), *self._connection_sections(), *self._sections],
            jobs=[self._job_section()],
            notes=[*self._notes_of_server(), *self._notes],
            description=self._description,
        )

    def _notes_of_server(self) -> list[Note]:
        if self._description is None:
            return []
        notes = self._description.notes
        first = Note(file=self._description.server, column="", text=how_many(len(self._description.tables), "table"))
        return [first, *(Note(file=self._description.server, column="", text=text, is_unsure=True) for text in notes)]

    def _note(self, table: TableProfile, text: str, *, column: str = "", is_unsure: bool = False) -> None:
        self._notes.append(Note(file=table.file, column=column, text=text, is_unsure=is_unsure))

    def _say_about_file(self, table: TableProfile) -> None:
        columns = len(table.columns) + len(table.left_out) - bool(self._keys[table.table].parts)
        parts = [how_many(table.rows, "row"), how_many(columns, "column")]
        if table.delimiter is not None:
            sign = "tabs" if table.delimiter == "\t" else shown(table.delimiter)
            parts.append(f"{sign} between columns")
        if not table.is_of_server:
            encoding = "typed by the file" if table.file.endswith(".parquet") else "UTF-8"
            parts.append(table.encoding or encoding)
        if table.skip_lines:
            parts.append(f"{how_many(table.skip_lines, 'line')} before the header")
        self._note(table, ", ".join(parts))
        self._say_how_changes_are_told(table)
        for column, reason in table.left_out:
            self._note(table, f"left out: {reason}", column=column or "(no name)", is_unsure=True)
        if table.unreadable:
            text = f"{how_many(table.unreadable, 'row')} cannot be read and will be set aside: {table.flaw}"
            self._note(table, text, is_unsure=True)
        if not table.is_of_server and without_date(table.table) != table.table:
            self._note(
                table,
                "the name ends with a date: the next extract must have the same name, or each run reads this one again",
                is_unsure=True,
            )

    def _say_how_changes_are_told(self, table: TableProfile) -> None:
        described = None if self._description is None else self._description.table(table.table)
        watermark = None if described is None else described.watermark
        if watermark is None:
            return
        self._note(
            table,
            f"the watermark: {watermark.why}. It must grow whenever a row is changed",
            column=watermark.column,
            is_unsure=watermark.is_unsure,
        )

    def _leave_out(self, table: TableProfile) -> None:
        why = self._keys[table.table].why
        self._note(table, f"left out: {why}", is_unsure=True)
        comment = f"{table.file} is left out: {why}. A resource needs one column that identifies it."
        self._sections.append(Section(items=[], comment=comment))

    def _add_type(self, draft: _Type) -> None:
        table, comments = draft.profile, dict[int, str]()
        declared: list[Property] = []
        mapped: list[PropertyMapping] = []
        for column in table.columns:
            if column.name not in draft.properties:
                continue
            one, mapping, comment = self._property(draft, column)
            declared.append(one)
            mapped.append(mapping)
            if comment:
                comments[id(mapping)] = comment
        entity_type = EntityType(draft.name, declared)
        mapping_of_type = EntityTypeMapping(
            draft.name,
            self._connector,
            table.table,
            mapped,
            encoding=table.encoding,
            skip_lines=table.skip_lines,
        )
        comment = f"{table.file}: {how_many(table.rows, 'row')} when this was written."
        key = self._keys[table.table]
        made: list[ConnectionTransformation] = []
        if key.parts:
            made.append(
                ConnectionTransformation(
                    table.table, self._connector, table.table, with_parts(table.table, draft.key, key.parts)
                )
            )
            comment += f" {draft.key} is {key.why}."
        self._sections.append(Section(items=[*made, entity_type, mapping_of_type], comment=comment, comments=comments))
        for link in self._links:
            if link.source.table == table.table:
                self._add_link(draft, link)

    def _property(self, draft: _Type, column: ColumnProfile) -> tuple[Property, PropertyMapping, str]:
        table, name = draft.profile, draft.properties[column.name]
        is_key = column.name == draft.key
        referring = self._referring_to(table, column)
        comments: list[str] = []
        if column.is_binary:
            choice = Choice(reading=Reading(kind=PropertyType.BINARY))
        elif is_key or referring:
            choice = Choice(reading=Reading() if self._is_of_directory else _key_reading(column))
        else:
            choice = chosen_reading(column, self._month_first)
        if is_key:
            key = self._keys[table.table]
            self._note(table, f"the key: {key.why}", column=column.name, is_unsure=key.is_unsure)
            comments += [f"Is this the key? It was taken because it is {key.why}."] if key.is_unsure else []
        reading = choice.reading
        if not is_key and (reading.kind is not PropertyType.STRING or choice.why):
            form = f" ({_written(choice)})" if _written(choice) else ""
            why = f": {choice.why}" if choice.why else ""
            self._note(table, f"{reading.kind.label}{form}{why}", column=column.name, is_unsure=choice.is_unsure)
            comments += [f"{choice.why[:1].upper()}{choice.why[1:]}."] if choice.why else []
        if column.filled == 0 and not column.is_binary:
            self._note(table, "every cell is empty: taken as text", column=column.name, is_unsure=True)
        if not is_key and column.filled and {value.lower() for value in column.sample} <= _COMMANDS:
            text = "these look like commands: if the file holds changes only, see SynchronizationMode and ColumnName"
            self._note(table, text, column=column.name, is_unsure=True)
        written = reading.written
        mapping = PropertyMapping(
            name,
            column.name,
            is_primary_key=is_key,
            is_unique_key=bool(referring) and not is_key,
            format=written.format,
            decimal_separator=written.decimal_separator,
            thousands_separator=written.thousands_separator,
            true_values=written.true_values,
            false_values=written.false_values,
            null_values=written.null_values,
            trim=written.trim and not is_key,
            comparison=_comparison(referring),
        )
        return Property(name, reading.kind), mapping, " ".join(comments)

    def _add_link(self, source: _Type, link: LinkChoice) -> None:
        target = self._types[link.target.table]
        column = source.profile.column(link.source.column)
        stem = without_key_words(column.name)
        navigation = property_name(stem if stem != source.key else column.name, source.taken)
        source.navigations.append(navigation)
        is_snake = navigation.islower()
        if source is target:
            back = f"{navigation}_of" if is_snake else f"{navigation}Of"
        else:
            back = (
                source.name
                if not any(_same(source.name, used) for used in target.taken)
                else f"{source.name}_{navigation}"
            )
        back = property_name(back, target.taken)
        target.navigations.append(back)
        association = EntityAssociation(
            f"{source.name}_{navigation}",
            PropertyRef(source.name, navigation),
            PropertyRef(target.name, back),
            is_property1_collection=link.separator is not None,
            is_property2_collection=column.distinct < column.filled or link.separator is not None,
        )
        mapping = EntityAssociationMapping(
            association.identifier,
            self._connector,
            source.profile.table,
            source.key,
            column.name,
            source.ref(source.key),
            target.ref(link.target.column),
            encoding=source.profile.encoding,
            skip_lines=source.profile.skip_lines,
            separator2=link.separator,
        )
        several = f", several in a cell with {link.separator} between" if link.separator else ""
        what = f"a link to {target.name}{several}"
        self._note(source.profile, f"{what}: {link.why}", column=column.name, is_unsure=link.is_unsure)
        doubt = "Is this a link? " if link.is_unsure else ""
        comment = f"{doubt}{column.name} of {source.profile.file}: {link.why}{several}."
        self._sections.append(Section(items=[association, mapping], comment=comment))

    def _add_link_table(self, table: TableProfile, first: LinkChoice, second: LinkChoice) -> None:
        ends = [self._types.get(end.target.table) for end in (first, second)]
        if ends[0] is None or ends[1] is None:
            self._leave_out(table)
            return
        one, other = ends[0], ends[1]
        name = entity_type_name(table.table, [known.name for known in self._types.values()])
        described = None if self._description is None else self._description.table(table.table)
        called = None if described is None else described.link_name
        forward = property_name(called or (other.name if one is not other else second.source.column), one.taken)
        one.navigations.append(forward)
        opposite = f"{called}_of" if called else one.name if one is not other else first.source.column
        back = property_name(opposite, other.taken)
        other.navigations.append(back)
        association = EntityAssociation(
            name,
            PropertyRef(one.name, forward),
            PropertyRef(other.name, back),
            is_property1_collection=described is None or not described.is_single_link,
            is_property2_collection=True,
        )
        mapping = EntityAssociationMapping(
            name,
            self._connector,
            table.table,
            first.source.column,
            second.source.column,
            one.ref(first.target.column),
            other.ref(second.target.column),
            encoding=table.encoding,
            skip_lines=table.skip_lines,
        )
        self._note(table, f"links of {one.name} and {other.name}: {first.why}, {second.why}")
        others = [c.name for c in table.columns if c.name not in (first.source.column, second.source.column)]
        comment = f"{table.file}: pairs of keys, {how_many(table.rows, 'row')} when this was written."
        if others:
            text = f"{', '.join(others)} left out: a link holds no values of its own"
            self._note(table, text, is_unsure=True)
            comment += f" {text[:1].upper()}{text[1:]}."
        self._sections.append(Section(items=[association, mapping], comment=comment))

    def _made_connector(self) -> Connector:
        resources = sum(draft.profile.rows for draft in self._types.values())
        by_table = {table.table: table for table in self._tables}
        links = sum(by_table[link.source.table].column(link.source.column).filled for link in self._links)
        links += sum(by_table[table].rows for table in self._pure)
        return Connector(self._connector, thresholds=fitting_thresholds(resources, links))

    def _connector_section(self, connector: Connector) -> Section:
        rows = sum(draft.profile.rows for draft in self._types.values())
        default = connector.thresholds == Thresholds()
        comment = (
            f"Where the {self._what} come from. A run that would change more than the limits allow is held back until "
            f"you decide. They fit the {rows:,} rows of today; without these attributes: 100 lines, 1,000 links, 5 %."
        )
        return Section(items=[connector], comment="" if default else comment)

    @property
    def _is_of_directory(self) -> bool:
        """Whether keys must be texts as the server gives them: it tells deletions by them."""
        package = None if self._description is None else package_named(self._description.package)
        return package is not None and package.key_column is not None

    @property
    def _what(self) -> str:
        return "files" if self._description is None else "tables"

    def _connection_sections(self) -> list[Section]:
        """The connection, with the tables that something of the proposal reads."""
        if self._description is None:
            return []
        described = [table for table in self._description.tables if table.name in {**self._types, **self._pure}]
        connection = Connection(
            connection_name(self._connector),
            self._connector,
            self._description.package,
            tables=[table.table for table in described],
            display_names={1: f"Source of {self._connector}"},
        )
        package = package_named(self._description.package)
        comment = (
            "What is read from the server, which deltamark.toml names. Of each table the columns are read that a "
            "mapping below names."
            if package is None or not package.reads_files
            else f"What is read from {self._description.server}, in the folder that deltamark.toml names."
        )
        comments = {
            id(
                table.table
            ): f"From the second run on, what has a newer {table.watermark.column} is read, and all keys, "
            f"by which deletions are found. Does {table.watermark.column} grow whenever a row is changed?"
            for table in described
            if table.watermark is not None
        }
        return [Section(items=[connection], comment=comment, comments=comments)]

    def _job_section(self) -> Section:
        connector = self._connector
        prepare = (
            PrepareSynchronizationTask(
                identifier=f"Prepare{connector}",
                display_names={1: f"Read the files of {connector}"},
                connector=connector,
                synchronization_mode=SynchronizationMode.COMPLETE,
                level=1,
            )
            if self._description is None
            else ExportTask(
                identifier=f"Read{connector}",
                display_names={1: f"Read {connector}"},
                connection=connection_name(connector),
                level=1,
            )
        )
        synchronize = SynchronizeTask(
            identifier=f"Synchronize{connector}",
            display_names={1: f"Synchronize {connector}"},
            connector=connector,
            do_not_delete_changes=True,
            level=2,
        )
        flag = SetRecentlyModifiedFlagTask(
            identifier=f"Flag{connector}",
            display_names={1: "Flag what changed"},
            parents=[synchronize.identifier],
            level=3,
        )
        job = Job(
            "Incremental",
            [prepare, synchronize, flag],
            display_names={1: f"Synchronize {connector}, then flag what changed"},
            is_incremental=True,
        )
        comments = {
            id(prepare): "Read the files: they are complete, so what is missing in them is deleted."
            if self._description is None
            else "Read the tables: whole ones, or, of a server that tells it, what changed since the last time.",
            id(synchronize): "Make the resources equal to them. DoNotDeleteChanges keeps every change in the log.",
            id(flag): "Flag what changed, for tasks that compute something of it.",
        }
        return Section(items=[job], comments=comments)


def _comparison(referring: Sequence[LinkChoice]) -> Comparison:
    if any(link.is_directory_name for link in referring):
        return Comparison.DIRECTORY
    return Comparison.IGNORE_CASE if any(link.ignores_case for link in referring) else Comparison.EXACT


def _key_reading(column: ColumnProfile) -> Reading:
    """Keys are texts, so that zeros at their beginning and letters of later ones are kept; Guids are Guids."""
    guids = [t.reading for t in column.readings if t.reading.kind is PropertyType.GUID and t.unreadable == 0]
    return guids[0] if guids else Reading()


def _written(choice: Choice) -> str:
    written = choice.reading.written
    if written.format:
        return written.format
    if written.true_values:
        return "/".join((*written.true_values, *written.false_values))
    if choice.reading.kind is PropertyType.DECIMAL and (
        written.decimal_separator != "." or written.thousands_separator
    ):
        group = f", {shown(written.thousands_separator)} between thousands" if written.thousands_separator else ""
        return f"{shown(written.decimal_separator)} before the fraction{group}"
    return ""


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
