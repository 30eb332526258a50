"""Keys, pairs, classifications and dirty resources some at a time: together they are the whole, in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deltamark import ResourceRef, UsageError
from tests.application.flagging.test_dirty import CHAIN
from tests.scenarios.organisation.formulas import KEYS
from tests.scenarios.organisation.running import Organisation
from tests.scenarios.organisation.setting import Setting
from tests.store.queries.test_cost_of_pages import Recorded

SETTING = Setting(properties=CHAIN.properties, keys=KEYS, classes=CHAIN.classes)


@pytest.fixture
def staffed(new_organisation) -> Organisation:
    """Twelve people with managers in two departments, some of the same name, each second with an account."""
    organisation = new_organisation(SETTING).department("A", "Art").department("B", "Bau")
    for number in range(1, 13):
        manager = {"manager": str(number // 2)} if number > 1 else {}
        organisation.person(f"{number}", f"Name {number % 5}", department="AB"[number % 2], **manager)
        if number % 2:
            organisation.account(f"a{number}", owner=f"{number}", Kind="u")
    organisation.run()
    organisation.run("Weekly")
    return organisation


def walked(ask: Callable[..., Any], cursor: Callable[[Any], Any], limit: int) -> list[Any]:
    """All pages, one after the other."""
    found: list[Any] = []
    while page := list(ask(limit=limit, after=cursor(found[-1]) if found else None)):
        assert len(page) <= limit
        found += page
    return found


def ref(row: Any) -> ResourceRef:
    return ResourceRef(row.entity_type, row.key)


@pytest.mark.on_every_store
def test_pages_of_results_are_the_whole_in_its_order(staffed: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = staffed.engine
    keys, pairs, classes = list(engine.keys()), list(engine.matches()), list(engine.classifications())
    assert len(keys) > 10
    assert pairs
    assert classes
    for limit in (1, 7, 100):
        assert walked(engine.keys, lambda key: key, limit) == keys
        assert walked(engine.matches, lambda pair: pair, limit) == pairs
        assert walked(engine.classifications, ref, limit) == classes
    for rule in {key.rule for key in keys}:
        of_rule = [key for key in keys if key.rule == rule]
        assert walked(lambda rule=rule, **page: engine.keys(rule, **page), lambda key: key, 3) == of_rule
        several = {
            value
            for side in ("source", "target")
            for value in {key.value for key in of_rule}
            if sum((key.side, key.value) == (side, value) for key in of_rule) > 1
        }
        found = walked(lambda rule=rule, **page: engine.ambiguous(rule, **page), lambda one: one.value, 1)
        assert [one.value for one in found] == sorted(several, key=str.encode)
        for one in found:
            names = {key.key for key in of_rule if key.value == one.value and key.side == "source"}
            assert {source.key for source in one.sources} == names
            assert one.source_count == len(names)
    assert any(list(engine.ambiguous(rule)) for rule in {key.rule for key in keys})
    assert engine.keys_of("Person", "3") == [key for key in keys if (key.entity_type, key.key) == ("Person", "3")]
    assert engine.keys_of("Person", "nobody") == []
    with pytest.raises(UsageError, match="after goes with a limit"):
        engine.keys(after=keys[0])
    recorded = Recorded(monkeypatch)  # of SQLite only
    for ask in (engine.keys, engine.matches, engine.classifications):
        list(ask(limit=5))
        engine.ambiguous(keys[0].rule, limit=1)
    assert recorded.whole_tables() == []


@pytest.mark.on_every_store
def test_pages_of_dirty_resources_are_those_that_do_not_only_follow(staffed: Organisation) -> None:
    engine = staffed.engine
    staffed.department("A", "Arts").run("Org")
    staffed.run("Flags")
    check(staffed)
    assert any(count.count and not count.is_everything for count in engine.dirty_counts())


def test_what_a_task_never_computed_is_dirty_as_a_whole(new_organisation) -> None:
    organisation = new_organisation(SETTING).department("A", "Art").person("1", "Ann", department="A")
    organisation.run("Org")
    organisation.run("HR")
    check(organisation)
    assert any(count.is_everything and count.count for count in organisation.engine.dirty_counts())


def check(organisation: Organisation) -> None:
    engine = organisation.engine
    whole = [one for one in engine.dirty() if not one.through]
    assert whole
    counted = {(count.task, count.entity_type): (count.count, count.since) for count in engine.dirty_counts()}
    for task in {one.task for one in whole}:
        of_task = sorted((one for one in whole if one.task == task), key=lambda one: (one.entity_type, one.key))
        for limit in (1, 100):
            assert walked(lambda task=task, **page: engine.dirty(task=task, **page), ref, limit) == of_task
        for name in {one.entity_type for one in of_task}:
            sinces = [one.since for one in of_task if one.entity_type == name]
            assert counted[task, name] == (len(sinces), min(sinces))
