"""Every page is found from the first one, is readable without JavaScript, and shows values as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from lxml import html

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.resources.resource import ResourceRef
from deltamark.engine import Engine
from deltamark.interfaces.http.console.pages.log import LogFilter, rows_beyond
from deltamark.interfaces.http.console.rendering import environment, resource_url
from deltamark.interfaces.http.users import Role
from tests.web.conftest import OWN, Site
from tests.web.console.company import HOSTILE

PAGES = {
    "/": "Overview",
    "/runs": "Runs",
    "/runs?before=3&job=Incremental&run_state=completed": "Runs",
    "/runs/3": "Run 3",
    "/runs/6": "Run 6",
    "/held/6": "Held back",
    "/held/6?kind=unlinked": "Held back",
    "/resources": "Resources",
    "/resources?type=HR_Person&property=Location&value=Porto&prefix=E": "Resources",
    "/resource?type=HR_Person&key=E00002": "E00002",
    "/resource?type=HR_Person&key=E00002&at=100": "E00002",
    "/resource?type=HR_Person&key=E00002&date=2026-11-19T12:00": "E00002",
    "/log": "Log",
    "/log?type=HR_Person&kind=computed&run=2&property=DisplayName": "Log",
    "/derived": "Derived",
    "/derived?show=pairs": "Derived",
    "/derived?show=keys&name=SameMail": "Derived",
    "/derived?show=classifications": "Derived",
    "/derived?show=dirty": "Derived",
    "/configuration": "Configuration",
    "/configuration?show=model": "Configuration",
    "/configuration?show=dependencies": "Configuration",
    "/configuration?show=history": "Configuration",
    "/configuration?show=plan": "Configuration",
    "/integrity": "Integrity",
    "/schedule": "Schedule",
    "/find?q=E000": "Find",
    "/find?q=marec": "Find",
    "/value?type=HR_Person&property=Location&value=Lisboa": "Who had this value",
    "/log?day=2026-11-17": "Log",
    "/log?run=2": "Log",
}


@pytest.fixture(scope="module")
def seen(reader: TestClient[Litestar]) -> dict[str, html.HtmlElement]:
    """Each page, read once."""
    found = {}
    for address in PAGES:
        answer = reader.get(address)
        assert answer.status_code == 200, (address, answer.text)
        found[address] = html.document_fromstring(answer.text)
    return found


def test_each_page_has_one_heading_and_a_title(seen: dict[str, html.HtmlElement]) -> None:
    for address, heading in PAGES.items():
        [h1] = seen[address].iter("h1")

        assert h1.text_content().startswith(heading), address
        assert (seen[address].findtext(".//title") or "").endswith("· Deltamark"), address


def test_pages_need_no_script_and_no_style_of_their_own(seen: dict[str, html.HtmlElement]) -> None:
    for address, page in seen.items():
        for element in page.iter():
            attributes = dict(element.attrib) if isinstance(element.tag, str) else {}
            assert not [name for name in attributes if name == "style" or name.startswith("on")], (address, attributes)
        scripts = list(page.iter("script"))
        assert [script.text for script in scripts] == [None] * len(scripts), address
        assert all(script.get("src", "").startswith("/static/") for script in scripts), address
        assert not list(page.iter("style")), address


def test_htmx_is_loaded_before_its_extension_and_not_deferred(seen: dict[str, html.HtmlElement]) -> None:
    htmx, extension, *others = seen["/"].iter("script")

    assert (htmx.get("src"), extension.get("src")) == ("/static/vendor/htmx.min.js", "/static/vendor/hx-sse.min.js")
    assert "defer" not in htmx.attrib
    assert "defer" not in extension.attrib
    assert all("defer" in other.attrib for other in others)


def test_ids_are_unique_and_tables_have_headings(seen: dict[str, html.HtmlElement]) -> None:
    for address, page in seen.items():
        ids = [element.get("id") for element in page.iter() if isinstance(element.tag, str) and element.get("id")]
        assert len(ids) == len(set(ids)), address
        assert all(heading.get("scope") for heading in page.iter("th")), address


def test_every_graph_and_chart_has_its_numbers_or_names_as_text(seen: dict[str, html.HtmlElement]) -> None:
    for address, page in seen.items():
        for figure in page.iter("figure"):
            assert figure.find(".//table") is not None, address
        for graph in page.iter("div"):
            if graph.get("data-graph"):
                assert graph.get("aria-label"), address
                assert page.find(".//table") is not None, address


def test_every_link_leads_somewhere(reader: TestClient[Litestar], seen: dict[str, html.HtmlElement]) -> None:
    tried: set[str] = set()
    for page in seen.values():
        for link in sorted(set(_links(page)) - tried, key=len)[:12]:
            tried.add(link)
            answer = reader.get(link)
            assert answer.status_code in (200, 302, 303), (link, answer.text)

    assert len(tried) > 60


def _links(page: html.HtmlElement) -> Iterator[str]:
    for link in page.iter("a"):
        address = urlsplit(link.get("href", ""))
        if address.path.startswith("/"):
            yield f"{address.path}?{address.query}"


def test_a_hostile_value_is_text_on_every_page_that_shows_it(seen: dict[str, html.HtmlElement]) -> None:
    showing = [address for address, page in seen.items() if "onerror" in page.text_content()]

    assert len(showing) >= 2
    for address, page in seen.items():
        assert not list(page.iter("img")), address
        assert "\u202e" not in page.text_content(), address
        assert "\x07" not in page.text_content(), address
        assert (
            "49" not in page.text_content() or "{{7*7}}" in page.text_content() or "onerror" not in page.text_content()
        )
    assert (
        '<img src=x onerror="alert(1)">\\u202e<script>alert(2)</script>\\x07{{7*7}}'
        in seen["/resource?type=HR_Person&key=E00002"].text_content()
    )
    assert "\u202e" in HOSTILE


@pytest.mark.parametrize(
    "key",
    ["a/b", "..", "?#&%2e", "<script>alert(1)</script>", "x" * 1000, "\u202eabc", "", "a\nb", " ", "CN=Ann,OU=a+b"],
)
def test_the_page_of_any_key_opens_and_shows_it_as_text(reader: TestClient[Litestar], key: str) -> None:
    answer = reader.get(resource_url(ResourceRef("HR_Person", key)), headers={"Accept": "text/html"})

    assert answer.status_code in (400, 404)  # there is none of these keys, which the page says
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text


def test_templates_call_nothing_that_marks_values_as_safe() -> None:
    loader = environment().loader
    assert loader is not None
    for name in environment().list_templates():
        source = loader.get_source(environment(), name)[0]
        assert not re.search(r"\|\s*safe|autoescape|hx-on|\bjs:|hx-vals|\bstyle=", source), name
        assert not re.search(r"hx-trigger=\"[^\"]*\[", source), name


def test_runs_can_be_followed_back(reader: TestClient[Litestar]) -> None:
    page = html.document_fromstring(reader.get("/runs?before=3").text)

    assert [row.get("href") for row in page.xpath("//tbody//th/a")] == ["/runs/2", "/runs/1"]


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        ("run 3", "/runs/3"),
        ("#12", "/log?before=13"),
        ("HR_Person E00002", "/resource?type=HR_Person&key=E00002"),
        ("E00002", "/resource?type=HR_Person&key=E00002"),
    ],
)
def test_the_search_box_goes_to_what_it_names(reader: TestClient[Litestar], asked: str, address: str) -> None:
    answer = reader.get("/find", params={"q": asked})

    assert (answer.status_code, answer.headers["location"]) == (302, address)


def test_what_cannot_be_found_is_answered_as_a_page(reader: TestClient[Litestar]) -> None:
    for address in (
        "/runs/99",
        "/resource?type=Nothing&key=a",
        "/log?before=x",
        "/resource?type=HR_Person&key=E00002&at=no",
    ):
        answer = reader.get(address, headers={"Accept": "text/html"})

        assert answer.status_code in (400, 404), address
        assert "<h1>" in answer.text, address


def test_a_decision_is_refused_that_is_about_something_else_or_says_not_why(site: Site, engine: Engine) -> None:
    reviewer = site.signed_in(Role.REVIEWER, "rita")
    version = str(engine.run(6).version)
    count = str(sum(each.count for each in engine.pending_counts(6)))
    form = {"version": version, "count": count, "reason": "Moved", "deed": "accept"}

    for changed, words, status in (
        ({"version": "1"}, "Somebody decided about run 6", 412),
        ({"count": "1"}, "repeat the number of changes", 400),
        ({"reason": " "}, "Say why", 400),
        ({"deed": "both"}, "Choose", 400),
    ):
        answer = reviewer.post("/held/6", data={**form, **changed}, headers=OWN)

        assert answer.status_code == status, changed
        assert words in html.document_fromstring(answer.text).findtext(".//*[@role='alert']", ""), changed
    assert reviewer.post("/held/6", data=form).status_code == 403  # from another site
    assert site.signed_in(Role.READER, "ria").post("/held/6", data=form, headers=OWN).status_code == 403
    assert site.signed_in(Role.OPERATOR, "otto").post("/held/6", data=form, headers=OWN).status_code == 403
    assert engine.run(6).state is TaskState.BLOCKED


def test_readers_start_nothing(site: Site, engine: Engine) -> None:
    reader = site.signed_in(Role.READER, "ria")
    newest = engine.runs(limit=1)[0].number

    assert "Start a job" not in reader.get("/runs").text
    assert reader.post("/runs", data={"job": "Incremental"}, headers=OWN).status_code == 403
    assert reader.post("/runs/6", data={"deed": "cancel"}, headers=OWN).status_code == 403
    answer = site.signed_in(Role.OPERATOR, "otto").post("/runs/6", data={"deed": "cancel"}, headers=OWN)
    assert (answer.status_code, "a reviewer" in answer.text) == (400, True)
    assert engine.runs(limit=1)[0].number == newest


def test_rows_that_follow_a_position_are_sent_newest_first_and_not_too_many(engine: Engine) -> None:
    head = engine.position()

    few, reached = rows_beyond(engine, LogFilter(), head - 5)
    many, to = rows_beyond(engine, LogFilter(), 0)

    shown = [int(text.replace(",", "")) for text in re.findall(r'class="n"><a [^>]+>([\d,]+)</a>', few)]
    assert shown == sorted(shown, reverse=True)
    assert reached == to == head
    assert "More changes came" in many
    assert "More changes came" not in few
    assert rows_beyond(engine, LogFilter(), head) == ("", head)
