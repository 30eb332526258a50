"""The chain of digests: every alteration of the log with plain SQL is found, and its position is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltamark.domain.integrity.verification import Checkpoint, LogVerification
from tests.store.builders import PERSON, create, discarded_event, start_run, update
from tests.store.integrity.test_replay import lived
from tests.store.integrity.test_replay_laws import PEOPLE
from tests.store.tables import alter, nobody, opened, replayed_into, tables, verified
from tests.stores import EveryStore, NewStore
from tests.tiers import examples

# What is altered, and the position that must be named. Position 2 is the creation of ada, 9 her update.
ALTERED = {
    "a position": ("UPDATE stored_events SET notification_id=1000 WHERE notification_id=9", 9),
    "a stream": ("UPDATE stored_events SET originator_id=77 WHERE notification_id=9", 9),
    "a version": ("UPDATE stored_events SET originator_version=originator_version+7 WHERE notification_id=9", 9),
    "a topic": ("UPDATE stored_events SET topic='p1' WHERE notification_id=9", 9),
    "a payload": ("UPDATE stored_events SET state=(SELECT state FROM stored_events WHERE notification_id=8) "
                  "WHERE notification_id=9", 9),
    "a seal": ("UPDATE stored_events SET seal=(SELECT seal FROM stored_events WHERE notification_id=8) "
               "WHERE notification_id=9", 9),
    "no seal": ("UPDATE stored_events SET seal=NULL WHERE notification_id=9", 9),
    "the first event gone": ("DELETE FROM stored_events WHERE notification_id=1", 1),
    "an event gone": ("DELETE FROM stored_events WHERE notification_id=4", 4),
    "the last event gone": ("DELETE FROM stored_events WHERE notification_id=(SELECT max(position) FROM moments)", 14),
    "an event more": ("""INSERT INTO stored_events
        (notification_id, originator_id, originator_version, topic, state, seal)
        SELECT 99, originator_id, 50, topic, state, seal FROM stored_events WHERE notification_id=9""", 99),
    "a time": ("UPDATE moments SET at=at+1 WHERE position=1", 1),
    "the end of a transaction": ("UPDATE moments SET position=position+100 WHERE position=14", 15),
    "a transaction gone": ("DELETE FROM moments WHERE position=1", 1),
    "a digest": ("UPDATE moments SET digest=segments WHERE position=1", 1),
    "the segments": ("UPDATE moments SET segments=digest WHERE position=1", 1),
    "the name of the log": ("UPDATE store SET log='another'", 1),
    "a leaf more": ("""INSERT INTO stubs (position, stream, version, topic, leaf)
        SELECT notification_id, originator_id, originator_version, topic, seal FROM stored_events
        WHERE notification_id=9""", 9),
}  # fmt: skip


def log_faults(found: LogVerification) -> list[int | None]:
    """The positions of the faults, in order."""
    return [one.position for one in found.discrepancies if one.in_log and one.subject == "the log"]


@pytest.mark.parametrize("what", ALTERED)
def test_an_alteration_is_found_and_its_position_named(store_url: str, what: str) -> None:
    lived(store_url)
    assert log_faults(verified(store_url)) == []
    statement, position = ALTERED[what]

    assert alter(store_url, statement) == 1

    assert log_faults(verified(store_url))[0] == position


def test_two_exchanged_payloads_are_both_found(store_url: str) -> None:
    with opened(store_url) as store, store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, {"ada": {"Name": "Ada"}, "bob": {"Name": "Bob"}})

    alter(
        store_url,
        "UPDATE stored_events SET notification_id=100 WHERE notification_id=2",
        "UPDATE stored_events SET notification_id=2 WHERE notification_id=3",
        "UPDATE stored_events SET notification_id=3 WHERE notification_id=100",
    )

    assert log_faults(verified(store_url))[:2] == [2, 3]


def test_an_event_altered_together_with_its_seal_is_found(store_url: str) -> None:
    lived(store_url)
    with opened(store_url) as store, store.transaction() as tx:
        row = tx._db.row("SELECT originator_id, originator_version, topic, state FROM stored_events "
                         "WHERE notification_id=9")  # fmt: skip
        stream, version, topic, payload = row
        seal = tx._seals.seal(topic, 9, [stream], [version], [payload + b" "]).tobytes()
        tx._db.execute("UPDATE stored_events SET state=?1, seal=?2 WHERE notification_id=9", (payload + b" ", seal))

    assert log_faults(verified(store_url)) == [9]


def checkpoint(url: str) -> Checkpoint:
    with opened(url) as store, store.reading() as reading:
        found = reading.checkpoint()
    assert found is not None
    return found


def held_against(url: str, known: Checkpoint) -> LogVerification:
    with opened(url) as store, store.reading() as reading:
        return reading.verify(nobody, checkpoint=known)


def test_a_grown_log_still_matches_its_checkpoint(store_url: str) -> None:
    known = checkpoint(lived(store_url))
    with opened(store_url) as store, store.transaction() as tx:
        create(tx, PERSON, {"eve": {}})

    assert held_against(store_url, known).is_sound


CUT = (
    "DELETE FROM stored_events WHERE notification_id>1",
    "DELETE FROM moments WHERE position>1",
    "DELETE FROM resources",
    "DELETE FROM links",
)


def test_only_a_checkpoint_finds_a_tail_that_was_removed_with_all_records_of_it(store_url: str) -> None:
    known = checkpoint(lived(store_url))

    alter(store_url, *CUT)

    assert not verified(store_url).log_faults
    assert log_faults(held_against(store_url, known)) == [known.position]


def test_a_checkpoint_of_another_log_does_not_match(every_store: EveryStore) -> None:
    url, other = every_store().values()
    lived(url), lived(other)

    (found,) = held_against(url, checkpoint(other)).discrepancies

    assert "of another log" in found.problem


def test_a_store_filled_from_a_log_has_its_digests(every_store: EveryStore) -> None:
    url, other = every_store().values()
    known = checkpoint(lived(url))

    replayed_into(url, other)

    assert checkpoint(other) == known
    assert held_against(other, known).is_sound


def discarded(url: str, **limits: int) -> None:
    with opened(url) as store, store.transaction() as tx:
        assert tx.discard(PEOPLE, discarded_event(1), 1, **limits)


def test_a_log_still_matches_its_checkpoint_after_a_discard(store_url: str) -> None:
    known = checkpoint(lived(store_url))

    discarded(store_url)

    assert held_against(store_url, known).is_sound
    assert tables(store_url)["stubs"] == []


def test_digests_of_a_partly_discarded_segment_stay_until_the_rest_is_discarded(store_url: str) -> None:
    with opened(store_url) as store:
        with store.transaction() as tx:
            start_run(tx)
            create(tx, PERSON, {f"p{n}": {} for n in range(10)})
        for n in range(10):
            with store.transaction() as tx:
                update(tx, PERSON, {f"p{n}": ({}, {"Name": "x"})})
    known = checkpoint(store_url)

    discarded(store_url, up_to=5)

    assert held_against(store_url, known).is_sound
    assert [row[0] for row in tables(store_url)["stubs"]] == [2, 3, 4, 5]
    discarded(store_url, up_to=15)
    assert held_against(store_url, known).is_sound
    assert tables(store_url)["stubs"] == []


STOLEN = {
    "an event beside those discarded": "DELETE FROM stored_events WHERE notification_id=7",
    "a leaf": "DELETE FROM stubs WHERE position=3",
    "a leaf that is another": "UPDATE stubs SET leaf=(SELECT seal FROM stored_events LIMIT 1) WHERE position=3",
    "the stream of a leaf": "UPDATE stubs SET stream=stream+1 WHERE position=3",
    "the version of a leaf": "UPDATE stubs SET version=version+1 WHERE position=3",
    "the topic of a leaf": "UPDATE stubs SET topic='u1' WHERE position=3",
    "the position of a leaf": "UPDATE stubs SET position=99 WHERE position=3",
}


@pytest.mark.parametrize("what", STOLEN)
def test_events_removed_without_a_discard_are_found(store_url: str, what: str) -> None:
    with opened(store_url) as store, store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, {f"p{n}": {} for n in range(10)})
    discarded(store_url, up_to=5)
    assert verified(store_url).is_sound

    assert alter(store_url, STOLEN[what]) == 1

    assert log_faults(verified(store_url))


def test_a_discard_of_an_event_that_was_altered_is_refused(store_url: str) -> None:
    with opened(store_url) as store, store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, {f"p{n}": {} for n in range(10)})
    alter(store_url, "UPDATE stored_events SET seal=NULL WHERE notification_id=3")

    with pytest.raises(Exception, match=r"not what was written|altered"):
        discarded(store_url, up_to=5)


LIVES = st.lists(st.sampled_from(["create", "update", "discard", "run"]), min_size=3, max_size=12)
MUTATIONS = {
    "flip a payload": "UPDATE stored_events SET state=seal WHERE notification_id={0}",
    "delete": "DELETE FROM stored_events WHERE notification_id={0}",
    "another version": "UPDATE stored_events SET originator_version=originator_version+1000 WHERE notification_id={0}",
    "another stream": "UPDATE stored_events SET originator_id=originator_id+1000 WHERE notification_id={0}",
    "another topic": "UPDATE stored_events SET topic='zz' WHERE notification_id={0}",
    "another seal": "UPDATE stored_events SET seal=state WHERE notification_id={0}",
}


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=LIVES, which=st.integers(0, 10**6), how=st.sampled_from(sorted(MUTATIONS)))
@pytest.mark.law
def test_any_single_alteration_of_any_log_is_found_and_named(
    new_store: NewStore, lives: list[str], which: int, how: str
) -> None:
    url = new_store()
    with opened(url) as store:
        with store.transaction() as tx:
            start_run(tx)
        for n, step in enumerate(lives):
            with store.transaction() as tx:
                live(tx, step, n)
    assert verified(url).is_sound
    position, topic = sorted((row[0], row[3]) for row in tables(url)["events"])[which % count(url)]

    assert alter(url, MUTATIONS[how].format(position)) == 1

    found = log_faults(verified(url))
    if topic == "cd1":  # what it covers is missing then, with nothing on record
        assert position in found
    else:
        assert found[0] == position


def count(url: str) -> int:
    return len(tables(url)["events"])


def live(tx: Any, step: str, n: int) -> None:
    held = {row["key"]: row for row in tx.live_resources(PERSON).to_pylist()}
    match step:
        case "create":
            create(tx, PERSON, {f"p{n}-{m}": {"Name": "x"} for m in range(5)})
        case "update" if held:
            update(tx, PERSON, {key: ({"Name": "x"}, {"Name": "x", "Mail": str(n)}) for key in list(held)[:3]})
        case "discard":
            tx.discard(PEOPLE, discarded_event(1), 1, up_to=n * 4)
        case "run":
            start_run(tx)
