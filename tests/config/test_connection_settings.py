"""Settings of connections: every fault at once with its line, and no password in any text."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import Configuration, Connection, ConnectionTable, Engine, ExportTask
from deltamark.application.ports.sources import SourceUnreachable
from deltamark.config.settings import load_settings
from deltamark.domain.errors import ConfigurationError
from deltamark.domain.validation.validate import faults
from deltamark.infrastructure.system.secret_values import read_secret
from tests.scenarios.database_source import configuration

PASSWORDS = ["geheim1", "p%40ss@w:rd/", "it's geheim", 'say "geheim"']


def settings_faults(folder: Path, text: str) -> list[str]:
    (folder / "deltamark.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(folder, {})
    return [str(fault).removeprefix(f"{folder}/") for fault in caught.value.faults]


def test_every_fault_of_the_settings_is_named_with_its_line(tmp_path: Path) -> None:
    text = """[deltamark]
store = "sqlite:///a.db"

[deltamark.connections.HR]
server = "postgresql://u:geheim1@h/db"
timeout = 0

[deltamark.connections.AD]
sever = "sqlite:///x.db"
password = "geheim1"
user = 3
"""

    found = settings_faults(tmp_path, text)

    assert [fault.split(": ")[0].rpartition(":")[2] for fault in found] == ["5", "6", "9", "10", "11"]
    assert "server holds a password" in found[0]
    assert "timeout is 0; it must be above 0" in found[1]
    assert 'unknown key "sever"; did you mean "server"?' in found[2]
    assert "password must say where the secret is, and not be the secret" in found[3]
    assert "user must be a text in quotes" in found[4]
    assert "geheim1" not in "\n".join(found)


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_in_place_of_a_reference_is_shown_nowhere(password: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Engine.open("sqlite://", configuration=configuration(), connections={"HR_Source": {"password": password}})

    assert password not in str(caught.value)


def test_settings_of_an_unknown_connection_are_refused() -> None:
    with pytest.raises(ConfigurationError, match='unknown connection "HR_Sorce"; did you mean "HR_Source"'):
        Engine.open("sqlite://", configuration=configuration(), connections={"HR_Sorce": {"user": "u"}})


def test_a_relative_database_is_relative_to_the_settings(tmp_path: Path) -> None:
    (tmp_path / "deltamark.toml").write_text('[deltamark.connections.HR]\nserver = "sqlite:///hr.db"\n')

    settings = load_settings(tmp_path, {})

    assert settings.connections["HR"].values == {"server": f"sqlite:///{tmp_path / 'hr.db'}"}


def test_secrets_are_read_from_where_they_are(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("geheim\n")
    file.chmod(0o600)
    environment = {"NAME": "geheim", "CREDENTIALS_DIRECTORY": str(tmp_path)}

    references = ["env:NAME", f"file:{file}", "credential:secret"]

    assert [read_secret(reference, environment).value for reference in references] == ["geheim"] * 3


def test_secrets_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    open_file, empty, large = tmp_path / "open", tmp_path / "empty", tmp_path / "large"
    open_file.write_text("geheim")
    open_file.chmod(0o640)
    empty.write_text("\n")
    empty.chmod(0o600)
    large.write_text("x" * 70_000)
    large.chmod(0o600)
    problems = {
        "env:NAME": "the variable NAME of the environment is not set",
        f"file:{open_file}": "may be read or written by others",
        f"file:{empty}": "is empty",
        f"file:{large}": "is larger than 64 KiB",
        f"file:{tmp_path / 'none'}": "cannot be read",
        "credential:x": "CREDENTIALS_DIRECTORY is not set",
    }

    for reference, problem in problems.items():
        with pytest.raises(SourceUnreachable, match=problem):
            read_secret(reference, {})


def test_every_fault_of_a_connection_is_named_at_once() -> None:
    tables = [
        ConnectionTable("HR_Person", {"Querry": "select 1", "Overlap": "soon"}),
        ConnectionTable("HR_Persn", {"Query": "select 1"}),
    ]
    configured = Configuration(
        connectors=configuration().connectors,
        connections=[
            Connection("HR_Source", "HR", "Sql", tables=tables),
            Connection("Other", "HR", "Sq1", tables=[ConnectionTable("HR_Person", {"Query": "select 1"})]),
            Connection("None", "HR"),
        ],
        entity_types=configuration().entity_types,
        entity_type_mappings=configuration().entity_type_mappings,
        tasks=[ExportTask(identifier="E", connection="None"), ExportTask(identifier="F", connection="HR_Sorce")],
    )

    found = "\n".join(fault.message for fault in faults(configured))

    for part in (
        'has Querry, which package Sql does not read; did you mean "Query"?',
        "has no Query",
        "has Overlap, which only a table with Watermark needs",
        'has the Overlap "soon"; write a time such as 00:10:00, or a whole number such as 1000',
        'has the ConnectionTable "HR_Persn", which connection "HR_Source" reads; did you mean "HR_Person"?',
        'is read twice, by "HR_Source" and "Other"',
        'the Package "Sq1" is not built; did you mean "Sql"?',
        'reads connection "None", which has no tables to read',
        'unknown connection "HR_Sorce"',
    ):
        assert part in found, found
