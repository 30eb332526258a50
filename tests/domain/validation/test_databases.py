"""Tables of databases whose deletions would not be told are refused, or warned of; a missing library is named."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from attrs import evolve

from deltamark import Configuration, EntityAssociationMapping, Job, PropertyRef, Step
from deltamark.application.ports.sources import SourceUnreachable
from deltamark.bootstrap import sql_source
from deltamark.config.check import _missing_libraries
from deltamark.config.connections import ConnectionSetting
from deltamark.domain.validation.connections import connection_faults
from deltamark.domain.validation.databases import database_warnings
from tests.scenarios.database_source import PERSON, configuration
from tests.sql.following import Collected, question

QUERY = {"Query": "select * from person"}
MARKED = {**QUERY, "Watermark": "version"}
TOLD = {**QUERY, "ChangeTable": "told", "Sequence": "seq"}


def problems(options: Mapping[str, str], links: tuple[str, str] | None = None) -> str:
    configured = configuration(options=options)
    if links is not None:
        mapping = EntityAssociationMapping(
            "Managers",
            connector="HR",
            connection_table=PERSON,
            column1=links[0],
            column2=links[1],
            entity_property_mapping1=PropertyRef(PERSON, "Id2"),
            entity_property_mapping2=PropertyRef(PERSON, "Id2"),
        )
        configured = evolve(configured, association_mappings=[mapping])
    return "\n".join(fault.message for fault in connection_faults(configured))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({**QUERY, "Keys": "select id from person"}, "has Keys, which only a table with Watermark needs"),
        ({**QUERY, "Deleted": "gone"}, "has Deleted, which only a table with Watermark needs"),
        ({**MARKED, "Sequence": "seq"}, "has Sequence, but no ChangeTable"),
        ({**QUERY, "ChangeTable": "told"}, "has a ChangeTable, but no Sequence"),
        ({**TOLD, "ChangeTable": "told; drop table person"}, 'has the ChangeTable "told; drop table person"; write'),
        ({**TOLD, "Watermark": "version"}, "has Watermark and ChangeTable"),
        ({**TOLD, "Keys": "select 1"}, "has Keys, which only a table with Watermark needs"),
        ({**QUERY, "Watermark": "xmin:"}, 'write Watermark="xmin:column"'),
        ({**QUERY, "Watermark": "xmin:tx", "Overlap": "5"}, "has Overlap, which a Watermark of transactions does not"),
    ],
)
def test_what_does_not_go_together_is_refused(options: Mapping[str, str], problem: str) -> None:
    assert problem in problems(options)


@pytest.mark.parametrize("name", ["told", "hr.told", '"HR".dbo."told of"', "`hr`.`told`", "prüf_$1"])
def test_names_of_tables_of_changes(name: str) -> None:
    assert problems({**TOLD, "ChangeTable": name}) == ""


@pytest.mark.parametrize("options", [{**MARKED, "Keys": "select id from person"}, TOLD], ids=["keys", "changes"])
def test_links_that_no_deletion_would_end_are_refused(options: Mapping[str, str]) -> None:
    assert problems(options, ("id", "manager")) == ""
    assert 'tells deletions by "id" alone, so that they would stay' in problems(options, ("manager", "office"))


def test_a_table_of_pairs_has_no_key() -> None:
    configured = configuration(options={**MARKED, "Keys": "select id from person"})
    pairs = evolve(configured, entity_type_mappings=[])

    found = "\n".join(fault.message for fault in connection_faults(pairs))

    assert "has Keys, but no EntityTypeMapping reads it, so that its rows have no key" in found


def warned(configured: Configuration) -> list[str]:
    return [fault.message for fault in database_warnings(configured)]


def test_deletions_that_are_never_noticed_are_warned_of() -> None:
    configured = configuration(options=MARKED)
    only_changes = evolve(configured, jobs=[Job("Changes", [Step("Read"), Step("Synchronize")])])

    (warning,) = warned(only_changes)

    assert 'rows that are deleted in the table "HR_Person" of connection "HR_Source" are never noticed' in warning
    assert warned(configured) == []  # it has a job that reads everything
    for options in ({**MARKED, "Keys": "select id from person"}, {**MARKED, "Deleted": "gone"}, QUERY, TOLD):
        assert warned(evolve(configuration(options=options), jobs=only_changes.jobs)) == []


def test_a_driver_that_is_not_installed_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"HR_Source": ConnectionSetting(values={"server": "mysql://hr.meridian.example/hr"})}
    others = {"HR_Source": ConnectionSetting(values={"server": "postgresql://hr.meridian.example/hr"})}
    for module in ("config.check", "infrastructure.sql.source"):
        monkeypatch.setattr(f"deltamark.{module}.find_spec", lambda name: None)

    (warning,) = _missing_libraries(configuration(), settings)

    assert "Install it by: pip install 'deltamark[mysql]'." in warning.message
    assert list(_missing_libraries(configuration(), others)) == []
    with pytest.raises(SourceUnreachable) as caught:
        sql_source().snapshot(question({"server": "mysql://h/d"}, ["id"], QUERY), Collected())
    assert caught.value.advice == "Install it by: pip install 'deltamark[mysql]'."
