"""Faults of sinks: each is named, with what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from attrs import evolve

from deltamark import Connection, DeliverTask, Job, Step
from deltamark.domain.validation.sinks import sink_warnings
from deltamark.domain.validation.validate import faults
from tests.scenarios.house import configuration
from tests.scenarios.sinks import PEOPLE, sink, with_sinks

SCIM = {"Subject": "Person", "ResourceType": "User", "Properties": "userName=Name"}
LDIF = {"Subject": "Person", "Properties": "cn=Name", "DistinguishedName": "Mail", "ObjectClass": "person"}


def said(*connections: Connection) -> str:
    return "\n".join(map(str, faults(with_sinks(configuration(), *connections))))


@pytest.mark.parametrize(
    "right",
    [
        sink("JsonLinesSink"),
        sink("CloudEventsSink", {"Subject": "Team", "Associations": "Members"}, PEOPLE),
        sink("CsvSink", {"Subject": "Person"}),
        sink("LdifSink", LDIF),
        sink("SqlSink"),
        sink("WebhookSink"),
        sink("CsvSink", {"Subject": "Person", "SafeForSpreadsheets": "true"}),
        sink("ScimSink", SCIM, {**SCIM, "Subject": "Team", "Properties": "a.b=Code", "Associations": "m=Members"}),
    ],
)
def test_a_right_sink_has_none(right: Connection) -> None:
    job = Job("Deliver", [DeliverTask(connection="Feed")])
    configured = with_sinks(configuration(more_jobs=[job]), right)

    assert list(faults(configured)) == []


@pytest.mark.parametrize(
    ("package", "options", "problem"),
    [
        ("JsonLinesSink", {}, "has no Subject"),
        ("JsonLinesSink", {"Subject": "Persn"}, 'which is no entity type; did you mean "Person"'),
        (
            "JsonLinesSink",
            {"Subject": "Person", "Properties": "Nme"},
            'names the property "Nme", which "Person" has not',
        ),
        ("JsonLinesSink", {"Subject": "Person", "Properties": "a=Name, a=Mail"}, 'the name "a" is there twice'),
        ("JsonLinesSink", {"Subject": "Person", "Properties": "a="}, "is neither a property nor NAME=PROPERTY"),
        ("JsonLinesSink", {"Subject": "Person", "Associations": "Members"}, "which is no association from"),
        ("JsonLinesSink", {"Subject": "Person", "Query": "x"}, "has Query, which package JsonLinesSink does not read"),
        ("LdifSink", {"Subject": "Person"}, "has no DistinguishedName"),
        ("LdifSink", {**LDIF, "ObjectClass": "per son"}, "has an ObjectClass that is no list"),
        ("LdifSink", {**LDIF, "Properties": "c n=Name"}, "which is no name of an attribute"),
        ("LdifSink", {**LDIF, "Properties": "userPassword=Name"}, "an attribute of passwords"),
        ("LdifSink", {**LDIF, "Subject": "Team", "Associations": "Members"}, 'such as Associations="member=Members"'),
        ("LdifSink", {**LDIF, "Subject": "Team", "Associations": "member=Members"}, 'whose other end "Person"'),
        ("JsonLinesSink", {"Subject": "Team", "Associations": "a=,"}, "is neither an association nor NAME=ASSOCIATION"),
        ("CsvSink", {"Subject": "Person", "SafeForSpreadsheets": "yes"}, "write true or false"),
        ("ScimSink", {"Subject": "Person", "ResourceType": "User"}, "has no Properties"),
        ("ScimSink", {"Subject": "Person", "Properties": "userName=Name"}, "has no ResourceType"),
        ("ScimSink", {**SCIM, "Properties": "emails[primary pr].value=Mail"}, "which one value is written"),
        ("ScimSink", {**SCIM, "Properties": "password=Name"}, "holds secrets"),
        ("ScimSink", {**SCIM, "Properties": "externalId=Name"}, "is set by the service, or by this sink"),
        ("ScimSink", {**SCIM, "Subject": "Team", "Associations": "members=Members"}, 'whose other end "Person"'),
    ],
)
def test_a_fault_is_named(package: str, options: Mapping[str, str], problem: str) -> None:
    assert problem in said(sink(package, options))


def test_a_name_of_a_table_is_no_sql() -> None:
    assert "is no name of a table" in said(sink("SqlSink", table='people"; DROP TABLE x; --'))


def test_what_contradicts_itself_is_named() -> None:
    assert "has no ConnectionTable" in said(evolve(sink("JsonLinesSink"), tables=()))
    assert "a CSV file has one kind of rows" in said(sink("CsvSink", PEOPLE, {"Subject": "Team"}))
    assert 'delivers "Person" again' in said(sink("JsonLinesSink", PEOPLE, PEOPLE))


def test_a_task_delivers_to_a_sink_only() -> None:
    job = Job("Deliver", [DeliverTask(connection="Files"), Step("SynchronizeHR")])
    configured = configuration(more_jobs=[job])
    configured = evolve(configured, connections=[Connection("Files", "HR")])

    (fault,) = faults(configured)

    assert '`DeliverTask` "DeliverFiles" delivers to connection "Files", which is no sink' in str(fault)


def test_a_sink_whose_changes_are_discarded_before_they_are_delivered_is_a_warning() -> None:
    kept, discarded = (with_sinks(configuration(keep_people=kept), sink("JsonLinesSink")) for kept in (True, False))

    assert list(sink_warnings(kept)) == []
    (warning,) = sink_warnings(discarded)
    assert 'the sink "Feed" gets no changes of "Person": "SynchronizeHR" discards them' in str(warning)
    assert 'write DoNotDeleteChanges="true"' in str(warning)
