"""Every page, in both widths and themes: no error, nothing that the policy forbids, nothing that shuts anybody out."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from tests.browser.conftest import NewWindow, Window
from tests.web.console.test_pages import PAGES

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
IN_BOTH_THEMES = (
    "/", "/runs/3", "/held/6", "/resource?type=HR_Person&key=E00002", "/log", "/configuration?show=dependencies",
)  # fmt: skip
"""Pages with all that there is of forms, states, charts and graphs; the others have nothing else."""


def violations(window: Window) -> list[str]:
    """What the rules of accessibility find on the page."""
    session = window.context.new_cdp_session(window.page)
    session.send("Runtime.evaluate", {"expression": (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")})
    found: Any = window.page.evaluate(
        "(rules) => axe.run({runOnly: rules, resultTypes: ['violations']}).then(({violations}) =>"
        " violations.map(({id, nodes}) => `${id}: ${nodes[0].html.slice(0, 200)}`))",
        list(RULES),
    )
    return list(found)


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "light"), (1280, "dark"), (390, "dark")])
def test_a_page_has_no_faults(new_window: NewWindow, width: int, theme: str) -> None:
    window = new_window(width=width, color_scheme=theme, reduced_motion="reduce")

    for address in PAGES if theme == "light" else IN_BOTH_THEMES:
        page = window.open(address)

        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert violations(window) == [], address
        assert window.faults == [], address
    own = window.served.settings.address
    assert [request for request in window.requests if not request.startswith(own)] == []


def test_axe_finds_what_shuts_people_out(new_window: NewWindow) -> None:
    window = new_window()
    window.open("/schedule")
    window.page.evaluate("document.querySelector('.search input').removeAttribute('aria-label')")
    window.page.evaluate("document.querySelector('.search input').removeAttribute('placeholder')")

    assert any(found.startswith("label:") for found in violations(window))


def test_pages_fit_320_pixels(new_window: NewWindow) -> None:
    window = new_window(width=320)

    for address in IN_BOTH_THEMES:
        assert window.open(address).evaluate("document.documentElement.scrollWidth") <= 320, address


def test_pages_are_readable_without_javascript(new_window: NewWindow) -> None:
    window = new_window(java_script_enabled=False)

    assert "Review what run 6 holds back" in window.open("/").inner_text("main")
    assert "SetRecentlyModifiedFlag" in window.open("/runs/3").inner_text("main")
    page = window.open("/resource?type=HR_Person&key=E00002")
    assert "2026-11-16 04:30:00 UTC" in page.inner_text(".timeline")
    assert not page.is_visible("[data-graph]")
    page.fill("[name=date]", "2026-11-17T12:00:00")
    page.click(".moment button")
    assert "as it was at" in page.inner_text("main")


def test_a_hostile_value_is_only_text(new_window: NewWindow) -> None:
    window = new_window()
    page = window.open("/resource?type=HR_Person&key=E00002")

    assert "<script>alert(2)</script>" in page.inner_text("main")
    assert page.locator("img").count() == 0
    assert window.faults == []
