"""Tables with keys of all kinds, and what a database must say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from deltamark import Engine, TaskState
from deltamark.bootstrap import proposal_for_server
from deltamark.domain.proposal.proposal import Proposal

TABLES = (
    "CREATE TABLE department (code VARCHAR(10) PRIMARY KEY, title VARCHAR(20))",
    "CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(20), hired DATE, department VARCHAR(10), "
    "FOREIGN KEY (department) REFERENCES department (code))",
    "CREATE TABLE membership (person INT, department VARCHAR(10), PRIMARY KEY (person, department), "
    "FOREIGN KEY (person) REFERENCES person (id), FOREIGN KEY (department) REFERENCES department (code))",
    "INSERT INTO department VALUES ('A', 'Alpha'), ('B', 'Beta')",
    "INSERT INTO person VALUES (1, 'Ann', '2020-01-02', 'A'), (2, 'Bob', '2021-05-06', 'B')",
    "INSERT INTO membership VALUES (1, 'A'), (1, 'B'), (2, 'B')",
)


def proposed(server: str, **settings: str) -> Proposal:
    """What is proposed for these tables, which must be right."""
    names = ("department", "membership", "person")
    proposal = proposal_for_server(server, settings, names, connector="HR")
    configuration = proposal.configuration
    keys = {m.entity_type: m.primary_key.connection_column for m in configuration.entity_type_mappings}
    assert keys == {"department": "code", "person": "id"}
    links = {
        m.connection_table: (str(m.entity_property_mapping1), m.column2, str(m.entity_property_mapping2))
        for m in configuration.association_mappings
    }
    assert links == {
        "membership": ("person:id", "department", "department:code"),
        "person": ("person:id", "department", "department:code"),
    }
    types = {p.identifier: p.type.label for t in configuration.entity_types for p in t.properties}
    assert (types["hired"], types["id"]) == ("Date", "String")
    (connection,) = configuration.connections
    assert (connection.package, [table.identifier for table in connection.tables]) == ("Sql", [*names])
    return proposal


CHANGING = (
    "CREATE TABLE staff (id INTEGER PRIMARY KEY, name VARCHAR(20), updated_at TIMESTAMP NOT NULL)",
    "CREATE INDEX staff_updated_at ON staff (updated_at)",
    "CREATE TABLE contract (person INTEGER, no INTEGER, salary VARCHAR(20), changed_on TIMESTAMP NULL, "
    "PRIMARY KEY (person, no))",
    "CREATE TABLE shift (site VARCHAR(5), day VARCHAR(10), who VARCHAR(5))",
    "INSERT INTO staff VALUES (1, 'Ann', '2026-11-28 08:00:00'), (2, 'Bob', '2026-11-28 09:00:00'), "
    "(3, 'Cid', '2026-11-28 07:00:00')",
    "INSERT INTO contract VALUES (1, 1, '100', '2026-11-01 08:00:00'), (1, 2, '200', NULL), (2, 1, '300', NULL)",
    "INSERT INTO shift VALUES ('N', '01', 'a'), ('N', '02', 'a'), ('S', '01', 'a'), ('S', '02', 'b')",
)
CHANGES = (
    "UPDATE staff SET name = 'Bobby', updated_at = '2026-11-29 08:00:00' WHERE id = 2",
    "UPDATE staff SET name = 'unseen' WHERE id = 1",
    "INSERT INTO staff VALUES (4, 'Dan', '2026-11-20 08:00:00')",
    "DELETE FROM staff WHERE id = 3",
    "DELETE FROM contract WHERE salary = '300'",
    "UPDATE contract SET salary = '250', changed_on = '2026-11-30 08:00:00' WHERE salary = '200'",
    "UPDATE shift SET who = 'c' WHERE site = 'S' AND day = '02'",
    "DELETE FROM shift WHERE site = 'N' AND day = '02'",
)
DROPPED = tuple(f"DROP TABLE IF EXISTS {table}" for table in ("staff", "contract", "shift"))


def follows_changes(
    server: str, execute: Callable[..., object], folder: Path, settings: Mapping[str, str], **secrets: str
) -> None:
    """What is proposed for tables that change is run as it is, twice: the second run reads what changed, and all keys.

    :param execute: executes statements, and commits.
    :param secrets: references to secrets, by settings.
    """
    execute(*DROPPED, *CHANGING)
    try:
        names = ("contract", "shift", "staff")
        proposal = proposal_for_server(server, {**settings, **secrets}, names, connector="HR")
        (connection,) = proposal.configuration.connections
        options = {table.identifier: table.options for table in connection.tables}
        assert options["staff"]["Watermark"] == "updated_at"
        assert options["staff"]["Overlap"] == "00:10:00"
        assert options["contract"]["Watermark"] == "changed_on"
        assert "row_key" in options["contract"]["Keys"]
        assert "Watermark" not in options["shift"]
        (made,) = proposal.configuration.transformations
        assert made.query == "select site || '|' || day as row_key, * from shift"
        assert proposal.description is not None
        named = {"server": server, **settings, **secrets, **proposal.description.settings}
        with Engine.open(
            "sqlite://", configuration=proposal.configuration, export_output=folder, connections={"HR_Source": named}
        ) as engine:
            for expected in (STATE, CHANGED_STATE):
                run = engine.run_job(proposal.job.identifier, force=True)
                assert run.state is TaskState.COMPLETED, run
                stored = {
                    name: {item.key: item.values[VALUE[name]] for item in engine.export_resources(name)}
                    for name in VALUE
                }
                assert stored == expected, stored
                execute(*CHANGES[: len(CHANGES) if expected is STATE else 0])
            assert "what changed was read" in run.tasks[0].messages[0]
    finally:
        execute(*DROPPED)


VALUE = {"staff": "name", "contract": "salary", "shift": "who"}
STATE = {
    "staff": {"1": "Ann", "2": "Bob", "3": "Cid"},
    "contract": {"1|1": 100, "1|2": 200, "2|1": 300},
    "shift": {"N|01": "a", "N|02": "a", "S|01": "a", "S|02": "b"},
}
CHANGED_STATE = {
    "staff": {"1": "Ann", "2": "Bobby", "4": "Dan"},  # the first one was changed without its watermark
    "contract": {"1|1": 100, "1|2": 250},
    "shift": {"N|01": "a", "S|01": "a", "S|02": "c"},
}
