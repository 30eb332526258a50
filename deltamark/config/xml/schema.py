"""All elements of a configuration file, with their attributes and children."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import fields

from deltamark.config.xml.attribute_types import (
    BOOLEAN,
    BYTE_ORDER,
    COLUMN_INDEX,
    COMPARISON,
    CONFIDENCE,
    COUNT,
    DECIMAL_SEPARATOR,
    DELIMITER,
    ENCODING,
    ENTITY_TYPE_NAME,
    IDENTIFIER,
    PERCENTAGE,
    PRIORITY,
    PROPERTY_NAME,
    PROPERTY_REFERENCE,
    PROPERTY_TYPE,
    REFERENCE,
    SEPARATOR,
    SKIPPED_LINES,
    TABLE,
    TEXT,
    THOUSANDS_SEPARATOR,
    WORDS,
    numbered,
)
from deltamark.config.xml.elements import Attribute, Element, Parts, element
from deltamark.config.xml.task_elements import JOB, TASKS
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Agent,
    Connection,
    ConnectionTable,
    ConnectionTransformation,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    JobUse,
    Policy,
    Property,
    PropertyMapping,
)
from deltamark.domain.configuration.packages import PACKAGES
from deltamark.domain.configuration.rules import (
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
)

ROOT_NAME = "ConfigurationFile"

JOB_USE = numbered(
    (0, "Used", JobUse.USED),
    (1, "NotUsed", JobUse.NOT_USED),
    (2, "OnlySynchronization", JobUse.ONLY_SYNCHRONIZATION),
    (3, "OnlyProvisioning", JobUse.ONLY_PROVISIONING),
)


def _limits(*changes: str, link: bool = False) -> Iterator[Attribute]:
    words, field = ("Link", "link_") if link else ("", "")
    for change in changes:
        ending = f"{field}{change.lower()}_lines"
        yield Attribute(f"Maximum{words}{change}Lines", COUNT, f"maximum_{ending}", is_threshold=True)
    for change in changes:
        yield Attribute(
            f"Max{words}Percentage{change}Lines",
            PERCENTAGE,
            f"max_{field}percentage_{change.lower()}_lines",
            is_threshold=True,
        )


def _short_link_limits() -> Iterator[Attribute]:
    """The limits of an association mapping, which counts only links, with names without `Link`."""
    for limit in LINK_LIMITS:
        yield Attribute(limit.name.replace("Link", ""), limit.type, limit.field, is_threshold=True)


LIMITS = tuple(_limits("Inserted", "Updated", "Deleted"))
LINK_LIMITS = tuple(_limits("Inserted", "Deleted", link=True))

NAME = Attribute("Identifier", IDENTIFIER, "identifier", required=True)
CONNECTOR_NAMED = Attribute("Connector", REFERENCE, "connector", required=True)
POLICY_NAMED = Attribute("Policy", REFERENCE, "policy")
EXTRACT = (
    CONNECTOR_NAMED,
    Attribute("ConnectionTable", TABLE, "connection_table", required=True),
    Attribute("Encoding", ENCODING, "encoding"),
    Attribute("Delimiter", DELIMITER, "delimiter"),
    Attribute("SkipLines", SKIPPED_LINES, "skip_lines"),
    Attribute("AlwaysComplete", BOOLEAN, "always_complete"),
)

AGENT = element("Agent", Agent, "agents", NAME)
POLICY = element("Policy", Policy, "policies", NAME)
CONNECTOR = element(
    "Connector",
    Connector,
    "connectors",
    NAME,
    Attribute("Agent", REFERENCE, "agent"),
    *LIMITS,
    *LINK_LIMITS,
    Attribute("IsDeactivated", BOOLEAN, "is_deactivated"),
    Attribute("CompleteJob", JOB_USE, "complete_job"),
    Attribute("IncrementalJob", JOB_USE, "incremental_job"),
)


def _table_of(parts: Parts) -> ConnectionTable:
    options = {name: text for name, text in parts.values.items() if name != "identifier"}
    return ConnectionTable(parts.values["identifier"], options, location=parts.location)


def _parts_of_table(element: Element, item: Any) -> Parts | None:
    if type(item) is not ConnectionTable:
        return None
    return Parts(element, item.location, {"identifier": item.identifier, **item.options}, {}, {}, {})


CONNECTION_TABLE = Element(
    "ConnectionTable",
    _table_of,
    _parts_of_table,
    "tables",
    (
        Attribute("Identifier", TABLE, "identifier", required=True),
        *(
            Attribute(name, TEXT, name)
            for name in dict.fromkeys(name for package in PACKAGES.values() for name in package.options)
        ),
    ),
    names=False,
)
"""Its options are kept under the names of the attributes: which there are depends on the package."""
CONNECTION = element(
    "Connection",
    Connection,
    "connections",
    NAME,
    CONNECTOR_NAMED,
    Attribute("Package", TEXT, "package"),
    children=(CONNECTION_TABLE,),
)
TRANSFORMATION = element(
    "ConnectionTransformation",
    ConnectionTransformation,
    "transformations",
    Attribute("Identifier", TABLE, "identifier", required=True),
    CONNECTOR_NAMED,
    Attribute("Table", TABLE, "table", required=True),
    Attribute("Query", TEXT, "query", required=True),
    names=False,
)
PROPERTY = element(
    "Property",
    Property,
    "properties",
    Attribute("Identifier", PROPERTY_NAME, "identifier", required=True),
    Attribute("Type", PROPERTY_TYPE, "type"),
    Attribute("IsKey", BOOLEAN, "is_key"),
    Attribute("TargetColumnIndex", COLUMN_INDEX),
)
ENTITY_TYPE = element(
    "EntityType",
    EntityType,
    "entity_types",
    Attribute("Identifier", ENTITY_TYPE_NAME, "identifier", required=True),
    children=(PROPERTY,),
)
ASSOCIATION = element(
    "EntityAssociation",
    EntityAssociation,
    "associations",
    NAME,
    Attribute("Property1", PROPERTY_REFERENCE, "property1", required=True),
    Attribute("Property2", PROPERTY_REFERENCE, "property2", required=True),
    Attribute("IsProperty1Collection", BOOLEAN, "is_property1_collection"),
    Attribute("IsProperty2Collection", BOOLEAN, "is_property2_collection"),
)
MAPPED_PROPERTY = element(
    "Property",
    PropertyMapping,
    "properties",
    Attribute("Identifier", REFERENCE, "identifier", required=True),
    Attribute("ConnectionColumn", TEXT, "connection_column"),
    Attribute("IsPrimaryKey", BOOLEAN, "is_primary_key"),
    Attribute("IsUniqueKey", BOOLEAN, "is_unique_key"),
    Attribute("Format", TEXT, "format"),
    Attribute("DecimalSeparator", DECIMAL_SEPARATOR, "decimal_separator"),
    Attribute("ThousandsSeparator", THOUSANDS_SEPARATOR, "thousands_separator"),
    Attribute("TrueValues", WORDS, "true_values"),
    Attribute("FalseValues", WORDS, "false_values"),
    Attribute("NullValues", WORDS, "null_values"),
    Attribute("Trim", BOOLEAN, "trim"),
    Attribute("ByteOrder", BYTE_ORDER, "byte_order"),
    Attribute("Comparison", COMPARISON, "comparison"),
    names=False,
)
ENTITY_TYPE_MAPPING = element(
    "EntityTypeMapping",
    EntityTypeMapping,
    "entity_type_mappings",
    Attribute("Identifier", REFERENCE, "identifier", required=True),
    *EXTRACT,
    *LIMITS,
    children=(MAPPED_PROPERTY,),
    names=False,
)
ASSOCIATION_MAPPING = element(
    "EntityAssociationMapping",
    EntityAssociationMapping,
    "association_mappings",
    Attribute("Identifier", REFERENCE, "identifier", required=True),
    *EXTRACT,
    Attribute("Column1", TEXT, "column1", required=True),
    Attribute("Column2", TEXT, "column2", required=True),
    Attribute("EntityPropertyMapping1", PROPERTY_REFERENCE, "entity_property_mapping1", required=True),
    Attribute("EntityPropertyMapping2", PROPERTY_REFERENCE, "entity_property_mapping2", required=True),
    Attribute("Separator1", SEPARATOR, "separator1"),
    Attribute("Separator2", SEPARATOR, "separator2"),
    Attribute("NullValues", WORDS, "null_values"),
    Attribute("Trim", BOOLEAN, "trim"),
    *LINK_LIMITS,
    *_short_link_limits(),
    names=False,
)
PROPERTY_EXPRESSION = element(
    "EntityPropertyExpression",
    EntityPropertyExpression,
    "property_expressions",
    NAME,
    Attribute("EntityType", REFERENCE, "entity_type", required=True),
    Attribute("Property", REFERENCE, "property", required=True),
    Attribute("Binding", TEXT, "binding"),
    Attribute("Expression", TEXT, "expression"),
    Attribute("Priority", PRIORITY, "priority"),
    names=False,
)
RESOURCE_TYPE = element(
    "ResourceType",
    ResourceType,
    "resource_types",
    NAME,
    Attribute("SourceEntityType", REFERENCE, "source_entity_type", required=True),
    Attribute("TargetEntityType", REFERENCE, "target_entity_type", required=True),
    POLICY_NAMED,
)
CORRELATION_RULE = element(
    "ResourceCorrelationRule",
    ResourceCorrelationRule,
    "correlation_rules",
    Attribute("Identifier", IDENTIFIER, "identifier"),
    Attribute("ResourceType", REFERENCE, "resource_type", required=True),
    POLICY_NAMED,
    Attribute("SourceBinding", TEXT, "source_binding"),
    Attribute("SourceExpression", TEXT, "source_expression"),
    Attribute("TargetBinding", TEXT, "target_binding"),
    Attribute("TargetExpression", TEXT, "target_expression"),
    Attribute("SourceMatchedConfidenceLevel", CONFIDENCE, "source_matched_confidence_level"),
    names=False,
)
CLASSIFICATION_RULE = element(
    "ResourceClassificationRule",
    ResourceClassificationRule,
    "classification_rules",
    Attribute("Identifier", IDENTIFIER, "identifier"),
    Attribute("ResourceType", REFERENCE, "resource_type", required=True),
    POLICY_NAMED,
    Attribute("TargetExpression", TEXT, "target_expression", required=True),
    Attribute("ResourceTypeIdentificationConfidenceLevel", CONFIDENCE, "resource_type_identification_confidence_level"),
    names=False,
)


def _configuration(parts: Parts) -> Configuration:
    return Configuration(**parts.children)


def _configuration_parts(element: Element, item: Any) -> Parts:
    return Parts(
        element, None, {}, {}, {}, {field.name: list(getattr(item, field.name)) for field in fields(type(item))}
    )


ROOT = Element(
    ROOT_NAME,
    _configuration,
    _configuration_parts,
    children=(
        AGENT,
        POLICY,
        CONNECTOR,
        CONNECTION,
        TRANSFORMATION,
        ENTITY_TYPE,
        ASSOCIATION,
        ENTITY_TYPE_MAPPING,
        ASSOCIATION_MAPPING,
        PROPERTY_EXPRESSION,
        RESOURCE_TYPE,
        CORRELATION_RULE,
        CLASSIFICATION_RULE,
        *TASKS,
        JOB,
    ),
    names=False,
)


def owners_of(attribute: str) -> list[str]:
    """Returns the elements that have an attribute, each in words: an inner one with the element that contains it.

    Overrides have those of their tasks.
    """
    owners, waiting, seen = [], [ROOT], set()
    while waiting:
        parent = waiting.pop(0)
        for child in parent.children:
            if (parent.name, child.name) in seen:
                continue
            seen.add((parent.name, child.name))
            waiting.append(child)
            if child.attribute(attribute) is not None and not child.name.endswith("Override"):
                owners.append(f"`{child.name}`" + ("" if child in ROOT.children else f" inside `{parent.name}`"))
    return list(dict.fromkeys(owners))


def all_elements() -> dict[str, tuple[Element, ...]]:
    """Returns each element by name, the root first, with the elements that may contain it."""
    parents: dict[str, tuple[Element, ...]] = {ROOT_NAME: ()}
    waiting = [ROOT]
    while waiting:
        parent = waiting.pop(0)
        for child in parent.children:
            known = parents.get(child.name, ())
            if parent not in known:
                parents[child.name] = (*known, parent)
                waiting.append(child)
    return parents
