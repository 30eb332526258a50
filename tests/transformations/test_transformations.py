"""What transformations give, which line it comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import (
    Configuration,
    ConfigurationError,
    ConnectionTransformation,
    Delta,
    Engine,
    JobRun,
    SourceError,
    TaskState,
)
from deltamark.domain.adoption.differences import differences
from deltamark.infrastructure.extracts import transformed
from tests.laws.test_transformations import held, run
from tests.scenarios.database_source import PERSON, DatabaseSource, messages
from tests.scenarios.database_source import configuration as database_configuration
from tests.scenarios.transformed import PEOPLE, RawTables, configuration
from tests.stores import NewStore

PERSON_1 = {"Id": "1", "Name": "ann", "Status": None, "Start": None, "Tag1": "a", "Tag2": None, "Team": "a"}


def left_the_company(raw: RawTables, engine: Engine) -> None:
    """A person is there, and then no longer fulfils the condition."""
    raw.put(PERSON_1)
    run(engine, "Incremental", raw)
    raw.changed.clear()
    raw.put({**PERSON_1, "Status": "left"})
    run(engine, "Incremental", raw)


def test_a_row_that_no_longer_fulfils_the_condition_is_deleted_in_a_delta() -> None:
    raw = RawTables()
    with Engine.open("sqlite://", configuration=configuration()) as engine:
        left_the_company(raw, engine)
        assert held(engine) == raw.expected() == ({}, set())


def test_without_that_rule_deltas_and_complete_readings_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = RawTables()
    commands = transformed._resource_commands
    monkeypatch.setattr(
        transformed, "_resource_commands", lambda count, *, is_filtered: commands(count, is_filtered=False)
    )
    with Engine.open("sqlite://", configuration=configuration()) as engine:
        left_the_company(raw, engine)
        assert held(engine) != raw.expected()


def one_table(query: str, *, is_complete: bool = False) -> Configuration:
    """People whose table `People` a query makes of `Raw`."""
    whole = configuration(query)
    (person,) = (m for m in whole.entity_type_mappings if m.identifier == "Person")
    return evolve(
        whole,
        transformations=[t for t in whole.transformations if t.identifier == "People"],
        associations=[],
        association_mappings=[],
        entity_type_mappings=[evolve(person, always_complete=is_complete)],
    )


def synchronized(folder: Path, query: str, rows: str, *, is_complete: bool = True) -> tuple[JobRun, dict[str, Any]]:
    """The run over a CSV file, and the people that it leaves."""
    (folder / "Raw.csv").write_text(rows)
    with Engine.open(
        "sqlite://", configuration=one_table(query, is_complete=is_complete), export_output=folder
    ) as engine:
        done = engine.run_job("Complete")
        return done, {item.key: item.values for item in engine.export_resources("Person")}


def test_a_row_whose_value_cannot_be_computed_is_set_aside_with_its_line(tmp_path: Path) -> None:
    rows = "Id,Name,Status,Start\n1,ann,,2024-01-01\n2,bob,left,31.12.2024\n3,cid,,31.12.2024\n4,dan,,\n"

    done, people = synchronized(tmp_path, PEOPLE, rows)

    assert list(people) == ["P-1", "P-4"]
    (task,) = done.tasks
    (row,) = task.set_aside
    assert (row.file, row.line, row.column, row.key, row.value) == ("Raw.csv", 4, "Start", "P-3", "31.12.2024")
    assert row.reason == "the transformation People cannot compute this column for this row"


def test_the_cause_of_a_change_is_the_line_of_the_row_that_it_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "Raw.csv").write_text("Id,Name,Status,Start\n1,ann,left,\n2,bob,,\n3,cid,,\n")
    with Engine.open("sqlite://", configuration=one_table(PEOPLE), export_output=tmp_path) as engine:
        engine.run_job("Complete")
        assert [change.event.cause.line for change in engine.history("Person", "P-3")] == [4]


def test_several_values_become_several_resources_and_equal_ones_one(tmp_path: Path) -> None:
    query = "select unnest([Id, Other]) as Id, Name as Label, null as Start from Raw"
    rows = "Id,Other,Name\n1,1,ann\n2,3,bob\n,,nobody\n4,5,cid\n5,,other\n"

    done, people = synchronized(tmp_path, query, rows)

    assert {key: values["Label"] for key, values in people.items()} == {"1": "ann", "2": "bob", "3": "bob", "4": "cid"}
    assert [(row.line, row.key) for row in done.tasks[0].set_aside] == [(5, "5"), (6, "5")]


def test_a_header_that_is_there_once_more_is_no_row(tmp_path: Path) -> None:
    done, people = synchronized(tmp_path, PEOPLE, "Id,Name,Status,Start\n1,ann,,\nId,Name,Status,Start\n2,bob,,\n")

    assert list(people) == ["P-1", "P-2"]
    assert [row.line for row in done.tasks[0].set_aside] == [3]


def test_all_columns_are_there_with_a_star_and_the_file_must_have_them(tmp_path: Path) -> None:
    query = "select *, Name as Label from Raw where Name like 'a%'"

    _, people = synchronized(tmp_path, query, "Id,Name,Start\n1,ann,2024-01-01\n2,bob,\n")
    failed, _ = synchronized(tmp_path, query, "Id,Nam,Start\n1,ann,\n")

    assert people == {"1": {"Key": "1", "Label": "ann", "Start": "2024-01-01"}}
    assert failed.state is TaskState.FAILED
    assert 'there is no column "Name" (the nearest is "Nam")' in messages(failed)


def test_a_row_of_which_only_some_cells_are_said_is_set_aside() -> None:
    raw = RawTables()
    with Engine.open("sqlite://", configuration=configuration()) as engine:
        left_the_company(raw, engine)
        rows = {"Raw": Delta([{"command": "merge", **PERSON_1}]), "RawRight": Delta([{"command": "delete", "Id": "a"}])}
        extracts = {**rows, "TagList": [{"Id": "a"}]}
        done = engine.run_job("Incremental", extracts=extracts)

        assert held(engine) == ({}, set())
        reasons = {row.reason for task in done.tasks for row in task.set_aside}
        assert "the transformation People needs whole rows: give insert, update or delete" in reasons


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("select Id, now() as Label, null as Start from Raw", 'uses "now", which is not allowed'),
        ("select Id, random() as Label, null as Start from Raw", 'uses "random", which is not allowed'),
        ("select Id, current_date as Label, null as Start from Raw", "differs from run to run"),
        ("select Id, max(Name) as Label, null as Start from Raw", "needs several rows"),
        ("select Id, Name as Label, null as Start from Raw group by 1", "has GROUP BY"),
        ("select Id, Name as Label, null as Start from Raw, Other", "has a join"),
        ("select Id, Name as Label, null as Start from 'secret.csv'", "write from Raw"),
        ("select Id, read_text('x') as Label, null as Start from Raw", 'uses "read_text"'),
        ("select Id, (select 1) as Label, null as Start from Raw", "Subquery"),
        (
            "select Id, Name as Labels, null as Start from Raw",
            'reads the column "Label", which transformation "People"',
        ),
        ("select lower(Id) as Id, Name as Label, null as Start from Raw", 'computes the key "Id"'),
        (
            "select unnest([Id, Name]) as Id, Name as Label, null as Start from Raw",
            "makes several resources of one row",
        ),
        ("drop table Raw", "is no SELECT"),
        ("select Id, Name as Label, cast('x' as date) as Start, 1/0 as y from Raw; select 1", "must be one expression"),
    ],
)
def test_a_query_that_is_no_row_by_row_select_is_refused(query: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Engine.open("sqlite://", configuration=one_table(query))
    assert fault in str(refused.value)


def test_faults_have_the_line_of_the_transformation(tmp_path: Path) -> None:
    (tmp_path / "c.xml").write_text(
        '<ConfigurationFile>\n<Connector Identifier="HR"/>\n'
        '<ConnectionTransformation Identifier="People" Connector="HR" Table="Raw"\n'
        '  Query="select Id, today() as Name from Raw"/>\n</ConfigurationFile>'
    )
    with pytest.raises(ConfigurationError) as refused:
        Engine.open("sqlite://", configuration=tmp_path)
    faults = {(fault.location.line, fault.message.split(",")[0]) for fault in refused.value.faults if fault.location}
    assert (3, 'transformation "People" uses "today"') in faults
    assert (3, 'no mapping of connector "HR" has the ConnectionTable "People"') in faults


def test_a_table_given_as_a_delta_needs_a_query_that_may_give_one() -> None:
    query = "select lower(Id) as Id, Name as Label, null as Start from Raw"
    only_complete = one_table(query)
    only_complete = evolve(only_complete, jobs=[job for job in only_complete.jobs if job.identifier == "Complete"])
    with Engine.open("sqlite://", configuration=only_complete) as engine:
        given = [{"command": "insert", "Id": "A", "Name": "Ann"}]
        failed = engine.run_job("Complete", extracts={"Raw": Delta(given)})
        assert failed.state is TaskState.FAILED
        assert 'computes the key "Id"' in messages(failed)
        assert engine.run_job("Complete", extracts={"Raw": [{"Id": "A", "Name": "Ann"}]}).counts.inserted == 1


def test_another_query_reads_everything_of_a_connection_and_is_told_by_adoption(
    new_store: NewStore, tmp_path: Path
) -> None:
    def filtered(condition: str) -> Configuration:
        query = f"select id, name from Raw where {condition}"
        made = database_configuration()
        (connection,) = made.connections
        raw = evolve(connection.tables[0], identifier="Raw")
        return evolve(
            made,
            connections=[evolve(connection, tables=[raw])],
            transformations=[ConnectionTransformation(PERSON, "HR", "Raw", query)],
        )

    store = new_store()
    with DatabaseSource(store, tmp_path / "s", filtered("name <> 'Bob'")) as source:
        source.put(a="Ann", b="Bob", c="Cid")
        source.run()
        source.put(c="Bob", b="Bea")
        assert "what changed was read" in messages(source.run())
        assert source.stored() == {"a": "Ann", "b": "Bea"}
        version = source.version
    with DatabaseSource(store, tmp_path / "s", filtered("name <> 'Ann'")) as source:
        source.version = version
        done = source.run()

        assert "everything was read" in messages(done)
        assert "its tables, mappings or settings were changed" in messages(done)
        assert source.stored() == {"b": "Bea", "c": "Bob"}

    (difference,) = differences(filtered("name <> 'Bob'"), filtered("name <> 'Ann'"))
    assert difference.subject == "Transformation HR_Person"


def test_a_transformer_refuses_what_was_not_checked_before(tmp_path: Path) -> None:
    from deltamark.application.ports.extracts import Transformation
    from deltamark.infrastructure.extracts.transformed import Transformer

    (mapping,) = one_table(PEOPLE).entity_type_mappings
    for query in ("select", "select Id from Raw"):
        declared = ConnectionTransformation("People", "HR", "Raw", query)
        with pytest.raises(SourceError):
            Transformer.of(Transformation(declared=declared), mapping, None)
