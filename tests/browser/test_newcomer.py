"""Why did somebody's account change last Tuesday? Found by clicks alone, as the how-to tells it."""

from __future__ import annotations

import re

import pytest

from deltamark.interfaces.http.console.pages import resources
from deltamark.interfaces.http.console.rendering import url
from deltamark.interfaces.http.users import Role
from tests.browser.conftest import NewWindow, Served
from tests.browser.test_deeds import PATIENCE_MS, expect

MOST_CLICKS = 5


def test_who_knows_a_name_and_a_day_finds_why_an_account_changed(new_window: NewWindow, served: Served) -> None:
    """Of the person only the name is known that they have now."""
    tuesday = [
        change
        for change in served.engine.changes_page(entity_type="Directory_User", run=2, kind="updated").changes
        if "DisplayName" in change.event.changes
    ]
    account, names = tuesday[0].event.ref.key, tuesday[0].event.changes["DisplayName"]
    page = new_window(role=Role.READER, name="nina").open("/")
    clicks = 0

    page.fill("[name=q]", str(served.engine.resource("Directory_User", account).values["DisplayName"]))
    page.click("text=Find")
    clicks += 1
    page.locator("tr", has_text="Directory_User").get_by_role("link", name=account, exact=True).click()
    clicks += 1
    entry = page.locator(".timeline > li", has_text="Tue 2026-11-17")
    told = entry.inner_text()
    assert str(names.before) in told
    assert str(names.after) in told
    assert re.search(
        r"run 2, SynchronizeActiveDirectory\w+, by ann \(\w+\), AD_Account.csv line \d+: the nightly extracts", told
    )

    entry.get_by_role("link", name="run 2", exact=True).click()
    clicks += 1
    assert "the nightly extracts" in page.inner_text("main")
    page.go_back()
    page.locator("tr", has_text="DisplayName").get_by_role("link", name="who had it").click()
    clicks += 1
    assert account in page.inner_text("tbody")
    assert "has it now" in page.inner_text("tbody")
    assert clicks < MOST_CLICKS


def test_who_knows_a_name_of_the_past_finds_who_had_it(new_window: NewWindow, served: Served) -> None:
    changed = served.engine.changes_page(
        entity_type="Directory_User", run=4, property_name="DisplayName", kind="deleted"
    )
    gone = changed.changes[0].event
    page = new_window(role=Role.READER, name="nina").open("/")

    page.fill("[name=q]", str(gone.changes["DisplayName"].before))
    page.click("text=Find")
    page.get_by_role("link", name=gone.ref.key, exact=True).click()

    assert "deleted" in page.inner_text(".line")
    assert "Fri 2026-11-20" in page.inner_text(".timeline > li >> nth=0")


def test_a_search_that_found_nothing_so_far_goes_on_by_itself(
    new_window: NewWindow, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = served.engine.changes_page(
        entity_type="Directory_User", run=4, property_name="DisplayName", kind="deleted"
    )
    gone = changed.changes[0].event
    monkeypatch.setattr(resources, "BUDGET_S", 0)
    monkeypatch.setattr(resources, "_AT_ONCE", 40)
    window = new_window(role=Role.READER, name="nina")
    page = window.open(url("/find", q=gone.changes["DisplayName"].before))

    expect(page.get_by_role("link", name=gone.ref.key, exact=True)).to_be_visible(timeout=PATIENCE_MS)

    assert len([request for request in window.requests if "/find?" in request]) > 3
    assert page.locator("#found").count() == 1


def test_who_knows_a_day_alone_sees_all_changes_of_it(new_window: NewWindow) -> None:
    page = new_window(role=Role.READER, name="nina").open("/log")

    page.fill("[name=day]", "2026-11-17")
    page.click("text=Show >> nth=0")

    assert "Up to the end of 2026-11-17" in page.inner_text("main")
    assert "Tue 2026-11-17" in page.inner_text("#log tbody tr >> nth=0")
    page.click("summary")
    page.get_by_label("By kind").get_by_role("link", name="created").click()
    assert "created" in page.inner_text("#log tbody tr >> nth=0")


def test_a_value_of_a_list_leads_to_those_that_have_it(new_window: NewWindow) -> None:
    page = new_window(role=Role.READER, name="nina").open("/resources?type=HR_Person")

    page.click("summary >> text=Location")
    chip = page.locator(".facets details[open] a").first
    place, count = chip.inner_text().rsplit(" ", 1)
    chip.click()

    assert page.input_value("[name=value]") == place
    assert page.locator(".cards tbody tr").count() == int(count)
