"""Whatever keys, values, names and reasons hold, pages show it as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import html

from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.values import escaped
from deltamark.engine import Engine
from deltamark.interfaces.http.console.rendering import MOST_SHOWN, resource_url
from tests.web.conftest import NewSite
from tests.web.console.company import open_company
from tests.web.console.hostile import KEYS, NUL, hostile_addresses, hostile_company

MOST_BYTES = 1_500_000
"""A page of many texts of a million letters is not larger."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = Path(tmp_path_factory.mktemp("hostile")) / "company"
    hostile_company(folder)
    with open_company(folder) as engine:
        yield engine


def test_hostile_texts_are_texts_on_every_page(new_site: NewSite, engine: Engine) -> None:
    admin = new_site(engine).signed_in(name="<script>alert(8)</script>")
    showing = set()

    for address in hostile_addresses(engine):
        answer = admin.get(address, headers={"Accept": "text/html"})
        page = html.document_fromstring(answer.text)
        text = page.text_content()

        assert answer.status_code in (200, 400, 404), address
        assert len(answer.content) < MOST_BYTES, address
        assert not list(page.iter("img", "base", "iframe", "style")), address
        assert [script.text for script in page.iter("script") if script.text] == [], address
        assert [svg for svg in page.iter("svg") if "onload" in svg.attrib] == [], address
        assert all(link.get("href", "/").startswith(("/", "#")) for link in page.iter("a") if link.get("href")), address
        assert all(not link.get("href", "/").startswith("//") for link in page.iter("a")), address
        assert not {character for character in "\u202e\u2066\x07\0" if character in text}, address
        if "alert(" in text:
            showing.add(address.partition("?")[0])

    assert {"/", "/runs", "/log", "/resources", "/resource", "/value", "/find", "/derived", "/configuration"} <= showing
    assert MOST_SHOWN < MOST_BYTES / 10


def test_every_key_leads_from_the_list_to_a_page_that_shows_it(new_site: NewSite, engine: Engine) -> None:
    reader = new_site(engine).signed_in()
    listed = html.document_fromstring(reader.get("/resources?type=HR_Person").text)
    links = {link.text_content(): link.get("href") for link in listed.xpath("//tbody//th/a")}
    stored = [key for key in KEYS if engine.resource("HR_Person", key) is not None]

    assert set(KEYS) - set(stored) == {"\u202eabc"}  # a character of no key: such a row is set aside
    for key in stored:
        assert links[escaped(key)] == resource_url(ResourceRef("HR_Person", key))
        page = html.document_fromstring(reader.get(links[escaped(key)]).text)
        assert page.xpath("string(//h1/bdi)") == escaped(key)


def test_nul_is_kept_and_shown(new_site: NewSite, engine: Engine) -> None:
    reader = new_site(engine).signed_in()

    assert engine.resources("HR_Person", where={"Title": NUL}).resources[0].ref.key == "E00004"
    assert (
        "nul\\x00nul" in html.document_fromstring(reader.get("/resource?type=HR_Person&key=E00004").text).text_content()
    )
