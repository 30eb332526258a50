"""A store in memory would be gone with the command: no command opens one."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)

REFUSED = "sqlite:// is a store in memory, for programs: it is empty at first, and gone when it is closed"


@pytest.mark.parametrize(
    "command",
    [("run", "OnlyFlag"), ("run", "OnlyFlag", "--dry-run"), ("runs",), ("changes",), ("replay",), ("verify",)],
)
def test_no_command_opens_a_store_in_memory(company, command):
    answer = company.deltamark("--store", "sqlite://", *command)

    assert answer.status == 2
    assert REFUSED in answer.err
    assert "Name a file, such as sqlite:///deltamark.db" in answer.err


def test_a_log_is_not_replayed_into_memory(company):
    company.done("run", "OnlyFlag")

    answer = company.deltamark("replay", "--into", "sqlite://")

    assert answer.status == 2
    assert REFUSED in answer.err
