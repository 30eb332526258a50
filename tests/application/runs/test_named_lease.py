"""Leader election: of all schedulers that share a store one leads, until it resigns or is not heard from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deltamark.application.runs.named_lease import SCHEDULER, NamedLease, is_taken
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore

LEASE_S = 3_600.0
"""So long that no heartbeat of a test is due."""


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(FakeClock())


@pytest.fixture
def leads(store: FakeStore) -> Iterator[tuple[NamedLease, NamedLease]]:
    """Those of two schedulers; their heartbeats end with the test."""
    both = NamedLease(store, SCHEDULER, LEASE_S), NamedLease(store, SCHEDULER, LEASE_S)  # type: ignore[arg-type]
    yield both
    for lead in both:
        lead.release()


def test_the_first_who_takes_the_lead_has_it(store, leads):
    one, other = leads

    assert not is_taken(store, SCHEDULER)
    assert one.take()
    assert not other.take()

    assert is_taken(store, SCHEDULER)
    assert (one.is_held(store), other.is_held(store)) == (True, False)


def test_who_resigns_is_followed_at_once(store, leads):
    one, other = leads
    one.take()

    one.release()

    assert other.take()
    assert (one.is_held(store), other.is_held(store)) == (False, True)


def test_who_is_not_heard_from_for_longer_than_its_lease_loses_the_lead(store, leads):
    one, other = leads
    one.take()

    store.clock.passes(seconds=LEASE_S - 1)
    assert not other.take()
    store.clock.passes(seconds=2)

    assert not one.is_held(store)
    assert other.take()
    assert not one.is_kept(store)


def test_a_transaction_of_the_leader_renews_its_lead(store, leads):
    one, other = leads
    one.take()
    store.clock.passes(seconds=LEASE_S - 1)

    assert one.is_kept(store)

    store.clock.passes(seconds=LEASE_S - 1)
    assert one.is_held(store)
    assert not other.take()
