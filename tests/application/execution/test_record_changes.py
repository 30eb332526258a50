"""Single changes that a program records: a run of its own, like any other."""

from __future__ import annotations

import pytest

from deltamark import Delete, Link, TaskState, Thresholds, Unlink, Upsert, UsageError
from tests.scenarios.shop import configuration, item

ONE_STORE = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)


@pytest.fixture
def shop(new_shop):
    """A shop with a lamp, of which a bulb is a part."""
    made = new_shop()
    made.engine.run_job("All", extracts={"items": [item(1, "Lamp", weight=2.5), item(2, "Bulb", part_of=1), item(3)]})
    return made


def changed(shop, run):
    return [(type(change.event).__name__, _keys(change.event.ref)) for change in shop.engine.changes(run=run.number)]


def _keys(ref):
    return (ref.source.key, ref.target.key) if hasattr(ref, "source") else ref.key


@pytest.mark.on_every_store
def test_recorded_changes_do_what_they_name_and_leave_the_rest(shop):
    changes = [Upsert("Item", {"Number": 1, "Name": "LED"}), Upsert("Item", {"Number": 4}), Link("Parts", 4, 1)]
    run = shop.engine.record("Shop", changes, by="ann", reason="CHG-1")

    assert changed(shop, run) == [("Created", "4"), ("Updated", "1"), ("Linked", ("4", "1"))]
    assert shop.engine.resource("Item", "1").values == {"Number": 1, "Name": "LED", "Weight": 2.5}
    assert (run.job, run.by, run.reason, run.state) == ("*record:Shop*", "ann", "CHG-1", TaskState.COMPLETED)

    run = shop.engine.record("Shop", [Unlink("Parts", 4), Delete("Item", 2)])

    assert sorted(changed(shop, run)) == [("Deleted", "2"), ("Unlinked", ("2", "1")), ("Unlinked", ("4", "1"))]
    assert shop.names() == {"1": "LED", "3": None, "4": None}


@ONE_STORE
def test_changes_of_one_resource_apply_in_their_order(shop):
    changes = [
        Upsert("Item", {"Number": 3, "Name": "a"}),
        Delete("Item", 3),
        Upsert("Item", {"Number": 3, "Weight": 1.0}),
    ]
    shop.engine.record("Shop", changes)

    assert shop.engine.resource("Item", "3").values == {"Number": 3, "Weight": 1.0}


@ONE_STORE
def test_removing_a_link_keeps_the_resources_although_one_table_feeds_both(shop):
    run = shop.engine.record("Shop", [Unlink("Parts", 2, 1)])

    assert changed(shop, run) == [("Unlinked", ("2", "1"))]


@ONE_STORE
def test_what_is_not_of_the_type_is_set_aside(shop):
    run = shop.engine.record("Shop", [Upsert("Item", {"Number": 1, "Weight": "heavy"}), Link("Parts", 3, 99)])

    rows = shop.engine.run(run.number).set_aside
    assert [(row.file, row.line, row.value) for row in rows] == [
        ("Item (given by the program)", 1, "heavy"),
        ("links of Parts (given by the program)", 1, "99"),
    ]


@ONE_STORE
def test_a_threshold_holds_recorded_changes_back_and_another_engine_applies_them(new_shop):
    shop = new_shop(configuration=configuration(Thresholds(maximum_deleted_lines=1)))
    shop.engine.run_job("All", extracts={"items": [item(1), item(2), item(3)]}, force=True)

    blocked = shop.engine.record("Shop", [Delete("Item", 1), Delete("Item", 2)])
    assert blocked.tasks[0].state is TaskState.BLOCKED
    assert set(shop.names()) == {"1", "2", "3"}

    with shop.another() as other:
        assert other.resume(blocked.number).state is TaskState.COMPLETED
    assert set(shop.names()) == {"3"}


@ONE_STORE
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Upsert("Item", {"Name": "x"}), "names its primary key, Number"),
        (Upsert("Itm", {}), 'connector Shop feeds no entity type "Itm"; did you mean "Item"?'),
        (Upsert("Note", {"Code": 1}), 'connector Shop feeds no entity type "Note"'),
        (Upsert("Item", {"Number": 1, "Nme": 1}), 'feeds no property "Nme" of Item; did you mean "Name"?'),
        (Upsert("Item", {"Number": 1, "Name": None}), "empties Name, and does not name Price, Weight"),
        (Link("Parts", 1, None), "a Link of Parts names both of its resources"),
        ({"Number": 1}, "is an Upsert, Delete, Link or Unlink, not dict"),
    ],
)
def test_a_change_of_what_the_connector_does_not_feed_is_refused(change, message, shop):
    with pytest.raises(UsageError) as refused:
        shop.engine.record("Shop", [change])

    assert message in str(refused.value)
    assert len(shop.engine.runs()) == 1


@ONE_STORE
def test_a_dry_run_records_nothing(shop):
    run = shop.engine.record("Shop", [Delete("Item", 1)], dry_run=True)

    assert run.counts.deleted == 1
    assert "1" in shop.names()
