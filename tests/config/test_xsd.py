"""The XML Schema for editors agrees with the reader."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from deltamark.config.xml.elements import LANGUAGES, Element
from deltamark.config.xml.reader import read
from deltamark.config.xml.schema import ROOT, all_elements
from deltamark.config.xml.xsd import configuration_schema
from tests.docs.pages import PAGES, blocks_of
from tests.docs.pages import ROOT as REPOSITORY

FILES = sorted(
    path
    for folder in ("examples", "deltamark/infrastructure/sample_company/template")
    for path in (REPOSITORY / folder).rglob("*.xml")
)
PRINTED = [
    block.text
    for page in PAGES
    for block in blocks_of(page.read_text("utf-8"))
    if block.language == "xml" and block.text.lstrip().startswith(("<?xml", "<ConfigurationFile"))
]


@cache
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring(configuration_schema().encode()))


def errors(text: str | bytes) -> list[str]:
    document = etree.fromstring(text.encode() if isinstance(text, str) else text)
    schema().validate(document)
    return [error.message for error in schema().error_log]


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:]))
def test_every_configuration_that_comes_with_deltamark_is_valid(path: Path) -> None:
    assert errors(path.read_bytes()) == []


def test_every_configuration_in_the_documentation_is_valid() -> None:
    assert len(PRINTED) > 5
    for text in PRINTED:
        assert errors(text) == [], text


def test_the_model_of_the_tests_is_valid(configuration_text: Callable[[str], str]) -> None:
    assert errors(configuration_text("")) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('IsKey="true"', 'IsKeey="true"'),
        ('IsKey="true"', 'IsKey="yes"'),
        ('Type="ForeignKey"', 'Type="Foreign"'),
        ('Identifier="Directory_User" DisplayName_L1="User"', 'DisplayName_L1="User"'),
        ('DisplayName_L1="User"', 'DisplayName_L1=" "'),
        ('DisplayName_L1="User"', 'DisplayName_L17="User"'),
        ("<EntityType ", "<EntityTyp "),
        ('ConnectionColumn="number"', 'ConnectionColumn=""'),
        ('<Connector Identifier="AD"', '<Connector Identifier="AD" MaximumDeletedLines="-1"'),
        ('<Connector Identifier="AD"', '<Connector Identifier="AD" MaxPercentageDeletedLines="101"'),
    ],
)
def test_what_the_reader_refuses_is_not_valid(
    configuration_text: Callable[[str], str], before: str, after: str
) -> None:
    text = configuration_text("")
    mistaken = text.replace(before, after)
    if before == "<EntityType ":
        mistaken = mistaken.replace("</EntityType>", "</EntityTyp>")

    assert read(mistaken.encode(), "x.xml").faults
    assert errors(mistaken)


def test_every_element_attribute_and_text_that_the_reader_knows_is_valid() -> None:
    """Also what no example has: each text that can be listed, in each attribute that takes it."""
    tried = 0
    for name, places in all_elements().items():
        for place in places:
            element = place.child(name)
            assert element is not None
            for attributes in _variants(element):
                assert errors(_within(place, f"<{name} {attributes}/>")) == []
                tried += 1
    assert tried > 200


def _within(place: Element, text: str) -> str:
    """A document with a text inside an element."""
    if place is ROOT:
        return f"<ConfigurationFile>{text}</ConfigurationFile>"
    return _within(all_elements()[place.name][0], f"<{place.name} {_variants(place)[0]}>{text}</{place.name}>")


def _variants(element: Element) -> list[str]:
    values = {a.name: "Some:Name" for a in element.attributes}
    for attribute in element.attributes:
        if attribute.type.limits:
            values[attribute.name] = str(attribute.type.limits[1])
        elif attribute.type.texts:
            values[attribute.name] = attribute.type.texts[0]
    values |= dict.fromkeys(LANGUAGES, "a name") if element.names else {}
    variants = [values]
    for attribute in element.attributes:
        more = [text for text in attribute.type.texts if text != "\t"]
        if attribute.type.in_any_case:
            more += [f" {text.title()} " for text in more]
        for text in more:
            attribute.type.parse(text)
        variants += [{**values, attribute.name: text} for text in more]
    return [" ".join(f'{name}="{text}"' for name, text in variant.items()) for variant in variants]
