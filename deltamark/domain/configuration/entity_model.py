"""The entity model: properties, associations, and the extracts that feed them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import Factory, field, frozen

from deltamark.domain.configuration.keywords import checked_keywords
from deltamark.domain.configuration.value_formats import ByteOrder, Comparison, ValueFormat
from deltamark.domain.fields import DisplayNames, as_texts, as_tuple, location_field, names_field
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType


@checked_keywords
@frozen
class Thresholds:
    """Limits beyond which a synchronization is blocked.

    0 switches a limit off.

    Lines are counts; percentages are of the resources (or links) held before.
    """

    maximum_inserted_lines: int = 0
    maximum_updated_lines: int = 0
    maximum_deleted_lines: int = 0
    maximum_link_inserted_lines: int = 0
    maximum_link_deleted_lines: int = 0
    max_percentage_inserted_lines: int = 0
    max_percentage_updated_lines: int = 0
    max_percentage_deleted_lines: int = 0
    max_link_percentage_inserted_lines: int = 0
    max_link_percentage_deleted_lines: int = 0


CONNECTOR_DEFAULTS = Thresholds(
    maximum_inserted_lines=100,
    maximum_updated_lines=100,
    maximum_deleted_lines=100,
    maximum_link_inserted_lines=1000,
    maximum_link_deleted_lines=1000,
    max_percentage_inserted_lines=5,
    max_percentage_updated_lines=5,
    max_percentage_deleted_lines=5,
    max_link_percentage_inserted_lines=5,
    max_link_percentage_deleted_lines=5,
)
"""The limits of a `Connector` that states none."""


class JobUse(Enum):
    """How a connector takes part in complete or in incremental jobs."""

    USED = 0
    NOT_USED = 1
    ONLY_SYNCHRONIZATION = 2
    ONLY_PROVISIONING = 3


@checked_keywords
@frozen
class NamedObject:
    """An `Agent` or a `Policy`. What refers to it must name one that exists."""

    identifier: str
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()


@checked_keywords
@frozen
class Agent(NamedObject):
    """A machine that runs tasks in other products.

    Accepted without effect.
    """


@checked_keywords
@frozen
class Policy(NamedObject):
    """A group of rules in other products.

    Accepted without effect.
    """


@checked_keywords
@frozen
class Connector:
    """A source system."""

    identifier: str
    agent: str | None = None
    thresholds: Thresholds = CONNECTOR_DEFAULTS
    is_deactivated: bool = False
    complete_job: JobUse = JobUse.USED
    incremental_job: JobUse = JobUse.USED
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()


def _options(options: Mapping[str, str]) -> dict[str, str]:
    return dict(options)


@checked_keywords
@frozen
class ConnectionTable:
    """A table that a connection reads: it stands for the connection table of that name in mappings, as a file would.

    :param options: how it is read: attribute -> text. Which there are depends on the package of the connection.
    """

    identifier: str
    options: Mapping[str, str] = field(factory=dict, converter=_options)
    location: Location | None = location_field()


@checked_keywords
@frozen
class Connection:
    """A connection of a connector to its source system.

    `package` names the kind of source. A connection without tables is accepted, kept and written back, and nothing
    depends on it: its extracts are files that something else puts into the export folder.
    """

    identifier: str
    connector: str
    package: str | None = None
    tables: tuple[ConnectionTable, ...] = field(converter=as_tuple, default=())
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()


@checked_keywords
@frozen
class ConnectionTransformation:
    """A connection table that is made of another one, row by row, before anything is prepared.

    Mappings name it as their connection table.

    :param table: the connection table that is read: a file, what a program gives, or what a connection delivers. It may
        have the same name.
    :param query: ``SELECT … FROM table WHERE …`` over one row at a time.
    """

    identifier: str
    connector: str
    table: str
    query: str
    location: Location | None = location_field()


@checked_keywords
@frozen
class Property:
    """A property that resources of an entity type may hold."""

    identifier: str
    type: PropertyType = PropertyType.STRING
    is_key: bool = False
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()


def _properties(items: Iterable[Property]) -> tuple[Property, ...]:
    return as_tuple(items)


@checked_keywords
@frozen
class EntityType:
    """A kind of resource: a person, an account, a group."""

    identifier: str
    properties: tuple[Property, ...] = field(converter=_properties, default=())
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()

    def property(self, identifier: str) -> Property | None:
        """The property with that identifier, or None."""
        return next((p for p in self.properties if p.identifier == identifier), None)


@checked_keywords
@frozen
class PropertyRef:
    """A property of an entity type, written `EntityType:Property`."""

    entity_type: str
    property: str

    def __str__(self) -> str:
        return f"{self.entity_type}:{self.property}"


@checked_keywords
@frozen
class EntityAssociation:
    """Links between two entity types, navigable in both directions.

    `property1` belongs to the type whose key is in `Column1` of the mapping and leads to the other type.
    A link goes from the first type to the second.
    """

    identifier: str
    property1: PropertyRef
    property2: PropertyRef
    is_property1_collection: bool = False
    is_property2_collection: bool = False
    display_names: DisplayNames = names_field()
    location: Location | None = location_field()


@checked_keywords
@frozen
class PropertyMapping:
    """Which column of the connection table feeds a property, and how its values are written there.

    The column has the name of the property unless `connection_column` names another.

    See `ValueFormat` for the options of values. `comparison` says which of them count as the same, also where an
    association names them.
    """

    identifier: str
    connection_column: str = Factory(lambda mapped: mapped.identifier, takes_self=True)
    is_primary_key: bool = False
    is_unique_key: bool = False
    format: str | None = None
    decimal_separator: str = "."
    thousands_separator: str | None = None
    true_values: tuple[str, ...] = field(converter=as_texts, default=())
    false_values: tuple[str, ...] = field(converter=as_texts, default=())
    null_values: tuple[str, ...] = field(converter=as_texts, default=())
    trim: bool = False
    byte_order: ByteOrder = ByteOrder.LITTLE_ENDIAN
    comparison: Comparison = Comparison.EXACT
    location: Location | None = location_field()

    @property
    def value_format(self) -> ValueFormat:
        """How the values of the column are written."""
        return ValueFormat(
            format=self.format,
            decimal_separator=self.decimal_separator,
            thousands_separator=self.thousands_separator,
            true_values=self.true_values,
            false_values=self.false_values,
            null_values=self.null_values,
            trim=self.trim,
            byte_order=self.byte_order,
        )


def _property_mappings(items: Iterable[PropertyMapping]) -> tuple[PropertyMapping, ...]:
    return as_tuple(items)


@checked_keywords
@frozen
class EntityTypeMapping:
    """Where the resources of an entity type come from.

    `encoding` (``utf-8``, ``utf-16``, ``windows-1252``) and `delimiter` (one character) are for extracts in which
    they cannot be detected; None means that they are detected. `skip_lines` lines precede the header of a text file.
    The extract of a mapping that is `always_complete` holds everything also where those of its connector are deltas.
    """

    identifier: str
    connector: str
    connection_table: str
    properties: tuple[PropertyMapping, ...] = field(converter=_property_mappings, default=())
    thresholds: Thresholds = Thresholds()
    encoding: str | None = None
    delimiter: str | None = None
    skip_lines: int = 0
    always_complete: bool = False
    location: Location | None = location_field()

    @property
    def entity_type(self) -> str:
        """The entity type that this mapping feeds."""
        return self.identifier

    @property
    def primary_key(self) -> PropertyMapping:
        """The property that identifies a resource.

        A validated configuration has exactly one.
        """
        return next(p for p in self.properties if p.is_primary_key)


@checked_keywords
@frozen
class EntityAssociationMapping:
    """Where the links of an association come from.

    Each row links the resource whose `entity_property_mapping1` equals `column1` to the one whose
    `entity_property_mapping2` equals `column2`. Values are written as those of these properties; `null_values` and
    `trim` are for columns that are written otherwise.

    A cell of a column with a separator (`separator1`, `separator2`) holds several values, each of which names a
    resource. A separator after a backslash does not separate.

    `always_complete` as in `EntityTypeMapping`.
    """

    identifier: str
    connector: str
    connection_table: str
    column1: str
    column2: str
    entity_property_mapping1: PropertyRef
    entity_property_mapping2: PropertyRef
    thresholds: Thresholds = Thresholds()
    encoding: str | None = None
    delimiter: str | None = None
    skip_lines: int = 0
    separator1: str | None = None
    separator2: str | None = None
    null_values: tuple[str, ...] = field(converter=as_texts, default=())
    trim: bool = False
    always_complete: bool = False
    location: Location | None = location_field()

    @property
    def association(self) -> str:
        """The association that this mapping feeds."""
        return self.identifier
