"""How many statements an SQLite store is asked for one change: as many among twenty thousand as among a hundred."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from deltamark.infrastructure.store.sqlite import connection
from tests.scenarios.organisation.formulas import KEYS, PROPERTIES
from tests.scenarios.organisation.running import Organisation
from tests.scenarios.organisation.setting import Setting

SETTING = Setting(
    properties={
        name: PROPERTIES[name][0] for name in ("Person.Label", "Person.Boss", "Person.BossUnit", "Person.Unit")
    },
    keys={"ByMail": KEYS["ByMail"]},
)


@pytest.fixture
def statements(monkeypatch) -> list[str]:
    """Every statement that any store executes from now on."""
    found: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened = connect(*arguments, **options)
        opened.set_trace_callback(found.append)
        return opened

    monkeypatch.setattr(connection.sqlite3, "connect", traced)
    return found


def asked(statements: list[str]) -> int:
    """How many statements there were, beside those that read all states in portions, as a comparison must, and those
    by which a run that takes longer keeps its leases.
    """
    return sum("group_concat" not in text and "leases" not in text for text in statements)


def counted(statements: list[str]) -> int:
    """How many statements there are, without those of transactions and of leases, which are renewed by time."""
    passed_over = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
    return sum(not text.lstrip().startswith(passed_over) and "leases" not in text for text in statements)


@pytest.mark.slow  # twenty thousand people are synchronized three times, and computed once
def test_the_statements_for_one_change_do_not_depend_on_the_number_of_resources(memory, clock, statements):
    scans, costs = {}, {}

    for size in (100, 20_000):
        organisation = Organisation(f"sqlite:///{memory}/{size}.db", memory / str(size), clock, SETTING)
        for number in range(size):
            organisation.world.put("Person", f"P{number}", {"Name": f"Name {number}", "Mail": f"m{number}"})
            organisation.world.links["Manager"].add((f"P{number}", f"P{number // 10}"))
        organisation.run()
        statements.clear()
        organisation.run(force_read=True)
        scans[size] = counted(statements)
        organisation.person("P7", "New", manager="P0", Mail="m7")
        statements.clear()

        run = organisation.run(force_read=True)

        costs[size] = counted(statements) - scans[size]
        assert run.counts.changed == 1
        # One label, the boss of the ten whom that person leads; and no key, which reads the mail.
        assert (run.counts.executed, run.counts.necessary) == (11, 11)
        inserted = [text for text in statements if text.startswith("INSERT INTO stored_events")]
        assert len(inserted) == 1 + 11 + 16
        organisation.engine.close()

    assert costs[100] == costs[20_000]
    assert scans[20_000] - scans[100] <= 100_000 / 1_000
