"""Valid configurations, and the objects that they load as."""

from __future__ import annotations

import codecs

import pytest
from attrs import evolve

from deltamark.config.xml.load import load_configuration as load
from deltamark.config.xml.schema import all_elements
from deltamark.domain.configuration.entity_model import (
    CONNECTOR_DEFAULTS,
    Agent,
    Connection,
    EntityAssociation,
    EntityAssociationMapping,
    JobUse,
    Policy,
    PropertyRef,
    Thresholds,
)
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    Job,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
)
from deltamark.domain.configuration.rules import ResourceCorrelationRule, ResourceType
from deltamark.domain.errors import ConfigurationError
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType

SEED_JOB = """
<Job Identifier="Incremental" DisplayName_L1="Incremental">
<SynchronizeTask Identifier="SynchronizeActiveDirectory_DoNotDeleteChanges" DisplayName_L1="AD - Synchronization (server side)" Connector="AD" Level="2" Type="ActiveDirectory" DoNotDeleteChanges="true" >  ...
</SynchronizeTask>
<SetRecentlyModifiedFlagTask Identifier="SetRecentlyModifiedFlag" DisplayName_L1="Tag Modified Objects" Level="3">  <TaskDependsOnTask ParentTask="SynchronizeActiveDirectory_DoNotDeleteChanges" /></SetRecentlyModifiedFlagTask>
<ComputeCorrelationKeysTask Identifier="ComputeCorrelationKeys_Incremental" DisplayName_L1="Compute Correlations (Incremental)" Level="5" Dirty="true">  <TaskDependsOnTask ParentTask="SetRecentlyModifiedFlag" />  <TaskEntityType EntityType="Directory_User" />  ...
</ComputeCorrelationKeysTask>
</Job>
"""  # noqa: E501 - exactly as the guide writes them


def test_the_three_tasks_of_the_guide_load_as_written_there(configured):
    job = configured(SEED_JOB).job("Incremental")

    assert job.tasks == (
        SynchronizeTask(
            identifier="SynchronizeActiveDirectory_DoNotDeleteChanges",
            display_names={1: "AD - Synchronization (server side)"},
            connector="AD",
            level=2,
            type="ActiveDirectory",
            do_not_delete_changes=True,
        ),
        SetRecentlyModifiedFlagTask(
            identifier="SetRecentlyModifiedFlag",
            display_names={1: "Tag Modified Objects"},
            level=3,
            parents=("SynchronizeActiveDirectory_DoNotDeleteChanges",),
        ),
        ComputeCorrelationKeysTask(
            identifier="ComputeCorrelationKeys_Incremental",
            display_names={1: "Compute Correlations (Incremental)"},
            level=5,
            dirty=True,
            parents=("SetRecentlyModifiedFlag",),
            entity_types=("Directory_User",),
        ),
    )


def test_every_object_has_its_line(configured, tmp_path):
    configuration = configured(SEED_JOB)

    file = str(tmp_path / "jobs.xml")
    assert configuration.connector("AD").location == Location(file, 2)
    assert configuration.entity_type("Directory_User").property("Mail").location == Location(file, 5)
    assert configuration.job("Incremental").location == Location(file, 19)


def test_the_location_of_an_element_is_the_line_in_which_it_begins(load_text):
    text = (
        '<!-- 1\n -->\n<ConfigurationFile>\n<Agent\n  Identifier="A"\n/>\n<Agent Identifier=\n"B"/></ConfigurationFile>'
    )

    assert [agent.location.line for agent in load_text(text).agents] == [4, 7]


@pytest.mark.parametrize(
    "opening",
    [
        "<ConfigurationFile>",
        '<ConfigurationFile xmlns="urn:example:configuration">',
        '<c:ConfigurationFile xmlns:c="urn:example:configuration">',
        '<ConfigurationFile xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="urn:x http://127.0.0.1:9/x.xsd">',
    ],
)
def test_a_namespace_on_the_root_changes_nothing(load_text, opening):
    closing = "</c:ConfigurationFile>" if opening.startswith("<c:") else "</ConfigurationFile>"

    configuration = load_text(f'{opening}<Connector Identifier="AD" />{closing}')

    assert [item.identifier for item in configuration.connectors] == ["AD"]


def test_children_may_have_the_namespace_of_the_root(load_text):
    configuration = load_text('<c:ConfigurationFile xmlns:c="urn:x"><c:Agent Identifier="A"/></c:ConfigurationFile>')

    assert configuration.agents == (Agent("A"),)


def test_a_byte_order_mark_is_ignored(load_text):
    text = '<?xml version="1.0" encoding="utf-8"?><ConfigurationFile><Agent Identifier="É"/></ConfigurationFile>'

    assert load_text(codecs.BOM_UTF8 + text.encode()).agents == (Agent("É"),)


def test_comments_and_dots_are_ignored(load_text):
    text = '<!-- a --><ConfigurationFile>…<!-- b --><Agent Identifier="A">...</Agent> ... </ConfigurationFile>'

    assert load_text(text).agents == (Agent("A"),)


def test_names_are_normalized_to_one_unicode_form(load_text):
    agent = load_text('<ConfigurationFile><Agent Identifier="e&#x301;"/></ConfigurationFile>').agents[0]

    assert agent.identifier == "é"


def test_display_names_are_kept_by_language(load_text):
    agent = load_text(
        '<ConfigurationFile><Agent Identifier="A" DisplayName_L1="One" DisplayName_L16="Last"/></ConfigurationFile>'
    ).agents[0]

    assert agent.display_names == {1: "One", 16: "Last"}


def test_a_missing_attribute_has_its_documented_default(load_text):
    configuration = load_text(
        """<ConfigurationFile>
        <Connector Identifier="C"/>
        <Connection Identifier="N" Connector="C"/>
        <EntityType Identifier="T"><Property Identifier="K"/></EntityType>
        <EntityTypeMapping Identifier="T" Connector="C" ConnectionTable="t">
          <Property Identifier="K" ConnectionColumn="k" IsPrimaryKey="1"/>
        </EntityTypeMapping>
        <EntityAssociation Identifier="A" Property1="T:Up" Property2="T:Down"/>
        <EntityAssociationMapping Identifier="A" Connector="C" ConnectionTable="l" Column1="a" Column2="b"
            EntityPropertyMapping1="T:K" EntityPropertyMapping2="T:K"/>
        <ResourceType Identifier="R" SourceEntityType="T" TargetEntityType="T"/>
        <ResourceCorrelationRule ResourceType="R" SourceBinding="K" TargetBinding="K"/>
        <PrepareSynchronizationTask Connector="C" DisplayName_L1="p"/>
        <SynchronizeTask Connector="C" DisplayName_L1="s"/>
        <SetRecentlyModifiedFlagTask DisplayName_L1="f"/>
        <ComputeCorrelationKeysTask AllEntityType="true" DisplayName_L1="k"/>
        <Job Identifier="J" DisplayName_L1="j"/>
        </ConfigurationFile>"""
    )

    (connector,) = configuration.connectors
    assert connector.thresholds == CONNECTOR_DEFAULTS
    assert (connector.agent, connector.is_deactivated) == (None, False)
    assert (connector.complete_job, connector.incremental_job) == (JobUse.USED, JobUse.USED)
    assert configuration.connections == (Connection("N", "C", None),)
    (item,) = configuration.entity_types[0].properties
    assert (item.type, item.is_key) == (PropertyType.STRING, False)
    (mapping,) = configuration.entity_type_mappings
    assert (mapping.thresholds, mapping.encoding, mapping.delimiter) == (Thresholds(), None, None)
    assert (mapping.primary_key.is_unique_key, mapping.primary_key.format) == (False, None)
    up, down, key = PropertyRef("T", "Up"), PropertyRef("T", "Down"), PropertyRef("T", "K")
    assert configuration.associations == (EntityAssociation("A", up, down, False, False),)
    assert configuration.association_mappings == (
        EntityAssociationMapping("A", "C", "l", "a", "b", key, key, Thresholds(), None, None),
    )
    assert configuration.resource_types == (ResourceType("R", "T", "T", None),)
    assert configuration.correlation_rules == (ResourceCorrelationRule("R", "K", None, "K", None, 0, None, None),)
    prepare, synchronize, flag, keys = configuration.tasks
    assert {(t.level, t.continue_on_error, t.agent, t.parents) for t in configuration.tasks} == {(-1, False, None, ())}
    assert prepare.synchronization_mode is SynchronizationMode.COMPLETE
    assert (prepare.identifier, prepare.type, prepare.column_name) == ("PrepareSynchronizationC", "None", None)
    assert (synchronize.identifier, synchronize.type) == ("SynchronizeC", "None")
    assert not any((synchronize.do_not_delete_changes, synchronize.force_synchronization, synchronize.orphans))
    assert flag.identifier == "SetRecentlyModifiedFlag"
    assert (keys.identifier, keys.dirty, keys.batch_size) == ("ComputeCorrelationKeys", False, 0)
    assert configuration.jobs == (Job("J", (), None, None, 0, False, None, False, display_names={1: "j"}),)


def test_the_schema_has_the_defaults_of_the_domain():
    elements = {child.name: child for parents in all_elements().values() for p in parents for child in p.children}
    connector, task = elements["Connector"], elements["SynchronizeTask"]

    assert connector.default(connector.attribute("MaximumLinkInsertedLines")) == 1000
    assert task.default(task.attribute("Level")) == -1
    assert task.default(task.attribute("Connector")) is None
    assert task.default(task.attribute("OpenIdClient")) is None


def test_a_written_attribute_replaces_the_default(load_text):
    configuration = load_text(
        """<ConfigurationFile>
        <Agent Identifier="G"/> <Policy Identifier="P"/>
        <Connector Identifier="C" Agent="G" MaximumInsertedLines="0" MaxLinkPercentageDeletedLines="100"
            IsDeactivated="1" CompleteJob="OnlySynchronization" IncrementalJob="1"/>
        <Connection Identifier="N" Connector="C" Package="CSV"/>
        <EntityType Identifier="T">
          <Property Identifier="K" Type="2" TargetColumnIndex="4"/> <Property Identifier="Up" Type="Int64"/>
        </EntityType>
        <EntityTypeMapping Identifier="T" Connector="C" ConnectionTable="t" MaxPercentageDeletedLines="7"
            Encoding="CP1252" Delimiter="\\t">
          <Property Identifier="K" ConnectionColumn="k" IsPrimaryKey="true" Format="yyyy-MM-dd"/>
        </EntityTypeMapping>
        <EntityAssociation Identifier="A" Property1="T:Up" Property2="T:Down" IsProperty2Collection="true"/>
        <EntityAssociationMapping Identifier="A" Connector="C" ConnectionTable="l" Column1="a" Column2="b"
            EntityPropertyMapping1="T:K" EntityPropertyMapping2="T:K" MaximumLinkInsertedLines="3"
            MaximumDeletedLines="4" Encoding="UTF16" Delimiter="|"/>
        <ResourceType Identifier="R" SourceEntityType="T" TargetEntityType="T" Policy="P"/>
        <ResourceCorrelationRule Identifier="By number" ResourceType="R" Policy="P" SourceExpression="SQL:t: t.K"
            TargetBinding="K" TargetExpression="Trim" SourceMatchedConfidenceLevel="80"/>
        <PrepareSynchronizationTask Connector="C" DisplayName_L1="p" SynchronizationMode="Incremental"
            ColumnName="command" Type="Changes" Agent="G" OpenIdClient="Job" ContinueOnError="true"/>
        <SynchronizeTask Connector="C" DisplayName_L1="s" ForceSynchronization="1" Orphans="true"/>
        <ComputeCorrelationKeysTask BatchSize="5000" DisplayName_L1="k"><TaskEntityType Identifier="T"/>
        </ComputeCorrelationKeysTask>
        <Job Identifier="J" DisplayName_L1="j" Agent="G" CronTabExpression="0 0 6 * * MON-FRI"
            CronTimeZone="ServerTime" IsIncremental="true" LogLevel="1" UserStartDenied="true"/>
        </ConfigurationFile>"""
    )

    (connector,) = configuration.connectors
    assert connector.thresholds == evolve(
        CONNECTOR_DEFAULTS, maximum_inserted_lines=0, max_link_percentage_deleted_lines=100
    )
    assert (connector.agent, connector.is_deactivated) == ("G", True)
    assert (connector.complete_job, connector.incremental_job) == (JobUse.ONLY_SYNCHRONIZATION, JobUse.NOT_USED)
    assert configuration.connections[0].package == "CSV"
    assert configuration.policies == (Policy("P"),)
    assert configuration.entity_types[0].property("K").type is PropertyType.INT32
    (mapping,) = configuration.entity_type_mappings
    assert mapping.thresholds == Thresholds(max_percentage_deleted_lines=7)
    assert (mapping.encoding, mapping.delimiter) == ("windows-1252", "\t")
    assert mapping.primary_key.format == "yyyy-MM-dd"
    (links,) = configuration.association_mappings
    assert links.thresholds == Thresholds(maximum_link_inserted_lines=3, maximum_link_deleted_lines=4)
    assert (links.encoding, links.delimiter) == ("utf-16", "|")
    assert configuration.associations[0].is_property2_collection
    assert configuration.correlation_rules == (
        ResourceCorrelationRule("R", None, "SQL:t: t.K", "K", "Trim", 80, "P", "By number"),
    )
    prepare, synchronize, keys = configuration.tasks
    assert prepare == PrepareSynchronizationTask(
        connector="C",
        display_names={1: "p"},
        synchronization_mode=SynchronizationMode.INCREMENTAL,
        column_name="command",
        type="Changes",
        agent="G",
        continue_on_error=True,
    )
    assert (synchronize.force_synchronization, synchronize.orphans) == (True, True)
    assert (keys.batch_size, keys.entity_types) == (5000, ("T",))
    assert configuration.jobs == (
        Job("J", (), "G", "0 0 6 * * MON-FRI", 1, True, "Debug", True, display_names={1: "j"}),
    )


def test_steps_and_overrides_call_tasks_from_elsewhere(configured):
    configuration = configured(
        """
        <SynchronizeTask Identifier="S" DisplayName_L1="s" Connector="AD" />
        <SetRecentlyModifiedFlagTask Identifier="F" DisplayName_L1="f" />
        <ComputeCorrelationKeysTask Identifier="K" DisplayName_L1="k" AllEntityType="true" />
        <Job Identifier="J" DisplayName_L1="j">
          <SynchronizeTaskOverride Identifier="S" DoNotDeleteChanges="1" Level="1" />
          <Step Task="F" Level="2" />
          <ComputeCorrelationKeysTaskOverride Identifier="K" AllEntityType="false" Dirty="true" Level="3">
            <TaskEntityType EntityType="Directory_User" />
          </ComputeCorrelationKeysTaskOverride>
        </Job>
        <Job Identifier="Other" DisplayName_L1="o"><Step Identifier="F" /></Job>"""
    )

    job, other = configuration.jobs
    assert job.tasks == (
        TaskOverride("SynchronizeTask", "S", {"do_not_delete_changes": True, "level": 1}),
        Step("F", 2),
        TaskOverride(
            "ComputeCorrelationKeysTask",
            "K",
            {"all_entity_type": False, "dirty": True, "level": 3, "entity_types": ("Directory_User",)},
        ),
    )
    assert other.tasks == (Step("F", None),)
    assert configuration.called_by(job)[2] == ComputeCorrelationKeysTask(
        identifier="K", display_names={1: "k"}, dirty=True, level=3, entity_types=("Directory_User",)
    )


def test_the_files_of_a_folder_are_one_configuration(tmp_path):
    folder = tmp_path / "configuration"
    (folder / "deeper").mkdir(parents=True)
    (folder / "b.xml").write_text('<ConfigurationFile><Connector Identifier="B" Agent="G"/></ConfigurationFile>')
    (folder / "a.XML").write_text('<ConfigurationFile><Connector Identifier="A"/></ConfigurationFile>')
    (folder / "deeper" / "g.xml").write_text('<ConfigurationFile><Agent Identifier="G"/></ConfigurationFile>')
    (folder / "notes.txt").write_text("no XML at all")
    (folder / "linked.xml").symlink_to(folder / "b.xml")

    configuration = load(folder)

    assert [connector.identifier for connector in configuration.connectors] == ["A", "B"]
    assert configuration.agents == (Agent("G"),)
    assert configuration.agents[0].location == Location(str(folder / "deeper" / "g.xml"), 1)


def test_locations_name_files_as_the_path_was_written(tmp_path, monkeypatch):
    (tmp_path / "configuration").mkdir()
    (tmp_path / "configuration" / "jobs.xml").write_text("<ConfigurationFile><Jub/></ConfigurationFile>")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match=r"\Aconfiguration/jobs\.xml:1: unknown element `Jub`"):
        load("configuration")


def test_the_faults_of_all_files_are_reported_in_file_order(tmp_path):
    (tmp_path / "b.xml").write_text("<ConfigurationFile>\n<Jub/>\n<Agent/>\n</ConfigurationFile>")
    (tmp_path / "a.xml").write_text("<ConfigurationFile>\n\n<Agent></ConfigurationFile>")

    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path)

    assert [(fault.location.file[-5:], fault.location.line) for fault in refused.value.faults] == [
        ("a.xml", 3),
        ("b.xml", 2),
        ("b.xml", 3),
    ]


def test_a_column_that_is_not_named_has_the_name_of_its_property(load_text, configuration_text):
    text = configuration_text("")
    named = load_text(text.replace('"Mail" ConnectionColumn="mail"', '"Mail" ConnectionColumn="Mail"'))
    left_out = load_text(text.replace('"Mail" ConnectionColumn="mail"', '"Mail"'))

    assert left_out == named
    assert [p.connection_column for p in left_out.entity_type_mappings[0].properties] == ["number", "Mail"]
