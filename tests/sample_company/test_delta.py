"""A day of the company as an extract with a command column, which feeds people and their links."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from attrs import evolve

from deltamark import Engine, Job, PrepareSynchronizationTask, Step, SynchronizationMode, TaskState
from deltamark.config.settings import load_settings
from deltamark.domain.configuration.configuration import Configuration
from deltamark.infrastructure.sample_company import write_workspace
from tests.sample_company.extract_tables import Day

DEPARTMENT = "HR_Person_Department"


def with_deltas(workspace: Path) -> Configuration:
    """The configuration of the workspace, with a job that synchronizes an extract with a command column."""
    settings = load_settings(workspace, {})
    with Engine.open(f"sqlite:///{workspace}/other.db", configuration=settings.configuration) as engine:
        found = engine.configuration
    prepare = PrepareSynchronizationTask(
        connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="Command"
    )
    delta = Job("Delta", [Step("PrepareSynchronizationHR", 1), Step("SynchronizeHR_DoNotDeleteChanges", 2)])
    return evolve(found, tasks=[*found.tasks, prepare], jobs=[*found.jobs, delta])


def write_delta(file: Path, *rows: dict[str, str]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_a_row_that_deletes_a_person_removes_the_links_too(
    tmp_path: Path, store_url: str, clock: Callable[[], datetime]
) -> None:
    write_workspace(tmp_path / "workspace")
    exports = tmp_path / "workspace" / "exports"
    day = Day.read(exports)
    leaver, mover = day.people["E00090"], day.people["E00091"]
    (department,) = [row for row in day.departments.values() if row["Code"] == mover["Department"]]
    other = next(code for code in day.departments if code not in (mover["Department"], leaver["Department"]))

    with Engine.open(
        store_url, configuration=with_deltas(tmp_path / "workspace"), export_output=exports, clock=clock
    ) as engine:
        engine.run_job("Incremental")
        write_delta(
            exports / "HR_Person.csv",
            leaver | {"Command": "delete"},
            mover | {"Department": other, "Command": "update"},
        )
        write_delta(exports / "HR_Department.csv", department | {"Command": "update"})
        run = engine.run_job("Delta")

        assert run.state is TaskState.COMPLETED
        assert run.counts.set_aside == 0
        assert (run.counts.deleted, run.counts.updated) == (1, 0)
        assert engine.resource("HR_Person", "E00090") is None
        assert [
            link.target.key
            for link in engine.links("HR_Person", "E00091")
            if link.association == DEPARTMENT and link.source.key == "E00091"
        ] == [other]
        colleagues = [key for key, row in day.people.items() if row["Department"] == mover["Department"]]
        stayed = [link for link in engine.links("HR_Department", mover["Department"]) if link.association == DEPARTMENT]
        assert len(stayed) == len(set(colleagues) - {"E00090", "E00091"})
