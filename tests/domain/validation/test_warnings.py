"""Warnings that users get before anything runs."""

from __future__ import annotations

import pytest
from attrs import evolve

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connector, EntityType
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    Job,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizeTask,
    TaskOverride,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.location import Location
from deltamark.domain.validation.warnings import warnings

SYNC = SynchronizeTask(identifier="Sync", connector="AD", do_not_delete_changes=True)
DISCARDING = SynchronizeTask(identifier="Sync", connector="AD")
FLAG = SetRecentlyModifiedFlagTask(identifier="Flag", parents=["Sync"])
KEYS = ComputeCorrelationKeysTask(identifier="Keys", dirty=True, entity_types=["User"], parents=["Flag"])


def warnings_of(*tasks, outside=(), **job):
    configuration = Configuration(
        connectors=[Connector("AD")], entity_types=[EntityType("User")], tasks=outside, jobs=[Job("J", tasks, **job)]
    )
    return [fault.message for fault in warnings(configuration, Plan())]


def test_a_job_that_keeps_changes_flags_and_computes_gives_no_warning():
    assert warnings_of(SYNC, FLAG, KEYS) == []


COMPUTING = [UpdateEntityPropertyExpressionsTask, ComputeCorrelationKeysTask, UpdateClassificationTask]


@pytest.mark.parametrize("kind", COMPUTING)
def test_a_dirty_task_without_a_flag_task_before_it(kind):
    (message,) = warnings_of(SYNC, kind(identifier="Keys", dirty=True, entity_types=["User"]))

    assert message == (
        'task "Keys" of job "J" works on flagged resources (Dirty), but no SetRecentlyModifiedFlagTask runs before it; '
        "put one before it"
    )


def test_a_flag_task_after_the_dirty_task_does_not_count():
    messages = warnings_of(KEYS, FLAG)

    assert any("no SetRecentlyModifiedFlagTask runs before it" in message for message in messages)


def test_levels_decide_the_order():
    assert warnings_of(evolve(KEYS, level=5), evolve(FLAG, level=3), evolve(SYNC, level=2)) == []


def test_a_flag_task_after_a_synchronization_that_discards_its_changes():
    (message,) = warnings_of(DISCARDING, FLAG, KEYS)

    assert '"Sync" before it discards its changes' in message
    assert 'set DoNotDeleteChanges="true" there' in message


def test_the_same_task_twice():
    (message,) = warnings_of(Step("Sync"), Step("Sync"), outside=[SYNC])

    assert message == 'task "Sync" runs twice in job "J"'


@pytest.mark.parametrize(
    ("cron", "has_warning"),
    [("0 */10 * * * *", True), ("0 0 * * * *", False), ("0 0 3 * * *", False), ("0,30 * * * *", True), (None, False)],
)
@pytest.mark.parametrize("kind", COMPUTING)
def test_all_entity_types_more_than_once_an_hour(kind, cron, has_warning):
    messages = warnings_of(kind(all_entity_type=True), cron_tab_expression=cron)

    assert [("covers all entity types" in message) for message in messages] == [True] * has_warning


def test_a_parent_called_before_and_after_its_child_gives_no_warning():
    messages = warnings_of(Step("Sync"), Step("Flag"), Step("Sync"), outside=[SYNC, FLAG])

    assert not any("on which it depends" in message for message in messages)


def test_a_task_before_its_parent():
    (message,) = warnings_of(FLAG, SYNC)

    assert message.startswith('task "Flag" runs before "Sync", on which it depends, in job "J"')


def test_an_override_counts_as_the_changed_task():
    call = TaskOverride("SynchronizeTask", "Sync", {"do_not_delete_changes": False})

    (message,) = warnings_of(call, FLAG, outside=[SYNC])

    assert "discards its changes" in message


def test_warnings_have_locations_and_are_in_file_order():
    late = evolve(KEYS, parents=[], location=Location("b.xml", 9))
    early = evolve(late, identifier="Keys2", location=Location("a.xml", 30))
    first = evolve(late, identifier="Keys3", location=Location("a.xml", 4))
    configuration = Configuration(entity_types=[EntityType("User")], jobs=[Job("J", [late, early, first])])

    assert [str(fault.location) for fault in warnings(configuration, Plan())] == ["a.xml:4", "a.xml:30", "b.xml:9"]
