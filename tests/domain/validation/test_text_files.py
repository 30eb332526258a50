"""What a mapping built in Python says of a text file is judged when it is loaded, as in a configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from deltamark.config.xml.load import load_configuration
from deltamark.config.xml.writer import configuration_xml
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Property,
    PropertyMapping,
    PropertyRef,
)
from deltamark.domain.validation.validate import faults
from deltamark.domain.values import PropertyType

Options: TypeAlias = Mapping[str, Any]
NO_OPTIONS: Options = {}
NUMBER = PropertyRef("Person", "Number")


def configured(
    of_value: Options = NO_OPTIONS,
    of_file: Options = NO_OPTIONS,
    of_links: Options = NO_OPTIONS,
) -> Configuration:
    value = PropertyMapping("Weight", "weight", **of_value)
    return Configuration(
        connectors=[Connector("HR")],
        entity_types=[
            EntityType("Person", [Property("Number", is_key=True), Property("Weight", PropertyType.DOUBLE)]),
        ],
        associations=[
            EntityAssociation("Boss", PropertyRef("Person", "Boss"), PropertyRef("Person", "Reports")),
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person",
                "HR",
                "people",
                [PropertyMapping("Number", "number", is_primary_key=True), value],
                **of_file,
            )
        ],
        association_mappings=[
            EntityAssociationMapping("Boss", "HR", "bosses", "person", "boss", NUMBER, NUMBER, **of_links)
        ],
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of_value": {"decimal_separator": ""}}, 'property "Weight": DecimalSeparator "" is not one of . and ,'),
        ({"of_value": {"thousands_separator": "1"}}, 'ThousandsSeparator "1" is not one of'),
        (
            {"of_file": {"encoding": "latin-1"}},
            'mapping "Person": Encoding "latin-1" is not known; say utf-8, utf-16 or',
        ),
        ({"of_file": {"delimiter": "tab"}}, 'mapping "Person": Delimiter "tab" is not tab, a blank or one sign'),
        ({"of_file": {"delimiter": "a"}}, 'Delimiter "a" is not'),
        ({"of_file": {"delimiter": ""}}, 'Delimiter "" is not'),
        ({"of_file": {"skip_lines": -1}}, 'mapping "Person": SkipLines is -1; it must not be negative'),
        ({"of_links": {"encoding": "x"}}, 'mapping "Boss": Encoding "x" is not known'),
        ({"of_links": {"separator1": ""}}, 'mapping "Boss": Separator1 "" is not a sign such as ; or |'),
        ({"of_links": {"separator2": "and"}}, 'Separator2 "and" is not a sign'),
    ],
)
def test_what_cannot_be_read_is_a_fault_when_it_is_loaded(options: dict[str, Options], message: str) -> None:
    (fault,) = faults(configured(**options))

    assert message in fault.message


@pytest.mark.parametrize(
    "options",
    [
        {"of_value": {"decimal_separator": ",", "thousands_separator": "'"}},
        *({"of_file": {"encoding": name}} for name in ("utf-8", "utf-16", "utf-16-be", "windows-1252")),
        *({"of_file": {"delimiter": sign}} for sign in (";", "|", "\t", "~", "^", "<", " ")),
        {"of_links": {"separator1": ";", "separator2": "||"}},
    ],
)
def test_what_python_may_say_a_file_may_say(options: dict[str, Options], tmp_path: Path) -> None:
    configuration = configured(**options)
    assert not faults(configuration)
    (tmp_path / "all.xml").write_text(configuration_xml(configuration), "utf-8")

    loaded = load_configuration(tmp_path)

    assert loaded.entity_type_mappings == configuration.entity_type_mappings
    assert loaded.association_mappings == configuration.association_mappings
