"""The site builds without a warning, every link leads somewhere, and nothing comes from another host."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from attrs import define, field

from deltamark import __version__
from deltamark.config.xml.xsd import configuration_schema
from tests.docs.pages import PAGES, ROOT, blocks_of

COMMAND = re.search(r"^site:.*\n\t\$\(BIN\)/python (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
"""The command of `make site`; its last argument is the folder of the site."""

pytestmark = pytest.mark.slow  # builds the whole site once, in some seconds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command of `make site` in another folder."""
    folder = tmp_path_factory.mktemp("site")
    assert COMMAND is not None
    done = subprocess.run(
        [sys.executable, *COMMAND[1].split()[:-1], str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@define
class _Page(HTMLParser):
    """What a page refers to: `loaded` without a click, `linked` for a click; and the anchors that it has."""

    loaded: list[str] = field(factory=list)
    linked: list[str] = field(factory=list)
    anchors: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values["id"]} if "id" in values else set()
        if tag == "a":
            self.linked += [values["href"]] if "href" in values else []
        else:
            self.loaded += [values[name] for name in ("src", "href", "data", "action", "srcset") if name in values]


def page_of(file: Path) -> _Page:
    page = _Page()
    page.feed(file.read_text("utf-8"))
    return page


def pages_of(site: Path) -> Iterator[tuple[Path, _Page]]:
    return ((file, page_of(file)) for file in sorted(site.rglob("*.html")))


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def test_every_page_of_the_documentation_is_a_page_of_the_site(site: Path) -> None:
    for page in PAGES:
        assert (site / page.relative_to(ROOT).with_suffix(".html")).is_file()


def test_every_page_of_the_documentation_stands_in_the_navigation(site: Path) -> None:
    start = site / "docs" / "index.html"
    reached = {(start.parent / link.partition("#")[0]).resolve() for link in page_of(start).linked}

    assert {(site / page.relative_to(ROOT).with_suffix(".html")).resolve() for page in PAGES} <= reached | {start}


def test_a_page_of_the_site_loads_nothing_from_another_host(site: Path) -> None:
    elsewhere = {
        (file.name, address) for file, page in pages_of(site) for address in page.loaded if is_elsewhere(address)
    }

    assert elsewhere == set()


def test_a_style_of_the_site_loads_nothing_from_another_host(site: Path) -> None:
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]

    assert styles
    assert [
        found for style in styles for found in re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//.+", style)
    ] == []


def test_every_link_within_the_site_leads_to_a_file_and_an_anchor(site: Path) -> None:
    pages = {file.resolve(): page for file, page in pages_of(site)}
    broken = []
    for file, page in pages.items():
        for address in (*page.linked, *page.loaded):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (parts.fragment and target in pages and unquote(parts.fragment) not in anchors):
                broken.append((file.name, address))

    assert broken == []


def test_the_first_page_of_the_site_leads_to_the_index_of_the_documentation(site: Path) -> None:
    assert page_of(site / "index.html").linked == ["docs/index.html"]


def test_the_reference_of_configurations_leads_to_their_schema(site: Path) -> None:
    page = site / "docs" / "reference" / "configuration.html"

    assert "deltamark.xsd" in page_of(page).linked
    assert (page.parent / "deltamark.xsd").read_text("utf-8") == configuration_schema()


def test_the_site_names_the_version(site: Path) -> None:
    assert f"<title>Deltamark {__version__}</title>" in (site / "docs" / "index.html").read_text("utf-8")


def test_the_search_finds_every_page_without_a_server(site: Path) -> None:
    index = (site / "searchindex.js").read_text("utf-8")

    assert "docs/how-to/answer-an-audit" in index
    assert "searchindex.js" in (site / "search.html").read_text("utf-8")


def test_exactly_the_pages_with_a_diagram_load_the_program_that_draws_it(site: Path) -> None:
    for page in PAGES:
        has_diagram = any(block.language == "mermaid" for block in blocks_of(page.read_text("utf-8")))
        built = (site / page.relative_to(ROOT)).with_suffix(".html").read_text("utf-8")
        assert ("_static/mermaid.tiny.js" in built) is has_diagram, page
        assert ('<pre class="mermaid">' in built) is has_diagram, page
