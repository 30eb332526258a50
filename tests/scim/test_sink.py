"""Changes are delivered to a SCIM service, which has each resource once, whatever ends in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from deltamark import SinkError
from deltamark.application.ports.sinks import SinkConnection, SinkUnavailable
from deltamark.infrastructure.scim.sink import ScimSink
from tests.application.sinks.conftest import NewSinkHouse, new_sink_house  # noqa: F401  # a fixture
from tests.scenarios.http_server import Reply, Request
from tests.scenarios.sinks import SinkHouse, sink
from tests.scim.service import TOKEN, Scim, scim_service

PEOPLE = {
    "Subject": "Person",
    "ResourceType": "User",
    "Properties": 'userName=Name, emails[type eq "work"].value=Mail',
}
TEAMS = {
    "Subject": "Team",
    "ResourceType": "Group",
    "Properties": "displayName=Title",
    "Associations": "members=Members",
}


@pytest.fixture
def service() -> Iterator[Scim]:
    """A service without resources."""
    with scim_service() as service:
        yield service


@pytest.fixture
def house(service: Scim, new_sink_house: NewSinkHouse, monkeypatch: pytest.MonkeyPatch) -> SinkHouse:  # noqa: F811
    """A house whose people and teams go to the service; nothing waits."""
    monkeypatch.setenv("SCIM_TOKEN", TOKEN)
    settings = {"Feed": {"server": service.url, "token": "env:SCIM_TOKEN"}}
    made = new_sink_house(sink("ScimSink", PEOPLE, TEAMS), settings=settings)

    def impatient(connection: SinkConnection) -> ScimSink:
        return ScimSink(connection, wait=lambda seconds: None)

    object.__setattr__(made.engine._services, "sinks", {"ScimSink": impatient})
    return made


def life(house: SinkHouse) -> None:
    """People come, change and go; a team has members, one of whom leaves it, and one is deleted."""
    house.people({"1": {"name": "Ann", "mail": "a@x"}, "2": "Bo", "3": "Cem"}).run()
    house.teams({"T": "Team"}, ("T", "1"), ("T", "2"), ("T", "3")).engine.run_job("Teams")
    house.people({"1": {"name": "Anna"}, "2": {"name": "Bo", "mail": "b@x"}, "3": "Cem"}).run()
    house.teams({"T": "Tulips"}, ("T", "2"), ("T", "3")).engine.run_job("Teams")
    house.people({"1": {"name": "Anna"}, "2": {"name": "Bo", "mail": "b@x"}}).run()


WANTED = {
    "1": ("Anna", []),
    "2": ("Bo", [("work", "b@x")]),
    "T": ("Tulips", ["2"]),
}


def held(service: Scim) -> dict[str, tuple[Any, Any]]:
    """What the service has: by externalId, which no two may have."""
    found: dict[str, tuple[Any, Any]] = {}
    resources = {kind: list(service.storage._resources.get(kind, {}).values()) for kind in ("User", "Group")}
    by_id = {item.id: item for items in resources.values() for item in items}
    for kind, items in resources.items():
        for item in items:
            assert item.external_id not in found
            if kind == "User":
                found[item.external_id] = (item.user_name, [(str(m.type), m.value) for m in item.emails or []])
            else:
                members = sorted(by_id[m.value].external_id for m in item.members or [] if m.value in by_id)
                found[item.external_id] = (item.display_name, members)
    return found


def writes(service: Scim) -> list[str]:
    return [request.method for request in service.server.requests if request.method != "GET"]


def test_a_service_has_what_the_store_has_and_the_same_again_changes_nothing(house: SinkHouse, service: Scim) -> None:
    life(house)

    first = house.engine.deliver("Feed")
    assert held(service) == WANTED
    assert (first.refused, first.gaps) == ((), ())
    assert {"POST", "PATCH", "DELETE"} <= set(writes(service))
    house.engine.reset_consumer("Feed", house.engine.position() - 1)
    service.server.requests.clear()
    house.engine.deliver("Feed")

    assert held(service) == WANTED
    assert writes(service) == []


@pytest.mark.many
@pytest.mark.parametrize("is_done", [True, False], ids=["after", "before"])
def test_a_connection_that_ends_before_or_after_any_write_loses_and_doubles_nothing(
    house: SinkHouse, service: Scim, is_done: bool
) -> None:
    life(house)

    def ends(number: int, request: Request) -> Reply | None:
        if request.method == "GET" or (request.method, request.path, request.body) in failed:
            return None
        failed.add((request.method, request.path, request.body))
        if is_done:
            service.intercept = lambda number, request: None
            service.answer(request)
            service.intercept = ends
        return Reply(None) if len(failed) % 2 else Reply(503)

    failed: set[tuple[str, str, bytes]] = set()
    service.intercept = ends
    done = house.engine.deliver("Feed")

    assert held(service) == WANTED
    assert (len(failed) >= 8, done.refused) == (True, ())


@pytest.mark.slow  # the life twice; the test before it shows the same from the end
def test_a_delivery_from_the_beginning_ends_where_the_store_is(house: SinkHouse, service: Scim) -> None:
    life(house)
    house.engine.deliver("Feed")

    house.engine.reset_consumer("Feed", 0)
    done = house.engine.deliver("Feed")

    refused = [letter.problem for letter in done.refused]
    assert held(service) == WANTED
    assert refused == []


def test_what_is_refused_is_a_dead_letter_without_the_words_of_the_service(house: SinkHouse, service: Scim) -> None:
    taken = service.user("Ann")
    house.people({"1": "Ann", "2": "Bo"}).run()

    done = house.engine.deliver("Feed")
    (letter,) = done.refused
    service.delete(f"/Users/{taken}")
    again = house.engine.retry_dead_letters("Feed")

    assert letter.problem == "the service answers 409 uniqueness"
    assert (len(again.delivered), len(again.refused)) == (1, 0)
    assert {key: name for key, (name, _) in held(service).items()} == {"1": "Ann", "2": "Bo"}


def test_one_that_somebody_deleted_there_is_created_again(house: SinkHouse, service: Scim) -> None:
    house.people({"1": {"name": "Ann", "mail": "a@x"}}).run()
    house.engine.deliver("Feed")
    service.delete(f"/Users/{service.ids()[0]}")
    house.people({"1": {"name": "Anna", "mail": "a@x"}}).run()

    house.engine.deliver("Feed")

    assert held(service) == {"1": ("Anna", [("work", "a@x")])}


def test_what_the_service_has_besides_is_left_as_it_is(house: SinkHouse, service: Scim) -> None:
    house.people({"1": {"name": "Ann", "mail": "a@x"}}).run()
    house.engine.deliver("Feed")
    path = f"/Users/{service.ids()[0]}"
    service.patch(path, {"op": "add", "path": "emails", "value": [{"type": "home", "value": "h@x"}]})
    service.set(path, nickName="Nan")
    house.people({"1": "Ann"}).run()

    house.engine.deliver("Feed")

    (user,) = service.storage._resources["User"].values()
    assert (user.nick_name, [(str(m.type), m.value) for m in user.emails]) == ("Nan", [("home", "h@x")])


@pytest.mark.many
@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_other_answers_end_the_delivery_and_show_no_secret(house: SinkHouse, service: Scim, status: int) -> None:
    house.people({"1": "Ann", "2": "Bo"}).run()

    def refuses(number: int, request: Request) -> Reply | None:
        if request.method == "POST" and b"Bo" in request.body:
            return Reply(status, body=f'{{"detail": "not {TOKEN}"}}'.encode())
        return None

    service.intercept = refuses
    with pytest.raises(SinkError, match=str(status)) as failed:
        house.engine.deliver("Feed")

    assert TOKEN not in str(failed.value)
    assert (list(held(service)), house.engine.sinks()[0].behind > 0) == (["1"], True)


def test_a_service_that_does_not_filter_is_refused(house: SinkHouse, service: Scim) -> None:
    house.people({"1": "Ann"}).run()
    service.user("Somebody else", externalId="9")

    def unfiltered(number: int, request: Request) -> Reply | None:
        return service.call("GET", "/Users") if "filter=" in request.path else None

    service.intercept = unfiltered
    with pytest.raises(SinkError, match="another externalId"):
        house.engine.deliver("Feed")

    assert list(held(service)) == ["9"]


def test_a_probe_writes_nothing(house: SinkHouse, service: Scim) -> None:
    answer = house.engine.probe("Feed")

    assert (answer.problems, answer.findings) == ((), ("people: /Users", "people1: /Groups"))
    assert writes(service) == []
    service.intercept = lambda number, request: Reply(401)
    (problem,) = house.engine.probe("Feed").problems
    assert "401" in problem


def test_a_sink_without_a_token_is_refused() -> None:
    from tests.sinks.changes import connection

    made = evolve(connection("ScimSink", server="https://scim.meridian.example"))
    with pytest.raises(Exception, match="neither a token nor a user") as failed:
        ScimSink(made)
    assert not isinstance(failed.value, SinkUnavailable | AssertionError)
