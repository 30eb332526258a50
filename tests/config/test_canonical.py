"""The canonical XML of a configuration: the same for equal meaning, and read back as it was written."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    Configuration,
    Connector,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    TaskOverride,
    Thresholds,
)
from deltamark.config.xml.canonical import CanonicalXML, in_canonical_order
from deltamark.config.xml.load import load_configuration as load
from deltamark.config.xml.schema import ROOT
from tests.config.test_export import built, with_names
from tests.tiers import law

FORM = CanonicalXML()
COMPANY = Path(__file__).parents[2] / "examples" / "company" / "configuration"


@law(40)
@given(built(ROOT), st.integers(0, 99))
def test_a_configuration_is_read_back_as_it_was_written_in_any_order(configuration: Configuration, seed: int) -> None:
    text = FORM.write(configuration)
    names = ("agents", "policies", "connectors", "connections", "jobs")
    unique = {name: {item.identifier: item for item in getattr(configuration, name)} for name in names}
    configuration = evolve(configuration, **{name: list(items.values()) for name, items in unique.items()})
    shuffled = {name: Random(seed).sample(list(items.values()), len(items)) for name, items in unique.items()}

    assert FORM.read(FORM.write(configuration)) == in_canonical_order(configuration)
    assert FORM.write(evolve(configuration, **shuffled)) == FORM.write(configuration)
    assert FORM.write(FORM.read(text)) == text


def test_the_files_of_a_folder_may_be_arranged_in_any_way(tmp_path: Path) -> None:
    whole = load(COMPANY, leave_out_unbuilt=True)
    for number, file in enumerate(sorted(COMPANY.rglob("*.xml"), reverse=True)):
        # Types and rules keep their order, which a column or a tie may depend on.
        (tmp_path / f"{number:02}.xml").write_bytes(file.read_bytes())

    other = load(tmp_path, leave_out_unbuilt=True)

    kept = {name: getattr(whole, name) for name in ("associations", "correlation_rules", "classification_rules")}
    kept["property_expressions"] = whole.property_expressions
    assert FORM.write(evolve(other, **kept)) == FORM.write(whole)


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(connectors=[Connector("HR", display_names={17: "of no language", 1: " "})]),
        Configuration(entity_types=[EntityType("P", [Property("N", display_names={2: "a\x00b"})])]),
        Configuration(property_expressions=[EntityPropertyExpression("E", "P", "N", expression="a\x01\r\n\t\u2028b")]),
        Configuration(jobs=[Job("J", [TaskOverride("SynchronizeTask", "S", {"parents": ()})])]),
        Configuration(jobs=[Job("J", [TaskOverride("SynchronizeTask", "S", {"level": None, "type": ""})])]),
        Configuration(entity_type_mappings=[EntityTypeMapping("P", "HR", "p", (), Thresholds(1, 0, 0, 7))]),
        Configuration(tasks=[SynchronizeTask(connector="HR", identifier="")]),
        Configuration(tasks=[SetRecentlyModifiedFlagTask(parents=["a\x00"])]),
    ],
    ids=lambda configuration: "",
)
def test_what_only_python_can_express_is_kept(configuration: Configuration) -> None:
    text = FORM.write(configuration)

    read = FORM.read(text)

    assert read == with_names(configuration)
    assert FORM.write(read) == text


def test_a_configuration_larger_than_a_file_may_be_is_kept() -> None:
    types = [EntityType(f"Type{n:05}", [Property("N", display_names={1: "x" * 200})]) for n in range(6_000)]

    text = FORM.write(Configuration(entity_types=types))

    assert len(text) > 1024 * 1024
    assert FORM.read(text) == Configuration(entity_types=types)


@pytest.mark.parametrize("text", ["", "<Conf", "not XML", "<a/><b/>"])
def test_a_text_that_is_not_xml_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not well-formed"):
        FORM.read(text)


def test_what_a_later_version_may_have_written_is_read_as_far_as_it_is_known() -> None:
    read: Any = FORM.read('<ConfigurationFile><Connector Identifier="HR" Colour="red" /><Planet /></ConfigurationFile>')

    assert read == Configuration(connectors=[Connector("HR")])
