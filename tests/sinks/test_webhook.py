"""The webhook: what is sent, signed and confirmed, and what each answer of a server means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from deltamark.application.ports.sinks import SinkGone, SinkUnavailable
from deltamark.infrastructure.sinks.webhook import Webhook
from tests.scenarios.http_server import Reply, Request, always, http_server, in_turn
from tests.sinks.changes import change, connection, gap, sent

KEY = b"a key"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def webhook(server: str, waits: list[float] | None = None, secret: str = SECRET, **settings: Any) -> Webhook:
    described = connection("WebhookSink", secrets={"secret": secret}, server=server, **settings)
    return Webhook(described, clock=lambda: 1_700_000_000.9, wait=([] if waits is None else waits).append)


def test_each_change_is_a_signed_event() -> None:
    with http_server() as server:
        confirmed = sent(webhook(server.url), change(4, name="Ann"), change(5, "deleted"), until=9)

    assert [(c.position, c.sent) for c in confirmed] == [(4, 1), (9, 1)]
    first, second = server.requests
    assert first.headers["content-type"].startswith("application/cloudevents+json")
    assert (first.headers["webhook-id"], first.headers["webhook-timestamp"]) == ("s1/4", "1700000000")
    signed = b"s1/4.1700000000." + first.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert first.headers["webhook-signature"] == f"v1,{expected}"
    event = json.loads(first.body)
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject")} == {
        "specversion": "1.0",
        "id": "4",
        "source": "urn:deltamark:store:s1",
        "type": "deltamark.resource.created",
        "subject": "Person/1",
    }
    assert event["data"]["changes"] == {"name": {"before": None, "after": "Ann"}}
    assert json.loads(second.body)["type"] == "deltamark.resource.deleted"


def test_events_are_sent_in_batches_where_that_is_set() -> None:
    with http_server() as server:
        confirmed = sent(webhook(server.url, batch=2), *(change(n) for n in (1, 2, 3)))

    assert [c.position for c in confirmed] == [2, 3]
    assert [len(json.loads(r.body)) for r in server.requests] == [2, 1]
    assert server.requests[0].headers["content-type"].startswith("application/cloudevents-batch+json")
    assert server.requests[0].headers["webhook-id"] == "s1/1-2"


def test_a_gap_is_an_event() -> None:
    with http_server() as server:
        sent(webhook(server.url), gap(6))

    event = json.loads(server.requests[0].body)
    assert (event["type"], event["id"], event["subject"]) == ("deltamark.log.gap", "6/discarded-Person", "Person")


def test_failures_that_may_pass_are_waited_for_and_nothing_is_left_out() -> None:
    waits: list[float] = []
    replies = in_turn(Reply(), Reply(500), Reply(429, {"Retry-After": "3"}), Reply(None), Reply())
    with http_server(replies) as server:
        confirmed = sent(webhook(server.url, waits), change(1), change(2))

    assert [c.position for c in confirmed] == [1, 2]
    assert waits == [1, 3, 4]
    assert [r.headers["webhook-id"] for r in server.requests] == ["s1/1"] + ["s1/2"] * 4


@pytest.mark.parametrize("status", [401, 403, 404, 405, 429, 500, 503, 302])
def test_other_answers_end_the_delivery_behind_what_was_confirmed(status: int) -> None:
    confirmed: list[int] = []
    with (
        http_server(in_turn(Reply(), Reply(status, {"Location": "https://elsewhere.example"}))) as server,
        pytest.raises(SinkUnavailable, match=str(status)),
    ):
        confirmed.extend(step.position for step in webhook(server.url).send(_batch(1, 2, 3)))

    assert confirmed == [1]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_what_is_refused_for_good_is_told_without_the_words_of_the_server(status: int) -> None:
    with http_server(in_turn(Reply(), Reply(status, body=b"Ann is no name"), Reply())) as server:
        confirmed = sent(webhook(server.url), change(1), change(2), change(3))

    assert [c.position for c in confirmed] == [1, 2, 3]
    ((refusal,),) = (c.refused for c in confirmed if c.refused)
    assert (refusal.change.position, str(status) in refusal.problem, "Ann" in refusal.problem) == (2, True, False)


def test_what_is_refused_in_a_batch_is_found_by_halves() -> None:
    def answers(request: Request) -> Reply:
        return Reply(422 if any(event["id"] == "6" for event in json.loads(request.body)) else 200)

    with http_server(answers) as server:
        confirmed = sent(webhook(server.url, batch=8), *(change(n) for n in range(1, 9)), until=12)

    assert [r.change.position for c in confirmed for r in c.refused] == [6]
    assert (confirmed[-1].position, sum(c.sent for c in confirmed)) == (12, 7)
    assert [c.position for c in confirmed] == sorted(c.position for c in confirmed)


def test_a_server_that_is_gone_ends_all() -> None:
    with http_server(in_turn(Reply(), Reply(410), Reply())) as server, pytest.raises(SinkGone) as gone:
        sent(webhook(server.url), change(1), change(2), change(3))

    assert (gone.value.change.position, len(server.requests)) == (2, 2)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"server": "http://hooks.example/in"}, "not encrypted"),
        ({"server": "https://a:b@hooks.example/in"}, "holds a user"),
        ({"server": "https://hooks.example", "authority": "/nowhere.pem"}, "cannot be read"),
        ({"server": "https://hooks.example", "secret": "whsec_%%"}, "no base64"),
    ],
)
def test_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SinkUnavailable, match=problem):
        webhook(**settings)


def test_no_failure_shows_a_secret() -> None:
    with http_server(always(Reply(500))) as server, pytest.raises(SinkUnavailable) as failed:
        sent(webhook(server.url + "?key=hidden"), change(1))

    assert not any(word in failed.value.problem + failed.value.advice for word in (SECRET, "hidden", "a key"))


def _batch(*positions: int) -> Any:
    from deltamark.domain.sinks.batch import Batch

    return Batch(after=0, until=positions[-1], changes=[change(n) for n in positions])
