"""A browser, a server, and what goes wrong on the pages that are opened.

The browser is Debian's `chromium`; `make servers` installs it. Without it or `playwright` the tests are skipped,
and fail where servers are required.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from deltamark.engine import Engine
from deltamark.interfaces.http.app import create_app
from deltamark.interfaces.http.children import Runs
from deltamark.interfaces.http.sessions import Links
from deltamark.interfaces.http.settings import HttpSettings
from deltamark.interfaces.http.tokens import Tokens
from deltamark.interfaces.http.users import Role, SignInMethod, User
from tests.servers.processes import needs, program
from tests.web.console.company import company, open_company

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PATIENCE_S = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests are slow."""
    for item in items:
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests; each has windows of its own."""
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        needs("playwright")
    from playwright.sync_api import sync_playwright

    path = program("chromium", "chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield launched
        launched.close()


class Served:
    """The console of a company, on a port of its own."""

    def __init__(self, folder: Path, engine: Engine, *, four_eyes: bool = False) -> None:
        self.folder, self.engine = folder, engine
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.settings = HttpSettings(port=port)
        self.links = Links(self.settings.clock)
        self.runs = Runs(
            engine,
            command=(sys.executable, "-m", "deltamark.interfaces.cli.start"),
            environment=self.environment,
            four_eyes=four_eyes,
        )
        tokens = Tokens(folder / "deltamark-tokens.json", self.settings.clock)
        app = create_app(engine, self.settings, links=self.links, runs=self.runs, tokens=tokens)
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until = monotonic() + _PATIENCE_S
        while not self._server.started and monotonic() < until:
            sleep(0.01)

    @property
    def environment(self) -> dict[str, str]:
        """Of a command line with this workspace."""
        return {
            **os.environ,
            "DELTAMARK_STORE": f"sqlite:///{self.folder / 'deltamark.db'}",
            "DELTAMARK_CONFIGURATION": str(self.folder / "configuration"),
            "DELTAMARK_EXPORT_OUTPUT": str(self.folder / "exports"),
        }

    def link(self, role: Role = Role.ADMIN, name: str = "ann") -> str:
        """A link that signs a user in, once."""
        token = self.links.new(User(name=name, role=role, method=SignInMethod.LINK))
        return f"{self.settings.address}/sign-in?token={token}"

    def stop(self) -> None:
        """Ends the server."""
        self._server.should_exit = True
        self._thread.join(_PATIENCE_S)


@pytest.fixture(scope="session")
def company_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a company, with its store; tests that write have copies of it."""
    folder = tmp_path_factory.mktemp("browser") / "company"
    company(folder)
    return folder


@pytest.fixture(scope="module")
def served(browser: Browser, company_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The console of a copy of the company."""
    folder = tmp_path_factory.mktemp("served") / "company"
    shutil.copytree(company_folder, folder)
    with open_company(folder) as engine:
        server = Served(folder, engine)
        yield server
        server.stop()


class Window:
    """A window of a browser in which somebody is signed in, and what went wrong on its pages."""

    def __init__(self, context: BrowserContext, served: Served) -> None:
        self.context, self.served = context, served
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page: Page = self.tab()

    def tab(self) -> Page:
        """Another page of the same person."""
        page = self.context.new_page()
        page.on("console", lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))
        return page

    def open(self, address: str) -> Page:
        """Goes to a page of the console."""
        self.page.goto(f"{self.served.settings.address}{address}")
        return self.page


NewWindow = Callable[..., Window]


@pytest.fixture
def new_window(browser: Browser, served: Served) -> Iterator[NewWindow]:
    """Opens windows; afterwards no page may have had an error, but for answers that refuse something."""
    windows: list[Window] = []

    def new(*, role: Role = Role.ADMIN, name: str = "ann", width: int = 1280, **options: Any) -> Window:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        windows.append(Window(context, served))
        windows[-1].page.goto(served.link(role, name))
        return windows[-1]

    yield new
    for window in windows:
        window.context.close()
    faults = [fault for window in windows for fault in window.faults if "status of 4" not in fault]
    assert faults == []
