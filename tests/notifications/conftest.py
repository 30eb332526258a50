"""A mail server on this machine with TLS, and a house that tells people of its runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from attrs import define, field

from deltamark import Engine, TaskState
from tests.scenarios.house import House, configuration
from tests.servers.certificates import Certificate, issued
from tests.stores import NewStore

PASSWORD = "korrekt-Pferd/7"


@define
class MailServer:
    """What arrived, and what is refused."""

    port: int = 0
    refused: dict[str, str] = field(factory=dict)
    answer: str = "250 OK"
    after_data: Callable[[], None] = field(default=lambda: None)
    mails: list[tuple[list[str], Message]] = field(factory=list)

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        if self.answer.startswith("250"):
            assert session.ssl is not None, "a mail came without TLS"
            self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content)))
        return self.answer

    @property
    def ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for _, mail in self.mails]


def let_in(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
    right = given == LoginPassword(b"deltamark", PASSWORD.encode())
    return AuthResult(success=right, handled=right)


class OnAnyPort(Controller):
    """Listens on a port that is free, and knows which one."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return issued(tmp_path_factory.mktemp("mail"), "localhost")


@pytest.fixture
def mail_server(certificate: Certificate) -> Iterator[MailServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server = MailServer()
    controller = OnAnyPort(
        server,
        hostname="127.0.0.1",
        port=0,
        tls_context=context,
        require_starttls=True,
        auth_require_tls=True,
        authenticator=let_in,
    )
    controller.start()
    server.port = controller.port
    yield server
    controller.stop()


class Ahead:
    """A clock that can be put ahead."""

    def __init__(self, clock: Any) -> None:
        self._clock, self.ahead = clock, timedelta(0)

    def __call__(self) -> datetime:
        return self._clock() + self.ahead


class TellingHouse(House):
    """A house whose engine has channels."""

    def __init__(self, url: str, folder: Path, clock: Any, channels: dict[str, Any], **configured: Any) -> None:
        self.channels = channels
        super().__init__(url, folder, clock, configuration(**configured))

    def _opened(self, configured: Any) -> Engine:
        engine = Engine.open(
            self.url, configuration=configured, export_output=self.folder, clock=self._clock, notify=self.channels
        )
        engine.register_channels()
        return engine

    def fails(self) -> TellingHouse:
        """A run that fails: its extract is missing."""
        (self.folder / "people.csv").unlink(missing_ok=True)
        assert self.engine.run_job("People").state is TaskState.FAILED
        return self

    def later(self, **by: int) -> None:
        self._clock.ahead += timedelta(**by)


NewHouse = Callable[..., TellingHouse]


@pytest.fixture
def telling(new_store: NewStore, tmp_path: Path, clock: Any) -> Iterator[NewHouse]:
    houses: list[TellingHouse] = []

    def new(channels: dict[str, Any], **configured: Any) -> TellingHouse:
        folder = tmp_path / f"extracts-{len(houses)}"
        houses.append(TellingHouse(new_store(), folder, Ahead(clock), channels, **configured))
        return houses[-1]

    yield new
    for house in houses:
        house.engine.close()


@pytest.fixture
def mail(mail_server: MailServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of a channel to the mail server."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    return {
        "kind": "mail",
        "server": f"127.0.0.1:{mail_server.port}",
        "from": "deltamark@example.com",
        "to": ["ann@example.com", "bob@example.com"],
        "user": "deltamark",
        "password": "env:MAIL_PASSWORD",
        "authority": str(certificate.authority),
    }
