"""Computed properties and classifications in XML: what loads, and what is refused, with its line."""

from __future__ import annotations

import re

import pytest

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityType, Property
from deltamark.domain.configuration.jobs import (
    TaskOverride,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.configuration.rules import EntityPropertyExpression, ResourceClassificationRule, ResourceType
from deltamark.domain.validation.validate import faults

PERSON = """
<EntityType Identifier="Person">
  <Property Identifier="Number" IsKey="true" />
  <Property Identifier="Mail" />
  <Property Identifier="Full" /> <Property Identifier="Short" />
  <Property Identifier="Team" Type="ForeignKey" />
  <Property Identifier="Boss" Type="ForeignKey" />
</EntityType>
<EntityTypeMapping Identifier="Person" Connector="AD" ConnectionTable="people">
  <Property Identifier="Mail" ConnectionColumn="mail" IsPrimaryKey="true" />
</EntityTypeMapping>
<EntityAssociation Identifier="Team" Property1="Person:Team" Property2="Directory_Team:Members" />
<ResourceType Identifier="R" SourceEntityType="Person" TargetEntityType="Directory_User" />
<Policy Identifier="P" />
"""
FULL = '<EntityPropertyExpression Identifier="Full" EntityType="Person" Property="Full" Binding="Mail" />'
CLASS = '<ResourceClassificationRule ResourceType="R" TargetExpression="SQL:u: true" />'
UPDATE = (
    '<UpdateEntityPropertyExpressionsTask DisplayName_L1="u"><TaskEntityType EntityType="Person" />'
    "</UpdateEntityPropertyExpressionsTask>"
)


def test_expressions_and_rules_load_with_their_defaults(configured):
    configuration = configured(PERSON + FULL + CLASS)

    assert configuration.property_expressions == (EntityPropertyExpression("Full", "Person", "Full", "Mail", None, 0),)
    assert configuration.classification_rules == (ResourceClassificationRule("R", "SQL:u: true", 0, None, None),)


def test_expressions_and_rules_load_with_all_attributes(configured):
    configuration = configured(
        PERSON
        + """
        <EntityPropertyExpression Identifier="Full" EntityType="Person" Property="Full" Binding="Person:Team.Name"
            Expression="Trim|ToUpper" Priority="-3" />
        <ResourceClassificationRule Identifier="All" ResourceType="R" Policy="P" TargetExpression="SQL:u: true"
            ResourceTypeIdentificationConfidenceLevel="90" />"""
    )

    assert configuration.property_expressions == (
        EntityPropertyExpression("Full", "Person", "Full", "Person:Team.Name", "Trim|ToUpper", -3),
    )
    assert configuration.classification_rules == (ResourceClassificationRule("R", "SQL:u: true", 90, "P", "All"),)


def test_the_tasks_load_inside_and_outside_jobs_and_can_be_overridden(configured):
    configuration = configured(
        PERSON
        + UPDATE
        + """
        <UpdateClassificationTask Identifier="C" DisplayName_L1="c" AllEntityType="1" BatchSize="10" Level="4" />
        <Job Identifier="J" DisplayName_L1="j">
          <UpdateEntityPropertyExpressionsTask Identifier="U" DisplayName_L1="u" Dirty="true" BatchSelectSize="5"
              BatchUpdateSize="6" Level="1"><TaskEntityType Identifier="Person" />
            <TaskEntityType EntityType="Directory_User" /></UpdateEntityPropertyExpressionsTask>
          <UpdateEntityPropertyExpressionsTaskOverride Identifier="UpdateEntityPropertyExpressions" Dirty="1" Level="2"
              AllEntityType="true" BatchUpdateSize="7" />
          <UpdateClassificationTaskOverride Identifier="C" Dirty="1">
            <TaskEntityType EntityType="Person" /></UpdateClassificationTaskOverride>
        </Job>"""
    )

    updating, classifying = configuration.tasks
    assert updating == UpdateEntityPropertyExpressionsTask(display_names={1: "u"}, entity_types=["Person"])
    assert (updating.identifier, updating.dirty, updating.batch_select_size) == (
        "UpdateEntityPropertyExpressions",
        False,
        0,
    )
    assert classifying == UpdateClassificationTask(
        identifier="C", display_names={1: "c"}, all_entity_type=True, batch_size=10, level=4
    )
    own, *overrides = configuration.job("J").tasks
    assert own == UpdateEntityPropertyExpressionsTask(
        identifier="U",
        display_names={1: "u"},
        dirty=True,
        batch_select_size=5,
        batch_update_size=6,
        level=1,
        entity_types=["Person", "Directory_User"],
    )
    changed = {"dirty": True, "level": 2, "all_entity_type": True, "batch_update_size": 7}
    assert overrides == [
        TaskOverride("UpdateEntityPropertyExpressionsTask", "UpdateEntityPropertyExpressions", changed),
        TaskOverride("UpdateClassificationTask", "C", {"dirty": True, "entity_types": ("Person",)}),
    ]


def instead(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


REFUSED = {
    "the entity type of an expression": (
        instead(FULL, '"Person"', '"Persn"'),
        'unknown entity type "Persn" in property expression "Full"; did you mean "Person"',
    ),
    "the property of an expression": (
        instead(FULL, 'Property="Full"', 'Property="full"'),
        'unknown property of "Person" "full" in property expression "Full"; did you mean "Full"',
    ),
    "a property that is mapped": (
        instead(FULL, 'Property="Full"', 'Property="Mail"'),
        r'"Full" computes "Person:Mail", which its mapping fills from an extract \(at .*:27\); compute another',
    ),
    "the key": (
        instead(FULL, 'Property="Full"', 'Property="Number"'),
        '"Full" computes "Person:Number", which is the key of its entity type; it comes from an extract',
    ),
    "a navigation property": (
        instead(FULL, 'Property="Full"', 'Property="Team"'),
        r'"Full" computes "Person:Team", a navigation property of association "Team" \(at .*:29\); computed links are '
        "not built yet in this version",
    ),
    "a navigation property that is not declared": (
        instead(FULL, 'EntityType="Person" Property="Full"', 'EntityType="Directory_Team" Property="Members"'),
        'computes "Directory_Team:Members", a navigation property of association "Team"',
    ),
    "a reference that no association names": (
        instead(FULL, 'Property="Full"', 'Property="Boss"'),
        'computes "Person:Boss", which is declared as ForeignKey; computed links are not built yet',
    ),
    "two expressions for one property": (
        FULL + "\n" + instead(FULL, 'Identifier="Full"', 'Identifier="Again"'),
        r'33: property expression "Again" computes "Person:Full", which property expression "Full" already computes '
        r"\(at .*:32\); keep one of them",
    ),
    "two expressions of one name": (
        FULL + instead(FULL, 'Property="Full"', 'Property="Short"'),
        'property expression "Full" is configured twice; the first is at',
    ),
    "an expression that says nothing": (
        instead(FULL, ' Binding="Mail"', ""),
        'property expression "Full" does not say how "Person:Full" is computed; give Binding, Expression or both',
    ),
    "an empty binding": (instead(FULL, '"Mail"', '" "'), '`Binding` of `EntityPropertyExpression`: " " is empty'),
    "a priority that is no number": (
        instead(FULL, " />", ' Priority="first" />'),
        '`Priority` of `EntityPropertyExpression`: "first" is not a whole number from -2147483647 to 2147483647',
    ),
    "an expression without a name": (
        instead(FULL, 'Identifier="Full" ', ""),
        "`EntityPropertyExpression` needs the attribute `Identifier`",
    ),
    "an unknown attribute": (
        instead(FULL, "Binding", "Bindings"),
        "unknown attribute `Bindings` of `EntityPropertyExpression`; did you mean `Binding`",
    ),
    "a classification without an expression": (
        instead(CLASS, ' TargetExpression="SQL:u: true"', ""),
        "`ResourceClassificationRule` needs the attribute `TargetExpression`",
    ),
    "the resource type of a classification": (
        instead(CLASS, '"R"', '"Q"'),
        'unknown resource type "Q" in a classification rule; there is "R"',
    ),
    "the policy of a classification": (
        instead(CLASS, " />", ' Policy="Q" />'),
        'unknown policy "Q" in a classification rule; there is "P"',
    ),
    "two classifications of one name": (
        instead(CLASS, " />", ' Identifier="A" />') * 2,
        'classification rule "A" is configured twice',
    ),
    "a confidence that is too high": (
        instead(CLASS, " />", ' ResourceTypeIdentificationConfidenceLevel="151" />'),
        "is not a whole number from 0 to 150",
    ),
    "the entity type of a task": (
        instead(UPDATE, '"Person"', '"Persons"'),
        'unknown entity type "Persons" in UpdateEntityPropertyExpressionsTask .* did you mean "Person"',
    ),
    "a task that covers nothing": (
        '<UpdateClassificationTask DisplayName_L1="c" />',
        'UpdateClassificationTask "UpdateClassification" does not say which entity types it covers',
    ),
    "the batch size of another task": (
        instead(UPDATE, "DisplayName_L1", 'BatchSize="5" DisplayName_L1'),
        "unknown attribute `BatchSize` of `UpdateEntityPropertyExpressionsTask`",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_mistake_is_reported_once_with_advice(name, configuration_text, messages_of):
    more, message = REFUSED[name]

    messages = messages_of(configuration_text(PERSON + more))

    assert len(messages) == 1, messages
    assert re.search(message, messages[0]), messages


def test_the_parts_of_these_mistakes_are_valid_without_them(configuration_text, messages_of):
    assert messages_of(configuration_text(PERSON + FULL + CLASS + UPDATE)) == []


def test_a_fault_has_the_line_of_its_element(configuration_text, messages_of):
    (message,) = messages_of(configuration_text(PERSON + "\n\n" + REFUSED["the key"][0]))

    assert message.startswith("34: ")


def test_rules_built_in_python_are_validated():
    configuration = Configuration(
        entity_types=[EntityType("Person", [Property("Number", is_key=True), Property("Full")])],
        property_expressions=[EntityPropertyExpression("A", "Person", "Full", " ", "")],
        resource_types=[ResourceType("R", "Person", "Person")],
        classification_rules=[ResourceClassificationRule("R", None), ResourceClassificationRule("R", "  ")],
    )

    messages = [str(fault) for fault in faults(configuration)]

    assert messages == [
        'property expression "A" does not say how "Person:Full" is computed; give Binding, Expression or both',
        *(
            f'classification rule "R_{number}" does not say which resources are of resource type "R"; give '
            "TargetExpression, such as SQL:user: user.Kind = 'admin'"
            for number in (1, 2)
        ),
    ]
