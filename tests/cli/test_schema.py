"""`deltamark schema`."""

from __future__ import annotations

from lxml import etree

from deltamark.config.xml.load import load_configuration as load


def test_the_schema_is_printed_and_written_alike(company):
    printed = company.done("schema").out
    company.done("schema", "-o", "deltamark.xsd")

    assert (company.folder / "deltamark.xsd").read_bytes() == printed
    schema = etree.XMLSchema(etree.fromstring(printed))
    for file in (company.folder / "configuration").glob("*.xml"):
        schema.assertValid(etree.parse(file))


def test_a_configuration_may_name_its_schema(company):
    (file, *_) = (company.folder / "configuration").glob("*.xml")
    before = load(file)
    text = file.read_text()
    named = (
        '<ConfigurationFile xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="../deltamark.xsd">'
    )
    file.write_text(text.replace("<ConfigurationFile>", named, 1))

    assert file.read_text() != text
    assert load(file) == before


def test_the_schema_replaces_no_file_of_the_workspace(company):
    failed = company.deltamark("schema", "-o", "deltamark.toml")

    assert failed.status == 2
    assert "is not replaced" in failed.err
