"""Keys, values, names and reasons of strangers, on every page, at the width of a small phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewWindow, Served
from tests.web.console.company import open_company
from tests.web.console.hostile import hostile_addresses, hostile_company

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SMALL = 320


@pytest.fixture(scope="module")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = Path(tmp_path_factory.mktemp("hostile")) / "company"
    hostile_company(folder)
    with open_company(folder) as engine:
        server = Served(folder, engine)
        yield server
        server.stop()


def test_no_page_runs_asks_or_widens_for_what_it_shows(new_window: NewWindow, served: Served) -> None:
    window = new_window(width=SMALL, name="<img src=x onerror=alert(9)>", reduced_motion="reduce")
    own = served.settings.address

    for address in hostile_addresses(served.engine):
        page = window.open(address)

        width, markup = page.evaluate(
            "[document.documentElement.scrollWidth, document.querySelectorAll('main img, main script').length]"
        )
        assert (width <= SMALL, markup) == (True, 0), address
        assert [fault for fault in window.faults if "status of 4" not in fault] == [], address
    assert [request for request in window.requests if not request.startswith(own)] == []
    assert not [request for request in window.requests if request.removeprefix(own) in ("/x", "/sign-out")]


def test_a_page_that_runs_what_it_shows_would_be_noticed(new_window: NewWindow, served: Served) -> None:
    window = new_window()
    page = window.open("/schedule")

    page.evaluate(
        "document.querySelector('main').innerHTML = '<img src=x onerror=alert(1)>' + '<p>' + 'x'.repeat(9999)"
    )
    page.wait_for_timeout(100)

    assert any("Content Security Policy" in fault or "404" in fault for fault in window.faults)
    assert page.evaluate("document.querySelectorAll('main img').length") == 1
    window.faults.clear()
