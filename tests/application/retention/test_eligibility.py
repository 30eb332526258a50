"""Eligible changes: those older than what is kept, as far as every task that reads changes has read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deltamark import Configuration, Job, SetRecentlyModifiedFlagTask
from deltamark.application.ports.records import Subjects
from deltamark.application.retention.eligibility import eligible_changes
from deltamark.domain.errors import RunNotFound
from deltamark.domain.history.changes import RunMoment
from tests.fakes.clock import FakeClock
from tests.fakes.services import fake_services
from tests.fakes.store import FakeStore

HR = Subjects(connector="HR", task="SynchronizeHR", entity_types=("Person",), associations=())
FLAGGING = Configuration(jobs=[Job("Flags", [SetRecentlyModifiedFlagTask()])])


@pytest.fixture
def store() -> FakeStore:
    """Three days: each has two changes of people and one of a team."""
    store = FakeStore(FakeClock())
    for _ in range(3):
        store.changed("Person", 2)
        store.changed("Team")
        store.clock.passes(days=1)
    return store


def eligible(store, keep, configuration=None, *, even_unread=False):
    services = fake_services(store, configuration or Configuration())
    return eligible_changes(store, services, HR, keep, even_unread=even_unread)


@pytest.mark.parametrize(
    ("keep", "wanted", "up_to", "count"),
    [
        (timedelta(days=2), 6, 5, 4),
        (timedelta(days=3), 3, 2, 2),
        (timedelta(days=4), 0, 0, 0),
        (timedelta(0), 9, 8, 6),
        (timedelta.max, 0, 0, 0),
        (3, 4, 4, 3),
        (6, 0, 0, 0),
        (7, 0, 0, 0),
        (0, 9, 8, 6),
    ],
)
def test_what_is_older_than_what_is_kept_is_eligible(store, keep, wanted, up_to, count):
    found = eligible(store, keep)

    assert (found.wanted, found.up_to, found.count) == (wanted, up_to, count)
    assert found.up_to_at == (store.time_of(up_to) if up_to else None)
    assert {changes.subject for changes in found.outgoing} <= {"Person"}


def test_what_was_not_flagged_yet_is_kept_and_the_task_is_named(store):
    store.position_of_flags = 4

    found = eligible(store, 0, FLAGGING)

    assert (found.wanted, found.up_to, found.count) == (9, 4, 3)
    assert [(unread.reader, unread.position, unread.count) for unread in found.unread] == [
        ("SetRecentlyModifiedFlag", 4, 3)
    ]


def test_what_was_not_flagged_yet_is_eligible_when_that_is_asked_for(store):
    store.position_of_flags = 4

    found = eligible(store, 0, FLAGGING, even_unread=True)

    assert (found.up_to, found.count) == (8, 6)
    assert [unread.count for unread in found.unread] == [3]


def test_a_run_that_does_not_exist_is_refused(store):
    with pytest.raises(RunNotFound):
        eligible(store, RunMoment(99))
