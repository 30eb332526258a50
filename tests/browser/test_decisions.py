"""Decisions about held-back changes: once, by another person, on record, by keyboard alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deltamark.domain.configuration.jobs import TaskState
from deltamark.interfaces.http.users import Role
from tests.browser.conftest import NewWindow, Served
from tests.browser.test_deeds import PATIENCE_MS, expect
from tests.web.console.company import open_company

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RUN = 6
MOST_STEPS = 120


@pytest.fixture
def served(browser: Browser, company_folder: Path, tmp_path: Path) -> Iterator[Served]:
    """The console of a copy of the company, where another person must decide."""
    folder = tmp_path / "company"
    shutil.copytree(company_folder, folder)
    with open_company(folder) as engine:
        server = Served(folder, engine, four_eyes=True)
        yield server
        server.stop()


def to(page: Page, selector: str) -> None:
    """Goes on by the tabulator until an element has the focus."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by keyboard")


@pytest.mark.parametrize("deed", ["accept", "drop"])
def test_a_decision_is_made_once_and_goes_on_record(new_window: NewWindow, served: Served, deed: str) -> None:
    starter = served.engine.run(RUN).starter.name
    own = new_window(role=Role.ADMIN, name=starter)
    assert "another person must decide" in own.open(f"/held/{RUN}").inner_text("main")
    assert own.page.locator(".decide").count() == 0
    late = new_window(role=Role.REVIEWER, name="rob").open(f"/held/{RUN}")
    first = new_window(role=Role.REVIEWER, name="rita", reduced_motion="reduce")
    page = first.open(f"/held/{RUN}")
    count = page.get_attribute(".decide [name=count]", "placeholder") or ""
    form = {
        "version": page.input_value(".decide [name=version]"), "count": count, "reason": "Mine", "deed": deed,
    }  # fmt: skip
    refused = own.page.request.post(
        f"{served.settings.address}/held/{RUN}", form=form, headers={"Origin": served.settings.address}
    )
    assert refused.status == 403
    assert served.engine.run(RUN).state is TaskState.BLOCKED

    to(page, "[name=reason]")
    page.keyboard.type("They moved to the new system")
    to(page, ".decide [name=count]")
    page.keyboard.type(count)
    to(page, f"button[value={deed}]")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{RUN}")
    late.fill("[name=reason]", "Me, too")
    late.fill(".decide [name=count]", count)
    with late.expect_response(lambda answer: answer.request.method == "POST") as answer:
        late.click(f"button[value={deed}]")

    assert answer.value.status == 412
    assert f"Somebody decided about run {RUN}" in late.inner_text("[role=alert]")
    expect(page.locator(".state").first).not_to_have_text("running", timeout=PATIENCE_MS)
    expect(page.locator("button[value=cancel]")).to_have_count(0, timeout=PATIENCE_MS)
    assert "rita" in page.inner_text(".facts")
    command = [sys.executable, "-m", "deltamark.interfaces.cli.start", "runs", str(RUN)]
    said = subprocess.run(command, env=served.environment, capture_output=True, text=True, check=False).stdout
    assert "rita" in said
    assert "They moved to the new system" in said
