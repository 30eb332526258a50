"""Every page, in both widths and themes: no error, nothing that the policy forbids, nothing that shuts anybody out."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from tests.browser.conftest import NewWindow, Window
from tests.web.console.test_pages import PAGES

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules whose outcome depends on the theme."""

ALL = (*PAGES, "/access", "/runs/99", "/resource?type=HR_Person&key=nobody", "/dry-runs/none")


def violations(window: Window, rules: tuple[str, ...] = RULES, kind: str = "tag") -> list[str]:
    """What the rules of accessibility find on the page."""
    if not window.page.evaluate("'axe' in window"):
        session = window.context.new_cdp_session(window.page)
        script = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
        session.send("Runtime.evaluate", {"expression": script})
    found: Any = window.page.evaluate(
        "([kind, rules]) => axe.run({runOnly: {type: kind, values: rules}, resultTypes: ['violations']}).then("
        "({violations}) => violations.map(({id, nodes}) => `${id}: ${nodes[0].html.slice(0, 200)}`))",
        [kind, list(rules)],
    )
    return list(found)


def faults(window: Window) -> list[str]:
    """What went wrong, but for pages that say that there is nothing."""
    return [fault for fault in window.faults if "status of 4" not in fault]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_has_no_faults_in_both_themes(new_window: NewWindow, width: int) -> None:
    window = new_window(width=width, color_scheme="light", reduced_motion="reduce")

    for address in ALL:
        window.page.emulate_media(color_scheme="light")
        page = window.open(address)

        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert violations(window) == [], address
        page.emulate_media(color_scheme="dark")
        assert violations(window, OF_COLOURS, "rule") == [], address
        assert faults(window) == [], address
    own = window.served.settings.address
    assert [request for request in window.requests if not request.startswith(own)] == []


def test_axe_finds_what_shuts_people_out(new_window: NewWindow) -> None:
    window = new_window(color_scheme="light")
    window.open("/schedule")
    window.page.evaluate("document.querySelector('.search input').removeAttribute('aria-label')")
    window.page.evaluate("document.querySelector('.search input').removeAttribute('placeholder')")
    window.page.evaluate("document.documentElement.style.setProperty('--ink', '#eee')")

    assert any(found.startswith("label:") for found in violations(window))
    assert any(found.startswith("color-contrast:") for found in violations(window, OF_COLOURS, "rule"))


def test_pages_fit_320_pixels(new_window: NewWindow) -> None:
    window = new_window(width=320)

    for address in ALL:
        assert window.open(address).evaluate("document.documentElement.scrollWidth") <= 320, address


def test_what_one_does_on_a_page_is_done_by_keyboard(new_window: NewWindow) -> None:
    """Whatever is a link, a field or a button can have the focus, and nothing else is there to click on."""
    window = new_window()

    for address in ALL:
        beyond = window.open(address).evaluate(
            """() => [...document.querySelectorAll('a, button, input, select, textarea, summary, [onclick]')]
                .filter((e) => e.offsetParent !== null && !e.closest('[aria-hidden=true]') && e.type !== 'hidden')
                .filter((e) => e.tabIndex < 0 || e.disabled || e.hasAttribute('onclick')
                    || (e.tagName === 'A' && !e.href))
                .map((e) => e.outerHTML.slice(0, 200))"""
        )
        lone = window.page.evaluate(
            "[...document.forms].filter((f) => !f.querySelector('button')).map((f) => f.action)"
        )

        assert (beyond, lone) == ([], []), address


def test_pages_are_readable_without_javascript(new_window: NewWindow) -> None:
    window = new_window(java_script_enabled=False)

    for address in ALL:
        page = window.open(address)
        assert page.is_visible("h1"), address
        assert len(page.inner_text("main")) > 60, address
        assert page.locator("[data-graph]:visible").count() == 0, address
        assert page.locator("button[hidden]").count() <= 1, address  # the zone of the reader is known to scripts alone
    assert "Review what run 6 holds back" in window.open("/").inner_text("main")
    assert "SetRecentlyModifiedFlag" in window.open("/runs/3").inner_text("main")
    page = window.open("/resource?type=HR_Person&key=E00002")
    assert "Mon 2026-11-16 04:30:00 UTC" in page.inner_text(".timeline")
    page.fill("[name=date]", "2026-11-17T12:00:00")
    page.click(".moment button")
    assert "as it was at" in page.inner_text("main")


def test_a_hostile_value_is_only_text(new_window: NewWindow) -> None:
    window = new_window()
    page = window.open("/resource?type=HR_Person&key=E00002")

    assert "<script>alert(2)</script>" in page.inner_text("main")
    assert page.locator("img").count() == 0
    assert window.faults == []
