"""Changes that a threshold held back, at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.workspace import Workspace


def blocked(company: Workspace) -> None:
    """Run 2 is blocked by an extract of users without rows."""
    company.done("run", "Incremental")
    company.extract(users="login,mail\n", members="group,login\n")
    assert company.deltamark("run", "Incremental").status == 3


def test_pending_changes_are_listed_without_a_position(company: Workspace) -> None:
    blocked(company)

    shown = company.jsonl("changes", "--pending", "2", "--type", "AD_User")

    assert {(row["position"], row["run"], row["job"]) for row in shown} == {(None, 2, "Incremental")}
    assert {row["change"] for row in shown} == {"deleted", "unlinked"}
    log = company.jsonl("changes", "--run", "1", "--type", "AD_User")
    assert {tuple(row) for row in shown} <= {tuple(row) for row in log} | {tuple(row)[:-2] for row in log}


def test_pending_changes_are_shown_as_table_and_csv(company: Workspace) -> None:
    blocked(company)

    table = company.done("changes", "--pending", "2").text
    rows = company.done("changes", "--pending", "2", "--format", "csv").lines

    assert "deleted" in table
    assert rows[0].startswith("position,at,change,")
    assert all(row.startswith(",") for row in rows[1:])


@pytest.mark.parametrize(
    "options", [("--after", "0"), ("--until", "1"), ("--run", "2"), ("--follow",)], ids=lambda options: options[0]
)
def test_pending_changes_are_not_mixed_with_the_log(company: Workspace, options: tuple[str, ...]) -> None:
    answer = company.deltamark("changes", "--pending", "2", *options)

    assert answer.status == 2
    assert "--pending shows what did not happen; only --type and --key can be combined with it." in answer.err


def test_a_run_without_pending_changes_is_reported_as_such(company: Workspace) -> None:
    company.done("run", "Incremental")

    answer = company.deltamark("changes", "--pending", "1")

    assert answer.status == 2
    assert "run 1 has no pending changes" in answer.err
    assert answer.out == b""


def test_resume_applies_pending_changes_and_cancel_drops_them(company: Workspace) -> None:
    blocked(company)
    company.done("cancel", "2")
    assert company.deltamark("changes", "--pending", "2").status == 2
    assert company.deltamark("run", "Incremental").status == 3

    company.done("resume", "3")

    assert company.jsonl("export", "AD_User") == []


def test_a_dry_run_shows_what_would_be_held_back(company: Workspace) -> None:
    company.done("run", "Incremental")
    company.extract(users="login,mail\n", members="group,login\n")

    answer = company.deltamark("run", "Incremental", "--dry-run", "--format", "jsonl")

    assert answer.status == 3
    assert "would be blocked: users.csv holds a header and no row" in answer.err
    held_back = [row for row in answer.documents if "position" in row and row["position"] is None]
    assert {row["change"] for row in held_back} == {"deleted", "unlinked"}
    assert company.deltamark("changes", "--pending", "2").status == 2


def test_a_dry_run_without_a_store_creates_none(
    company: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "new place"
    folder.mkdir()
    monkeypatch.setenv("DELTAMARK_STORE", f"sqlite:///{folder}/store.db")

    answer = company.deltamark("run", "Incremental", "--dry-run")

    assert answer.status == 0
    assert "Dry run, nothing was kept: completed." in answer.err
    assert list(folder.iterdir()) == []


DECISIONS = """\
  deltamark changes --pending 2  lists what was held back
  deltamark resume 2             applies it
  deltamark cancel 2             drops it
"""


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_what_can_be_done_about_a_blocked_run_is_said_on_standard_error_in_every_format(
    company: Workspace, form: str
) -> None:
    company.done("run", "Incremental")
    company.extract(users="login,mail\n", members="group,login\n")

    ran = company.deltamark("run", "Incremental", "--format", form)
    shown = company.deltamark("runs", "2", "--format", form)

    assert DECISIONS in ran.err
    assert DECISIONS in shown.err


def test_a_dry_run_says_how_to_ignore_the_threshold(company: Workspace) -> None:
    company.done("run", "Incremental")
    company.extract(users="login,mail\n", members="group,login\n")

    answer = company.deltamark("run", "Incremental", "--dry-run")

    assert answer.err.endswith("  deltamark run Incremental --force  ignores thresholds\n")
