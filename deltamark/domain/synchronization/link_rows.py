"""Rows of links of which one side is empty: what they say."""

from __future__ import annotations

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping, PropertyRef


@frozen(kw_only=True)
class EmptySides:
    """What an empty cell in each of the two columns of an association says in a complete extract.

    Without more, a row with one empty side is half of a link that cannot be told: nothing may be removed then.

    :param is_no_link: for the first and the second column, whether an empty cell says that the resource in the other
        column has no link. So it is where that resource has one row, because it may have only one link, because the row
        is the resource, or because a cell holds all of its links.
    :param is_unnamed: for the first and the second column, whether an empty cell says that the resource of the row has
        no value by which links name it. Its links stay.
    """

    is_no_link: tuple[bool, bool]
    is_unnamed: tuple[bool, bool]

    @property
    def may_lack_first(self) -> bool:
        """Whether a row without a first value is no fault."""
        return self.is_no_link[0] or self.is_unnamed[0]


def empty_sides(configuration: Configuration, mapping: EntityAssociationMapping) -> EmptySides:
    """Returns what empty cells of an association mapping say."""
    association = configuration.association(mapping.association)
    assert association is not None, "a checked configuration maps declared associations"
    first, second = _resources_of_the_rows(configuration, mapping)
    return EmptySides(
        is_no_link=(
            second is not None or mapping.separator1 is not None,
            first is not None
            or mapping.separator2 is not None
            or (not association.is_property1_collection and second is None),
        ),
        is_unnamed=(_is_other_property(first, mapping, 0), _is_other_property(second, mapping, 1)),
    )


def end_of_rows(configuration: Configuration, mapping: EntityAssociationMapping) -> int | None:
    """Returns the end (0, 1) whose resources the rows of links are, each naming its link in a column of its own.

    None for a table of pairs, also if it creates the resources at both ends alike.
    """
    ends = _resources_of_the_rows(configuration, mapping)
    return next((end for end in (0, 1) if ends[end] is not None), None)


def _resources_of_the_rows(
    configuration: Configuration, mapping: EntityAssociationMapping
) -> tuple[EntityTypeMapping | None, EntityTypeMapping | None]:
    """For each end, the mapping of its resources if the rows are these: of two, those with more columns."""
    first, second = (_resources_of_rows(configuration, mapping, end) for end in (0, 1))
    if first is None or second is None:
        return first, second
    columns = len(first.properties), len(second.properties)
    return (first if columns[0] > columns[1] else None), (second if columns[0] < columns[1] else None)


def _is_other_property(resources: EntityTypeMapping | None, mapping: EntityAssociationMapping, end: int) -> bool:
    """Whether links name these resources by a property that is not their key."""
    return resources is not None and resources.primary_key.identifier != _ref(mapping, end).property


def _resources_of_rows(
    configuration: Configuration, mapping: EntityAssociationMapping, end: int
) -> EntityTypeMapping | None:
    """The mapping of the resources at an end, if the rows of links are these resources."""
    resources = configuration.mapping_of(_ref(mapping, end).entity_type)
    if resources is None or (resources.connector, resources.connection_table) != (
        mapping.connector,
        mapping.connection_table,
    ):
        return None
    column = (mapping.column1, mapping.column2)[end]
    names = {(mapped.identifier, mapped.connection_column) for mapped in resources.properties}
    return resources if (_ref(mapping, end).property, column) in names else None


def _ref(mapping: EntityAssociationMapping, end: int) -> PropertyRef:
    return (mapping.entity_property_mapping1, mapping.entity_property_mapping2)[end]
