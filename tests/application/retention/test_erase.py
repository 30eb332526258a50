"""Erasing a resource: what it was is nowhere any more, that it was erased is on record, and the log still verifies."""

from __future__ import annotations

import pytest

from deltamark import ConcurrentRun, ErasedResource, ResourceRef, RunMoment, TaskState, UsageError
from deltamark.domain.runs.run import Counts, TaskEnded
from deltamark.domain.values import shown
from deltamark.infrastructure.store.sqlite.address import path_of
from tests.scenarios.house import PROPERTIES, House
from tests.scenarios.organisation.setting import everything
from tests.store.integrity.test_chain import held_against
from tests.store.tables import EVERYTHING, replayed_into, tables, verified

CANARY = "Zwölfboth-4711"


@pytest.fixture
def house(new_store, tmp_path, clock):
    house = House(new_store(), tmp_path / "exports", clock)
    yield house
    house.engine.close()


@pytest.fixture
def lived(house):
    """Ann, of whom there is much to erase, and Bob; both in a team."""
    ann = {"name": f"{CANARY}1", "mail": f"{CANARY}@example.com"}
    house.people({"1": ann, "2": "Bob"}).run("Complete")
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2")).run("Teams")
    house.people({"1": {**ann, "name": f"{CANARY}2"}, "2": "Bob"}).run("Incremental")
    return house


def holds(url: str, text: str) -> list[str]:
    """The tables in which a text stands anywhere."""
    found = []
    for name, rows in tables(url, EVERYTHING).items():
        plain = [
            part.decode(errors="replace") if isinstance(part, bytes) else str(part) for row in rows for part in row
        ]
        if any(text in part for part in plain):
            found.append(name)
    return found


def test_the_values_of_an_erased_resource_are_nowhere(lived):
    assert {"events", "resources"} <= set(holds(lived.url, CANARY))
    assert holds(lived.url, CANARY.lower()) == ["keys"]

    done = lived.engine.erase("Person", "1", reason="request 17")

    assert (done.was_live, done.links, done.events) == (True, 1, 5)
    assert holds(lived.url, CANARY) == holds(lived.url, CANARY.lower()) == []
    assert lived.engine.resource("Person", "2").values["Name"] == "Bob"


def test_an_erased_log_matches_its_checkpoint_and_replays_to_the_stored_state(lived):
    with lived.engine._store.reading() as reading:
        known = reading.checkpoint()

    lived.engine.erase("Person", "1", reason="request 17")

    found = held_against(lived.url, known)
    assert found.discrepancies == ()


def test_an_erasure_is_recorded_with_its_reason_and_named_by_queries(lived):
    done = lived.engine.erase("Person", "1", reason="request\n17")

    (run,) = [run for run in lived.engine.runs() if run.job == "*erase*"]
    assert (run.number, run.state, run.tasks[0].messages) == (
        done.run, TaskState.COMPLETED, ("5 changes erased (reason: request 17)",)
    )  # fmt: skip
    for ask in (lived.engine.history, lived.engine.why):
        with pytest.raises(
            ErasedResource, match=rf"Person 1 was erased at .* by run {done.run} \(reason: request 17\)"
        ):
            ask("Person", "1")
    with pytest.raises(ErasedResource):
        lived.engine.erase("Person", "1", reason="again")
    with pytest.raises(UsageError, match='there never was a Person with the key "9"'):
        lived.engine.erase("Person", "9", reason="x")


def test_dependents_of_an_erased_resource_are_flagged_and_computed_as_by_a_complete_run(lived):
    lived.engine.erase("Person", "1", reason="x")
    lived.teams({"T": "Team"}, ("T", "2")).run("Teams")
    lived.people({"2": "Bob"}).run("Incremental")

    assert lived.engine.verify_derived().differences == ()
    assert lived.pairs() == {("T", "2")}


def test_a_resource_that_was_deleted_before_is_erased_too(lived):
    lived.people({"2": "Bob"}).run("Incremental")

    done = lived.engine.erase("Person", "1", reason="x")

    assert not done.was_live
    assert holds(lived.url, CANARY) == []
    assert verified(lived.url).is_sound


def test_a_resource_that_its_source_still_holds_is_created_anew(lived):
    lived.engine.erase("Person", "1", reason="x")

    lived.people({"1": "Eve", "2": "Bob"}).run("Incremental")

    assert next(change.kind for change in lived.engine.history("Person", "1")) == "created"
    assert verified(lived.url).is_sound


def test_snapshots_of_discarded_changes_are_erased_too(lived):
    lived.engine.retain("HR", keep=0, even_unread=True)
    assert "snapshots" in holds(lived.url, CANARY)

    lived.engine.erase("Person", "1", reason="x")

    assert holds(lived.url, CANARY) == []
    assert verified(lived.url).is_sound


def test_a_link_that_is_only_a_snapshot_is_erased_too(lived, new_store):
    lived.engine.retain("Teams", keep=0, even_unread=True)
    lived.engine.retain("HR", keep=0, even_unread=True)

    lived.engine.erase("Person", "1", reason="x")

    assert verified(lived.url).discrepancies == ()
    replayed_into(lived.url, new_store())


def test_an_erased_log_can_be_copied_and_its_changes_discarded(lived, new_store):
    lived.engine.erase("Person", "1", reason="x")
    other = new_store()

    replayed_into(lived.url, other)
    lived.engine.retain("HR", keep=0, even_unread=True)

    assert verified(other).is_sound
    assert verified(lived.url).is_sound


def test_a_dry_run_says_the_same_and_writes_nothing(lived):
    before = tables(lived.url)

    said = lived.engine.erase("Person", "1", reason="x", dry_run=True)

    assert tables(lived.url) == before
    done = lived.engine.erase("Person", "1", reason="x")
    assert (said.run, said.was_live, said.links, said.events) == (None, True, 1, 5)
    assert (done.was_live, done.links, done.events) == (True, 1, 5)


@pytest.mark.parametrize("reason", ["", " \n", "x" * 501])
def test_a_reason_must_be_neither_empty_nor_too_long(lived, reason):
    before = tables(lived.url)

    with pytest.raises(UsageError, match="reason"):
        lived.engine.erase("Person", "1", reason=reason)

    assert tables(lived.url) == before


def test_nothing_is_erased_while_a_run_goes_on(lived):
    with lived.engine._store.transaction() as tx:
        tx.take_leases(1, ["SynchronizeHR"], 60.0)

    with pytest.raises(ConcurrentRun, match="run 1"):
        lived.engine.erase("Person", "1", reason="x")


def test_rows_that_were_set_aside_are_erased_and_their_run_is_not_listed(lived):
    twice = [{"number": "1", "name": "A"}, {"number": "1", "name": "B"}]
    run = lived.write("people", [name.lower() for name in PROPERTIES], twice).engine.run_job("Complete")
    assert run.set_aside

    assert lived.engine.erase("Person", "1", reason="x", dry_run=True).named_in == ()
    assert lived.engine.run(run.number).set_aside
    assert lived.engine.erase("Person", "1", reason="x").named_in == ()

    assert lived.engine.run(run.number).set_aside == ()
    assert verified(lived.url).is_sound


@pytest.mark.parametrize("key", ["1", 'a"b', "ä\tü"])
def test_a_message_that_quotes_the_key_is_listed_and_no_other_text_with_the_same_characters(house, key):
    house.people({"1": "Ann"}).run("Complete")

    def named_in(message):
        with house.engine._store.transaction() as tx:
            tx.append_to_run(
                lambda stream, version, at: TaskEnded(
                    originator_id=stream, originator_version=version, at=at, run=1, task=1, state=TaskState.COMPLETED,
                    effect=True, counts=Counts(), messages=[message],
                ),
                1,
            )  # fmt: skip
        with house.engine._store.reading() as reading:
            return reading.runs_that_name(key)

    assert named_in(f"{key}0 rows, {key} more") == []
    assert named_in(f"Person {shown(key)} was updated meanwhile") == [1]


def test_values_computed_from_it_are_computed_anew_and_their_history_stays(new_organisation):
    there = new_organisation(everything()).department("A", "Alpha")
    there.person("1", CANARY, department="A", Mail="a@x").person("2", "Bob", manager="1", department="A", Mail="b@x")
    there.person("3", "Cem", department="A")
    there.run()
    before = there.engine.history("Person", "2")
    assert there.people("Boss") == {"2": CANARY}

    there.engine.erase("Person", "1", reason="request 17")

    assert there.people("Boss") == {"2": CANARY}, "it is flagged, not computed yet"
    assert ("Person", "2") in {(one.entity_type, one.key) for one in there.engine.dirty()}
    there.without("Person", "1").run()
    assert ("Boss", "2") in there.computed
    assert "3" not in {key for _, key in there.computed}
    assert there.people("Boss") == {}
    assert there.engine.verify_derived().differences == ()
    assert verified(there.url).is_sound
    own = [change for change in there.engine.history("Person", "2") if change.position <= before[-1].position]
    of_manager = [c for c in before if c.kind == "linked" and ResourceRef("Person", "1") == c.event.ref.target]
    assert own == [change for change in before if change not in of_manager]
    assert len(of_manager) == 1
    assert any(CANARY in str(getattr(change.event, "changes", "")) for change in own)


@pytest.fixture
def awaited(house):
    """A person who was deleted while a team still names them, as it names one who never was; and a row set aside."""
    gone, later = f"{CANARY}-gone", "later"
    house.people({gone: "Ann", "2": "Bob"}).run("Complete")
    house.teams({"T": "Team"}, ("T", "2")).run("Teams")
    house.people({"2": "Bob"}).run("Complete")
    house.teams({"T": "Team"}, ("T", gone), ("T", later), ("T", "2"))
    house.engine.run_job("Teams")
    bad = [{"number": "2", "name": "Bob"}, {"number": gone, "age": "old"}, {"number": "3", "age": "young"}]
    house.write("people", [name.lower() for name in PROPERTIES], bad).engine.run_job("Complete")
    return house, gone


@pytest.mark.on_every_store
def test_what_waits_and_what_was_set_aside_is_erased_too(awaited, new_store):
    house, gone = awaited
    assert {"awaited", "events"} <= set(holds(house.url, gone))
    with house.engine._store.reading() as reading:
        assert ("T", gone) in reading.waiting_links("Members")

    done = house.engine.erase("Person", gone, reason="request 17")

    assert holds(house.url, CANARY) == []
    assert done.named_in == ()
    with house.engine._store.reading() as reading:
        assert reading.waiting_links("Members") == {("T", "later")}
    assert verified(house.url).is_sound
    assert done.run in house.engine.erased_changes()
    assert sum(house.engine.erased_changes().values()) == done.events
    for run in house.engine.runs():
        assert house.engine.run(run.number).number == run.number
    replayed_into(house.url, new_store())
    house.engine.scrub()
    if house.url.startswith("sqlite:"):
        store = path_of(house.url)
        house.engine.close()
        assert CANARY.encode() not in b"".join(file.read_bytes() for file in store.parent.glob(f"{store.name}*"))


def test_those_who_wait_for_others_are_linked_after_an_erasure_as_before(awaited):
    house, gone = awaited
    house.engine.erase("Person", gone, reason="x")

    house.people({"2": "Bob", "later": "Late"}).run("Complete")

    assert ("T", "later") in house.pairs()
    assert verified(house.url).is_sound


def test_a_link_of_another_resource_with_the_same_key_stays(new_store, tmp_path, clock):
    house = House(new_store(), tmp_path / "exports", clock)
    key = "1"
    house.people({key: "Ann", "2": "Bob"}).run("Complete")
    house.teams({key: "Team"}, (key, key), (key, "2")).run("Teams")
    house.people({"2": "Bob"}).run("Complete")
    house.teams({key: "Team"}, (key, key), (key, "2"))
    house.engine.run_job("Teams")

    house.engine.erase("Person", key, reason="x")

    with house.engine._store.reading() as reading:
        assert reading.waiting_links("Members") == set()
    assert house.pairs() == {(key, "2")}, "a team of the same key is another resource"
    assert verified(house.url).is_sound
    house.engine.close()


def test_an_event_that_was_emptied_without_a_record_is_found(lived):
    with lived.engine._store.transaction() as tx:
        (position,) = tx._db.row("SELECT min(notification_id) FROM stored_events WHERE topic='u1'")
        tx.keep_stubs([position])
        tx._db.execute(
            """UPDATE stored_events SET topic='e1', seal=NULL, state=?2 WHERE notification_id=?1""",
            (position, b'{"a":1,"r":1,"t":1}'),
        )

    assert position in {one.position for one in verified(lived.url).discrepancies}


def test_a_scrubbed_file_holds_none_of_its_values(tmp_path, clock):
    house = House(f"sqlite:///{tmp_path}/store.db", tmp_path / "exports", clock)
    many = {str(n): f"{CANARY}-{n}" for n in range(1, 300)}
    house.people(many).run("Complete")
    house.people({n: f"{name}-again" for n, name in many.items()}).run("Incremental")

    for n in ("7", "250"):
        house.engine.erase("Person", n, reason="x")
    house.engine.scrub()
    house.engine.close()

    raw = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    for gone in (f'"{CANARY}-7"', f"{CANARY}-7-again", f'"{CANARY}-250'):
        assert gone.encode() not in raw
    assert f'"{CANARY}-251"'.encode() in raw


def test_erased_changes_are_counted_between_moments_and_for_a_run(lived):
    first, last = lived.engine.runs()[0].number, lived.engine.runs()[-1].number
    lived.people({"2": "Bob", "3": "Cem"}).run("Incremental")
    one, three = (lived.engine.erase("Person", number, reason="x") for number in ("1", "3"))

    assert lived.engine.erased_changes() == {one.run: one.events, three.run: three.events}
    assert lived.engine.erased_changes(run=first) == {one.run: 1}
    assert lived.engine.erased_changes(run=last) == {one.run: 1}
    assert lived.engine.erased_changes(until=RunMoment(first)) == {one.run: 1}
    assert lived.engine.erased_changes(RunMoment(three.run)) == {}
    with pytest.raises(UsageError, match="there is no run 99"):
        lived.engine.erased_changes(RunMoment(99))
