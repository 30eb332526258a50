"""Output on a terminal: tables, colours, progress that leaves no trace."""

from __future__ import annotations

import re

import pytest

from tests.cli.processes import environment, pausing_at, run
from tests.cli.terminal import SPINNER, in_terminal
from tests.cli.test_processes import COMPARING
from tests.cli.workspace import EXTRACTS

pytestmark = pytest.mark.slow  # starts processes at terminals


def test_146_a_run_draws_its_progress_and_leaves_only_its_results(company):
    shown = in_terminal(company.folder, "run", "Incremental")

    assert shown.status == 0
    assert SPINNER.search(shown.raw)
    assert not any(SPINNER.search(line) for line in shown.screen)
    assert shown.cursor_is_visible
    assert shown.unknown == ()
    told = [line for line in shown.screen if line]
    assert [line.split(":")[0] for line in told[:4]] == ["+ Read HR", "+ Read AD", "+ Flag", "+ Keys"]
    assert re.match(r"\+ Read HR: completed \(\d+\.\d\d s\)\Z", told[0])
    assert "32" in shown.colours
    assert told[-1] == "+ Run 1: completed."


def test_146_standard_output_is_only_json_lines_in_a_terminal(past):
    shown = in_terminal(past.folder, "keys", "--format", "jsonl")

    assert [line[0] for line in shown.screen if line] == ["{"] * 6
    assert "\x1b" not in shown.raw


def test_146_no_color_is_respected(company):
    shown = in_terminal(company.folder, "run", "Incremental", NO_COLOR="1")

    assert shown.status == 0
    assert shown.colours == set()
    assert shown.cursor_is_visible


def test_146_a_dumb_terminal_gets_plain_text(company):
    shown = in_terminal(company.folder, "run", "Incremental", TERM="dumb")

    assert shown.status == 0
    assert "\x1b" not in shown.raw
    assert not SPINNER.search(shown.raw)


@pytest.mark.parametrize("command", [["changes"], ["export", "HR_Person"], ["jobs"]])
def test_146_a_narrow_terminal_shows_every_value_within_its_width(past, command):
    shown = in_terminal(past.folder, *command, columns=50)

    assert shown.status == 0
    assert all(len(line) <= 50 for line in shown.screen)
    assert "Traceback" not in shown.raw


def test_146_a_table_is_drawn_with_every_value(past):
    shown = in_terminal(past.folder, "export", "HR_Person")

    text = "\n".join(shown.screen)
    assert all(value in text for value in ("key", "Staff", "Böb", "2000.5", "2024-02-03T00:00:00Z"))
    assert "\x1b[1mkey\x1b[0m" in shown.raw
    assert "\x1b" not in past.done("export", "HR_Person").text


def test_colours_are_forced_into_a_pipe_and_forbidden_before_that(past, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1mrun\x1b[0m" in past.done("runs").text
    assert "\x1b" not in past.done("runs", "--format", "csv").text

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in past.done("runs").text


def test_146_control_sequences_in_values_have_no_effect(company):
    evil = "x\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b5m"
    company.extract(users=f"login,mail\nada,{evil}\n{evil},x\n", members="group,login\n")

    ran = in_terminal(company.folder, "run", "Forgetful")
    shown = [in_terminal(company.folder, *c, NO_COLOR="1") for c in (["export", "AD_User"], ["show", "AD_User", evil])]

    assert ran.status == 0
    for answer in shown:
        assert answer.status == 0
        assert not re.search("\x1b\\]|\x1b\\[2J|\x1b\\[31m|\x9b|\x07", answer.raw)
        assert answer.unknown == ()
    assert "\\x1b]0;owned\\x07" in shown[0].raw.replace("\r\n", "")


def test_146_a_failure_is_shown_in_a_terminal_with_its_location(company):
    company.extract(users=EXTRACTS["users"].replace("login", "Login"))

    shown = in_terminal(company.folder, "run", "Forgetful", columns=60)

    assert shown.status == 1
    assert "31" in shown.colours
    assert any(line.startswith("  users.csv:1:login: ") for line in shown.screen)


def test_148_ctrl_c_in_a_terminal_stops_the_run_and_restores_the_cursor(company):
    paused = pausing_at(*COMPARING, then="open('reached', 'w').close(); signal.pause()", word="")

    shown = in_terminal(company.folder, "run", "Incremental", program=paused, keys=b"\x03")

    assert shown.status == 130
    assert shown.cursor_is_visible
    assert not any(SPINNER.search(line) for line in shown.screen)
    told = "\n".join(shown.screen)
    assert "x Read HR: failed" in told
    assert "Interrupted. What was finished is kept; the task that was running was undone." in told
    assert "Traceback" not in told
    assert company.jsonl("runs")[0]["state"] == "failed"


def test_forced_colours_in_a_pipe_draw_nothing_again(company):
    _, out, err = run(company.folder, "run", "Incremental", env=environment(FORCE_COLOR="1", NO_COLOR=None))

    assert "\x1b[32m+ Read HR: completed (" in err
    assert not SPINNER.search(err)
    assert set(re.findall(r"\x1b\[[0-9;?]*([A-Za-z])", err + out.decode())) == {"m"}


def test_a_terminal_that_lacks_characters_gets_lines_within_its_width(past):
    shown = in_terminal(past.folder, "changes", columns=60, PYTHONIOENCODING="ascii", NO_COLOR="1")

    assert "\\u2192" in shown.raw
    assert "\\xf6" in shown.raw
    assert max(len(line) for line in shown.screen) <= 60
