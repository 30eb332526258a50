"""Warnings about derived values that are computed too early, or never."""

from __future__ import annotations

import pytest
from attrs import evolve

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    Job,
    Step,
    TaskOverride,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.configuration.rules import ResourceClassificationRule, ResourceCorrelationRule
from deltamark.domain.derivation.plan import plan
from deltamark.domain.location import Location
from deltamark.domain.validation.warnings import warnings
from tests.domain.model import MODEL, computing, plan_of, reads_of

READS = {
    "Person:Login": ["Mail"],
    "Department:Label": ["Members.Login"],
    "Person:ByLogin": ["Login"],
    "Department:ByLogin": ["Label"],
    "Department:Big": ["Label", "Members.Login"],
}
RULES = evolve(
    MODEL,
    correlation_rules=[ResourceCorrelationRule("Head", "Login", None, "Label", None, identifier="ByLogin")],
    classification_rules=[ResourceClassificationRule("Head", "…", identifier="Big")],
)
PEOPLE = UpdateEntityPropertyExpressionsTask(identifier="People", entity_types=["Person"])
DEPARTMENTS = UpdateEntityPropertyExpressionsTask(identifier="Departments", entity_types=["Department"])
PROPERTIES = UpdateEntityPropertyExpressionsTask(identifier="Properties", all_entity_type=True)
KEYS = ComputeCorrelationKeysTask(identifier="Keys", all_entity_type=True)
CLASSES = UpdateClassificationTask(identifier="Classes", all_entity_type=True)


def configured(*jobs: Job, outside=(), reads=READS) -> Configuration:
    names = [name for name in reads if name in ("Person:Login", "Department:Label")]
    return evolve(computing(names, RULES), tasks=outside, jobs=jobs)


def warnings_of(*tasks, others=(), outside=(), reads=READS) -> list[str]:
    """The warnings about a job of these tasks, beside another job that computes everything."""
    everything = Job("Everything", [PROPERTIES, KEYS, CLASSES])
    configuration = configured(Job("J", tasks), *(others or [everything]), outside=outside, reads=reads)
    return [fault.message for fault in warnings(configuration, plan(configuration, reads_of(configuration, reads)))]


def named(task, name):
    return evolve(task, identifier=name)


def test_a_job_that_computes_before_it_reads_gives_no_warning():
    assert warnings_of(named(PROPERTIES, "P"), named(KEYS, "K"), named(CLASSES, "C")) == []
    assert warnings_of(PEOPLE, DEPARTMENTS, named(KEYS, "K")) == []


def test_a_task_that_computes_what_it_reads_gives_no_warning():
    assert warnings_of(named(PROPERTIES, "P")) == []


def test_reading_what_a_later_task_computes_gives_a_warning_with_both_tasks():
    (message,) = warnings_of(named(KEYS, "K"), named(PROPERTIES, "P"))

    assert message == (
        'task "K" of job "J" reads "Person:Login", "Department:Label", which "P" computes only after it; let that task '
        "run before it, or let one task compute both"
    )


def test_a_property_task_before_the_one_it_reads_gives_a_warning():
    (message,) = warnings_of(DEPARTMENTS, PEOPLE)

    assert message.startswith('task "Departments" of job "J" reads "Person:Login", which "People" computes only after')


def test_reading_what_no_task_of_the_job_computes_gives_a_warning():
    (message,) = warnings_of(PEOPLE, named(CLASSES, "C"))

    assert message == (
        'task "C" of job "J" reads "Department:Label", which no task of this job computes; let an '
        "UpdateEntityPropertyExpressionsTask that covers Department run before it"
    )


def test_one_property_may_be_computed_too_late_and_another_never():
    late, never = warnings_of(named(CLASSES, "C"), PEOPLE)

    assert '"Person:Login", which "People" computes only after it' in late
    assert '"Department:Label", which no task of this job computes' in never


def test_levels_decide_the_order():
    assert warnings_of(evolve(KEYS, identifier="K", level=5), evolve(PROPERTIES, identifier="P", level=3)) == []


def test_an_override_counts_as_the_changed_task():
    narrowed = TaskOverride("UpdateEntityPropertyExpressionsTask", "P", {"entity_types": ("Department",)})
    outside = [evolve(PEOPLE, identifier="P")]

    assert warnings_of(Step("P"), DEPARTMENTS, outside=outside) == []
    messages = warnings_of(narrowed, outside=outside)

    assert messages == [
        'task "P" of job "J" reads "Person:Login", which no task of this job computes; let an '
        "UpdateEntityPropertyExpressionsTask that covers Person run before it"
    ]


def test_a_task_that_reads_no_computed_property_gives_no_warning():
    assert warnings_of(named(KEYS, "K"), reads={"Person:ByLogin": ["Mail"]}) == []


def test_only_the_first_of_many_properties_are_listed():
    names = ["Person:Login", "Person:Full", "Person:Line", "Person:Chain", "Department:Label"]
    configuration = evolve(
        computing(names, RULES), jobs=[Job("J", [CLASSES]), Job("All", [PROPERTIES, named(KEYS, "K")])]
    )
    reads = {"Department:Big": ["Label", *(f"Members.{name.split(':')[1]}" for name in names[:4])]}

    (fault,) = warnings(configuration, plan(configuration, reads_of(configuration, reads)))

    assert 'reads "Department:Label", "Person:Chain", "Person:Full" and 2 more, which no task' in fault.message
    assert "covers Department, Person run before it" in fault.message


# What no job computes


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            [PEOPLE, named(KEYS, "K"), named(CLASSES, "C")],
            'no job computes the computed properties of "Department" ("Label"): no UpdateEntityPropertyExpressionsTask '
            "that a job calls covers that entity type; name it there with TaskEntityType",
        ),
        (
            [PROPERTIES, evolve(KEYS, all_entity_type=False, entity_types=["Department"]), CLASSES],
            'no job computes the correlation keys of "Person" ("ByLogin"): no ComputeCorrelationKeysTask',
        ),
        (
            [PROPERTIES, KEYS],
            'no job computes the classifications of "Department" ("Big"): no UpdateClassificationTask',
        ),
    ],
)
def test_what_no_job_computes_gives_a_warning(tasks, message):
    messages = warnings_of(*tasks, others=[Job("Other")])

    assert [text for text in messages if text.startswith("no job computes")] == [
        text for text in messages if text.startswith(message)
    ]
    assert any(text.startswith(message) for text in messages)


def test_a_task_that_no_job_calls_does_not_count():
    messages = warnings_of(named(KEYS, "K"), named(CLASSES, "C"), others=[Job("Other")], outside=[PROPERTIES])

    assert sum(text.startswith("no job computes the computed properties") for text in messages) == 2


def test_a_configuration_without_jobs_gives_no_warning():
    configuration = configured()

    assert warnings(configuration, plan(configuration, reads_of(configuration, READS))) == ()


def test_a_warning_has_the_location_of_the_first_expression():
    configuration = computing(["Person:Login", "Person:Full"])
    placed = evolve(
        configuration,
        jobs=[Job("J")],
        property_expressions=[
            evolve(rule, location=Location("a.xml", line))
            for rule, line in zip(configuration.property_expressions, [9, 4], strict=True)
        ],
    )

    (fault,) = warnings(placed, plan(placed, reads_of(placed, {})))

    assert (fault.location, '("Login", "Full")' in fault.message) == (Location("a.xml", 4), True)


# Priorities


def of_priorities(reads, **priorities) -> list[str]:
    return [fault.message for fault in warnings(MODEL, plan_of(reads, **priorities))]


def test_a_priority_that_contradicts_a_read_gives_a_warning():
    (message,) = of_priorities({"Person:Full": ["Login"], "Person:Login": []}, Full=1, Login=5)

    assert message == (
        'the Priority 1 of "Person:Full" puts it before "Person:Login", which has 5, but its expression reads that '
        "property; what is read is computed first, whatever the priorities say: correct or remove them"
    )


def test_a_priority_that_contradicts_a_read_over_links_gives_a_warning():
    assert len(of_priorities({"Person:Full": ["Manager.Login"], "Person:Login": []}, Full=-1)) == 1


def test_priorities_without_contradiction_give_no_warning():
    assert of_priorities({"Person:Full": ["Login"], "Person:Login": []}, Full=5, Login=1) == []
    assert of_priorities({"Person:Full": ["Login"], "Person:Login": []}) == []
    assert of_priorities({"Person:Full": ["Mail"], "Person:Login": []}, Full=1, Login=5) == []


# Coverage


def test_a_task_covers_derivations_of_its_kind_and_entity_types():
    configuration = configured()
    computed = plan(configuration, reads_of(configuration, READS))

    def names(task):
        return [(planned.derivation.entity_type, planned.derivation.name) for planned in computed.of_task(task)]

    assert names(PROPERTIES) == [("Person", "Login"), ("Department", "Label")]
    assert names(DEPARTMENTS) == [("Department", "Label")]
    assert names(KEYS) == [("Person", "ByLogin"), ("Department", "ByLogin")]
    assert names(CLASSES) == [("Department", "Big")]
    assert names(evolve(CLASSES, all_entity_type=False, entity_types=["Person"])) == []
