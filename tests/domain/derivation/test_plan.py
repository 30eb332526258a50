"""The plan: order and stages of computation, cycles, definitions."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.configuration.entity_model import EntityType, Property
from deltamark.domain.configuration.rules import DerivationKind, ResourceClassificationRule, ResourceCorrelationRule
from deltamark.domain.derivation.plan import cycles, plan
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType
from tests.domain.model import MODEL, association, computing, plan_of, reads_of


def order(plan):
    return [planned.derivation.name for planned in plan.derived]


def stages(plan):
    return {planned.derivation.name: planned.stage for planned in plan.derived}


# Order and stages


def test_a_property_is_computed_before_its_readers():
    assert order(plan_of({"Person:Line": ["Full"], "Person:Full": ["Login"], "Person:Login": []})) == [
        "Login",
        "Full",
        "Line",
    ]


def test_properties_that_read_only_their_own_resource_share_a_stage():
    assert stages(plan_of({"Person:Line": ["Full"], "Person:Full": ["Login"], "Person:Login": ["Mail"]})) == {
        "Login": 0,
        "Full": 0,
        "Line": 0,
    }


def test_reading_a_computed_property_over_links_begins_a_stage():
    built = plan_of(
        {
            "Person:Login": ["Mail"],
            "Department:Label": ["Members.Login"],
            "Person:Full": ["Department.Label", "Login"],
            "Person:Line": ["Full"],
        }
    )

    assert stages(built) == {"Login": 0, "Label": 1, "Full": 2, "Line": 2}


def test_reading_what_is_not_computed_begins_no_stage():
    assert stages(plan_of({"Person:Line": ["Manager.Department.Site.City"]})) == {"Line": 0}


def test_a_property_read_both_directly_and_over_links_begins_a_stage():
    assert stages(plan_of({"Person:Login": [], "Person:Line": ["Login", "Manager.Login"]})) == {"Login": 0, "Line": 1}


def test_a_path_back_to_the_same_type_reads_other_resources():
    """Manager.Reports may lead back to the resource itself, whose value must be computed before."""
    assert stages(plan_of({"Person:Login": [], "Person:Line": ["Manager.Reports.Login"]})) == {"Login": 0, "Line": 1}


def test_priority_then_configuration_order_decide_among_independent_properties():
    built = plan_of({"Person:Login": [], "Person:Full": [], "Person:Line": [], "Person:Chain": []}, Chain=-1, Full=2)

    assert order(built) == ["Chain", "Login", "Line", "Full"]


def test_a_priority_never_puts_a_property_before_what_it_reads():
    assert order(plan_of({"Person:Login": ["Full"], "Person:Full": []}, Login=-9, Full=9)) == ["Full", "Login"]


def test_stages_come_in_order_whatever_the_priorities():
    built = plan_of({"Person:Login": [], "Person:Line": ["Manager.Login"], "Person:Full": []}, Full=7)

    assert [planned.stage for planned in built.derived] == [0, 0, 1]


def test_rules_are_planned_after_what_they_read():
    model = evolve(
        MODEL,
        correlation_rules=[ResourceCorrelationRule("Head", "Login", None, "Label", None, identifier="ByLogin")],
        classification_rules=[ResourceClassificationRule("Head", "…", identifier="Big")],
    )
    configuration = computing(["Person:Login", "Department:Label"], model)
    reads = reads_of(
        configuration,
        {
            "Person:ByLogin": ["Login"],
            "Department:ByLogin": ["Label"],
            "Department:Big": ["Members.Login"],
            "Department:Label": ["Members.Login"],
        },
    )

    built = plan(configuration, reads)

    assert [(planned.derivation.kind, planned.stage) for planned in built.derived] == [
        (DerivationKind.PROPERTY, 0),
        (DerivationKind.SOURCE_KEY, 0),
        (DerivationKind.PROPERTY, 1),
        (DerivationKind.TARGET_KEY, 1),
        (DerivationKind.CLASSIFICATION, 1),
    ]
    assert [planned.derivation.name for planned in built.of([DerivationKind.PROPERTY])] == ["Login", "Label"]
    assert [planned.derivation.kind for planned in built.of(DerivationKind, ["Person"])] == [
        DerivationKind.PROPERTY,
        DerivationKind.SOURCE_KEY,
    ]
    assert built.of([DerivationKind.PROPERTY], []) == ()


def test_each_dependency_of_a_plan_is_listed_once():
    built = plan_of({"Person:Login": ["Mail"], "Person:Full": ["Mail"], "Person:Line": ["Manager.Mail"]})

    assert sorted(map(str, built.dependencies)) == ["", "Mail", "Manager", "Manager.Mail"]


NAMES = ["Person:Login", "Person:Full", "Person:Line", "Person:Chain", "Department:Label", "Department:Heads"]
STEPS = {
    ("Person", "Person"): ["", "Manager.", "Reports.", "Manager.Reports."],
    ("Person", "Department"): ["Department.", "Manager.Department."],
    ("Department", "Person"): ["Members."],
    ("Department", "Department"): ["", "Members.Department."],
}


@st.composite
def reading(draw):
    """Properties in any order, each of which reads some of those drawn before it."""
    chosen = {}
    for name in draw(st.permutations(NAMES)):
        entity_type = name.split(":")[0]
        others = draw(st.lists(st.sampled_from(sorted(chosen)), unique=True)) if chosen else []
        chosen[name] = [
            draw(st.sampled_from(STEPS[entity_type, other.split(":")[0]])) + other.split(":")[1] for other in others
        ]
    return {name: chosen[name] for name in draw(st.permutations(NAMES))}


@given(reading(), st.dictionaries(st.sampled_from(["Login", "Full", "Label"]), st.integers(-3, 3)))
def test_readers_come_later_and_over_links_in_a_later_stage(reads, priorities):
    built = plan_of(reads, **priorities)

    places = {planned.derivation.name: place for place, planned in enumerate(built.derived)}
    by_name = {planned.derivation.name: planned for planned in built.derived}
    assert len(places) == len(NAMES)
    assert [planned.stage for planned in built.derived] == sorted(planned.stage for planned in built.derived)
    for name, planned in by_name.items():
        needed = [(by_name[read.property].stage, bool(read.path)) for read in planned.reads]
        assert all(places[read.property] < places[name] for read in planned.reads)
        assert planned.stage == max((stage + over_links for stage, over_links in needed), default=0)


# Cycles


def cycle_messages(reads):
    configuration = computing(reads)
    return [fault.message for fault in cycles(configuration, reads_of(configuration, reads))]


def test_a_chain_of_properties_is_not_a_cycle():
    assert (
        cycle_messages({"Person:Line": ["Full", "Manager.Full"], "Person:Full": ["Login"], "Person:Login": ["Mail"]})
        == []
    )


@pytest.mark.parametrize("reads", ["Login", "Manager.Login", "Reports.Login", "Department.Members.Login"])
def test_a_property_that_reads_itself_is_refused(reads):
    assert cycle_messages({"Person:Login": [reads]}) == [
        "the expression of Person:Login reads the property that it computes; a value cannot depend on itself"
    ]


@pytest.mark.parametrize(
    ("full_reads", "login_reads"),
    [("Login", "Full"), ("Manager.Login", "Full"), ("Manager.Login", "Reports.Full"), ("Login", "Friends.Full")],
)
def test_two_properties_that_read_each_other_are_refused_once(full_reads, login_reads):
    assert cycle_messages({"Person:Full": [full_reads], "Person:Login": [login_reads]}) == [
        "computed properties read each other in a cycle: Person:Full -> Person:Login -> Person:Full; let one of them "
        "read something else"
    ]


def test_a_cycle_over_an_association_and_back_is_found():
    (message,) = cycle_messages({"Person:Login": ["Department.Label"], "Department:Label": ["Members.Login"]})

    assert "Department:Label -> Person:Login -> Department:Label" in message


def test_a_cycle_of_three_is_reported_with_all_three():
    (message,) = cycle_messages({"Person:Login": ["Full"], "Person:Full": ["Line"], "Person:Line": ["Manager.Login"]})

    assert "Person:Full -> Person:Line -> Person:Login -> Person:Full" in message


def test_two_cycles_are_both_reported():
    messages = cycle_messages(
        {"Person:Login": ["Full"], "Person:Full": ["Login"], "Person:Line": ["Chain"], "Person:Chain": ["Line"]}
    )

    assert len(messages) == 2


def test_properties_of_two_types_with_the_same_name_are_different():
    model = evolve(MODEL, entity_types=[*MODEL.entity_types[:2], EntityType("Site", [Property("Label")])])
    configuration = computing(["Department:Label"], model)

    assert list(cycles(configuration, reads_of(configuration, {"Department:Label": ["Site.Label"]}))) == []


def test_a_cycle_is_reported_at_one_of_its_expressions():
    configuration = computing(["Person:Full", "Person:Login"])
    placed = evolve(
        configuration,
        property_expressions=[
            evolve(rule, location=Location("a.xml", line))
            for line, rule in enumerate(configuration.property_expressions, 1)
        ],
    )

    (fault,) = cycles(placed, reads_of(placed, {"Person:Full": ["Login"], "Person:Login": ["Full"]}))

    assert fault.location == Location("a.xml", 1)


# Definitions: what makes a stored value invalid


READS = {"Person:Line": ["Mail", "Manager.Department.Label"]}


def definition(configuration, reads=READS):
    (planned,) = plan(configuration, reads_of(configuration, reads)).derived
    return planned.definition


def changed_type(entity_type, name, kind):
    types = [
        evolve(item, properties=[evolve(p, type=kind) if p.identifier == name else p for p in item.properties])
        if item.identifier == entity_type
        else item
        for item in MODEL.entity_types
    ]
    return evolve(MODEL, entity_types=types)


def other_associations(*replaced):
    kept = [item for item in MODEL.associations if item.property1 not in [new.property1 for new in replaced]]
    return evolve(MODEL, associations=[*replaced, *kept])


def with_rule(**changes):
    configuration = computing(["Person:Line"])
    return evolve(configuration, property_expressions=[evolve(configuration.property_expressions[0], **changes)])


OTHER = {
    "the type of the property": computing(READS, changed_type("Person", "Line", PropertyType.INT32)),
    "the type of a property that is read": computing(READS, changed_type("Person", "Mail", PropertyType.INT32)),
    "the type of a property at the end of a path": computing(
        READS, changed_type("Department", "Label", PropertyType.DATE_TIME)
    ),
    "the association of the first step": computing(
        READS, other_associations(association("Chief", "Person:Manager", "Person:Reports"))
    ),
    "the association of the last step": computing(
        READS, other_associations(association("Team", "Person:Department", "Department:Members"))
    ),
    "the direction of a step": computing(
        READS,
        evolve(
            MODEL,
            associations=[
                association("Boss", "Person:Reports", "Person:Manager", one=True, two=False),
                *MODEL.associations[1:],
            ],
        ),
    ),
    "a step that may lead to several": computing(
        READS, other_associations(association("Boss", "Person:Manager", "Person:Reports", one=True))
    ),
    "the expression": with_rule(expression="other"),
    "the binding": with_rule(binding="Mail"),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_definition_differs_with(what):
    assert definition(OTHER[what]) != definition(computing(READS))


SAME = {
    "the identifier of the expression": with_rule(identifier="Renamed"),
    "its priority": with_rule(priority=8),
    "its place in a file": with_rule(location=Location("other.xml", 99)),
    "the type of a property that is not read": computing(READS, changed_type("Person", "Age", PropertyType.INT64)),
    "a property of the same name elsewhere": computing(READS, changed_type("Site", "City", PropertyType.GUID)),
    "an association that is not on the way": computing(
        READS, other_associations(association("Locations", "Department:Site", "Site:Departments"))
    ),
    "the order of the model": computing(
        READS,
        evolve(MODEL, entity_types=MODEL.entity_types[::-1], associations=MODEL.associations[::-1]),
    ),
    "display names": computing(
        READS,
        evolve(
            MODEL,
            entity_types=[evolve(item, display_names={1: "x"}) for item in MODEL.entity_types],
            associations=[evolve(item, display_names={1: "x"}) for item in MODEL.associations],
        ),
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_a_definition_does_not_differ_with(what):
    assert definition(SAME[what]) == definition(computing(READS))


def test_a_definition_does_not_differ_when_another_property_is_computed_too():
    configuration = computing(["Person:Full", "Person:Line"])

    derived = plan(configuration, reads_of(configuration, READS)).derived
    definitions = {planned.derivation.name: planned.definition for planned in derived}

    assert definitions["Line"] == definition(computing(READS))


def test_definitions_do_not_depend_on_the_order_of_reads():
    reads = reads_of(computing(READS), READS)
    (derivation, own_reads) = next(iter(reads.items()))

    assert plan(computing(READS), {derivation: own_reads[::-1]}).derived[0].definition == definition(computing(READS))
