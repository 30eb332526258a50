"""Tables with keys of all kinds, and what a database must say of them."""

from __future__ import annotations

from deltamark.bootstrap import proposal_for_server
from deltamark.domain.proposal.proposal import Proposal

TABLES = (
    "CREATE TABLE department (code VARCHAR(10) PRIMARY KEY, title VARCHAR(20))",
    "CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(20), hired DATE, department VARCHAR(10), "
    "FOREIGN KEY (department) REFERENCES department (code))",
    "CREATE TABLE membership (person INT, department VARCHAR(10), PRIMARY KEY (person, department), "
    "FOREIGN KEY (person) REFERENCES person (id), FOREIGN KEY (department) REFERENCES department (code))",
    "INSERT INTO department VALUES ('A', 'Alpha'), ('B', 'Beta')",
    "INSERT INTO person VALUES (1, 'Ann', '2020-01-02', 'A'), (2, 'Bob', '2021-05-06', 'B')",
    "INSERT INTO membership VALUES (1, 'A'), (1, 'B'), (2, 'B')",
)


def proposed(server: str, **settings: str) -> Proposal:
    """What is proposed for these tables, which must be right."""
    names = ("department", "membership", "person")
    proposal = proposal_for_server(server, settings, names, connector="HR")
    configuration = proposal.configuration
    keys = {m.entity_type: m.primary_key.connection_column for m in configuration.entity_type_mappings}
    assert keys == {"department": "code", "person": "id"}
    links = {
        m.connection_table: (str(m.entity_property_mapping1), m.column2, str(m.entity_property_mapping2))
        for m in configuration.association_mappings
    }
    assert links == {
        "membership": ("person:id", "department", "department:code"),
        "person": ("person:id", "department", "department:code"),
    }
    types = {p.identifier: p.type.label for t in configuration.entity_types for p in t.properties}
    assert (types["hired"], types["id"]) == ("Date", "String")
    (connection,) = configuration.connections
    assert (connection.package, [table.identifier for table in connection.tables]) == ("Sql", [*names])
    return proposal
