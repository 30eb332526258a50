"""Faults of tables of directories: what mappings read from them cannot be kept up to date, or is never read."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Connection,
    ConnectionTable,
    EntityAssociationMapping,
    EntityTypeMapping,
    PropertyMapping,
)
from deltamark.domain.configuration.packages import ACTIVE_DIRECTORY, LDAP
from deltamark.domain.validation.connections import connection_faults
from tests.scenarios.directory_source import configuration

GOOD = configuration("ActiveDirectory", "objectGUID", user="user", group="group", name="cn", named_by="Guid")


def faults(changed: Configuration) -> list[str]:
    """The faults of connections."""
    return [fault.message for fault in connection_faults(changed)]


def with_table(number: int, options: dict[str, str], identifier: str | None = None) -> Configuration:
    """The configuration in which a table of the connection has other options."""
    (connection,) = GOOD.connections
    tables = list(connection.tables)
    tables[number] = ConnectionTable(identifier or tables[number].identifier, options)
    return evolve(GOOD, connections=[evolve(connection, tables=tables)])


def with_column(name: str, column: str, **more: Any) -> Configuration:
    """The configuration in which a property of accounts is read from another column."""
    account, group = GOOD.entity_type_mappings
    properties = [
        evolve(item, connection_column=column, **more) if item.identifier == name else item
        for item in account.properties
    ]
    return evolve(GOOD, entity_type_mappings=[evolve(account, properties=properties), group])


def test_a_good_directory_has_no_faults() -> None:
    assert faults(GOOD) == []
    assert (
        faults(with_table(0, {"ObjectClass": "user", "Join": "; ", "Base": "OU=x", "Filter": "(&(a=b)(!(c=*)))"})) == []
    )
    assert faults(with_column("Guid", "OBJECTguid")) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 'has no ObjectClass; write what its entries are, such as ObjectClass="user"'),
        ({"ObjectClass": "a)(b=*"}, "has no ObjectClass"),
        ({"ObjectClass": ""}, "has no ObjectClass"),
        ({"ObjectClass": "user", "Filter": "(mail=*"}, "has a Filter that is no LDAP filter"),
        ({"ObjectClass": "user", "Filter": ""}, "has a Filter that is no LDAP filter"),
        ({"ObjectClass": "user", "Filter": "mail=*"}, "has a Filter that is no LDAP filter"),
        ({"ObjectClass": "user", "Join": ""}, 'has an empty Join; write what stands between several values'),
        ({"ObjectClass": "user", "Attribute": "member"}, "has Attribute, but no Links"),
        ({"ObjectClass": "user", "Query": "select 1"}, "has Query, which package ActiveDirectory does not read"),
        ({"ObjectClass": "user", "Filtre": "(a=b)"}, 'has Filtre, which package ActiveDirectory does not read; did'),
    ],
)  # fmt: skip
def test_a_table_of_entries_that_cannot_be_asked_for(options: dict[str, str], expected: str) -> None:
    (message,) = faults(with_table(0, options))

    assert message.startswith('the table "Account" of connection "Source" ')
    assert expected in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"Links": "Group"}, 'has Links, but no Attribute; name that of the links, such as Attribute="member"'),
        ({"Links": "Group", "Attribute": " "}, "has Links, but no Attribute"),
        ({"Links": "Group", "Attribute": "member", "ObjectClass": "group"}, "has Links and ObjectClass"),
        ({"Links": "Group", "Attribute": "member", "Filter": "(a=b)"}, "has Links and Filter"),
        ({"Links": "Group", "Attribute": "member", "Base": "OU=x"}, "has Links and Base"),
        ({"Links": "Group", "Attribute": "member", "Join": "; "}, "has Links and Join"),
        ({"Links": "Groups", "Attribute": "member"}, 'entries of this connection; did you mean "Group"?'),
        ({"Links": "Member", "Attribute": "member"}, 'has the links of "Member", which is no table of entries'),
        ({"Links": "Group", "Attribute": "unicodePwd"}, 'has the Attribute "unicodePwd", which holds secrets'),
    ],
)  # fmt: skip
def test_a_table_of_links_that_cannot_be_asked_for(options: dict[str, str], expected: str) -> None:
    (message,) = faults(with_table(2, options))

    assert message.startswith('the table "Member" of connection "Source" ')
    assert expected in message


@pytest.mark.parametrize("column", ["dn", "sAMAccountName", "mail", "objectSid"])
def test_a_key_that_may_change_is_refused(column: str) -> None:
    (message,) = faults(with_column("Guid", column))

    assert f'the key of the table "Account" of connection "Source" is read from "{column}", which may change' in message
    assert "Read the key from objectGUID" in message


@pytest.mark.parametrize(
    "column",
    ["unicodePwd", "userPassword", "USERPASSWORD", "ntPwdHistory", "ms-Mcs-AdmPwd", "msDS-ManagedPassword",
     "userPassword;binary", "msLAPS-Password", "supplementalCredentials"],
)  # fmt: skip
def test_attributes_of_secrets_are_refused(column: str) -> None:
    (message,) = faults(with_column("Mail", column))

    assert f'the column "{column}" of the table "Account" of connection "Source" holds secrets' in message
    assert "remove it from the mapping" in message


def test_links_from_a_table_of_entries_and_resources_from_a_table_of_links_are_refused() -> None:
    (members,) = GOOD.association_mappings
    entries = evolve(GOOD, association_mappings=[members, evolve(members, connection_table="Group")])
    resources = EntityTypeMapping(
        "Account",
        connector="AD",
        connection_table="Member",
        properties=[PropertyMapping("Guid", "owner", is_primary_key=True)],
    )
    links = evolve(GOOD, entity_type_mappings=[*GOOD.entity_type_mappings, resources])

    (of_entries,), (of_links,) = faults(entries), faults(links)

    assert 'links are read from the table "Group" of connection "Source", which has entries' in of_entries
    assert 'resources are read from the table "Member" of connection "Source", which has links; map "Group"' in of_links


@pytest.mark.parametrize(("column1", "column2"), [("group", "member"), ("owner", "owner"), ("owner", "Value")])
def test_links_are_read_from_owner_and_value(column1: str, column2: str) -> None:
    (members,) = GOOD.association_mappings
    changed: EntityAssociationMapping = evolve(members, column1=column1, column2=column2)

    (message,) = faults(evolve(GOOD, association_mappings=[changed]))

    assert "has the columns owner and value, and the mapping reads" in message


def test_all_faults_come_at_once_and_each_package_has_its_own_key() -> None:
    (connection,) = GOOD.connections
    ldap: Connection = evolve(connection, package="Ldap")
    messages = faults(evolve(GOOD, connections=[ldap]))

    assert len(messages) == 2
    assert all("Read the key from entryUUID" in message for message in messages)
    assert {ACTIVE_DIRECTORY.key_column, LDAP.key_column} == {"objectGUID", "entryUUID"}
