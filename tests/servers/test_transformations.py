"""Transformations of what real servers deliver: a store that follows changes holds what one holds that reads all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deltamark import Engine, TaskState
from deltamark.domain.secrets import Secret
from tests.servers import slapd as openldap
from tests.servers.slapd import SUFFIX, Slapd

CONFIGURATION = """
<ConfigurationFile>
  <Connector Identifier="C" DisplayName_L1="C" MaxPercentageInsertedLines="0" MaxPercentageUpdatedLines="0"
             MaxPercentageDeletedLines="0" />
  <Connection Identifier="S" Connector="C" Package="{package}" DisplayName_L1="S">
    <ConnectionTable Identifier="Person" {table} />
  </Connection>
  <ConnectionTransformation Identifier="Person" Connector="C" Table="Person" Query="{query}" />
  <EntityType Identifier="Person">
    <Property Identifier="Key" IsKey="true" />
    <Property Identifier="Name" />
  </EntityType>
  <EntityTypeMapping Identifier="Person" Connector="C" ConnectionTable="Person">
    <Property Identifier="Key" ConnectionColumn="{key}" IsPrimaryKey="true" />
    <Property Identifier="Name" ConnectionColumn="name" />
  </EntityTypeMapping>
  <ExportTask Identifier="Read" Connection="S" DisplayName_L1="Read" />
  <SynchronizeTask Identifier="Synchronize" Connector="C" DoNotDeleteChanges="true" DisplayName_L1="Apply" />
  <Job Identifier="Changes" DisplayName_L1="Changes"><Step Task="Read" /><Step Task="Synchronize" /></Job>
  <Job Identifier="Everything" DisplayName_L1="Everything">
    <ExportTaskOverride Identifier="Read" IgnoreCookieFile="true" /><Step Task="Synchronize" />
  </Job>
</ConfigurationFile>
"""


def followed(folder: Path, settings: dict[str, Any], edits: list[Callable[[], Any]], **parts: str) -> list[list[str]]:
    """The names after each edit, of an engine that reads changes; one that reads everything holds the same."""
    xml = folder / "c.xml"
    xml.write_text(CONFIGURATION.format(**parts))
    options: dict[str, Any] = {"configuration": xml, "connections": {"S": settings}}
    names = []
    with (
        Engine.open("sqlite://", export_output=folder / "a", **options) as by_changes,
        Engine.open("sqlite://", export_output=folder / "b", **options) as whole,
    ):
        for edit in edits:
            edit()
            held = []
            for engine, job in ((by_changes, "Changes"), (whole, "Everything")):
                run = engine.run_job(job)
                assert {task.state for task in run.tasks} <= {TaskState.COMPLETED, TaskState.WARNING}, run
                held.append(sorted(engine.export("Person")["Name"].to_pylist()))
            assert held[0] == held[1]
            names.append(held[0])
        assert by_changes.verify().is_sound
    return names


@pytest.mark.slow  # a server
def test_of_a_directory(new_slapd: Callable[..., Slapd], tmp_path: Path) -> None:
    import ldap

    server = new_slapd()
    client = server.client()

    def person(name: str, *mail: str) -> None:
        values = {"objectClass": ["inetOrgPerson"], "cn": [name], "sn": [name], "uid": [name], "mail": list(mail)}
        entry = [(key, [value.encode() for value in listed]) for key, listed in values.items() if listed]
        client.add_s(f"uid={name},{SUFFIX}", entry)

    def first() -> None:
        client.add_s(SUFFIX, [("objectClass", [b"domain"]), ("dc", [b"meridian"])])
        person("ann", "ann@x")
        person("bob")
        person("cid", "cid@x")

    def second() -> None:
        client.modify_s(f"uid=ann,{SUFFIX}", [(ldap.MOD_DELETE, "mail", None)])
        client.modify_s(f"uid=bob,{SUFFIX}", [(ldap.MOD_ADD, "mail", [b"bob@x"])])
        client.delete_s(f"uid=cid,{SUFFIX}")

    settings = {
        "server": server.address, "tls": "none", "user": openldap.ADMINISTRATOR, "password": Secret(openldap.PASSWORD),
        "base": SUFFIX,
    }  # fmt: skip
    names = followed(
        tmp_path,
        settings,
        [first, second],
        package="Ldap",
        table='ObjectClass="inetOrgPerson"',
        query="select entryUUID, upper(uid) || ' ' || mail as name from Person where mail is not null",
        key="entryUUID",
    )

    assert names == [["ANN ann@x", "CID cid@x"], ["BOB bob@x"]]


def test_of_postgresql(postgresql_database: str, tmp_path: Path) -> None:
    with psycopg.connect(postgresql_database, autocommit=True) as connection:

        def first() -> None:
            connection.execute(
                "CREATE TABLE raw_people (id int PRIMARY KEY, name text, kind text, at timestamp NOT NULL)"
            )
            connection.execute(
                "INSERT INTO raw_people VALUES (1, 'ann', 'staff', '2026-01-01'), (2, 'bob', 'guest', '2026-01-01'), "
                "(3, 'cid', 'staff', '2026-01-01')"
            )

        def second() -> None:
            connection.execute("UPDATE raw_people SET kind = 'guest', at = '2026-01-02' WHERE id = 1")
            connection.execute("UPDATE raw_people SET kind = 'staff', at = '2026-01-02' WHERE id = 2")
            connection.execute("DELETE FROM raw_people WHERE id = 3")

        try:
            names = followed(
                tmp_path,
                {"server": postgresql_database},
                [first, second],
                package="Sql",
                table='Query="select * from raw_people" Watermark="at" Keys="select id from raw_people"',
                query="select id, upper(name) || ' ' || kind as name from Person where kind = 'staff'",
                key="id",
            )
        finally:
            connection.execute("DROP TABLE IF EXISTS raw_people")

    assert names == [["ANN staff", "CID staff"], ["BOB staff"]]
