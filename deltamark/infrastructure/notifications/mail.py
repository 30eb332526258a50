"""Notifications by mail: SMTP with TLS, verified."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime

from deltamark.application.ports.notifications import ChannelConnection, NotSent, Taken
from deltamark.application.ports.sources import Probe
from deltamark.domain.loopback import is_loopback
from deltamark.domain.notifications.notification import Notification

STARTTLS, IMPLICIT, NONE = "starttls", "implicit", "none"
_PORTS = {STARTTLS: 587, IMPLICIT: 465, NONE: 25}
_TIMEOUT_S = 30
_PERMANENT = 500


class Mail:
    """A mail server that takes notifications for some addresses.

    :raises NotSent: if its settings do not allow it.
    """

    def __init__(self, connection: ChannelConnection) -> None:
        server = connection.text("server") or ""
        self._tls = connection.text("tls") or STARTTLS
        host, separator, port = server.rpartition(":")
        self._host, self._port = (host, int(port)) if separator and port.isdigit() else (server, _PORTS[self._tls])
        self._host = self._host.strip("[]")
        self._timeout_s = connection.number("timeout", _TIMEOUT_S)
        self._from = connection.text("from") or ""
        self._to = connection.lists.get("to", ())
        self._user, self._password = connection.text("user"), connection.secret("password")
        if self._tls == NONE and not is_loopback(self._host):
            raise NotSent(f'tls = "none" is only for a server of this machine, and {self._host} is none', for_good=True)
        try:
            self._context = ssl.create_default_context(cafile=connection.text("authority"))
        except OSError as e:
            raise NotSent(f"the file of its setting authority cannot be read: {type(e).__name__}") from None

    def send(self, notification: Notification) -> Taken:
        """Sends a mail to all addresses; its Message-ID is the same whenever it is sent."""
        with self._connected() as server:
            try:
                refused = server.send_message(self._message(notification), self._from, list(self._to))
            except smtplib.SMTPRecipientsRefused as e:
                codes = [code for code, _ in e.recipients.values()]
                for_good = all(code >= _PERMANENT for code in codes)
                raise NotSent(f"the server refuses every recipient ({min(codes)})", for_good=for_good) from None
            except smtplib.SMTPSenderRefused as e:
                raise NotSent(
                    f"the server refuses the sender ({e.smtp_code})", for_good=e.smtp_code >= _PERMANENT
                ) from None
            except smtplib.SMTPDataError as e:
                raise NotSent(
                    f"the server refuses the mail ({e.smtp_code})", for_good=e.smtp_code >= _PERMANENT
                ) from None
        return Taken(problems=[f"the server refuses {address} ({code})" for address, (code, _) in refused.items()])

    def probe(self) -> Probe:
        """Signs in, and names sender and recipients, without sending a mail."""
        with self._connected() as server:
            problems = []
            code, _ = server.mail(self._from)
            if code >= 400:
                problems.append(f"the server refuses the sender ({code})")
            else:
                for address in self._to:
                    code, _ = server.rcpt(address)
                    if code >= 400:
                        problems.append(f"the server refuses {address} ({code})")
            server.rset()
        return Probe(server="SMTP server", findings=[f"it takes mail for {len(self._to)}"], problems=problems)

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        try:
            server = self._opened()
        except ssl.SSLError as e:
            raise NotSent(f"TLS with the mail server failed: {e.reason or type(e).__name__}") from None
        except smtplib.SMTPAuthenticationError as e:
            raise NotSent(f"the mail server refuses the user or the password ({e.smtp_code})") from None
        except (smtplib.SMTPException, OSError) as e:
            raise NotSent(f"the mail server cannot be reached: {_reason(e)}") from None
        try:
            yield server
        except (smtplib.SMTPServerDisconnected, OSError) as e:
            raise NotSent(f"the connection to the mail server broke: {_reason(e)}") from None
        finally:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()

    def _opened(self) -> smtplib.SMTP:
        if self._tls == IMPLICIT:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        try:
            if self._tls == STARTTLS:
                server.starttls(context=self._context)
            if self._user is not None and self._password is not None:
                server.login(self._user, self._password.value)
            else:
                server.ehlo_or_helo_if_needed()
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, notification: Notification) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._from
        message["To"] = ", ".join(self._to)
        message["Subject"] = "".join(char for char in f"Deltamark: {notification.title}" if char.isprintable())
        message["Date"] = format_datetime(notification.at)
        message["Message-ID"] = f"<{notification.id}.{notification.store}@deltamark.invalid>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notification.text)
        return message


def _reason(error: Exception) -> str:
    """What happened, without what the server wrote."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answers {error.smtp_code}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it offers no STARTTLS, or no way to sign in"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__
