"""Faults that keep a configuration from running, and warnings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import cron_problem, fires_more_than_hourly
from deltamark.domain.configuration.entity_model import Connector, EntityType, Property
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    Job,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
)
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.graph import dependency_cycles
from deltamark.domain.suggestions import hint, nearest
from deltamark.domain.validation.validate import faults
from deltamark.domain.validation.warnings import warnings

SYNC = '<SynchronizeTask Identifier="S" DisplayName_L1="s" Connector="AD" />'
FLAG = '<SetRecentlyModifiedFlagTask Identifier="F" DisplayName_L1="f" />'
KEYS = '<ComputeCorrelationKeysTask Identifier="K" DisplayName_L1="k" AllEntityType="true" />'
LINKS = '<EntityAssociation Identifier="Team" Property1="Directory_User:Team" Property2="Directory_Team:Members" />'
ENDS = 'EntityPropertyMapping1="Directory_User:Number" EntityPropertyMapping2="Directory_Team:Name"'
LINKED = (
    f'<EntityAssociationMapping Identifier="Team" Connector="AD" ConnectionTable="l" Column1="a" Column2="b" {ENDS} />'
)
ACCOUNTS = '<ResourceType Identifier="R" SourceEntityType="Directory_User" TargetEntityType="Directory_User" />'


def job(body: str, rest: str = "") -> str:
    return f'<Job Identifier="J" DisplayName_L1="j"{rest}>{body}</Job>'


FAULTS = {
    "an agent of a connector": ('<Connector Identifier="X" Agent="G" />', 'unknown agent "G".*there is none'),
    "an attribute of another element": (
        SYNC.replace(" />", ' SynchronizationMode="Incremental" />'),
        "unknown attribute `SynchronizationMode` of `SynchronizeTask`; it is an attribute of "
        "`PrepareSynchronizationTask`$",
    ),
    "an attribute of an inner element": (
        '<Connector Identifier="X" IsKey="true" />',
        "unknown attribute `IsKey` of `Connector`; it is an attribute of `Property` inside `EntityType`$",
    ),
    "an agent of a task": (SYNC.replace(" />", ' Agent="G" />'), 'unknown agent "G" in SynchronizeTask "S"'),
    "an agent of a job": (job("", ' Agent="G"'), 'unknown agent "G" in job "J"'),
    "a connector of a connection": (
        '<Connection Identifier="N" Connector="ad" />',
        'unknown connector "ad".*mean "AD"',
    ),
    "a policy": (ACCOUNTS.replace(" />", ' Policy="P" />'), 'unknown policy "P" in resource type "R"'),
    "the owners of a resource type": (
        ACCOUNTS.replace("Directory_User", "Directory_Usr", 1),
        'unknown entity type "Directory_Usr".*mean "Directory_User"',
    ),
    "the resource type of a rule": (
        '<ResourceCorrelationRule ResourceType="Q" SourceBinding="Mail" TargetBinding="Mail" />',
        'unknown resource type "Q"',
    ),
    "the entity type of a mapping": (
        '<EntityTypeMapping Identifier="Directory_Teams" Connector="AD" ConnectionTable="t">'
        '<Property Identifier="Name" ConnectionColumn="n" IsPrimaryKey="1" /></EntityTypeMapping>',
        'unknown entity type "Directory_Teams" in mapping .*mean "Directory_Team"',
    ),
    "the entity type of an association": (LINKS.replace("Directory_Team:", "D:"), 'unknown entity type "D"'),
    "the association of a mapping": (LINKED, 'unknown association "Team"'),
    "the key of a mapped link": (
        LINKS + LINKED.replace("User:Number", "User:Numbr"),
        'unknown property of "Directory_User" "Numbr".*mean "Number"',
    ),
    "the entity type of a task": (
        '<ComputeCorrelationKeysTask DisplayName_L1="k"><TaskEntityType EntityType="User" />'
        "</ComputeCorrelationKeysTask>",
        'unknown entity type "User"',
    ),
    "a parent": (
        SYNC.replace(" />", '><TaskDependsOnTask ParentTask="P" /></SynchronizeTask>'),
        'unknown parent task "P" in SynchronizeTask "S"',
    ),
    "a step": (SYNC + job('<Step Task="s" />'), 'unknown task "s" in job "J"; did you mean "S"'),
    "an override": (job('<SynchronizeTaskOverride Identifier="S" Orphans="1" />'), 'unknown task "S" in job "J"'),
    "a parent in an override": (
        SYNC
        + job('<SynchronizeTaskOverride Identifier="S"><TaskDependsOnTask ParentTask="P" /></SynchronizeTaskOverride>'),
        'unknown parent task "P"',
    ),
    "a connector twice": (
        '<Connector Identifier="AD" />',
        r'connector "AD" is configured twice; the first is at .*:2;',
    ),
    "an association twice": (
        LINKS + LINKS.replace("Team:M", "Team:Q").replace("User:T", "User:Q"),
        'association "Team" is',
    ),
    "two mappings of an association": (LINKS + LINKED + LINKED, 'mapping of association "Team" is configured twice'),
    "a task twice, in and outside a job": (SYNC + job(SYNC), 'task "S" is configured twice'),
    "two nameless tasks": (
        job('<SetRecentlyModifiedFlagTask DisplayName_L1="a" />' * 2),
        '"SetRecentlyModifiedFlag" is',
    ),
    "a rule twice": (
        ACCOUNTS
        + '<ResourceCorrelationRule Identifier="A" ResourceType="R" SourceBinding="Mail" TargetBinding="Mail" />' * 2,
        'correlation rule "A" is configured twice',
    ),
    "a property twice": (
        '<EntityType Identifier="T"><Property Identifier="A" /><Property Identifier="A" /></EntityType>',
        'property "A" of entity type "T" is configured twice',
    ),
    "properties that SQL does not tell apart": (
        '<EntityType Identifier="T"><Property Identifier="Ab" /><Property Identifier="aB" /></EntityType>',
        "differs from .* in letter case only",
    ),
    "a link end that is no key": (
        LINKS + LINKED.replace("User:Number", "User:Team"),
        '"Directory_User:Team", which is not a key: mark it',
    ),
    "a link end of the wrong type": (
        LINKS + LINKED.replace("Directory_Team:Name", "Directory_User:Mail"),
        'that end of the association belongs to "Directory_Team"; name a key of that type',
    ),
    "a navigation declared as text": (
        LINKS.replace("User:Team", "User:Mail"),
        "declared as String; declare it as ForeignKey",
    ),
    "a navigation used twice": (
        LINKS + LINKS.replace('"Team"', '"Again"').replace("Members", "Other"),
        'which association "Team" already uses',
    ),
    "a navigation to itself": (LINKS.replace("Directory_Team:Members", "Directory_User:Team"), "for both directions"),
    "a rule without target": (
        ACCOUNTS + '<ResourceCorrelationRule ResourceType="R" SourceBinding="Mail" />',
        'correlation rule "R_1" has no target; give TargetBinding or TargetExpression',
    ),
    "levels for some tasks only": (
        job(SYNC.replace(" />", ' Level="1" />') + FLAG),
        'task "F" has no Level and "S" has one',
    ),
    "levels mixed by a step": (
        SYNC + FLAG + job('<Step Task="S" /><Step Task="F" Level="0" />'),
        '"F" has a Level and "S" has none',
    ),
    "a task twice in one level": (
        SYNC + job('<Step Task="S" Level="1" /><Step Task="S" Level="1" />'),
        'task "S" is called twice in level 1 of job "J", and a task never runs twice at once',
    ),
    "a task and its parent in one level": (
        SYNC
        + job(
            '<Step Task="S" Level="1" /><SetRecentlyModifiedFlagTask Identifier="P" DisplayName_L1="p" Level="1">'
            '<TaskDependsOnTask ParentTask="S" /></SetRecentlyModifiedFlagTask>'
        ),
        'task "P" depends on "S", which is in the same level 1 of job "J" and runs at the same time; give it a higher',
    ),
    "a connector prepared and synchronized in one level": (
        SYNC
        + job(
            '<Step Task="S" Level="1" />'
            '<PrepareSynchronizationTask Identifier="P" DisplayName_L1="p" Connector="AD" Level="1" />'
        ),
        'task "S" synchronizes "AD" in the same level 1 of job "J" in which "P" prepares it; give it a higher Level',
    ),
    "an override of another kind": (
        SYNC + job('<ComputeCorrelationKeysTaskOverride Identifier="S" Dirty="1" />'),
        "is a SynchronizeTask; write SynchronizeTaskOverride",
    ),
    "a command column without commands": (
        '<PrepareSynchronizationTask Connector="AD" DisplayName_L1="p" ColumnName="c" />',
        "only SynchronizationMode Incremental reads",
    ),
    "changes without commands": (
        '<PrepareSynchronizationTask Connector="AD" DisplayName_L1="p" SynchronizationMode="Incremental" />',
        r"names no command column \(ColumnName\).*name that column, or set SynchronizationMode Complete",
    ),
    "changes without commands after an override": (
        '<PrepareSynchronizationTask Identifier="P" Connector="AD" DisplayName_L1="p" />'
        + job('<PrepareSynchronizationTaskOverride Identifier="P" SynchronizationMode="2" />'),
        r"names no command column \(ColumnName\)",
    ),
    "an empty command column": (
        '<PrepareSynchronizationTask Connector="AD" DisplayName_L1="p" SynchronizationMode="2" ColumnName="" />',
        "ColumnName",
    ),
    "a table that is always complete for one mapping": (
        LINKS + LINKED.replace('"l"', '"teams" AlwaysComplete="1"'),
        'mapping "Team" says that the extract "teams" is always complete .*and mapping "Directory_Team", which',
    ),
    "a task that covers nothing": (KEYS.replace("true", "false"), "does not say which entity types it covers"),
    "a task that an override leaves with nothing": (
        KEYS + job('<ComputeCorrelationKeysTaskOverride Identifier="K" AllEntityType="0" />'),
        "does not say which entity types it covers",
    ),
    "a cycle that an override closes": (
        SYNC
        + FLAG.replace(" />", '><TaskDependsOnTask ParentTask="S" /></SetRecentlyModifiedFlagTask>')
        + job('<SynchronizeTaskOverride Identifier="S"><TaskDependsOnTask ParentTask="F" /></SynchronizeTaskOverride>'),
        "cycle: F -> S -> F",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_mistake_is_reported_once_with_advice(name, configuration_text, messages_of):
    more, message = FAULTS[name]

    messages = messages_of(configuration_text(more))

    assert len(messages) == 1, messages
    assert re.search(message, messages[0]), messages


def test_the_parts_of_these_mistakes_are_valid_without_them(configuration_text, messages_of):
    more = LINKS + LINKED + ACCOUNTS + SYNC + FLAG + KEYS + job('<Step Task="S" /><Step Task="F" />')

    assert messages_of(configuration_text(more)) == []


def keys(count: int, mark: str) -> str:
    items = "".join(f'<Property Identifier="P{n}" />' for n in range(count))
    mapped = "".join(f'<Property Identifier="P{n}" ConnectionColumn="c" {mark}="1" />' for n in range(count))
    primary = '<Property Identifier="Q" ConnectionColumn="q" IsPrimaryKey="1" />'
    return (
        f'<EntityType Identifier="T"><Property Identifier="Q" />{items}</EntityType>'
        f'<EntityTypeMapping Identifier="T" Connector="AD" ConnectionTable="t">{primary}{mapped}</EntityTypeMapping>'
    )


def test_a_mapping_has_one_primary_key_and_up_to_three_unique_keys(configuration_text, messages_of):
    assert messages_of(configuration_text(keys(3, "IsUniqueKey"))) == []
    assert "more than three unique keys" in messages_of(configuration_text(keys(4, "IsUniqueKey")))[0]
    assert 'primary keys "Q" and "P0"; keep one' in messages_of(configuration_text(keys(1, "IsPrimaryKey")))[0]


@pytest.mark.parametrize(
    "declared", ["", '<Property Identifier="Up" Type="Int64" />', '<Property Identifier="Up" Type="12" />']
)
def test_a_navigation_property_may_be_a_reference_a_number_or_undeclared(declared, configuration_text, messages_of):
    ends = 'Property1="T:Up" Property2="T:Down"'
    more = f'<EntityType Identifier="T">{declared}</EntityType><EntityAssociation Identifier="A" {ends} />'

    assert messages_of(configuration_text(more)) == []


def test_a_parent_may_be_in_another_job(configuration_text, messages_of):
    child = SYNC.replace(" />", '><TaskDependsOnTask ParentTask="F" /></SynchronizeTask>')
    more = job(FLAG) + f'<Job Identifier="I" DisplayName_L1="i">{child}</Job>'

    assert messages_of(configuration_text(more)) == []


def test_a_configuration_built_in_python_is_validated():
    configuration = Configuration(
        connectors=[Connector("HR"), Connector("HR"), Connector("a/b")],
        entity_types=[EntityType("T", [Property("1st")])],
        jobs=[
            Job(
                "J",
                [SynchronizeTask(connector="HRS"), TaskOverride("SynchronizeTask", "SynchronizeHRS", {"orphan": True})],
            )
        ],
    )

    messages = [str(fault) for fault in faults(configuration)]

    assert messages == [
        'connector "a/b" contains "/"; identifiers are not paths',
        'connector "HR" is configured twice; rename or remove one',
        'property "1st" of entity type "T" must consist of the letters A to Z, digits and _, and must not '
        "begin with a digit",
        'unknown connector "HRS" in SynchronizeTask "SynchronizeHRS"; did you mean "HR"?',
        'SynchronizeTaskOverride "SynchronizeHRS" cannot change "orphan"; did you mean "orphans"?',
    ]


def test_names_are_compared_in_unicode_normal_form():
    configuration = Configuration(connectors=[Connector("\u00e9"), Connector("e\u0301")])

    assert [fault.message for fault in faults(configuration)] == [
        'connector "e\u0301" is configured twice; rename or remove one'
    ]


def test_a_fault_of_a_task_is_not_repeated_for_its_overrides(configuration_text, messages_of):
    broken = KEYS.replace("true", "false")
    override = '<ComputeCorrelationKeysTaskOverride Identifier="K" Dirty="1" />'

    assert len(messages_of(configuration_text(broken + job(override)))) == 1


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3).map(tuple)))
def test_a_cycle_is_found_exactly_if_a_task_can_reach_itself(parents):
    reach = {name: {p for p in ps if p != name} for name, ps in parents.items()}
    for _ in parents:
        reach = {name: ps.union(*(reach.get(p, set()) for p in ps)) for name, ps in reach.items()}

    cycles = list(dependency_cycles(parents))

    assert bool(cycles) == any(name in ps for name, ps in reach.items())
    for cycle in cycles:
        assert all(after in parents[before] for before, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))


def test_a_chain_of_five_thousand_tasks_needs_no_recursion():
    chain = {str(number): (str(number + 1),) for number in range(5000)}

    assert list(dependency_cycles(chain)) == []
    assert len(list(dependency_cycles({**chain, "5000": ("0",)}))) == 1


@pytest.mark.parametrize(
    "expression",
    ["0 0 6 * * MON-FRI", "0 6 * * *", "*/10 * * * * *", "0 0 0 L * ?", "0 0 0 LW * ?", "0 0 0 ? * 6#3",
     "0 0 0 ? jan,Feb 5L", "0 0-10/5,30 8-18 29 2 *", "0 0 0 31 1-3 *"],
)  # fmt: skip
def test_cron_expressions_of_both_lengths_are_accepted(expression):
    assert cron_problem(expression) is None


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "has 0 fields"), ("* * * * * * *", "has 7 fields"), ("60 0 0 * * *", "0 to 59"), ("0 24 * * *", "0 to 23"),
        ("0 0 0 * *", "1 to 31"), ("0 0 * 13 *", "1 to 12"), ("0 0 * * 8", "0 to 7"), ("30-10 * * * *", "whose end"),
        ("? * * * *", "the weekday only"), ("*-5 * * * *", "not understood"), ("1,,2 * * * *", "not understood"),
        ("0 0 31 4,6 *", "never fires"), ("0 0 40 * *", "1 to 31"), ("٣ * * * *", "not understood"),
        ("0 0 15W * *", "not understood"), ("0 0 L-3 * *", "not understood"), ("0 0 * * L", "not understood"),
        ("0 0 * * FRIL", "not understood"), ("0 0 L * MON#1", "never fires"),
        ("0 0 * * 3#6", "not understood"), ("* " * 200, "longer than 200"),
    ],
)  # fmt: skip
def test_an_invalid_cron_expression_is_explained(expression, problem):
    assert problem in cron_problem(expression)


@pytest.mark.parametrize(
    ("expression", "is_frequent"),
    [
        ("0 * * * *", False),
        ("0 0 6 * * *", False),
        ("*/30 * * * *", True),
        ("0 0,30 * * * *", True),
        ("* 0 * * * *", True),
    ],
)
def test_a_job_is_frequent_if_it_fires_twice_in_an_hour(expression, is_frequent):
    assert fires_more_than_hourly(expression) is is_frequent


def test_the_nearest_name_differs_in_case_or_little():
    assert nearest("identifier", ["Identity", "Identifier"]) == "Identifier"
    assert nearest("Idenifier", ["Level", "Identifier"]) == "Identifier"
    assert nearest("Colour", ["Level", "Identifier"]) is None
    assert nearest("Nmae", ["name", "Name", "Mail"]) == "Name"
    assert nearest("nmae", ["Name", "name", "Mail"]) == "name"
    assert hint("Colour", ["Level", "Identifier"]) == '; there is "Identifier", "Level"'


# Warnings


def warned(*jobs: Job) -> list[str]:
    configuration = Configuration(
        connectors=[Connector("HR")], entity_types=[EntityType("T", [Property("K")])], jobs=jobs
    )
    assert faults(configuration) == ()
    return [str(warning) for warning in warnings(configuration, Plan())]


KEPT = SynchronizeTask(connector="HR", do_not_delete_changes=True)
FLAGS = SetRecentlyModifiedFlagTask(parents=["SynchronizeHR"])
DIRTY = ComputeCorrelationKeysTask(dirty=True, entity_types=["T"], parents=["SetRecentlyModifiedFlag"])


def test_the_incremental_job_of_the_guide_gives_no_warning():
    assert warned(Job("J", [KEPT, FLAGS, DIRTY], cron_tab_expression="*/5 * * * *")) == []


def test_a_dirty_task_without_a_flag_task_before_it_gives_a_warning():
    task = ComputeCorrelationKeysTask(dirty=True, entity_types=["T"])

    (warning,) = warned(Job("J", [KEPT, task, SetRecentlyModifiedFlagTask()]))

    assert warning.startswith('task "ComputeCorrelationKeys" of job "J" works on flagged resources')


def test_a_flag_task_after_a_discarding_synchronization_gives_a_warning():
    (warning,) = warned(Job("J", [SynchronizeTask(connector="HR"), FLAGS, DIRTY]))

    assert '"SynchronizeHR" before it discards its changes' in warning


def test_a_discarding_synchronization_after_the_flag_task_gives_no_warning():
    later = SynchronizeTask(connector="HR", identifier="Later")

    assert warned(Job("J", [KEPT, FLAGS, DIRTY, later])) == []


def test_a_task_called_twice_gives_a_warning_with_its_line(configured, tmp_path):
    configuration = configured(
        SYNC + job('\n<Step Task="S" />\n<SynchronizeTaskOverride Identifier="S" Orphans="1" />')
    )

    (warning,) = warnings(configuration, Plan())

    assert (warning.location.file, warning.location.line) == (str(tmp_path / "jobs.xml"), 20)
    assert re.search(r'task "S" runs twice in job "J"; the first time is at .*:19', warning.message)


def test_all_entity_types_several_times_an_hour_give_a_warning():
    task = ComputeCorrelationKeysTask(all_entity_type=True)

    assert warned(Job("J", [task], cron_tab_expression="0 * * * *")) == []
    (warning,) = warned(Job("J", [task], cron_tab_expression="0,30 * * * *"))
    assert "(AllEntityType)" in warning


def test_a_scheduled_preparation_that_deletes_nothing_gives_a_warning():
    prepare = PrepareSynchronizationTask(connector="HR", synchronization_mode=SynchronizationMode.INITIAL)

    assert warned(Job("J", [prepare, KEPT])) == []
    (warning,) = warned(Job("J", [prepare, KEPT], cron_tab_expression="0 5 * * *"))
    assert "Initial, which deletes nothing" in warning


def test_a_task_before_its_parent_gives_a_warning():
    (by_place,) = warned(Job("J", [FLAGS, KEPT]))
    (by_level,) = warned(
        Job("J", [SynchronizeTask(connector="HR", do_not_delete_changes=True, level=3),
                  SetRecentlyModifiedFlagTask(parents=["SynchronizeHR"], level=1)])
    )  # fmt: skip

    assert by_place == by_level
    assert 'task "SetRecentlyModifiedFlag" runs before "SynchronizeHR"' in by_place
