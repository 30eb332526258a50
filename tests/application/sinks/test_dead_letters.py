"""What a sink refuses for good is on record until someone decides, and a sink that is gone is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deltamark import LetterState, SinkError, SinkStopped, UsageError
from deltamark.application.sinks import deliver
from tests.application.sinks.conftest import NewSinkHouse
from tests.scenarios.http_server import Reply, Request, Server, always, http_server
from tests.scenarios.sinks import SinkHouse, sink
from tests.stores import NewStore


def without_cem(status: int):
    """Answers that refuse one person."""
    return lambda request: Reply(status if json.loads(request.body)["subject"] == "Person/3" else 200)


def house_of(new: NewSinkHouse, server: Server) -> SinkHouse:
    return new(sink("WebhookSink"), settings={"Feed": {"server": server.url}}).lived()


def keys(requests: list[Request]) -> list[str]:
    return [json.loads(request.body)["data"]["key"] for request in requests]


@pytest.mark.on_every_store
def test_a_refused_change_is_kept_and_the_others_are_delivered(new_sink_house: NewSinkHouse) -> None:
    with http_server(without_cem(422)) as server:
        house = house_of(new_sink_house, server)
        done = house.engine.deliver("Feed")

        assert (done.sent, len(done.refused), done.position) == (4, 2, house.engine.position())
        letters = house.engine.dead_letters()
        assert [(letter.state, letter.tries, letter.problem) for letter in letters] == [
            (LetterState.OPEN, 1, "422 not processable")
        ] * 2
        assert house.engine.sinks()[0].refused == 2
        assert house.engine.verify().is_sound

        again = house.engine.retry_dead_letters("Feed")
        assert [len(part) for part in (again.delivered, again.refused)] == [0, 2]
        assert [letter.tries for letter in house.engine.dead_letters()] == [2, 2]

        server.answers = always(Reply())
        server.requests.clear()
        taken = house.engine.retry_dead_letters("Feed", by="Eve")

    assert [json.loads(r.body)["type"].rpartition(".")[2] for r in server.requests] == ["created", "deleted"]
    assert [letter.position for letter in taken.delivered] == [letter.position for letter in letters]
    assert house.engine.dead_letters() == []
    decided = house.engine.dead_letters("Feed", decided=True)
    assert [letter.state for letter in decided] == [LetterState.DELIVERED] * 2
    assert decided[0].decided_by.startswith("Eve (")


def test_a_dead_letter_is_dropped_with_a_reason(new_sink_house: NewSinkHouse) -> None:
    with http_server(without_cem(400)) as server:
        house = house_of(new_sink_house, server)
        house.engine.deliver("Feed")
    first, second = house.engine.dead_letters()

    with pytest.raises(UsageError, match="refused nothing at position 1 "):
        house.engine.drop_dead_letters("Feed", [first.position, 1], reason="a test")
    house.engine.drop_dead_letters("Feed", [first.position], reason="a test")

    assert house.engine.dead_letters() == [second]
    dropped, _ = house.engine.dead_letters(decided=True)
    assert (dropped.state, dropped.reason) == (LetterState.DROPPED, "a test")


def test_a_sink_that_is_gone_is_stopped_on_record_until_it_is_released(new_sink_house: NewSinkHouse) -> None:
    with http_server(without_cem(410)) as server:
        house = house_of(new_sink_house, server)
        with pytest.raises(SinkStopped, match="it takes no more changes"):
            house.engine.deliver("Feed")
        sent = len(server.requests)
        with pytest.raises(SinkStopped):
            house.engine.deliver("Feed")
        assert len(server.requests) == sent  # it is not asked again
        assert house.engine.sinks()[0].is_stopped

        server.answers = always(Reply())
        assert len(house.engine.retry_dead_letters("Feed").released) == 1
        house.engine.deliver("Feed")

    assert keys(server.requests)[sent:] == ["3", "1", "3", "1"]
    assert house.engine.dead_letters() == []


def test_a_sink_that_refuses_everything_ends_the_delivery(
    new_sink_house: NewSinkHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "MOST_REFUSED", 3)
    with http_server(always(Reply(400))) as server:
        house = house_of(new_sink_house, server)
        with pytest.raises(SinkError, match="it refused 4 changes"):
            house.engine.deliver("Feed")

    assert len(house.engine.dead_letters()) == 4


def test_a_dead_letter_of_an_erased_change_says_that_it_is_gone(new_sink_house: NewSinkHouse) -> None:
    with http_server(without_cem(422)) as server:
        house = house_of(new_sink_house, server)
        house.engine.deliver("Feed")
        house.engine.erase("Person", "3", reason="asked for it")
        server.requests.clear()
        done = house.engine.retry_dead_letters("Feed")

    assert (len(done.gone), server.requests) == (2, [])
    assert len(house.engine.dead_letters()) == 2


def test_dead_letters_are_copied_with_the_store(
    new_sink_house: NewSinkHouse, new_store: NewStore, tmp_path: Path
) -> None:
    with http_server(without_cem(422)) as server:
        house = house_of(new_sink_house, server)
        house.engine.deliver("Feed")
    other = new_store()
    letters = house.engine.dead_letters()
    house.engine.replay(into=other)
    copied = SinkHouse(other, tmp_path / "copied", house._clock, *house.sinks, settings=house.settings)

    assert copied.engine.dead_letters() == letters
    copied.engine.close()
