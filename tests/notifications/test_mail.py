"""Notifications by mail, on a real mail server with TLS: each once, whatever the server does."""

from __future__ import annotations

from typing import Any

import pytest

from deltamark import Thresholds
from deltamark.application.notifications import notify
from deltamark.domain.notifications.record import Delivery
from tests.notifications.conftest import PASSWORD, MailServer, NewHouse
from tests.servers.certificates import issued


def test_people_are_told_of_a_run_that_failed_once(telling: NewHouse, mail: Any, mail_server: MailServer) -> None:
    house = telling({"ops": mail}).fails()

    assert [(done.sent, done.problem) for done in house.engine.notify()] == [(1, "")]
    assert [done.sent for done in house.engine.notify()] == [0]

    ((recipients, message),) = mail_server.mails
    assert recipients == mail["to"]
    assert message["Subject"] == "Deltamark: Run 1 of job People failed"
    assert "The record of run 1" in message.get_payload()
    assert house.engine.notifications() == []
    assert [record.delivery for record in house.engine.notifications(sent=True)] == [Delivery.SENT]


def test_nothing_is_sent_of_a_run_that_went_well_or_ended_before(telling: NewHouse, mail: Any) -> None:
    house = telling({})
    house.fails()
    house.channels["ops"] = mail
    house.configured().people({"1": "Ann"}).run()

    assert [done.sent for done in house.engine.notify()] == [0]


def test_held_back_changes_and_their_outcome_are_told_each_once(
    telling: NewHouse, mail: Any, mail_server: MailServer
) -> None:
    house = telling({"ops": mail}, person_limits=Thresholds(maximum_deleted_lines=1))
    house.people({"1": "Ann", "2": "Bo", "3": "Cem"}).run()
    house.people({"1": "Ann"}).engine.run_job("People")
    house.engine.notify()
    assert [mail["Subject"] for _, mail in mail_server.mails] == ["Deltamark: Run 2 of job People holds changes back"]

    house.engine.resume(2)
    house.fails()
    house.engine.notify()
    assert [mail["Subject"] for _, mail in mail_server.mails][1:] == ["Deltamark: Run 3 of job People failed"]


def test_a_server_that_is_down_is_tried_again_later(telling: NewHouse, mail: Any, mail_server: MailServer) -> None:
    house = telling({"ops": {**mail, "server": "127.0.0.1:1"}}).fails().fails()

    (done,) = house.engine.notify()
    assert (done.sent, done.waiting) == (0, 2)
    assert "cannot be reached: Connection refused" in done.problem
    assert [record.tries for record in house.engine.notifications()] == [1, 0]

    house.channels["ops"] = mail
    house.configured()
    (done,) = house.engine.notify()
    assert (done.sent, done.waiting) == (1, 1), "the first is not due yet"
    house.later(minutes=2)
    assert [done.sent for done in house.engine.notify()] == [1]
    assert len(set(mail_server.ids)) == 2


def test_what_is_refused_for_good_stays_on_record_until_it_is_sent_again(
    telling: NewHouse, mail: Any, mail_server: MailServer
) -> None:
    mail_server.refused = dict.fromkeys(mail["to"], "550 no such user")
    house = telling({"ops": mail}).fails()

    (done,) = house.engine.notify()
    assert (done.failed, done.problem) == (1, "the server refuses every recipient (550)")
    house.later(days=9)
    assert [done.failed for done in house.engine.notify()] == [0], "it is not tried again by itself"

    mail_server.refused = {}
    assert house.engine.retry_notifications("ops") == 1
    assert [done.sent for done in house.engine.notify()] == [1]


def test_one_recipient_that_is_refused_keeps_nobody_else_from_it(
    telling: NewHouse, mail: Any, mail_server: MailServer
) -> None:
    mail_server.refused = {"bob@example.com": "550 no such user"}
    house = telling({"ops": mail}).fails()

    (done,) = house.engine.notify()
    assert (done.sent, done.problem) == (1, "the server refuses bob@example.com (550)")
    assert [recipients for recipients, _ in mail_server.mails] == [["ann@example.com"]]


def test_a_server_that_keeps_refusing_is_given_up(telling: NewHouse, mail: Any, mail_server: MailServer) -> None:
    mail_server.answer = "451 try later"
    house = telling({"ops": mail}).fails()
    for _ in range(9):
        house.engine.notify()
        house.later(days=1)

    (record,) = house.engine.notifications()
    assert (record.delivery, record.tries) == (Delivery.FAILED, 8)
    assert record.problem == "the server refuses the mail (451)"


class Killed(BaseException):
    """Ends the process; nothing in the product catches it."""


def test_a_kill_between_sending_and_noting_sends_the_same_again(
    telling: NewHouse, mail: Any, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    house = telling({"ops": mail}).fails()
    with monkeypatch.context() as patched:
        patched.setattr(notify.NotificationRecord, "sent", killed)
        with pytest.raises(Killed):
            house.engine.notify()
    assert len(mail_server.mails) == 1
    assert [done.sent for done in house.engine.notify()] == [1]

    assert len(mail_server.mails) == 2, "it was sent at least once"
    assert len(set(mail_server.ids)) == 1, "by one id"


def test_a_sender_at_work_is_not_disturbed(telling: NewHouse, mail: Any, mail_server: MailServer) -> None:
    house = telling({"ops": mail}).fails()
    services = house.engine._services
    lease = notify.NamedLease(services.store, notify.channel_lease("ops"), 60.0)
    assert lease.take()

    (done,) = house.engine.notify()
    assert done.is_busy
    assert mail_server.mails == []
    lease.release()
    assert [done.sent for done in house.engine.notify()] == [1]


def test_a_server_with_another_certificate_gets_nothing(
    telling: NewHouse, mail: Any, mail_server: MailServer, tmp_path: Any
) -> None:
    other = issued(tmp_path / "other", "localhost")
    house = telling({"ops": {**mail, "authority": str(other.authority)}}).fails()

    (done,) = house.engine.notify()
    assert "CERTIFICATE_VERIFY_FAILED" in done.problem
    assert mail_server.mails == []


def test_no_password_is_shown(telling: NewHouse, mail: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = f"wrong-{PASSWORD}"
    monkeypatch.setenv("MAIL_PASSWORD", wrong)
    house = telling({"ops": mail}).fails()

    (done,) = house.engine.notify()
    assert done.problem == "the mail server refuses the user or the password (535)"
    assert wrong not in repr(house.engine.notifications()) + repr(house.engine._services.channels)


def test_without_tls_only_this_machine_gets_mail(telling: NewHouse, mail: Any) -> None:
    house = telling({"ops": {**mail, "server": "mail.example.com", "tls": "none"}}).fails()

    (done,) = house.engine.notify()
    assert "only for a server of this machine" in done.problem


def test_a_probe_tries_sender_and_recipients_without_a_mail(
    telling: NewHouse, mail: Any, mail_server: MailServer
) -> None:
    house = telling({"ops": mail})

    assert house.engine.probe_channel("ops").problems == ()
    mail_server.refused = {"bob@example.com": "550 no such user"}
    assert house.engine.probe_channel("ops").problems == ("the server refuses bob@example.com (550)",)
    assert mail_server.mails == []
