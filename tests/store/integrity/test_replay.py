"""Replay of the log: what verify finds, what replay repairs, what another store receives."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from hashlib import sha256

import pytest

from deltamark import ConcurrentRun, StoreError, UsageError
from deltamark.application.integrity.replay import replay, replay_into
from deltamark.bootstrap import open_store
from deltamark.infrastructure.store.integrity import log_fold as folding
from deltamark.infrastructure.store.integrity.rebuild import RebuildCommands
from deltamark.infrastructure.store.row_seals import seal_rows
from tests.store import children
from tests.store.builders import (
    GROUP,
    PERSON,
    compute,
    create,
    delete,
    discarded_event,
    end_run,
    link,
    start_run,
    unlink,
    update,
)
from tests.store.integrity.test_replay_laws import PEOPLE
from tests.store.tables import (
    BESIDE,
    DERIVED,
    LOG,
    PROJECTIONS,
    alter,
    nobody,
    opened,
    replayed,
    replayed_into,
    tables,
    verified,
)
from tests.stores import EveryStore, NewStore


def lived(url: str) -> str:
    """A store with two people, one of whom was deleted, two groups, links, computed values and a run."""
    with opened(url) as store:
        with store.transaction() as tx:
            start_run(tx)
        with store.transaction() as tx:
            create(tx, PERSON, {"ada": {"Name": "Ada"}, "bob": {"Name": "Bob"}})
            create(tx, GROUP, {"staff": {}, "board": {}})
            link(tx, ("staff", "ada"), ("staff", "bob"), ("board", "ada"))
        with store.transaction() as tx:
            update(tx, PERSON, {"ada": ({"Name": "Ada"}, {"Name": "Ada L.", "Vip": True})})
            compute(tx, PERSON, {"ada": ({}, {"Sign": "AL"})})
            unlink(tx, ("board", "ada"))
            delete(tx, PERSON, {"bob": {"Name": "Bob"}})
        with store.transaction() as tx:
            end_run(tx, 1)
    return url


ADA = "stream=(SELECT min(stream) FROM resources)"
LINK = "stream=(SELECT min(stream) FROM links)"
ALTERED = {
    "resources.stream": f"UPDATE resources SET stream=stream+1000 WHERE {ADA}",
    "resources.entity_type": f"""UPDATE resources SET entity_type=(SELECT id FROM entity_types
        WHERE name='Group') WHERE {ADA}""",
    "resources.key": f"UPDATE resources SET key='eve' WHERE {ADA}",
    "resources.version": f"UPDATE resources SET version=version+1 WHERE {ADA}",
    "resources.position": f"UPDATE resources SET position=position-1 WHERE {ADA}",
    "resources.live": f"UPDATE resources SET live=(1=0) WHERE {ADA}",
    "resources.state": f"""UPDATE resources SET state='{{"Name":"Eve","Vip":true}}' WHERE {ADA}""",
    "resources.state, truth for a number": f"""UPDATE resources SET state='{{"Name":"Ada L.","Vip":1}}' WHERE {ADA}""",
    "resources.state, no JSON": f"UPDATE resources SET state='x' WHERE {ADA}",
    "resources.computed": f"UPDATE resources SET computed='{{}}' WHERE {ADA}",
    "resources, a row gone": f"DELETE FROM resources WHERE {ADA}",
    "resources, a row more": """INSERT INTO resources (stream, entity_type, key, version, position, live, state)
        SELECT 999, entity_type, 'eve', 1, 3, live, state FROM resources WHERE key='ada'""",
    "resources, two keys exchanged": """UPDATE resources SET key=CASE key WHEN 'ada' THEN 'x' ELSE 'ada' END
        WHERE key='ada'""",
    "links.stream": f"UPDATE links SET stream=stream+1000 WHERE {LINK}",
    "links.association": f"UPDATE links SET association=association+77 WHERE {LINK}",
    "links.source": f"UPDATE links SET source=(SELECT stream FROM resources WHERE key='ada') WHERE {LINK}",
    "links.target": f"UPDATE links SET target=(SELECT stream FROM resources WHERE key='board') WHERE {LINK}",
    "links.version": f"UPDATE links SET version=version+1 WHERE {LINK}",
    "links.position": f"UPDATE links SET position=position-1 WHERE {LINK}",
    "links.live": f"UPDATE links SET live=(1=0) WHERE {LINK}",
    "links, a row gone": f"DELETE FROM links WHERE {LINK}",
    "runs.number": "UPDATE runs SET number=9",
    "runs.stream": "UPDATE runs SET stream=stream+1000",
    "runs.version": "UPDATE runs SET version=version+1",
    "runs.first": "UPDATE runs SET first=first+1",
    "runs.last": "UPDATE runs SET last=last-1",
    "runs, gone": "DELETE FROM runs",
    "awaited, a row more": """INSERT INTO awaited (association, first, second)
        SELECT id, 'a', 'b' FROM associations""",
    "names of associations": "UPDATE associations SET name='Others'",
    "horizons, a row more": """INSERT INTO horizons (subject, connector, position, run, task)
        VALUES ('Person', 'HR', 3, 1, 'SynchronizeHR')""",
    "the next stream": "UPDATE store SET next_stream=2",
    "the next run": "UPDATE store SET next_run=1",
}  # fmt: skip


@pytest.mark.many
@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_state_is_found_and_repaired(store_url: str, what: str) -> None:
    before = tables(lived(store_url), PROJECTIONS)
    assert verified(store_url).is_sound
    assert alter(store_url, ALTERED[what]) == 1
    found = verified(store_url)

    assert not found.is_sound
    assert not found.log_faults
    assert {one.advice for one in found.discrepancies} == {"replay the log"}
    replayed(store_url)
    assert tables(store_url, PROJECTIONS) == before
    assert verified(store_url).is_sound


def test_a_difference_names_the_resource_its_position_and_both_values(store_url: str) -> None:
    lived(store_url)
    alter(store_url, f"""UPDATE resources SET state='{{"Name":"Eve"}}', version=7 WHERE {ADA}""")

    (found,) = verified(store_url).discrepancies

    assert (found.subject, found.position) == ("Person ada", 10)
    assert found.problem == (
        'version is "7"; the log gives "3"; state is "{"Name":"Eve"}"; the log gives "{"Name":"Ada L.","Vip":true}"'
    )


LOG_ALTERED = {
    "an event gone": "DELETE FROM stored_events WHERE notification_id=2",
    "an event in the midst gone": "DELETE FROM stored_events WHERE notification_id=9",
    "the tail cut off": """DELETE FROM stored_events
        WHERE notification_id=(SELECT max(notification_id) FROM stored_events)""",
    "another topic": "UPDATE stored_events SET topic='x9' WHERE notification_id=2",
    "a topic of another kind": "UPDATE stored_events SET topic='l1' WHERE notification_id=2",
    "created twice": "UPDATE stored_events SET topic='c1' WHERE topic='u1'",
    "another version": "UPDATE stored_events SET originator_version=5 WHERE topic='u1'",
    "another stream": "UPDATE stored_events SET originator_id=77 WHERE topic='u1'",
    "another position": "UPDATE stored_events SET notification_id=1000 WHERE topic='u1'",
    "a time that never was": "UPDATE moments SET at=at+1 WHERE position=8",
    "no time": "DELETE FROM moments WHERE position=(SELECT max(position) FROM moments)",
    "a run that began otherwise": "UPDATE stored_events SET topic='re1' WHERE topic='rs1'",
}  # fmt: skip


@pytest.mark.parametrize("what", LOG_ALTERED)
def test_an_incomplete_log_is_a_fault_and_is_not_replayed(store_url: str, what: str) -> None:
    lived(store_url)
    assert alter(store_url, LOG_ALTERED[what]) == 1
    before = tables(store_url, {**LOG, **PROJECTIONS})

    found = verified(store_url)

    assert found.log_faults
    assert (found.discrepancies[0].in_log, found.discrepancies[0].advice) == (True, "restore a backup")
    with pytest.raises(StoreError, match=r"the log is not whole: .* Nothing was changed. .*Verify it"):
        replayed(store_url)
    assert tables(store_url, {**LOG, **PROJECTIONS}) == before


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"a":1,"r":1,"t":1,"e":"Person","k":"ada","v":[]}'])
def test_an_event_that_cannot_be_read_is_a_fault(store_url: str, payload: bytes) -> None:
    lived(store_url)
    with opened(store_url) as store, store.transaction() as tx:
        tx._db.execute("UPDATE stored_events SET state=?1 WHERE notification_id=2", (payload,))

    altered, unreadable, *_ = verified(store_url).discrepancies

    assert altered.in_log
    assert (altered.position, unreadable.position) == (2, 2)
    assert "cannot be read" in unreadable.problem


def test_two_rows_with_exchanged_keys_are_repaired(store_url: str) -> None:
    before = tables(lived(store_url), PROJECTIONS)
    alter(
        store_url,
        "UPDATE resources SET key='x' WHERE key='ada'",
        "UPDATE resources SET key='ada' WHERE key='bob'",
        "UPDATE resources SET key='bob' WHERE key='x'",
    )

    assert replayed(store_url).verified.differences >= 2

    assert tables(store_url, PROJECTIONS) == before


EXCHANGED = {
    "keys of resources": (
        "UPDATE resources SET key='x' WHERE key='ada'",
        "UPDATE resources SET key='ada' WHERE key='bob'",
        "UPDATE resources SET key='bob' WHERE key='x'",
    ),
    "ends of links": (
        "UPDATE links SET target=target+1000 WHERE stream=(SELECT min(stream) FROM links)",
        "UPDATE links SET target=(SELECT stream FROM resources WHERE key='ada') WHERE stream=7",
        "UPDATE links SET target=(SELECT stream FROM resources WHERE key='bob') WHERE target>1000",
    ),
    "everything": ("DELETE FROM links", "DELETE FROM resources", "DELETE FROM runs", "DELETE FROM horizons"),
}


@pytest.mark.parametrize("what", EXCHANGED)
def test_rows_in_the_place_of_those_of_earlier_streams_are_replaced(
    store_url: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "RANGE", 1)
    before = tables(lived(store_url), PROJECTIONS)
    alter(store_url, *EXCHANGED[what])
    assert tables(store_url, PROJECTIONS) != before

    replayed(store_url)

    assert tables(store_url, PROJECTIONS) == before
    assert verified(store_url).is_sound


def test_a_discard_with_snapshots_is_verified_replayed_and_copied(every_store: EveryStore) -> None:
    url, other = every_store().values()
    lived(url)
    with opened(url) as store, store.transaction() as tx:
        start_run(tx)
        tx.discard(PEOPLE, discarded_event(1), 1)
    with opened(url) as store, store.transaction() as tx:
        update(tx, PERSON, {"ada": ({"Name": "Ada L.", "Vip": True}, {"Name": "Ada"})})
    before = tables(url)

    assert verified(url).discrepancies == ()
    alter(url, "DELETE FROM links", "DELETE FROM resources", "DELETE FROM horizons")
    assert "the horizon of Person" in {found.subject for found in verified(url).discrepancies}
    replayed(url)
    replayed_into(url, other)

    assert tables(url, PROJECTIONS) == {name: before[name] for name in PROJECTIONS}
    assert tables(other, {**LOG, **PROJECTIONS}) == {name: before[name] for name in (*LOG, *PROJECTIONS)}


def test_an_altered_snapshot_is_found(store_url: str) -> None:
    lived(store_url)
    with opened(store_url) as store, store.transaction() as tx:
        tx.discard(PEOPLE, discarded_event(1), 1)

    alter(store_url, "DELETE FROM snapshots WHERE stream=(SELECT stream FROM resources WHERE key='ada')")

    assert "Person ada" in {found.subject for found in verified(store_url).discrepancies}


def test_replaying_a_sound_store_writes_nothing_and_keeps_derived_values(store_url: str) -> None:
    lived(store_url)
    before = tables(store_url, {**PROJECTIONS, **DERIVED})

    done = replayed(store_url)

    assert (done.verified.differences, done.recomputes) == (0, False)
    assert tables(store_url, {**PROJECTIONS, **DERIVED}) == before


def test_a_killed_replay_leaves_the_store_unchanged(store_url: str) -> None:
    lived(store_url)
    alter(store_url, "DELETE FROM links", f"UPDATE resources SET key='eve' WHERE {ADA}")
    before = tables(store_url)

    killed(store_url, None)

    assert tables(store_url) == before
    replayed(store_url)
    assert verified(store_url).is_sound


def test_a_killed_copy_leaves_the_new_store_empty_and_it_can_be_filled(every_store: EveryStore) -> None:
    for url, target in pairs_of(every_store):
        lived(url)

        killed(url, target)

        assert tables(target, {**LOG, **PROJECTIONS}) == {name: [] for name in (*LOG, *PROJECTIONS)}
        replayed_into(url, target)
        assert tables(target) == tables(url)


def pairs_of(every_store: EveryStore) -> Iterator[tuple[str, str]]:
    first, second = every_store(), every_store()
    yield first["sqlite"], second["postgresql"]
    yield first["postgresql"], second["sqlite"]


def killed(url: str, target: str | None) -> None:
    """Starts a replay in a process of its own, which is killed after its last write and before its commit."""
    process = children.started(_replay_until_killed, url, target)
    process.join(children.PATIENCE_S)
    assert process.exitcode == -9


def _replay_until_killed(url: str, target: str | None) -> None:
    finish = RebuildCommands.finish

    def die(self: RebuildCommands) -> None:
        finish(self)
        os.kill(os.getpid(), signal.SIGKILL)

    RebuildCommands.finish = die  # type: ignore[method-assign]
    if target is None:
        replayed(url)
    else:
        with opened(url) as store, store.reading() as source, open_store(target).transaction() as tx:
            tx.fill_from(source, nobody)


def test_a_store_that_is_not_empty_is_not_filled(new_store: NewStore) -> None:
    url, target = lived(new_store()), new_store()
    with opened(target) as store, store.transaction() as tx:
        start_run(tx)
    before = tables(target)

    for into in (target, url):
        with pytest.raises(UsageError, match=r"not empty. Nothing was changed"):
            replayed_into(url, into)

    assert tables(target) == before


def test_a_replay_is_refused_during_a_run_which_is_named(store_url: str) -> None:
    lived(store_url)
    with opened(store_url) as store:
        with store.transaction() as tx:
            run = start_run(tx, "Hourly")
            tx.take_leases(run, ["SynchronizeHR"], 3600)

        with pytest.raises(ConcurrentRun, match=rf"run {run} of job Hourly, by u on h, is going on"):
            replay(store, nobody)

        with store.transaction() as tx:
            tx.release_leases(run)
        assert replay(store, nobody).verified.is_sound


def test_schedules_and_pending_changes_are_copied_but_leases_are_not(every_store: EveryStore) -> None:
    url, target = every_store().values()
    lived(url)
    alter(
        url,
        "INSERT INTO schedules (job, timing, handled_to, run) VALUES ('Nightly', 'x', 5, NULL), ('Hourly', 'y', 6, 1)",
        "INSERT INTO blocked (connector, run, task, since, needs_complete) VALUES ('HR', 1, 1, 7, (1=1))",
    )
    with opened(url) as store, store.transaction() as tx:
        content = b"\x00\xff"
        digest = sha256(b"h\0" + content).hexdigest()
        tx._db.execute(
            "INSERT INTO pending (run, task, part, head, digest, content) VALUES (1, 1, 0, 'h', ?1, ?2)",
            (digest, content),
        )
        seal_rows(tx._db, ("schedules", "blocked", "pending"))
        tx.take_leases(1, ["SynchronizeHR"], 3600)

    with opened(url) as store, opened(target) as other:
        replay_into(store, other, nobody)

    assert tables(target, BESIDE) == tables(url, BESIDE)
    assert tables(target, {"leases": "SELECT task FROM leases"}) == {"leases": []}
