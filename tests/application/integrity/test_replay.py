"""After a replay the next runs leave what they would have left anyway, and compute nothing needlessly."""

from __future__ import annotations

import pytest

from deltamark import Engine, StoreError, UsageError
from tests.scenarios.organisation.formulas import CLASSES, KEYS, PROPERTIES
from tests.scenarios.organisation.running import Organisation
from tests.scenarios.organisation.setting import Setting
from tests.store.tables import DERIVED, alter, tables
from tests.stores import NewStore

SETTING = Setting(
    properties={"Person.Label": PROPERTIES["Person.Label"][0], "Person.Boss": PROPERTIES["Person.Boss"][0]},
    keys={"ByMail": KEYS["ByMail"]},
    classes={"Kind": CLASSES["Kind"]},
)


@pytest.fixture
def lived(new_organisation) -> Organisation:
    """Ann and Bob, whom she leads, everything computed; then Ann gets another name, which is flagged, not computed."""
    organisation = new_organisation(SETTING)
    organisation.person("1", "Ann", Mail="a@x").person("2", "Bob", manager="1", Mail="b@x").account("a@x", Kind="u")
    organisation.run()
    organisation.person("1", "Anna", Mail="a@x").run("Follow")
    return organisation


def executed(run: object) -> dict[str, int]:
    return {found.identifier: found.counts.executed for found in run.tasks if found.counts.executed}


def moved(organisation: Organisation, url: str) -> Organisation:
    """The organisation goes on with the store at that URL."""
    organisation.url = url
    return organisation.reopened()


def test_a_replay_of_a_sound_store_leaves_flags_and_places_and_nothing_is_computed_twice(lived):
    before = tables(lived.url, DERIVED)

    done = lived.engine.replay()

    assert (done.verified.is_sound, done.recomputes) == (True, False)
    assert tables(lived.url, DERIVED) == before
    assert executed(lived.run()) == {"Properties": 2}
    assert lived.derived() == lived.by_hand()


@pytest.mark.slow  # replays a company and runs its jobs
@pytest.mark.parametrize(
    "altered",
    ["""UPDATE resources SET state='{"Name":"Eve"}' WHERE key='1'""", "UPDATE links SET live=(1=0)"],
)
def test_what_was_computed_out_of_an_altered_state_is_right_after_a_replay_and_a_run(lived, altered):
    lived.run()
    assert alter(lived.url, altered) >= 1
    lived.reopened().attempt("Weekly")
    assert lived.derived() != lived.by_hand()

    lived.engine.replay()
    lived.run()

    assert lived.engine.verify().is_sound
    assert lived.derived() == lived.by_hand()
    assert executed(lived.run()) == {}


@pytest.mark.slow  # replays a company and runs its jobs
@pytest.mark.parametrize("lost", ["DELETE FROM links", "DELETE FROM resources WHERE key='1'"])
def test_a_run_that_did_not_find_what_was_lost_leaves_a_log_that_nothing_puts_right(lived, lost):
    assert alter(lived.url, lost) >= 1
    lived.reopened().attempt("Incremental")

    found = lived.engine.verify().discrepancies[0]

    assert found.in_log
    assert "the log has two streams of it, " in found.problem
    with pytest.raises(StoreError, match=r"the log has two streams of it, .* Verify it"):
        lived.engine.replay()


@pytest.mark.slow  # replays a company and runs its jobs
@pytest.mark.parametrize("lost", ["DELETE FROM links", "DELETE FROM resources WHERE key='1'"])
def test_what_was_lost_is_there_again_after_a_replay_before_the_next_run(lived, lost):
    alter(lived.url, lost)

    assert lived.engine.replay().recomputes
    lived.run()

    assert lived.engine.verify().is_sound
    assert lived.derived() == lived.by_hand()


def test_another_store_goes_on_where_the_first_one_was(lived, new_store: NewStore):
    target = new_store()

    lived.engine.replay(into=target)

    before = tables(lived.url, DERIVED)
    assert tables(target, DERIVED) == before
    moved(lived, target)
    assert executed(lived.person("2", "Bert", manager="1", Mail="b@x").run()) == {"Properties": 3}
    assert lived.derived() == lived.by_hand()
    assert lived.engine.verify().is_sound


def test_another_store_that_is_filled_from_an_altered_one_is_right_after_a_run(lived, new_store: NewStore):
    alter(lived.url, """UPDATE resources SET state='{"Name":"Eve"}' WHERE key='1'""")
    target = new_store()

    assert lived.engine.replay(into=target).recomputes

    assert moved(lived, target).engine.verify().is_sound
    lived.run()
    assert lived.derived() == lived.by_hand()


def test_wrong_use_is_refused(lived):
    with pytest.raises(UsageError, match="into, the URL of a new store,"):
        lived.engine.replay(into=7)
    engine: Engine = lived.engine
    engine.close()
    for call in (engine.verify, engine.replay):
        with pytest.raises(UsageError, match="this engine is closed"):
            call()
    lived.reopened()
