"""The company for derived values: people, departments and accounts, with twenty expressions and three rules.

Six of the expressions read a department or a manager, two of them a computed property of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
from attrs import evolve

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    Thresholds,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.configuration.jobs import Task
from deltamark.infrastructure.sample_company import generate

PEOPLE_PER_DEPARTMENT = 200
CHANGED_PEOPLE = 990
RENAMED_DEPARTMENTS = 10

_TEXT, _NUMBER, _DATE, _BOOL = PropertyType.STRING, PropertyType.INT32, PropertyType.DATE_TIME, PropertyType.BOOL
_LINK = PropertyType.FOREIGN_KEY

_SYNCHRONIZED = {
    "HR_Person": {
        "EmployeeId": _TEXT,
        "FirstName": _TEXT,
        "LastName": _TEXT,
        "Mail": _TEXT,
        "Phone": _TEXT,
        "Title": _TEXT,
        "Location": _TEXT,
        "HireDate": _DATE,
    },
    "HR_Department": {"Code": _TEXT, "Name": _TEXT},
    "AD_Account": {
        "SamAccountName": _TEXT,
        "DisplayName": _TEXT,
        "Mail": _TEXT,
        "Enabled": _BOOL,
        "WhenCreated": _DATE,
        "Description": _TEXT,
    },
}
_LINKS = {
    "HR_Person": ("Manager", "DirectReports", "Department"),
    "HR_Department": ("Parent", "Children", "People"),
    "AD_Account": (),
}

_Expression = tuple[str, str, PropertyType, str | None, str | None]
_EXPRESSIONS: tuple[_Expression, ...] = (
    # entity type, property, its type, binding, expression
    ("HR_Person", "DisplayName", _TEXT, None, "SQL:p: p.FirstName || ' ' || p.LastName"),
    ("HR_Person", "SortName", _TEXT, None, "SQL:p: upper(p.LastName || ' ' || p.FirstName)"),
    ("HR_Person", "PlainName", _TEXT, "LastName", "Trim|RemoveDiacritics|ToLower"),
    ("HR_Person", "UserName", _TEXT, None, "SQL:p: left(p.PlainName, 12) || '.' || lower(left(p.FirstName, 1))"),
    ("HR_Person", "Initials", _TEXT, None, "SQL:p: left(p.FirstName, 1) || left(p.LastName, 1)"),
    ("HR_Person", "MailAddress", _TEXT, "Mail", "Trim|ToLower"),
    ("HR_Person", "MailDomain", _TEXT, None, "SQL:p: split_part(p.MailAddress, '@', 2)"),
    ("HR_Person", "HiredIn", _NUMBER, None, "SQL:p: date_part('year', p.HireDate)"),
    ("HR_Person", "IsSenior", _BOOL, None, "SQL:p: p.Title LIKE 'Senior %' OR p.Title LIKE 'Principal %'"),
    ("HR_Person", "Site", _TEXT, None, "SQL:p: upper(coalesce(p.Location, 'elsewhere'))"),
    ("HR_Person", "ManagerName", _TEXT, "Manager.DisplayName", None),
    ("HR_Person", "ManagerMail", _TEXT, "Manager.Mail", "ToLower"),
    ("HR_Person", "DepartmentName", _TEXT, "Department.Name", None),
    ("HR_Person", "DepartmentPath", _TEXT, "Department.LongName", None),
    ("HR_Person", "Division", _TEXT, None, "SQL:p: coalesce(p.Department.Parent.Name, p.Department.Name)"),
    ("HR_Department", "LongName", _TEXT, None, "SQL:d: coalesce(d.Parent.Name || ' / ', '') || d.Name"),
    ("AD_Account", "Login", _TEXT, "SamAccountName", "ToUpper"),
    ("AD_Account", "PlainName", _TEXT, "DisplayName", "Simplify"),
    ("AD_Account", "MailAddress", _TEXT, "Mail", "Trim|ToLower"),
    ("AD_Account", "CreatedIn", _NUMBER, None, "SQL:a: date_part('year', a.WhenCreated)"),
)


def configuration(edit: str = "nothing") -> Configuration:
    """Jobs that load, compute everything, and compute what an extract with a command column changed.

    :param edit: what was edited since: ``nothing``, ``property`` (one was added), or ``rule`` (an expression is another
        one).
    """
    whole = _configuration()
    match edit:
        case "nothing":
            return whole
        case "property":
            people, *others = whole.entity_types
            return evolve(whole, entity_types=[evolve(people, properties=[*people.properties, _ADDED]), *others])
        case "rule":
            edited = next(item for item in whole.property_expressions if item.property == "Initials")
            kept = [item for item in whole.property_expressions if item is not edited]
            other_text = evolve(edited, expression="SQL:p: left(p.FirstName, 1) || '.' || left(p.LastName, 1)")
            return evolve(whole, property_expressions=[*kept, other_text])
    raise ValueError(f"there is no edit {edit}")


_ADDED = Property("CostCenter", _TEXT)


def _configuration() -> Configuration:
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds()), Connector("AD", thresholds=Thresholds())],
        entity_types=[_entity_type(name) for name in _SYNCHRONIZED],
        associations=list(_associations()),
        entity_type_mappings=[_mapping(name) for name in _SYNCHRONIZED],
        association_mappings=list(_association_mappings()),
        property_expressions=[
            EntityPropertyExpression(f"{name}_{computed}", name, computed, binding, expression)
            for name, computed, _, binding, expression in _EXPRESSIONS
        ],
        resource_types=[ResourceType("Person_Account", "HR_Person", "AD_Account")],
        correlation_rules=[
            ResourceCorrelationRule(
                "Person_Account",
                source_binding="Mail",
                source_expression="ToLower",
                target_binding="Mail",
                target_expression="ToLower",
            ),
            ResourceCorrelationRule(
                "Person_Account",
                source_expression="SQL:p: upper(p.LastName || ' ' || p.FirstName)",
                target_binding="DisplayName",
                target_expression="Trim|ToUpper",
            ),
        ],
        classification_rules=[
            ResourceClassificationRule("Person_Account", target_expression="SQL:a: a.SamAccountName NOT LIKE 'svc-%'")
        ],
        tasks=list(_tasks()),
        jobs=[
            Job("Load", [Step("SynchronizeHR"), Step("SynchronizeAD")]),
            Job("Flag", [Step("SetRecentlyModifiedFlag")]),
            Job("Everything", [Step(name) for name in COMPUTING]),
            Job(
                "Incremental",
                [
                    Step("PrepareSynchronizationHR"),
                    Step("SynchronizeHR"),
                    Step("SetRecentlyModifiedFlag"),
                    *(Step(name) for name in COMPUTING),
                ],
            ),
        ],
    )


COMPUTING = ("UpdateEntityPropertyExpressions", "ComputeCorrelationKeys", "UpdateClassification")


def _tasks() -> Iterator[Task]:
    yield PrepareSynchronizationTask(
        connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="Command"
    )
    yield SynchronizeTask(connector="HR", do_not_delete_changes=True)
    yield SynchronizeTask(connector="AD", do_not_delete_changes=True)
    yield SetRecentlyModifiedFlagTask()
    for kind in (UpdateEntityPropertyExpressionsTask, ComputeCorrelationKeysTask, UpdateClassificationTask):
        yield kind(dirty=True, all_entity_type=True)


def _entity_type(name: str) -> EntityType:
    key = next(iter(_SYNCHRONIZED[name]))
    return EntityType(
        name,
        [
            *(Property(column, kind, is_key=column == key) for column, kind in _SYNCHRONIZED[name].items()),
            *(Property(navigation, _LINK) for navigation in _LINKS[name]),
            *(Property(computed, kind) for owner, computed, kind, _, _ in _EXPRESSIONS if owner == name),
        ],
    )


def _mapping(name: str) -> EntityTypeMapping:
    key = next(iter(_SYNCHRONIZED[name]))
    formats = {"WhenCreated": "yyyyMMddHHmmss.0Z"}
    return EntityTypeMapping(
        name,
        "AD" if name == "AD_Account" else "HR",
        name,
        [
            PropertyMapping(column, column, is_primary_key=column == key, format=formats.get(column))
            for column in _SYNCHRONIZED[name]
        ],
    )


_ENDS = (
    ("HR_Person", "Manager", "HR_Person", "DirectReports"),
    ("HR_Person", "Department", "HR_Department", "People"),
    ("HR_Department", "Parent", "HR_Department", "Children"),
)


def _associations() -> Iterator[EntityAssociation]:
    for source, forward, target, back in _ENDS:
        yield EntityAssociation(
            f"{source}_{forward}", PropertyRef(source, forward), PropertyRef(target, back), is_property2_collection=True
        )


def _association_mappings() -> Iterator[EntityAssociationMapping]:
    for source, forward, target, _ in _ENDS:
        keys = [PropertyRef(name, next(iter(_SYNCHRONIZED[name]))) for name in (source, target)]
        yield EntityAssociationMapping(f"{source}_{forward}", "HR", source, keys[0].property, forward, keys[0], keys[1])


def first_in(folder: Path) -> Path:
    """The folder of the complete extracts."""
    return folder / "first"


def delta_in(folder: Path) -> Path:
    """The folder of the extracts with a command column, 1,000 rows in all."""
    return folder / "delta"


def write_company(folder: Path, people: int) -> None:
    """Writes the extracts: of people, of as many accounts, and of one department for every 200 people.

    The extracts with a command column change the same number of people and departments whatever the size, spread over
    all of them: titles, names with mail addresses, departments, managers, telephones; some are created, some deleted.
    """
    first, delta = first_in(folder), delta_in(folder)
    departments = max(10, people // PEOPLE_PER_DEPARTMENT)
    generate(first, people=people, seed=1, departments=departments, groups=False)
    delta.mkdir()
    with duckdb.connect() as db:
        _fill_up(db, first / "AD_Account.csv", people)
        db.execute(f"CREATE TABLE people AS FROM read_csv('{first}/HR_Person.csv', all_varchar=true, header=true)")
        db.execute(
            f"CREATE TABLE departments AS FROM read_csv('{first}/HR_Department.csv', all_varchar=true, header=true)"
        )
        db.execute(f"COPY ({_changed_people(departments)}) TO '{delta}/HR_Person.csv' (HEADER)")
        db.execute(
            f"""COPY (SELECT * REPLACE ('Global ' || Name AS Name), 'merge' AS Command FROM departments
            ORDER BY Code DESC LIMIT {RENAMED_DEPARTMENTS}) TO '{delta}/HR_Department.csv' (HEADER)"""
        )


def _fill_up(db: duckdb.DuckDBPyConnection, file: Path, count: int) -> None:
    """Adds accounts of services until there are `count` accounts."""
    accounts = f"read_csv('{file}', all_varchar=true, header=true)"
    db.execute(
        f"""CREATE TABLE accounts AS SELECT * FROM {accounts}
        UNION ALL BY NAME SELECT 'svc-more' || n AS SamAccountName, 'More services ' || n AS DisplayName,
            'true' AS Enabled, '20250101080000.0Z' AS WhenCreated, 'Service account' AS Description
        FROM range(greatest(0, {count} - (SELECT count(*) FROM {accounts}))) AS more (n)"""
    )
    db.execute(f"COPY (FROM accounts LIMIT {count}) TO '{file}' (HEADER)")


def _changed_people(departments: int) -> str:
    """The query for evenly spread people who head no department; the last digit of their number decides the change."""
    return f"""WITH followers AS (
            SELECT *, row_number() OVER (ORDER BY EmployeeId) - 1 AS place, count(*) OVER () AS count
            FROM people WHERE substring(EmployeeId, 2)::INT > {departments}),
        chosen AS (SELECT *, row_number() OVER (ORDER BY place) - 1 AS number FROM followers
            WHERE place % (count // {CHANGED_PEOPLE}) = 0 ORDER BY place LIMIT {CHANGED_PEOPLE}),
        changed AS (SELECT *, number % 10 AS digit,
            CASE WHEN number BETWEEN 10 AND 19 THEN 'delete' ELSE 'merge' END AS Command FROM chosen)
        SELECT CASE WHEN number < 10 THEN 'N' || EmployeeId ELSE EmployeeId END AS EmployeeId, FirstName,
            CASE WHEN digit IN (5, 6) THEN LastName || '-Meyer' ELSE LastName END AS LastName,
            CASE WHEN digit IN (5, 6) THEN 'new.' || Mail ELSE Mail END AS Mail,
            CASE WHEN digit = 9 THEN '+44 20 100100' ELSE Phone END AS Phone,
            CASE WHEN digit < 5 THEN 'Senior ' || Title ELSE Title END AS Title, Location, HireDate,
            CASE WHEN Command = 'delete' THEN NULL WHEN digit = 7 THEN lag(Department) OVER (ORDER BY place)
                ELSE Department END AS Department,
            CASE WHEN Command = 'delete' THEN NULL WHEN digit = 8 THEN lag(Manager) OVER (ORDER BY place)
                ELSE Manager END AS Manager, Command FROM changed"""


if __name__ == "__main__":
    write_company(Path(sys.argv[1]), int(sys.argv[2]))
