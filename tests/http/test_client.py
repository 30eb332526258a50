"""The HTTP client: who is asked, what is tried again, and what is refused."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from deltamark.infrastructure.http.client import HTTPClient, HTTPFailure, Limits
from tests.scenarios.http_server import Reply, always, http_server, in_turn
from tests.servers.certificates import Certificate, issued


def client(url: str, waits: list[float] | None = None, **options: object) -> HTTPClient:
    return HTTPClient(url, wait=([] if waits is None else waits).append, **options)  # type: ignore[arg-type]


def test_failures_that_may_pass_are_tried_again_with_longer_waits() -> None:
    waits: list[float] = []
    replies = in_turn(Reply(500), Reply(None), Reply(503), Reply(429, {"Retry-After": "7"}), Reply(202, body=b"done"))
    with http_server(replies) as server:
        answer = client(server.url, waits).request("POST", body=b"x", headers={"webhook-id": "1"})

    assert (answer.status, answer.body) == (202, b"done")
    assert waits == [1, 2, 4, 7]
    assert [(r.body, r.headers["webhook-id"]) for r in server.requests] == [(b"x", "1")] * 5


def test_the_last_answer_is_given_back_when_no_try_is_left() -> None:
    with http_server(always(Reply(503))) as server:
        answer = client(server.url, limits=Limits(tries=3)).request("POST")

    assert (answer.status, len(server.requests)) == (503, 3)


@pytest.mark.parametrize("status", [200, 204, 400, 401, 404, 409, 410, 422])
def test_an_answer_that_will_stay_is_not_asked_for_again(status: int) -> None:
    with http_server(always(Reply(status))) as server:
        assert client(server.url).request("POST").status == status

    assert len(server.requests) == 1


def test_what_must_not_be_done_twice_is_sent_once() -> None:
    with http_server(always(Reply(503))) as server:
        assert client(server.url).request("POST", again=False).status == 503

    assert len(server.requests) == 1


def test_a_server_that_asks_for_a_long_wait_is_given_up() -> None:
    with http_server(always(Reply(429, {"Retry-After": "3600"}))) as server:
        with pytest.raises(HTTPFailure, match="asks to wait 3600 seconds"):
            client(server.url).request("POST")

        assert len(server.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    with http_server() as other, http_server(always(Reply(307, {"Location": other.url}))) as server:
        with pytest.raises(HTTPFailure, match="leads elsewhere"):
            client(server.url).request("POST", body=b"x")

        assert other.requests == []


def test_an_endless_answer_is_refused() -> None:
    with http_server(always(Reply(body=b"x" * 5000))) as server, pytest.raises(HTTPFailure, match="larger than 4096"):
        client(server.url, limits=Limits(largest_answer=4096)).request("GET")


def test_only_the_server_it_was_made_for_is_asked() -> None:
    with http_server() as server, http_server() as other:
        with pytest.raises(HTTPFailure, match="another server"):
            client(server.url).request("GET", other.url)
        assert client(server.url).request("GET", server.url + "?page=2").status == 200

    assert (len(server.requests), other.requests) == (1, [])


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hooks.example/in", "not encrypted"),
        ("http://127.0.0.1.example/in", "not encrypted"),
        ("https://user:word@hooks.example/in", "holds a user or a password"),
        ("ftp://hooks.example/in", "no address of a server"),
        ("hooks.example", "no address of a server"),
    ],
)
def test_addresses_are_refused(url: str, problem: str) -> None:
    with pytest.raises(HTTPFailure, match=problem) as refused:
        client(url)

    assert "word@" not in str(refused.value)


def test_a_server_that_is_not_there_is_named_without_its_query() -> None:
    with http_server() as server:
        gone = server.url
    with pytest.raises(HTTPFailure, match="did not answer") as failed:
        client(gone + "?token=hidden", limits=Limits(tries=2)).request("POST")

    assert "hidden" not in failed.value.problem


def test_the_certificate_of_a_server_is_verified(tmp_path: Path) -> None:
    good, strange = issued(tmp_path / "a", "localhost"), issued(tmp_path / "b", "localhost")
    expired = issued(tmp_path / "c", "localhost", expired=True)

    with http_server(context=served(good)) as server:
        assert client(server.url, authority=str(good.authority)).request("POST").status == 200
        waits: list[float] = []
        for authority in (None, str(strange.authority)):
            with pytest.raises(HTTPFailure, match="was not verified"):
                client(server.url, waits, authority=authority).request("POST")
        assert waits == []  # another try would fail too
    with (
        http_server(context=served(expired)) as server,
        pytest.raises(HTTPFailure, match="expired"),
    ):
        client(server.url, authority=str(expired.authority)).request("POST")


def served(files: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context
