"""Tokens and sessions, as an administrator sees and ends them."""

from __future__ import annotations

import re

from deltamark.interfaces.http.users import Role
from tests.browser.conftest import NewWindow, Served
from tests.browser.test_deeds import expect


def test_a_token_is_shown_once_works_and_is_revoked(new_window: NewWindow, served: Served) -> None:
    page = new_window().open("/access")

    page.fill("[name=name]", "reports <b>nightly</b>")
    page.select_option("[name=role]", "reader")
    page.fill("[name=types]", "HR_Person")
    page.press("[name=types]", "Enter")
    token = page.inner_text("[role=status] code.long")
    assert re.fullmatch(r"dm_[0-9a-f]+_\S{20,}", token)
    asked = f"{served.settings.address}/api/v1/resources?type=HR_Person&limit=1"
    bearer = {"Authorization": f"Bearer {token}"}
    stranger = new_window(role=Role.READER).context.browser
    assert stranger is not None
    program = stranger.new_context().request

    assert program.get(asked, headers=bearer).status == 200
    assert program.get(asked.replace("HR_Person", "HR_Department"), headers=bearer).status == 403
    page.goto(f"{served.settings.address}/access")
    assert token not in page.content()
    row = page.locator("tr", has_text="reports <b>nightly</b>")
    assert "HR_Person" in row.inner_text()
    row.get_by_role("button").click()
    expect(page.locator("text=There is no API token.")).to_be_visible()
    assert program.get(asked, headers=bearer).status == 401


def test_wrong_fields_are_refused_with_the_reason(new_window: NewWindow) -> None:
    page = new_window().open("/access")

    page.fill("[name=name]", "reports")
    page.fill("[name=types]", "Nothing")
    page.click("text=Make a token")

    assert 'there is no entity type "Nothing"' in page.inner_text("[role=alert]")
    assert page.input_value("[name=name]") == "reports"


def test_a_session_that_is_ended_must_sign_in_again(new_window: NewWindow, served: Served) -> None:
    bob = new_window(role=Role.READER, name="bob")
    bob.open("/log")
    page = new_window().open("/access")

    page.get_by_role("button", name="End the session of bob").click()
    page.wait_for_url("**/access")

    assert page.get_by_role("button", name="End the session of bob").count() == 0
    assert bob.open("/log").url.endswith("/sign-in")
    assert "deltamark serve" in bob.page.inner_text("main")


def test_others_are_not_led_to_it(new_window: NewWindow) -> None:
    page = new_window(role=Role.OPERATOR).open("/")

    assert page.locator("a[href='/access']").count() == 0
    assert "Not allowed" in new_window(role=Role.OPERATOR).open("/access").inner_text("h1")
