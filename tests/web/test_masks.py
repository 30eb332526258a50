"""Masks: whoever may not see a property sees it nowhere, whatever is asked."""

from __future__ import annotations

import inspect
from typing import Any

import orjson
import pytest

from deltamark.domain.errors import UsageError
from deltamark.engine import Engine
from deltamark.interfaces.http import masks
from deltamark.interfaces.http.feed import message_of
from deltamark.interfaces.http.masks import MASK, Masks
from deltamark.interfaces.http.settings import MaskSettings
from deltamark.interfaces.http.users import Role, SignInMethod, User
from tests.web.conftest import OWN, NewSite, Site
from tests.web.test_api import MATRIX, READ

A = "/api/v1"
HIDDEN = {"HR_Person": frozenset({"LastName", "Phone"})}
SEEN_BY = MaskSettings(properties=HIDDEN, unmasked=("admin", "carla"))


@pytest.fixture(scope="module")
def site(new_site: NewSite) -> Site:
    return new_site(masks=SEEN_BY)


@pytest.fixture(scope="module")
def secrets(engine: Engine) -> set[str]:
    """The values that must not be seen: those of HR, and what is computed from them."""
    values = {
        str(row.values[name])
        for row in engine.export_resources("HR_Person")
        for name in HIDDEN["HR_Person"]
        if row.values.get(name)
    }
    assert len(values) > 20
    return values


PAGES = (
    "/", "/runs", "/runs/1", "/resources?type=HR_Person", "/resource?type=HR_Person&key=E00001", "/log", "/derived",
    "/derived?show=keys", "/derived?show=pairs", "/derived?show=ambiguous", "/configuration", "/integrity", "/schedule",
    "/find?q=E00001", "/log?type=HR_Person",
)  # fmt: skip
FORMS = ("application/json", "application/jsonl", "text/csv", "application/cloudevents-batch+json")


def answers(client: Any) -> list[tuple[str, str]]:
    """Every answer that reads, in every form, and every page."""
    found = [(page, client.get(page, headers={"Accept": "text/html"}).text) for page in PAGES]
    for path in [route.removeprefix("GET ") for route in MATRIX if route.startswith("GET ")]:
        if path.endswith("/stream") or "{" in path:
            continue
        asked = READ.get(path, {})
        texts = {form: client.get(A + path, params=asked, headers={"Accept": form}).text for form in FORMS}
        found += [(f"{path} {form}", text) for form, text in texts.items()]
    found.append(("/runs/1", client.get(f"{A}/runs/1").text))
    found.append(("/runs/1/set-aside", client.get(f"{A}/runs/1/set-aside").text))
    return found


def test_every_page_is_there_for_those_who_see_masks(site: Site) -> None:
    client = site.signed_in(Role.READER, "bob")
    assert [page for page in PAGES if client.get(page, headers={"Accept": "text/html"}).status_code >= 400] == []


def shows(text: str, secrets: set[str]) -> list[str]:
    return sorted(
        secret for secret in secrets if f'"{secret}"' in text or f">{secret}<" in text or f",{secret}," in text
    )


def test_a_reader_sees_no_masked_value_in_any_answer_and_an_administrator_does(site: Site, secrets: set[str]) -> None:
    reader, admin = answers(site.signed_in(Role.READER, "bob")), answers(site.signed_in(Role.ADMIN, "ann"))

    assert [(where, found) for where, text in reader if (found := shows(text, secrets))] == []
    assert sum(bool(shows(text, secrets)) for _, text in admin) > 10, "the control: unmasked answers do show them"
    assert sum(MASK in text for _, text in reader) > 10


def test_who_sees_masked_properties_is_a_role_or_a_person_but_no_person_named_like_a_role(site: Site) -> None:
    def sees(role: Role, name: str) -> bool:
        found = site.signed_in(role, name).get(f"{A}/resource", params={"type": "HR_Person", "key": "E00001"}).json()
        return bool(found["properties"]["LastName"] != MASK)

    assert [sees(Role.READER, "bob"), sees(Role.READER, "carla"), sees(Role.ADMIN, "dan")] == [False, True, True]
    assert not sees(Role.READER, "admin")


def test_nobody_searches_by_what_they_do_not_see(site: Site, engine: Engine) -> None:
    client = site.signed_in(Role.READER, "bob")
    name = engine.resource("HR_Person", "E00001").values["LastName"]  # type: ignore[union-attr]
    for value in (name, "nobody"):
        asked = {"type": "HR_Person", "property": "LastName", "value": value}
        assert client.get(f"{A}/resources", params=asked).status_code == 403
        assert client.get(f"/resources?type=HR_Person&property=LastName&value={value}").status_code == 403


def test_arrow_and_reports_are_refused(site: Site) -> None:
    client = site.signed_in(Role.OPERATOR, "bob")
    arrow = {"Accept": "application/vnd.apache.arrow.stream"}
    assert client.get(f"{A}/exports", params={"type": "HR_Person"}, headers=arrow).status_code == 403
    assert client.get(f"{A}/exports", params={"type": "HR_Department"}, headers=arrow).status_code == 200
    assert client.get(f"{A}/resources", params={"type": "HR_Person"}, headers=arrow).status_code == 403
    assert client.get(f"{A}/changes", headers=arrow).status_code == 403
    assert client.post(f"{A}/dry-runs", headers=OWN, json={"job": "Incremental"}).status_code in (403, 404)


def test_the_feed_shows_masks(site: Site, engine: Engine, secrets: set[str]) -> None:
    masked = Masks(engine, SEEN_BY).engine_for(User(name="bob", role=Role.READER, method=SignInMethod.LINK))
    page = engine.changes_page(after=0, limit=500, entity_type="HR_Person")
    assert any(shows(message_of(change).decode(), secrets) for change in page.changes)
    assert not any(shows(message_of(masked.change(change)).decode(), secrets) for change in page.changes)


def test_what_is_computed_from_a_masked_property_is_masked_too(engine: Engine) -> None:
    masked = Masks(engine, SEEN_BY).engine_for(User(name="bob", role=Role.READER, method=SignInMethod.LINK))
    reading = {
        (each.derivation.entity_type, each.derivation.name)
        for each in engine.derivations()
        for part in each.dependencies
        if part.property in HIDDEN.get(part.leads_to, ())
    }
    assert reading, "the sample company computes from names"
    for entity_type, name in reading:
        assert name in masked._hidden.get(entity_type, ()) or name in masked._rules


def test_a_method_that_is_not_known_is_refused(engine: Engine) -> None:
    """A control for methods that are written later: each is either masked here, known to show nothing, or refused."""
    masked = Masks(engine, SEEN_BY).engine_for(User(name="bob", role=Role.READER, method=SignInMethod.LINK))
    for name, _ in inspect.getmembers(Engine, inspect.isfunction):
        if name.startswith("_") or name in masks._PASSED or name in vars(type(masked)):
            continue
        with pytest.raises(Exception, match="masked for you"):
            getattr(masked, name)


@pytest.mark.parametrize(
    ("properties", "fault"),
    [
        ({"HR_Persn": frozenset({"Mail"})}, "unknown entity type"),
        ({"HR_Person": frozenset({"Mial"})}, 'did you mean "Mail"'),
        ({"HR_Person": frozenset({"EmployeeId"})}, "cannot be masked"),
    ],
)
def test_a_mask_of_nothing_or_of_a_key_is_refused(
    engine: Engine, properties: dict[str, frozenset[str]], fault: str
) -> None:
    with pytest.raises(UsageError, match=fault):
        Masks(engine, MaskSettings(properties=properties))


def test_rows_and_messages_that_may_quote_values_are_masked(site: Site) -> None:
    run = site.signed_in(Role.READER, "bob").get(f"{A}/runs/1").json()
    assert {message for task in run["tasks"] for message in task["messages"]} <= {MASK}
    assert orjson.dumps(run)
