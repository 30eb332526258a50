"""What workers must make no difference to: the log, whoever computes, however many, and whichever is done first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from deltamark import bootstrap
from deltamark.application.derivation import inputs, parts
from deltamark.domain.work_limits import WorkLimits
from deltamark.infrastructure.workers.call import Desk, own_versions
from tests.laws.machine import EDITS, begun, lived
from tests.laws.test_derivation import logged
from tests.scenarios.organisation.running import Known, Organisation
from tests.scenarios.organisation.setting import everything
from tests.stores import STORES, stores
from tests.tiers import law

KNOWN = Known()
DAYS = st.lists(st.lists(EDITS, min_size=1, max_size=6), min_size=1, max_size=2)


def desk(url: str) -> Desk:
    return Desk(store=url, versions=own_versions(), limits=WorkLimits(threads=1))


class ThreadWorkers:
    """Threads of this process, each with what a worker has."""

    def __init__(self, count: int, url: str) -> None:
        self.parallel = count
        self.calls = 0
        self._desk = desk(url)
        self._pool = ThreadPoolExecutor(count)

    def submit(self, function: Any, /, *arguments: Any) -> Future[Any]:
        self.calls += 1
        return self._pool.submit(bootstrap.call_on_worker, self._desk, function, arguments)

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture(params=STORES)
def new_organisation_of(memory, clock, request) -> Iterator[Callable[[], Organisation]]:
    """Gives another organisation with every call, of plain extracts, where some people are already."""
    opened: list[Organisation] = []
    with stores(request.param, memory, lambda: request.getfixturevalue("postgresql_database")) as new:

        def organisation() -> Organisation:
            while len(opened) > 2:
                opened.pop(0).engine.close()
            opened.append(Organisation(new(), memory, clock, everything(), plain=KNOWN))
            begun(opened[-1].world)
            return opened[-1]

        yield organisation
        for one in opened:
            one.engine.close()


def with_workers(organisation: Organisation, count: int) -> ThreadWorkers:
    workers = ThreadWorkers(count, organisation.url)
    engine = organisation.engine
    engine._services = evolve(engine._services, workers=workers)
    return workers


@pytest.mark.slow
@law(6)
@given(days=DAYS, count=st.sampled_from([1, 2, 7]), at_once=st.sampled_from([1, 2]), sent=st.sampled_from([0, 1_000]))
def test_the_log_is_the_same_with_any_number_of_workers(new_organisation_of, days, count, at_once, sent):
    alone, shared = new_organisation_of(), new_organisation_of()
    workers = with_workers(shared, count)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inputs, "AT_ONCE", at_once)
        patched.setattr(parts, "MOST_SENT", sent)
        for organisation in (alone, shared):
            organisation.run("Complete")
            for day in days:
                lived(organisation.world, day)
                organisation.run("Complete")

    assert workers.calls
    assert shared.derived() == alone.derived()
    assert logged(shared) == logged(alone)


def in_order_of_completion(workers: Any, function: Any, some: Any) -> Iterator[tuple[Any, Any]]:
    """What `in_order` must not do, where the last part is done first."""
    futures = [(part, workers.submit(function, part)) for part in some]
    for part, future in reversed(futures):
        yield part, future.result()


def test_the_order_of_completion_would_be_found(new_organisation_of, monkeypatch):
    alone, shared = new_organisation_of(), new_organisation_of()
    with_workers(shared, 2)
    monkeypatch.setattr(inputs, "AT_ONCE", 1)
    alone.run("Complete")
    monkeypatch.setattr(parts, "in_order", in_order_of_completion)
    shared.run("Complete")

    assert logged(shared) != logged(alone)


def test_values_of_earlier_stages_that_are_not_sent_would_be_found(new_organisation_of, monkeypatch):
    alone, shared = new_organisation_of(), new_organisation_of()
    with_workers(shared, 2)
    monkeypatch.setattr(inputs, "AT_ONCE", 1)
    alone.run("Complete")
    monkeypatch.setattr(parts, "_refreshed", lambda states, written: states)
    shared.run("Complete")

    assert logged(shared) != logged(alone)
