"""What people do in the console: look, find, decide, follow."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from deltamark.domain.configuration.jobs import TaskState
from deltamark.interfaces.http.users import Role
from tests.browser.conftest import NewWindow, Served

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PATIENCE_MS = 60_000


def expect(locator: Locator) -> Any:
    """What Playwright waits for. It may be absent: the fixture of the browser says so."""
    from playwright.sync_api import expect as expected

    return expected(locator)


def state(page: Page) -> str:
    return page.locator(".state").first.inner_text()


def test_times_are_shown_in_the_zone_of_the_reader_or_in_utc(new_window: NewWindow) -> None:
    page = new_window(timezone_id="Asia/Tokyo").open("/runs/1")
    time = page.locator("time").first

    assert time.inner_text() == "Mon 2026-11-16 13:30:00"
    page.click("text=Asia/Tokyo")
    assert time.inner_text() == "Mon 2026-11-16 04:30:00 UTC"
    page.reload()
    assert time.inner_text() == "Mon 2026-11-16 04:30:00 UTC"


def test_a_time_in_a_form_is_in_the_zone_in_which_times_are_shown(new_window: NewWindow) -> None:
    page = new_window(timezone_id="Asia/Tokyo").open("/resource?type=HR_Person&key=E00002")

    page.fill("[name=date]", "2026-11-17T13:29:00")
    page.click(".moment button")
    page.wait_for_url("**date=2026-11-17T04%3A29*")
    assert page.input_value("[name=date]") in ("2026-11-17T13:29", "2026-11-17T13:29:00")
    assert "Asia/Tokyo" in page.inner_text(".moment")
    page.click("button >> text=Asia/Tokyo")
    assert page.input_value("[name=date]") in ("2026-11-17T04:29", "2026-11-17T04:29:00")


def test_keys_open_pages_and_the_search_box(new_window: NewWindow) -> None:
    page = new_window().open("/")

    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**/log")
    page.keyboard.press("/")
    page.keyboard.type("HR_Person E00002")
    page.keyboard.press("Enter")
    page.wait_for_url("**/resource?type=HR_Person&key=E00002")


def test_what_accepting_would_do_is_shown_before_it_is_done(new_window: NewWindow, served: Served) -> None:
    head = served.engine.position()
    page = new_window(role=Role.REVIEWER, reduced_motion="reduce").open("/held/6")

    page.click("text=Try it")

    flagged = page.locator("tr", has_text="SetRecentlyModifiedFlag")
    expect(flagged).to_be_visible(timeout=PATIENCE_MS)
    assert int(flagged.locator("[data-label=flagged]").inner_text()) > 0
    assert served.engine.position() == head


def test_a_verification_is_followed_to_its_end(new_window: NewWindow) -> None:
    page = new_window(role=Role.OPERATOR).open("/integrity")

    page.click("text=Verify the log and the state")

    expect(page.locator("text=the log is whole")).to_be_visible(timeout=PATIENCE_MS)
    assert new_window(role=Role.READER).open("/integrity").locator("form[action='/verifications']").count() == 0


def test_a_reader_is_not_led_to_what_only_reviewers_see(new_window: NewWindow) -> None:
    window = new_window(role=Role.READER)

    for address in ("/", "/runs", "/runs/6"):
        assert window.open(address).locator("a[href^='/held']").count() == 0, address


def test_a_graph_is_drawn_with_all_its_boxes_and_leads_to_pages(new_window: NewWindow) -> None:
    page = new_window().open("/resource?type=HR_Person&key=E00002")
    boxes = page.locator("[data-graph] rect")

    assert boxes.count() > 4
    assert page.locator("[data-graph] a").count() >= boxes.count() - 2  # itself, and how many others there are
    page.locator("[data-graph] a").first.click()
    page.wait_for_url(re.compile(r"/resource\?type=\w+&key=(?!E00002$)"))


def test_the_slider_goes_from_change_to_change(new_window: NewWindow) -> None:
    page = new_window().open("/resource?type=HR_Person&key=E00002")
    before = page.inner_text("main table >> nth=0")

    page.focus("input[type=range]")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    position = page.input_value("input[type=range]")
    page.click(".moment button")
    page.wait_for_url(f"**at={position}**")

    assert position in page.inner_text("h2 >> nth=0").replace(",", "")
    assert page.inner_text("main table >> nth=0") != before


def test_two_reviewers_decide_and_one_of_them_is_late(new_window: NewWindow, served: Served) -> None:
    first, second = new_window(role=Role.REVIEWER, name="rita"), new_window(role=Role.REVIEWER, name="rob")
    one, other = first.open("/held/6"), second.open("/held/6")
    count = one.get_attribute(".decide [name=count]", "placeholder") or ""
    for page in (one, other):
        page.fill("[name=reason]", "They moved to the new system")

    one.fill(".decide [name=count]", "3")
    one.click("button[value=accept]")
    assert f"repeat the number of changes: {count}" in one.inner_text("[role=alert]")
    assert one.input_value("[name=reason]") == "They moved to the new system"
    one.fill(".decide [name=count]", count)
    one.click("button[value=accept]")
    one.wait_for_url("**/runs/6")
    other.fill(".decide [name=count]", count)
    other.click("button[value=drop]")

    assert "Somebody decided about run 6" in other.inner_text("[role=alert]")
    expect(one.locator(".state").first).to_have_text("warning", timeout=PATIENCE_MS)
    resumed = served.engine.run(6).resumed[-1].operator
    assert (resumed.by, resumed.reason) == ("rita", "They moved to the new system")
    assert "rita" in one.inner_text(".facts")


def test_a_run_is_followed_to_its_end_without_a_reload(new_window: NewWindow) -> None:
    operator = new_window(role=Role.OPERATOR, name="otto")
    page = operator.page
    # Where the second script comes late, htmx must still find its extension.
    page.route("**/hx-sse.min.js", lambda route: (sleep(0.3), route.continue_()))
    log = operator.tab()
    log.goto(f"{operator.served.settings.address}/log?live=1")
    rows = log.locator("#log tbody tr").count()
    operator.open("/runs")
    page.select_option("form[method=post] select", "Complete")
    page.click("text=Start >> nth=-1")
    page.wait_for_url(re.compile(r"/runs/\d+$"))
    operator.requests.clear()

    expect(page.locator(".state").first).to_have_text(re.compile("completed|warning"), timeout=PATIENCE_MS)
    expect(log.locator("#log tbody tr").first).not_to_have_text("", timeout=PATIENCE_MS)
    sleep(1)  # longer than an extension waits before it connects again

    assert [request for request in operator.requests if "/live" in request and "/runs/" in request] in (
        [],
        [request for request in operator.requests if request.endswith("/live")][:1],
    )
    assert page.locator("form button[value=cancel]").count() == 0
    assert log.locator("#log tbody tr").count() >= rows


def test_a_run_that_is_killed_while_it_is_watched_is_shown_as_aborted(new_window: NewWindow, served: Served) -> None:
    windows = [new_window(role=Role.OPERATOR, name=name) for name in ("otto", "olga")]
    newest = served.engine.runs(limit=1)[0].number
    command = [sys.executable, "-m", "deltamark.interfaces.cli.start", "run", "Complete"]
    child = subprocess.Popen(command, env=served.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = monotonic() + PATIENCE_MS / 1000
    while served.engine.runs(limit=1)[0].number == newest and monotonic() < until:
        sleep(0.02)
    os.kill(child.pid, signal.SIGSTOP)
    number = newest + 1
    assert served.engine.run(number).state is TaskState.RUNNING
    pages = [window.open(f"/runs/{number}") for window in windows]

    assert [state(page) for page in pages] == ["running", "running"]
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    for page in pages:
        expect(page.locator(".state").first).to_have_text("aborted", timeout=PATIENCE_MS)
        expect(page.locator("button[value=resume]")).to_be_visible()
