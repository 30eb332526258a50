"""Notifications to an HTTP server, as CloudEvents: as the sink of that name sends changes."""

from __future__ import annotations

from deltamark.application.ports.notifications import ChannelConnection, NotSent, Taken
from deltamark.application.ports.sinks import SinkConnection, SinkUnavailable
from deltamark.application.ports.sources import ConnectionSettings, Probe
from deltamark.domain.notifications.notification import Notification
from deltamark.infrastructure.sinks.webhook import REFUSED, Webhook, words_of

_TIMEOUT_S = 10


class WebhookChannel:
    """A server that takes events by POST: one request a try, because notifications are tried again later."""

    def __init__(self, connection: ChannelConnection) -> None:
        values = {"timeout": _TIMEOUT_S, **connection.settings.values}
        self._connection = SinkConnection(
            name=connection.name,
            package="webhook",
            tables=(),
            settings=ConnectionSettings(values=values, secrets=connection.settings.secrets),
            store="",
        )
        self._where = f"[deltamark.notify.{connection.name}]"

    def send(self, notification: Notification) -> Taken:
        """Posts the notification. Its `webhook-id` is the same whenever it is sent."""
        try:
            webhook = Webhook(self._connection, where=self._where, tries=1)
            try:
                answer = webhook.posted([notification])
            finally:
                webhook.close()
        except SinkUnavailable as e:
            raise NotSent(e.problem) from None
        if answer.status >= 300:
            raise NotSent(f"the server answers {words_of(answer)}", for_good=answer.status in REFUSED)
        return Taken()

    def probe(self) -> Probe:
        """Asks the server by OPTIONS."""
        try:
            webhook = Webhook(self._connection, where=self._where, tries=1)
            try:
                return webhook.probe()
            finally:
                webhook.close()
        except SinkUnavailable as e:
            raise NotSent(e.problem) from None
