"""Answers that are true: who ran a job, what a printed time means, what is left out, what is dirty."""

from __future__ import annotations

import os
import pwd


def test_who_ran_it_is_the_account_of_the_process(case, monkeypatch):
    reported = case("54-who-ran-it")
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "somebody")

    assert reported.run(1).status == 0

    account = pwd.getpwuid(os.geteuid()).pw_name
    for command in ("runs", "changes"):
        assert {found["user"] for found in reported.command(command, "--format", "jsonl").documents} == {account}
