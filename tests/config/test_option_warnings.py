"""Warnings about options without effect, or with another one than meant, and about what is said twice."""

from __future__ import annotations

import re

import pytest

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connector, Thresholds
from deltamark.domain.derivation.plan import Plan
from deltamark.domain.errors import Fault
from deltamark.domain.validation.validate import faults
from deltamark.domain.validation.warnings import warnings

FLAG = '<SetRecentlyModifiedFlagTask Identifier="F" DisplayName_L1="f" />'
SYNC = '<SynchronizeTask Identifier="S" DisplayName_L1="s" Connector="AD" {} />'
KEYS = '<ComputeCorrelationKeysTask Identifier="K" DisplayName_L1="k" {}>{}</ComputeCorrelationKeysTask>'
COVERED = '<TaskEntityType EntityType="Directory_User" />'
ITEM = (
    '<EntityType Identifier="Item"><Property Identifier="A" IsKey="1" />'
    '<Property Identifier="B" Type="{}" /></EntityType>'
)
MAPPED = (
    '<EntityTypeMapping Identifier="Item" Connector="AD" ConnectionTable="items" {}>'
    '<Property Identifier="A" ConnectionColumn="a" IsPrimaryKey="1" {} />'
    '<Property Identifier="B" ConnectionColumn="b" {} /></EntityTypeMapping>'
)


def job(attributes: str, body: str = "") -> str:
    return f'<Job Identifier="J" DisplayName_L1="j" {attributes}>{body}</Job>'


WARNED = {
    "every second": (job('CronTabExpression="* * * * * *"'), "fires 60 times in a minute: the first of its six fields"),
    "every ten seconds": (job('CronTabExpression="*/10 * * * * *"'), "fires 6 times in a minute"),
    "every minute of some hours": (job('CronTabExpression="* */2 * * *"'), "fires in each minute of the hours"),
    "never started": (job('UserStartDenied="True"'), 'nothing can start job "J"'),
    "time zone without times": (job('CronTimeZone="1"'), "CronTimeZone of job .* has no effect"),
    "orphans without links": (SYNC.format('Orphans="1"'), "Orphans of SynchronizeTask .* no mapping of an association"),
    "all types and some": (KEYS.format('AllEntityType="1"', COVERED), "covers all of them"),
    "a type twice": (KEYS.format("", COVERED * 2), 'names the entity type "Directory_User" twice'),
    "a parent twice": (
        FLAG + KEYS.format("", COVERED + '<TaskDependsOnTask ParentTask="F" />' * 2),
        'depends on "F" twice',
    ),
    "a unique primary key": (
        ITEM.format("String") + MAPPED.format("", 'IsUniqueKey="1"', ""),
        "IsUniqueKey .* no effect",
    ),
    "a limit above that of the connector": (
        ITEM.format("String") + MAPPED.format('MaximumDeletedLines="500"', "", ""),
        'MaximumDeletedLines 500 of mapping "Item" has no effect: connector "AD" has 100',
    ),
    "a table that is complete anyway": (
        ITEM.format("String") + MAPPED.format('AlwaysComplete="1"', "", "") + job("", SYNC.format("")),
        'AlwaysComplete of mapping "Item" has no effect: no job prepares the connector "AD"',
    ),
    "a format of a number": (
        ITEM.format("Int32") + MAPPED.format("", "", 'Format="dd"'),
        "no effect on a property of type Int32",
    ),
}


LINKED = (
    '<EntityType Identifier="Item"><Property Identifier="A" IsKey="1" /><Property Identifier="Parent" '
    'Type="ForeignKey" /><Property Identifier="Parts" Type="ForeignKey" /></EntityType>'
    '<EntityTypeMapping Identifier="Item" Connector="AD" ConnectionTable="items">'
    '<Property Identifier="A" ConnectionColumn="a" IsPrimaryKey="1" />'
    '<Property Identifier="{}" ConnectionColumn="p" /></EntityTypeMapping>'
    '<EntityAssociation Identifier="Part" Property1="Item:Parent" Property2="Item:Parts" '
    'IsProperty2Collection="1" />'
)
LINKING = (
    '<EntityAssociationMapping Identifier="Part" Connector="AD" ConnectionTable="items" Column1="a" '
    'EntityPropertyMapping1="Item:A" Column2="parent" EntityPropertyMapping2="Item:A" />'
)


@pytest.mark.parametrize("end", ["Parent", "Parts"])
def test_a_column_of_a_property_that_an_association_links_is_warned_of(configured, end):
    (warning,) = warnings(configured(LINKED.format(end) + LINKING), Plan())

    assert f'column "p" gives property "{end}" in mapping "Item" a text' in warning.message
    assert 'association "Part": its links are made from "a" and "parent"' in warning.message
    assert warning.location is not None
    (unlinked,) = warnings(configured(LINKED.format(end)), Plan())
    assert "no EntityAssociationMapping fills" in unlinked.message


def of_options(configuration: Configuration) -> list[Fault]:
    """The warnings, without that no job of this part of a configuration synchronizes its connector."""
    return [w for w in warnings(configuration, Plan()) if not w.message.startswith("no job synchronizes connector")]


@pytest.mark.parametrize("name", WARNED)
def test_each_is_warned_of_once(name, configured):
    more, message = WARNED[name]

    (warning,) = of_options(configured(more))

    assert re.search(message, warning.message), warning.message
    assert warning.location is not None


@pytest.mark.parametrize(
    "more",
    [
        job('CronTabExpression="0 */5 * * * *" CronTimeZone="1" UserStartDenied="1"'),
        job('CronTabExpression="* * * * *"'),
        SYNC.format('Orphans="0"'),
        KEYS.format('AllEntityType="1"', ""),
        ITEM.format("String")
        + MAPPED.format('MaximumDeletedLines="50" MaxPercentageDeletedLines="50"', "", 'IsUniqueKey="1"'),
        ITEM.format("DateTime") + MAPPED.format("", "", 'Format="dd.MM.yyyy"'),
    ],
)
def test_what_has_its_effect_is_not_warned_of(more, configured):
    assert of_options(configured(more)) == []


def test_the_type_of_a_synchronization_is_that_of_its_preparation(messages_of, configuration_text):
    prepare = '<PrepareSynchronizationTask Identifier="P" DisplayName_L1="p" Connector="AD" {} />'
    same = job("", prepare.format('Type="Changes"') + SYNC.format('Type="Changes"'))
    other = job("", prepare.format('Type="ActiveDirectory"') + SYNC.format(""))

    assert messages_of(configuration_text(same)) == []
    (message,) = messages_of(configuration_text(other))
    assert 'has the Type "None", and "P", which prepares its extracts, has "ActiveDirectory"' in message


@pytest.mark.parametrize("table", ["people.csv", "people.CSV.gz", "hr.people.parquet", "people.xlsx", "p.csv.zst"])
def test_a_connection_table_has_no_ending(table, messages_of, configuration_text):
    text = configuration_text().replace('ConnectionTable="users"', f'ConnectionTable="{table}"')

    (message,) = messages_of(text)

    name = re.sub(r"(?i)(\.csv|\.parquet|\.xlsx)(\.gz|\.zst)?$", "", table)
    assert f'leave the ending out: "{name}" finds the file' in message


def test_a_connection_table_may_have_a_dot(messages_of, configuration_text):
    assert messages_of(configuration_text().replace('ConnectionTable="users"', 'ConnectionTable="dbo.users"')) == []


def test_limits_of_a_connector_that_python_builds_are_checked():
    thresholds = Thresholds(maximum_deleted_lines=-1, max_percentage_deleted_lines=500)

    messages = [fault.message for fault in faults(Configuration(connectors=[Connector("HR", thresholds=thresholds)]))]

    assert messages == [
        'maximum_deleted_lines of connector "HR" is -1; it must not be negative, and 0 switches it off',
        'max_percentage_deleted_lines of connector "HR" is 500; a percentage must not exceed 100',
    ]
