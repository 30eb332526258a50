"""The job of the guide "Configure an Incremental Job", written in XML as the guide writes it, and in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    Engine,
    EntityType,
    EntityTypeMapping,
    Job,
    JobRun,
    Observer,
    Property,
    PropertyMapping,
    ResourceCorrelationRule,
    ResourceRef,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    TaskState,
    Thresholds,
)
from deltamark.application.ports.records import DerivedRule
from deltamark.config.xml.load import load_configuration as load
from deltamark.domain.configuration.rules import DerivationKind

MODEL = """
  <Connector Identifier="AD" DisplayName_L1="Active Directory"
    MaximumInsertedLines="0" MaximumUpdatedLines="0" MaximumDeletedLines="0"
    MaximumLinkInsertedLines="0" MaximumLinkDeletedLines="0"
    MaxPercentageInsertedLines="0" MaxPercentageUpdatedLines="0" MaxPercentageDeletedLines="0"
    MaxLinkPercentageInsertedLines="0" MaxLinkPercentageDeletedLines="0" />
  <EntityType Identifier="Directory_User" DisplayName_L1="User">
    <Property Identifier="Login" IsKey="true" />
    <Property Identifier="Mail" />
    <Property Identifier="Name" />
  </EntityType>
  <EntityType Identifier="Directory_Group" DisplayName_L1="Group">
    <Property Identifier="Name" IsKey="true" />
  </EntityType>
  <EntityTypeMapping Identifier="Directory_User" Connector="AD" ConnectionTable="AD_users">
    <Property Identifier="Login" ConnectionColumn="login" IsPrimaryKey="true" />
    <Property Identifier="Mail" ConnectionColumn="mail" />
    <Property Identifier="Name" ConnectionColumn="name" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="Directory_Group" Connector="AD" ConnectionTable="AD_groups">
    <Property Identifier="Name" ConnectionColumn="name" IsPrimaryKey="true" />
  </EntityTypeMapping>
  <ResourceType Identifier="Account" SourceEntityType="Directory_User" TargetEntityType="Directory_User" />
  <ResourceCorrelationRule ResourceType="Account" SourceBinding="Mail" SourceExpression="ToLower"
      TargetBinding="Name" TargetExpression="ToUpper" />
"""

SYNCHRONIZE, FLAG, KEYS = (
    "SynchronizeActiveDirectory_DoNotDeleteChanges",
    "SetRecentlyModifiedFlag",
    "ComputeCorrelationKeys_Incremental",
)

JOB = """
<Job Identifier="IncrementalAD" DisplayName_L1="AD - Incremental" IsIncremental="true">
<SynchronizeTask Identifier="SynchronizeActiveDirectory_DoNotDeleteChanges" DisplayName_L1="AD - Synchronization (server side)" Connector="AD" Level="2" Type="ActiveDirectory" DoNotDeleteChanges="true" >  ...
</SynchronizeTask>
<SetRecentlyModifiedFlagTask Identifier="SetRecentlyModifiedFlag" DisplayName_L1="Tag Modified Objects" Level="3">  <TaskDependsOnTask ParentTask="SynchronizeActiveDirectory_DoNotDeleteChanges" /></SetRecentlyModifiedFlagTask>
<ComputeCorrelationKeysTask Identifier="ComputeCorrelationKeys_Incremental" DisplayName_L1="Compute Correlations (Incremental)" Level="5" Dirty="true">  <TaskDependsOnTask ParentTask="SetRecentlyModifiedFlag" />  <TaskEntityType EntityType="Directory_User" />  ...
</ComputeCorrelationKeysTask>
</Job>
"""  # noqa: E501 - exactly as the guide writes its tasks

IN_PYTHON = Configuration(
    connectors=[Connector("AD", display_names={1: "Active Directory"}, thresholds=Thresholds())],
    entity_types=[
        EntityType(
            "Directory_User",
            [Property("Login", is_key=True), Property("Mail"), Property("Name")],
            display_names={1: "User"},
        ),
        EntityType("Directory_Group", [Property("Name", is_key=True)], display_names={1: "Group"}),
    ],
    entity_type_mappings=[
        EntityTypeMapping(
            "Directory_User",
            "AD",
            "AD_users",
            [
                PropertyMapping("Login", "login", is_primary_key=True),
                PropertyMapping("Mail", "mail"),
                PropertyMapping("Name", "name"),
            ],
        ),
        EntityTypeMapping("Directory_Group", "AD", "AD_groups", [PropertyMapping("Name", "name", is_primary_key=True)]),
    ],
    resource_types=[ResourceType("Account", "Directory_User", "Directory_User")],
    correlation_rules=[
        ResourceCorrelationRule(
            "Account",
            source_binding="Mail",
            source_expression="ToLower",
            target_binding="Name",
            target_expression="ToUpper",
        )
    ],
    jobs=[
        Job(
            "IncrementalAD",
            [
                SynchronizeTask(
                    identifier=SYNCHRONIZE,
                    display_names={1: "AD - Synchronization (server side)"},
                    connector="AD",
                    level=2,
                    type="ActiveDirectory",
                    do_not_delete_changes=True,
                ),
                SetRecentlyModifiedFlagTask(
                    identifier=FLAG, display_names={1: "Tag Modified Objects"}, level=3, parents=[SYNCHRONIZE]
                ),
                ComputeCorrelationKeysTask(
                    identifier=KEYS,
                    display_names={1: "Compute Correlations (Incremental)"},
                    level=5,
                    dirty=True,
                    parents=[FLAG],
                    entity_types=["Directory_User"],
                ),
            ],
            is_incremental=True,
            display_names={1: "AD - Incremental"},
        )
    ],
)

ANN, BOB, CEM = "ann,Ann@x.example,Ann", "bob,Bob@x.example,Bob", "cem,Cem@x.example,Cem"


class Directory:
    """An Active Directory, and an engine that follows it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def holds(self, *users: str, groups: tuple[str, ...] = ("staff",)) -> Directory:
        (self.folder / "AD_users.csv").write_text("\n".join(["login,mail,name", *users, ""]))
        (self.folder / "AD_groups.csv").write_text("\n".join(["name", *groups, ""]))
        return self

    def run(self) -> JobRun:
        run = self.engine.run_job("IncrementalAD")
        assert run.state is TaskState.COMPLETED, [task.messages for task in run.tasks]
        return run

    def keys(self) -> dict[tuple[str, str], str]:
        return {(key.side, key.key): key.value for key in self.engine.keys(None)}

    def plant(self, login: str, value: str) -> None:
        """Writes a wrong key for a user into the store, as no task ever would."""
        with self.engine._services.store.transaction() as tx:
            user = tx.resource(ResourceRef("Directory_User", login))
            values = pa.table({"stream": pa.array([int(user.originator_id)], pa.int64()), "value": [value]})
            tx.put_keys(
                DerivedRule(kind=DerivationKind.SOURCE_KEY, name="Account_1", entity_type="Directory_User", digest=""),
                values,
                everything=False,
            )


def written(folder: Path) -> Path:
    path = folder / "configuration"
    path.mkdir()
    (path / "model.xml").write_text(f"<ConfigurationFile>{MODEL}</ConfigurationFile>")
    (path / "jobs.xml").write_text(f"<ConfigurationFile>{JOB}</ConfigurationFile>")
    return path


@pytest.fixture(params=["XML", "Python"])
def directory(
    request: pytest.FixtureRequest, store_url: str, tmp_path: Path, clock: Callable[[], datetime]
) -> Iterator[Directory]:
    """The same job in both languages."""
    configured = IN_PYTHON if request.param == "Python" else written(tmp_path)
    with ExitStack() as stack:
        engine = Engine.open(store_url, configuration=configured, export_output=tmp_path, clock=clock)
        yield Directory(stack.enter_context(engine), tmp_path)


def test_the_job_is_the_same_in_xml_and_in_python(tmp_path):
    assert load(written(tmp_path)) == IN_PYTHON


def test_both_have_the_same_digest(tmp_path, new_store):
    digests = set()
    for configured in (IN_PYTHON, written(tmp_path)):
        with Engine.open(new_store(), configuration=configured, export_output=tmp_path) as engine:
            Directory(engine, tmp_path).holds(ANN).run()
            digests.add(engine.run(1).configuration_digest)

    assert len(digests) == 1


def test_the_tasks_run_by_level_and_complete(directory):
    run = directory.holds(ANN, BOB).run()

    assert [(task.identifier, task.state) for task in run.tasks] == [
        (SYNCHRONIZE, TaskState.COMPLETED),
        (FLAG, TaskState.COMPLETED),
        (KEYS, TaskState.COMPLETED),
    ]
    assert (run.counts.inserted, run.counts.flagged, run.counts.computed, run.counts.written) == (3, 2, 2, 4)


def test_the_log_holds_the_created_updated_and_deleted_resources(directory):
    directory.holds(ANN, BOB).run()

    directory.holds("ann,new@x.example,Ann", CEM).run()

    changes = [(c.kind, c.event.ref.key, c.task) for c in directory.engine.changes(entity_type="Directory_User")]
    assert changes == [
        ("created", "ann", SYNCHRONIZE),
        ("created", "bob", SYNCHRONIZE),
        ("deleted", "bob", SYNCHRONIZE),
        ("created", "cem", SYNCHRONIZE),
        ("updated", "ann", SYNCHRONIZE),
    ]
    assert directory.engine.horizons() == []


def test_only_changed_resources_with_derived_values_are_flagged(directory):
    directory.holds(ANN, BOB, CEM).run()

    run = directory.holds("ann,new@x.example,Ann", BOB, groups=("staff", "guests")).run()

    assert run.task(2).counts.flagged == 2  # ann and cem; of the new group, guests, nothing is derived
    assert run.task(3).counts.computed == 2


def test_keys_are_computed_only_for_flagged_resources(directory):
    directory.holds(ANN, BOB, CEM).run()
    directory.plant("bob", "never computed")

    run = directory.holds("ann,NEW@x.example,Ann", BOB, CEM).run()

    assert (run.counts.flagged, run.counts.computed, run.counts.written) == (1, 1, 1)
    assert directory.keys()["source", "ann"] == "new@x.example"
    assert directory.keys()["source", "bob"] == "never computed"


def test_keys_that_read_a_change_are_computed_even_over_wrong_stored_ones(directory):
    directory.holds(ANN, BOB).run()
    directory.plant("bob", "never computed")

    directory.holds(ANN, "bob,Bob@y.example,Bob").run()

    assert directory.keys()["source", "bob"] == "bob@y.example"


def test_keys_that_read_no_change_are_not_computed(directory):
    directory.holds(ANN, BOB).run()
    directory.plant("bob", "never computed")

    run = directory.holds(ANN, "bob,Bob@x.example,Robert").run()

    assert (run.counts.executed, run.counts.necessary) == (1, 1)
    assert directory.keys()["source", "bob"] == "never computed"
    assert directory.keys()["target", "bob"] == "ROBERT"


def test_keys_of_deleted_resources_are_removed(directory):
    directory.holds(ANN, BOB).run()

    directory.holds(ANN).run()

    assert directory.keys() == {("source", "ann"): "ann@x.example", ("target", "ann"): "ANN"}


def test_without_changes_nothing_is_flagged_or_computed_and_the_record_says_why(directory):
    directory.holds(ANN).run()

    run = directory.holds(ANN).run()

    unchanged = "not compared: the extracts are those that run 1 read, and nothing else changed what they feed"
    assert [(task.state, task.messages) for task in run.tasks] == [
        (TaskState.COMPLETED, (unchanged,)),
        (TaskState.SKIPPED, ("skipped: its parent task AD - Synchronization (server side) changed nothing",)),
        (TaskState.SKIPPED, ("skipped: its parent task Tag Modified Objects was skipped",)),
    ]


def test_dirty_resources_can_be_listed_before_they_are_computed(directory):
    directory.holds(ANN, BOB).run()
    assert directory.engine.dirty() == []
    head = directory.engine.position()
    directory.holds(ANN, "bob,New@x.example,Bob")

    observed = []

    class Asking(Observer):
        def task_started(self, run, task):
            if task.identifier == KEYS:
                observed.extend(directory.engine.dirty("Directory_User", task=KEYS))

    directory.engine.run_job("IncrementalAD", observer=Asking())

    assert [(d.task, d.entity_type, d.key, d.since > head) for d in observed] == [(KEYS, "Directory_User", "bob", True)]
    assert directory.engine.dirty() == []
