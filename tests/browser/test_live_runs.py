"""A run shows by itself where people look, however it was started, until it has ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import pytest

from deltamark.application.runs.observer import Observer
from deltamark.domain.configuration.jobs import TaskState
from deltamark.interfaces.http.console.pages.runs import _LIST_LOOK_S
from deltamark.interfaces.http.feed import _WAIT_S
from deltamark.interfaces.http.live import LOOK_S, PAUSE_S
from deltamark.interfaces.http.users import Role
from tests.browser.conftest import NewWindow, Served
from tests.browser.test_deeds import PATIENCE_MS, expect
from tests.web.console.company import open_company

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

JOB = "Complete"
ENDED = re.compile("completed|warning|blocked")


def row(page: Page, run: int) -> Locator:
    """The state of a run in a list of runs."""
    return page.locator("#runs tr", has=page.locator(f"a[href='/runs/{run}']")).locator(".state")


class Held(Observer):
    """Keeps a run in its first task until it is let go."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def task_started(self, run: int, task: object) -> None:
        self.goes_on.wait(PATIENCE_MS / 1000)


def until(is_so: Callable[[], bool]) -> None:
    """Waits until something is so."""
    for _ in range(PATIENCE_MS // 10):
        if is_so():
            return
        sleep(0.01)
    raise AssertionError(is_so)


def stopped(served: Served, run: int) -> None:
    """Stops the process of a run as soon as it is on record."""
    until(lambda: served.engine.runs(limit=1)[0].number == run)
    os.kill(served.engine.run(run).process, signal.SIGSTOP)
    assert served.engine.run(run).state is TaskState.RUNNING


@pytest.fixture
def served(browser: object, company_folder: Path, tmp_path: Path) -> Iterator[Served]:
    """The console of a copy of the company, in which a job is due each minute."""
    folder = tmp_path / "company"
    shutil.copytree(company_folder, folder)
    jobs = folder / "configuration" / "jobs.xml"
    text = jobs.read_text("utf-8")
    named = f'<Job Identifier="{JOB}" '
    assert text.count(named) == 1
    jobs.write_text(text.replace(named, f'{named}CronTabExpression="* * * * *" '), "utf-8")
    with open_company(folder) as engine:
        server = Served(folder, engine)
        yield server
        server.stop()


def by_button(served: Served, page: Page) -> Callable[[], None]:
    page.goto(f"{served.settings.address}/runs")
    run = served.engine.runs(limit=1)[0].number + 1
    page.select_option("form[method=post] select", JOB)
    stop = threading.Thread(target=stopped, args=(served, run))
    stop.start()
    page.click("text=Start >> nth=-1")
    page.wait_for_url(f"**/runs/{run}")
    stop.join()
    return lambda: os.kill(served.engine.run(run).process, signal.SIGCONT)


def by_command_line(served: Served, page: Page) -> Callable[[], None]:
    run = served.engine.runs(limit=1)[0].number + 1
    command = [sys.executable, "-m", "deltamark.interfaces.cli.start", "run", JOB]
    child = subprocess.Popen(command, env=served.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stopped(served, run)

    def goes_on() -> None:
        child.send_signal(signal.SIGCONT)
        child.wait(PATIENCE_MS / 1000)

    return goes_on


def by_scheduler(served: Served, page: Page) -> Callable[[], None]:
    held, stop = Held(), threading.Event()
    now = datetime.now(UTC)
    ahead = timedelta(seconds=58 - now.second)  # the next minute is near
    engine = open_company(served.folder, lambda: datetime.now(UTC) + ahead)
    thread = threading.Thread(target=engine.schedule, args=(stop,), kwargs={"observer": held})
    thread.start()

    def goes_on() -> None:
        held.goes_on.set()
        until(lambda: served.engine.runs(limit=1)[0].ended_at is not None)
        stop.set()
        thread.join(PATIENCE_MS / 1000)
        engine.close()

    return goes_on


@pytest.mark.parametrize("start", [by_button, by_command_line, by_scheduler])
def test_a_run_shows_by_itself_however_it_is_started(
    new_window: NewWindow, served: Served, start: Callable[[Served, Page], Callable[[], None]]
) -> None:
    run = served.engine.runs(limit=1)[0].number + 1
    watched = new_window(role=Role.READER, name="ria")
    overview, runs = watched.open("/"), watched.tab()
    runs.goto(f"{served.settings.address}/runs")
    for page in (overview, runs):
        page.evaluate("window.loaded = 'once'")

    goes_on = start(served, new_window(role=Role.OPERATOR, name="otto").page)
    try:
        for page in (overview, runs):
            expect(row(page, run)).to_have_text("running", timeout=PATIENCE_MS)
        own = watched.tab()
        own.goto(f"{served.settings.address}/runs/{run}")
        own.evaluate("window.loaded = 'once'")
        expect(own.locator(".state").first).to_have_text("running")
    finally:
        goes_on()
    for page in (overview, runs):
        expect(row(page, run)).to_have_text(ENDED, timeout=PATIENCE_MS)
    expect(own.locator(".state").first).to_have_text(ENDED, timeout=PATIENCE_MS)
    expect(own.locator("text=This page follows the run.")).to_have_count(0)

    assert [page.evaluate("window.loaded") for page in (overview, runs, own)] == ["once"] * 3
    ended_by = {"by_button": "otto", "by_command_line": served.engine.run(run).user, "by_scheduler": "the schedule"}
    assert ended_by[start.__name__] in own.inner_text(".line")


def test_what_is_written_is_shown_within_a_second() -> None:
    """The watcher asks the store all the time; a page is sent at most so long after it."""
    assert PAUSE_S + _WAIT_S < 1
    assert LOOK_S + PAUSE_S < 2
    assert _LIST_LOOK_S <= 5
