"""A small company whose store the tests of the HTTP interface read, made once, and the application over it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from litestar import Litestar
from litestar.testing import TestClient

from deltamark.engine import Engine
from deltamark.infrastructure.sample_company import write_workspace
from deltamark.interfaces.http.app import create_app
from deltamark.interfaces.http.reports import Reports
from deltamark.interfaces.http.sessions import Links
from deltamark.interfaces.http.settings import HttpSettings
from deltamark.interfaces.http.tokens import Tokens
from deltamark.interfaces.http.users import Role, SignInMethod, User

SITE = "http://127.0.0.1:8765"
OWN = {"Sec-Fetch-Site": "same-origin"}


class Time:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def goes_on(self, by: timedelta) -> None:
        self.now += by


class NoReports(Reports):
    """Makes reports that say nothing."""

    def __init__(self) -> None:
        super().__init__(("true",), {}, lambda: datetime(2026, 11, 30, tzinfo=UTC))


class Site:
    """The application, and people who open it."""

    def __init__(self, engine: Engine, settings: HttpSettings, time: Time, tokens: Path, **given: Any) -> None:
        self.engine, self.settings, self.time, self.tokens = engine, settings, time, tokens
        self.links = Links(time)
        given.setdefault("reports", NoReports())
        self.app: Litestar = create_app(engine, settings, links=self.links, tokens=Tokens(tokens, time), **given)
        self._clients: list[TestClient[Litestar]] = []

    def client(self, *, base_url: str = SITE, address: str = "127.0.0.1") -> TestClient[Litestar]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, "client": (address, 50000)}, receive, send)

        client: TestClient[Any] = TestClient(app, base_url=base_url, raise_server_exceptions=False)
        client.follow_redirects = False
        client.__enter__()
        self._clients.append(client)
        return client

    def link(self, role: Role = Role.ADMIN, name: str = "ann") -> str:
        return f"/sign-in?token={self.links.new(User(name=name, role=role, method=SignInMethod.LINK))}"

    def signed_in(self, role: Role = Role.ADMIN, name: str = "ann") -> TestClient[Litestar]:
        client = self.client()
        assert client.get(self.link(role, name)).status_code == 303
        return client

    def close(self) -> None:
        while self._clients:
            self._clients.pop().__exit__(None, None, None)


@pytest.fixture(scope="session")
def _company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "company"
    write_workspace(folder, people=20)
    with Engine.open(
        f"sqlite:///{folder}/deltamark.db", configuration=folder / "configuration", export_output=folder / "exports"
    ) as engine:
        engine.run_job("Incremental")
    return folder


@pytest.fixture(scope="module")
def engine(_company: Path) -> Iterator[Engine]:
    with Engine.open(f"sqlite:///{_company}/deltamark.db", configuration=_company / "configuration") as engine:
        yield engine


NewSite = Callable[..., Site]


@pytest.fixture(scope="module")
def new_site(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewSite]:
    sites: list[Site] = []

    def new(over: Engine = engine, given: dict[str, Any] | None = None, **settings: Any) -> Site:
        time, tokens = Time(), tmp_path_factory.mktemp("site") / "tokens.json"
        sites.append(Site(over, HttpSettings(clock=time, **settings), time, tokens, **(given or {})))
        return sites[-1]

    yield new
    for site in sites:
        site.close()


@pytest.fixture(scope="module")
def site(new_site: NewSite) -> Site:
    return new_site()


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The application of a site behind a real server, in a thread; gives its address."""
    config = uvicorn.Config(site.app, host="127.0.0.1", port=site.settings.port, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{site.settings.port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])
