"""The first workspace: it loads and runs, and the sample is one."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from deltamark import Engine, LinkRef, LoggedChange, TaskState, Thresholds, UsageError
from deltamark.bootstrap import checked_configuration
from deltamark.config.settings import load_settings
from deltamark.domain.validation.warnings import warnings
from deltamark.infrastructure.sample_company import generate, write_workspace
from tests.sample_company.extract_tables import EXTRACTS, Day, Row
from tests.sample_company.sample import DAY_1, SAMPLE, write_sample

Clock = Callable[[], datetime]
Link = tuple[str, str, str]
Values = dict[str, object]

CHAIN = [
    "SynchronizeHR_DoNotDeleteChanges",
    "SynchronizeActiveDirectory_DoNotDeleteChanges",
    "SetRecentlyModifiedFlag",
    "UpdateEntityPropertyExpressions_Incremental",
    "ComputeCorrelationKeys_Incremental",
    "UpdateClassification_Incremental",
]
SYNCHRONIZING = CHAIN[:2]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_workspace(tmp_path / "workspace")
    return tmp_path / "workspace"


@pytest.fixture
def engine(workspace: Path, store_url: str, clock: Clock) -> Iterable[Engine]:
    settings = load_settings(workspace, {})
    with Engine.open(
        store_url, configuration=settings.configuration, export_output=settings.export_output, clock=clock
    ) as opened:
        yield opened


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def resources(day: Day) -> dict[tuple[str, str], Values]:
    """The resources in the extracts of a day: entity type and key -> the values that are not empty."""
    found: dict[tuple[str, str], Values] = {}
    for entity_type, rows, left_out in (
        ("HR_Person", day.people, {"Department", "Manager"}),
        ("HR_Department", day.departments, {"Parent", "Head"}),
        ("Directory_User", day.accounts, set[str]()),
        ("Directory_Group", day.groups, set[str]()),
    ):
        for key, row in rows.items():
            found[entity_type, key] = {n: value(n, text) for n, text in row.items() if text and n not in left_out}
    return found


def value(column: str, text: str) -> object:
    if column == "HireDate":
        return f"{text}T00:00:00Z"
    if column == "WhenCreated":
        return datetime.strptime(text, "%Y%m%d%H%M%S.0Z").strftime("%Y-%m-%dT%H:%M:%SZ")
    return text == "true" if column == "Enabled" else text


def links(day: Day) -> set[Link]:
    """The links in the extracts of a day: association and both keys."""

    def led_to(association: str, rows: dict[str, Row], column: str) -> set[Link]:
        return {(association, key, row[column]) for key, row in rows.items() if row[column]}

    return {
        *led_to("HR_Person_Manager", day.people, "Manager"),
        *led_to("HR_Person_Department", day.people, "Department"),
        *led_to("HR_Department_Parent", day.departments, "Parent"),
        *led_to("HR_Department_Head", day.departments, "Head"),
        *(("Directory_Group_Members", group, member) for group, member in day.members),
    }


def computed_of(engine: Engine, entity_type: str, key: str) -> Values:
    resource = engine.resource(entity_type, key)
    assert resource is not None
    return dict(resource.computed)


def recorded_resources(changes: Iterable[LoggedChange]) -> dict[tuple[str, str], dict[str, tuple[object, object]]]:
    return {
        (change.event.ref.entity_type, change.event.ref.key): {
            name: (differing.before, differing.after) for name, differing in change.event.changes.items()
        }
        for change in changes
        if not isinstance(change.event.ref, LinkRef)
    }


def recorded_links(changes: Iterable[LoggedChange], kind: str) -> list[Link]:
    return sorted(
        (change.event.ref.association, change.event.ref.source.key, change.event.ref.target.key)
        for change in changes
        if change.kind == kind
    )


def test_the_files_are_named_and_nothing_else_is_written(tmp_path: Path) -> None:
    written = write_workspace(tmp_path / "new" / "workspace")

    names = {path.relative_to(tmp_path / "new" / "workspace").as_posix() for path in written}
    assert names == {
        "deltamark.toml",
        *(f"configuration/{name}.xml" for name in ("model", "hr", "ad", "properties", "rules", "jobs")),
        *(f"exports/{name}" for name in EXTRACTS),
    }
    assert set(contents(tmp_path / "new" / "workspace")) == names


def test_the_settings_name_its_configuration_and_extracts(workspace: Path) -> None:
    settings = load_settings(workspace, {})

    assert settings.configuration == workspace / "configuration"
    assert settings.export_output == workspace / "exports"
    assert settings.store == f"sqlite:///{workspace}/deltamark.db"


def test_its_configuration_loads_without_a_warning(engine: Engine) -> None:
    checked = checked_configuration(engine.configuration)
    assert warnings(checked.configuration, checked.plan) == ()
    assert [job.identifier for job in engine.configuration.jobs] == ["Incremental", "Complete"]


def test_every_file_of_the_configuration_has_comments(workspace: Path) -> None:
    for file in (workspace / "configuration").iterdir():
        assert "<!--" in file.read_text(encoding="utf-8"), f"{file.name} has no comment"


def test_the_incremental_job_loads_the_first_day_and_computes_everything(engine: Engine, workspace: Path) -> None:
    run = engine.run_job("Incremental")

    day = Day.read(workspace / "exports")
    assert run.state is TaskState.COMPLETED
    assert [(task.identifier, task.state) for task in run.tasks] == [(name, TaskState.COMPLETED) for name in CHAIN]
    assert run.counts.set_aside == 0
    assert run.counts.inserted == len(resources(day))
    assert run.counts.linked == len(links(day))
    assert [task.counts.computed for task in run.tasks[3:]] == [
        len(day.people) + len(day.departments),
        len(day.people) + len(day.accounts),
        len(day.accounts),
    ]


def test_the_second_run_records_exactly_the_differences_between_the_days(engine: Engine, workspace: Path) -> None:
    before = Day.read(workspace / "exports")
    engine.run_job("Incremental")
    computed = {ref: computed_of(engine, *ref) for ref in resources(before)}

    generate(workspace / "exports", people=100, day=1)
    run = engine.run_job("Incremental")

    after = Day.read(workspace / "exports")
    old, new = resources(before), resources(after)
    old |= {ref: old[ref] | computed[ref] for ref in old.keys() - new.keys()}  # who goes takes everything along
    true = {
        ref: {
            name: (old.get(ref, {}).get(name), new.get(ref, {}).get(name))
            for name in old.get(ref, {}).keys() | new.get(ref, {}).keys()
            if old.get(ref, {}).get(name) != new.get(ref, {}).get(name)
        }
        for ref in old.keys() | new.keys()
        if old.get(ref) != new.get(ref)
    }
    changes = [change for change in engine.changes(run=run.number) if change.task in SYNCHRONIZING]
    assert [task.state for task in run.tasks] == [TaskState.COMPLETED] * 6
    assert recorded_resources(changes) == true
    assert recorded_links(changes, "linked") == sorted(links(after) - links(before))
    assert recorded_links(changes, "unlinked") == sorted(links(before) - links(after))
    assert len(changes) == run.counts.changed


def test_the_second_run_computes_only_readers_of_changed_values(engine: Engine, workspace: Path) -> None:
    engine.run_job("Incremental")
    generate(workspace / "exports", people=100, day=1)

    run = engine.run_job("Incremental")

    for task in run.tasks[3:]:
        assert 0 < task.counts.computed < 40
        assert 0 < task.counts.written <= task.counts.executed < 40


def test_a_renamed_department_changes_values_of_its_people(engine: Engine, workspace: Path) -> None:
    engine.run_job("Incremental")
    generate(workspace / "exports", people=100, day=1)

    run = engine.run_job("Incremental")

    computed = [change for change in engine.changes(run=run.number) if change.task == CHAIN[3]]
    after = Day.read(workspace / "exports")
    renamed = {
        change.event.ref.key
        for change in engine.changes(run=run.number, entity_type="HR_Department")
        if change.kind == "updated" and change.task == CHAIN[0]
    }
    people = {key for key, row in after.people.items() if row["Department"] in renamed}
    assert people
    assert people <= {change.event.ref.key for change in computed}


def test_computed_properties_are_what_a_person_would_expect(engine: Engine, workspace: Path) -> None:
    engine.run_job("Incremental")

    person, department = engine.resource("HR_Person", "E00021"), engine.resource("HR_Department", "D0006")
    assert person is not None
    assert department is not None
    manager = engine.resource("HR_Person", "E00007")
    assert manager is not None
    assert person.computed == {
        "DisplayName": f"{person.values['FirstName']} {person.values['LastName']}",
        "ManagerName": f"{manager.values['FirstName']} {manager.values['LastName']}",
        "DepartmentPath": "Executive Board / Human Resources",
    }
    staff = [row for row in Day.read(workspace / "exports").people.values() if row["Department"] == "D0006"]
    assert department.computed == {"Staff": len(staff)}


def test_service_accounts_are_classified_apart_from_those_of_people(engine: Engine, workspace: Path) -> None:
    engine.run_job("Incremental")

    found = {each.key: each.resource_type for each in engine.classifications("Directory_User")}

    accounts = Day.read(workspace / "exports").accounts
    assert found == {
        login: "Department_ServiceAccount" if row["Description"] == "Service account" else "Person_Account"
        for login, row in accounts.items()
    }
    assert set(found.values()) == {"Department_ServiceAccount", "Person_Account"}


def test_a_day_without_changes_skips_the_flag_and_computing_tasks(engine: Engine) -> None:
    engine.run_job("Incremental")

    run = engine.run_job("Incremental")

    assert run.state is TaskState.COMPLETED
    assert [task.state for task in run.tasks] == [TaskState.COMPLETED] * 2 + [TaskState.SKIPPED] * 4


def test_the_complete_job_computes_everything_and_finds_nothing_to_correct(engine: Engine, workspace: Path) -> None:
    engine.run_job("Incremental")
    generate(workspace / "exports", people=100, day=1)
    engine.run_job("Incremental")
    keys, position = list(engine.keys()), engine.position()

    run = engine.run_job("Complete")

    day = Day.read(workspace / "exports")
    assert [task.state for task in run.tasks] == [TaskState.COMPLETED] * 5
    assert run.counts.computed == 2 * len(day.people) + len(day.departments) + 2 * len(day.accounts)
    assert run.counts.written == 0
    assert list(engine.keys()) == keys
    assert list(engine.changes(position)) == []


def test_each_rule_matches_people_that_the_other_does_not(engine: Engine) -> None:
    engine.run_job("Incremental")

    pairs = {
        rule: {(match.source_key, match.target_key) for match in engine.matches(rule)}
        for rule in ("SameMail", "SameName")
    }

    assert len(pairs["SameMail"] & pairs["SameName"]) > 60
    assert pairs["SameMail"] - pairs["SameName"]
    assert pairs["SameName"] - pairs["SameMail"]


@pytest.mark.slow  # a week of runs for each size
@pytest.mark.parametrize("people", [20, 1_000])
def test_a_workspace_of_another_size_runs_for_a_week(people: int, tmp_path: Path, store_url: str, clock: Clock) -> None:
    write_workspace(tmp_path, people=people, seed=3)

    with Engine.open(
        store_url, configuration=tmp_path / "configuration", export_output=tmp_path / "exports", clock=clock
    ) as engine:
        for day in range(8):
            generate(tmp_path / "exports", people=people, seed=3, day=day)
            run = engine.run_job("Incremental")
            assert [task.state for task in run.tasks] == [TaskState.COMPLETED] * 6
            assert run.counts.set_aside == 0


@pytest.mark.slow  # runs many days of a company
@pytest.mark.parametrize("people", [20, 100])
def test_no_ordinary_day_passes_the_thresholds(people: int, tmp_path: Path, engine: Engine) -> None:
    days = [Day.of(tmp_path / "days", people, day) for day in range(40)]
    limits = {connector.thresholds for connector in engine.configuration.connectors}

    assert limits == {
        Thresholds(
            max_percentage_inserted_lines=60,
            max_percentage_updated_lines=60,
            max_percentage_deleted_lines=60,
            max_link_percentage_inserted_lines=60,
            max_link_percentage_deleted_lines=60,
        )
    }
    assert max(largest_share(before, after) for before, after in pairwise(days)) <= 60


def largest_share(before: Day, after: Day) -> float:
    """The largest percentage of one kind that was inserted, updated or deleted."""
    old, new = resources(before), resources(after)
    same = old.keys() & new.keys()
    happened: list[Iterable[tuple[str, ...]]] = [
        new.keys() - old.keys(),
        old.keys() - new.keys(),
        [ref for ref in same if old[ref] != new[ref]],
        links(after) - links(before),
        links(before) - links(after),
    ]
    held = Counter(name for name, *_ in (*old, *links(before)))
    counts = [Counter(name for name, *_ in kind) for kind in happened]
    return max(100 * count / held[name] for kind in counts for name, count in kind.items())


@pytest.mark.parametrize("name", ["deltamark.toml", "exports/HR_Person.csv", "configuration/mine.xml"])
def test_a_folder_that_holds_a_file_of_these_names_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")

    with pytest.raises(UsageError, match=rf"{name} is there already\. Nothing was written\."):
        write_workspace(tmp_path)

    assert contents(tmp_path) == {name: b"mine"}


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    write_workspace(tmp_path)

    assert contents(tmp_path)["mine.txt"] == b"mine"
    assert (tmp_path / "deltamark.toml").is_file()


def test_a_file_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(UsageError, match="is not a folder"):
        write_workspace(tmp_path / "file")

    assert (tmp_path / "file").read_text() == "mine"


def test_an_impossible_company_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not 3"):
        write_workspace(tmp_path / "new", people=3)

    assert not (tmp_path / "new").exists()


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_workspace(tmp_path)

    assert (tmp_path / "deltamark.toml").is_file()


def test_the_files_for_editors_are_written_or_nothing_is(tmp_path: Path) -> None:
    write_workspace(tmp_path / "new", more={"deltamark.xsd": "<schema/>"})
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "deltamark.xsd").write_text("mine")
    with pytest.raises(UsageError, match=r"deltamark\.xsd"):
        write_workspace(tmp_path / "old", more={"deltamark.xsd": "<schema/>"})

    assert (tmp_path / "new" / "deltamark.xsd").read_text() == "<schema/>"
    assert [file.name for file in (tmp_path / "old").iterdir()] == ["deltamark.xsd"]
    assert (tmp_path / "old" / "deltamark.xsd").read_text() == "mine"


def test_the_sample_is_what_is_written_today(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample")

    assert contents(SAMPLE) == contents(tmp_path / "sample"), "python -m tests.sample_company.sample rewrites it"


def test_the_second_day_of_the_sample_changes_a_few_resources_of_each_type(tmp_path: Path) -> None:
    before, after = Day.read(SAMPLE / "exports"), Day.read(SAMPLE / DAY_1)

    old, new = resources(before), resources(after)
    updated = {ref for ref in old.keys() & new.keys() if old[ref] != new[ref]}
    changed_links = links(before) ^ links(after)
    assert 10 <= len(updated | (old.keys() ^ new.keys())) <= 25
    assert 10 <= len(changed_links) <= 25
    assert {entity_type for entity_type, _ in updated} == {entity_type for entity_type, _ in old}
    assert old.keys() - new.keys()
    assert new.keys() - old.keys()


def test_the_wheel_holds_the_template(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]

    (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path))

    place = "deltamark/infrastructure/sample_company/template"
    names = zipfile.ZipFile(wheel).namelist()
    template = {file.relative_to(root).as_posix() for file in (root / place).rglob("*") if file.is_file()}
    assert len(template) == 7
    assert template <= set(names)
