"""Values of invalid types in a configuration that was built in Python are reported with the names of their fields."""

from __future__ import annotations

import pytest
from attrs import evolve

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Connector,
    EntityAssociation,
    EntityType,
    EntityTypeMapping,
    Property,
    PropertyMapping,
    PropertyRef,
)
from deltamark.domain.configuration.jobs import (
    Job,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.configuration.rules import EntityPropertyExpression, ResourceClassificationRule
from deltamark.domain.fields import as_tuple
from deltamark.domain.validation.field_types import type_faults

RIGHT = Configuration(
    connectors=[Connector("HR", display_names={1: "Staff"})],
    entity_types=[EntityType("Person", [Property("Number", is_key=True)])],
    associations=[EntityAssociation("Boss", PropertyRef("Person", "Boss"), PropertyRef("Person", "Reports"))],
    entity_type_mappings=[EntityTypeMapping("Person", "HR", "people", [PropertyMapping("Number", "number")])],
    property_expressions=[EntityPropertyExpression("Full", "Person", "Full", "Number")],
    classification_rules=[ResourceClassificationRule("Staff", "SQL:p: true")],
    jobs=[Job("J", [SynchronizeTask(connector="HR"), SetRecentlyModifiedFlagTask(), UpdateClassificationTask()])],
)


def test_a_configuration_with_the_right_types_has_no_fault():
    assert type_faults(RIGHT) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"connectors": [Connector(5)]}, 'Connector: identifier is "5" (int), not a text'),
        ({"connectors": [Connector(None)]}, "Connector: identifier is None, not a text"),
        ({"connectors": [Connector("HR", is_deactivated="no")]}, 'is_deactivated is "no" (str), not True or False'),
        ({"connectors": [Connector("HR", thresholds=None)]}, 'Connector "HR": thresholds is None, not Thresholds'),
        (
            {"connectors": [Connector("HR", display_names={"1": "a"})]},
            'Connector "HR": display_names is dict, not a mapping from a whole number to a text',
        ),
        ({"connectors": ["HR"]}, 'Configuration: connectors must be a sequence of Connector; it contains "HR" (str)'),
        (
            {"entity_types": [EntityType("Person", [Property("Number", "String")])]},
            'Property "Number": type is "String" (str), not PropertyType; write PropertyType.STRING',
        ),
        (
            {"entity_types": [EntityType("Person", ["Number"])]},
            'EntityType "Person": properties must be a sequence of Property; it contains "Number" (str)',
        ),
        (
            {"associations": [EntityAssociation("Boss", "Person:Boss", PropertyRef("Person", 1))]},
            'EntityAssociation "Boss": property1 is "Person:Boss" (str), not PropertyRef',
        ),
        ({"jobs": [Job("J", [SynchronizeTask(connector=None)])]}, "connector is None, not a text"),
        ({"jobs": [Job("J", [SynchronizeTask(connector="HR", level="2")])]}, 'level is "2" (str), not a whole number'),
        ({"jobs": [Job("J", [SynchronizeTask(connector="HR", level=True)])]}, 'level is "True" (bool), not a whole'),
        ({"jobs": [Job("J", [None])]}, "it contains None"),
        (
            {"property_expressions": [EntityPropertyExpression("Full", "Person", None)]},
            'EntityPropertyExpression "Full": property is None, not a text',
        ),
        (
            {"property_expressions": [EntityPropertyExpression("Full", "Person", "Full", priority="1")]},
            'EntityPropertyExpression "Full": priority is "1" (str), not a whole number',
        ),
        (
            {"property_expressions": [ResourceClassificationRule("R", "SQL:r: true")]},
            "property_expressions must be a sequence of EntityPropertyExpression; it contains "
            "ResourceClassificationRule",
        ),
        (
            {"classification_rules": [ResourceClassificationRule("R", 5)]},
            'ResourceClassificationRule: target_expression is "5" (int), not a text or None',
        ),
        (
            {"jobs": [Job("J", [UpdateEntityPropertyExpressionsTask(dirty="yes", all_entity_type=True)])]},
            'dirty is "yes" (str), not True or False',
        ),
        (
            {"jobs": [Job("J", [UpdateClassificationTask(entity_types=[5])])]},
            'entity_types must be a sequence of a text; it contains "5" (int)',
        ),
        ({"jobs": [Job("J", cron_time_zone=None)]}, 'Job "J": cron_time_zone is None, not a whole number'),
    ],
)  # fmt: skip
def test_a_field_of_a_wrong_type_is_named(changes, message):
    messages = [fault.message for fault in type_faults(evolve(RIGHT, **changes))]

    assert any(message in line for line in messages), messages


def test_every_fault_is_reported():
    invalid = evolve(RIGHT, connectors=[Connector(1), Connector(2)], jobs=[Job(3)])

    assert len(type_faults(invalid)) == 3


def test_a_text_is_not_a_sequence_of_characters():
    with pytest.raises(TypeError, match=r"write \['Sync'\] for a sequence of one"):
        SetRecentlyModifiedFlagTask(parents="Sync")
    assert as_tuple(name for name in "ab") == ("a", "b")


def test_a_name_of_the_xml_language_is_answered_with_its_form_in_python() -> None:
    configuration = Configuration(
        entity_types=[EntityType("A", [Property("B", "int32")])],  # type: ignore[arg-type]
        associations=[EntityAssociation("L", "A:B", PropertyRef("A", "C"))],  # type: ignore[arg-type]
    )

    assert [fault.message for fault in type_faults(configuration)] == [
        'Property "B": type is "int32" (str), not PropertyType; write PropertyType.INT32',
        """EntityAssociation "L": property1 is "A:B" (str), not PropertyRef; write PropertyRef('A', 'B')""",
    ]
