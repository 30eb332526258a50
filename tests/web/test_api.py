"""The API: each route answers as it is described, and only to those whose role is enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from litestar.handlers import HTTPRouteHandler
from openapi_spec_validator import validate

from deltamark.interfaces.http.app import ROUTES
from deltamark.interfaces.http.authentication import EVERYBODY, ROLE
from deltamark.interfaces.http.tokens import Tokens
from deltamark.interfaces.http.users import Role
from tests.web.conftest import OWN, Site

A = "/api/v1"
PERSON = {"type": "HR_Person"}
RULE = "SameMail"
READ = {
    "/entity-types": {}, "/jobs": {}, "/health": {}, "/position": {}, "/horizons": {}, "/resources": PERSON,
    "/exports": PERSON, "/resource": {**PERSON, "key": "E00001"}, "/resource/links": {**PERSON, "key": "E00001"},
    "/resource/why": {**PERSON, "key": "E00001"}, "/resource/history": {**PERSON, "key": "E00001"}, "/keys": {},
    "/pairs": {}, "/classifications": {}, "/dirty": {}, "/diff": {**PERSON, "from": "0", "to": "run:1"}, "/changes": {},
    "/runs": {}, "/runs/1": {}, "/runs/1/set-aside": {}, "/me": {}, "/openapi.json": {}, "/checkpoint": {},
    "/space": {}, "/configuration": {}, "/verifications": {}, "/verification-records": {}, "/ambiguous": {"rule": RULE},
    "/resource/audit": {**PERSON, "property": "LastName", "from": "0", "to": "run:1"},
}  # fmt: skip

EVERY = {"reader", "reviewer", "operator", "admin"}
MATRIX: dict[str, set[str]] = {
    "GET /changes/stream": EVERY, "GET /runs/{number:int}/held": {"reviewer", "admin"},
    "GET /runs/{number:int}/held/counts": {"reviewer", "admin"}, "POST /runs": {"operator", "admin"},
    "POST /runs/{number:int}/resume": {"operator", "admin"}, "POST /runs/{number:int}/cancel": {"operator", "admin"},
    "POST /runs/{number:int}/held/accept": {"reviewer", "admin"},
    "POST /runs/{number:int}/held/drop": {"reviewer", "admin"}, "GET /tokens": {"admin"}, "POST /tokens": {"admin"},
    "DELETE /tokens/{identifier:str}": {"admin"}, "GET /sessions": {"admin"},
    "DELETE /sessions/{identifier:str}": {"admin"}, "GET /runs/{number:int}": EVERY,
    "GET /runs/{number:int}/set-aside": EVERY, "GET /runs/{number:int}/stream": EVERY, "GET /faults": EVERY,
    "GET /verifications/{identifier:str}": EVERY, "POST /verifications": {"operator", "admin"},
    "POST /dry-runs": {"operator", "admin"}, "GET /dry-runs/{identifier:str}": {"operator", "admin"},
    "GET /dry-runs/{identifier:str}/changes": {"operator", "admin"},
    "POST /runs/{number:int}/held/effect": {"reviewer", "admin"},
    "GET /runs/{number:int}/held/effect": {"reviewer", "admin"},
} | {f"GET {path}": EVERY for path in READ if path != "/openapi.json" and "1" not in path}  # fmt: skip
"""Who may use each route of the API; nobody else."""


@pytest.fixture(scope="module")
def clients(site: Site) -> dict[str, Any]:
    return {"nobody": site.client(), **{role.value: site.signed_in(role, f"a {role.value}") for role in Role}}


def the_routes(site: Site) -> list[tuple[str, HTTPRouteHandler]]:
    return [
        (f"{method} {path}", handler)
        for route in site.app.routes
        for path in [route.path]
        for handler in getattr(route, "route_handlers", [])
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
        if isinstance(handler, HTTPRouteHandler) and handler.handler_name != "options_handler"
    ]


def test_every_route_names_its_role(site: Site) -> None:
    routes = [(name, h) for name, h in the_routes(site) if not name.startswith("OPTIONS")]

    assert len(routes) > 30
    assert [name for name, handler in routes if handler.opt.get(ROLE) is None] == []
    assert {h.handler_name for name, h in routes if h.opt[ROLE] == EVERYBODY} == {
        "live", "ready", "asset", "sign_in", "sign_in_with_oidc", "signed_in_with_oidc", "sign_out", "description",
    }  # fmt: skip


def test_every_route_of_the_api_is_for_the_roles_of_the_table(site: Site, clients: dict[str, Any]) -> None:
    named = {f"{method} {path}" for h in ROUTES for path in h.paths for method in h.http_methods if method != "OPTIONS"}
    assert named == set(MATRIX)
    for route, roles in MATRIX.items():
        method, _, path = route.partition(" ")
        if path.endswith("/stream"):
            continue
        url = A + path.replace("{number:int}", "999").replace("{identifier:str}", "none")
        for who, client in clients.items():
            status = client.request(method, url, headers=OWN, params=READ.get(path, {})).status_code
            if who == "nobody":
                assert status == 401, (route, who)
            else:
                assert (status == 403) == (who not in roles), (route, who, status)


@pytest.mark.parametrize("path", READ)
def test_a_route_that_reads_answers(clients: dict[str, Any], path: str) -> None:
    answer = clients["reader"].get(A + path, params=READ[path])

    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] in ("no-store", "no-cache")
    assert answer.text


def test_the_description_is_valid_and_names_every_route(site: Site) -> None:
    document = site.client().get(f"{A}/openapi.json").json()

    validate(document)
    assert document["openapi"].startswith("3.1")
    described = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    assert described == {handler.handler_name for handler in ROUTES}


def pages(ask: Callable[[dict[str, Any]], Any], rows: str, cursor: str) -> list[Any]:
    found: list[Any] = []
    place: dict[str, Any] = {}
    while True:
        page = ask(place).json()
        found += page[rows]
        if page["next"] is None or not page[rows]:
            return found
        place = {cursor: page["next"]}


def test_pages_of_resources_are_all_of_them_once(clients: dict[str, Any]) -> None:
    found = pages(
        lambda place: clients["reader"].get(f"{A}/resources", params={**PERSON, "limit": 7, **place}),
        "resources",
        "after",
    )

    keys = [row["key"] for row in found]
    assert keys == sorted(set(keys))
    assert len(keys) == 20


@pytest.mark.parametrize(
    ("path", "rows", "params"),
    [
        ("/keys", "keys", {}),
        ("/keys", "keys", {"rule": RULE}),
        ("/pairs", "pairs", {}),
        ("/classifications", "classifications", {}),
        ("/dirty", "dirty", {}),
        ("/diff", "differences", {**PERSON, "from": "0", "to": "run:1"}),
        ("/diff", "differences", {**PERSON, "from": "run:1", "to": "0"}),
    ],
)
def test_pages_are_the_whole_list_once(clients: dict[str, Any], path: str, rows: str, params: dict[str, str]) -> None:
    reader = clients["reader"]

    found = pages(lambda place: reader.get(A + path, params={**params, "limit": 7, **place}), rows, "after")

    lines = reader.get(A + path, params={**params, "format": "jsonl"}).text.splitlines()
    assert found == [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("path", ["/keys", "/pairs", "/classifications", "/dirty"])
def test_pages_of_who_sees_few_types_hold_all_that_they_see(site: Site, path: str) -> None:
    _, token = Tokens(site.tokens, site.time).create("few", Role.READER, timedelta(days=1), ["Directory_User"])
    client, bearer = site.client(), {"Authorization": f"Bearer {token}"}

    found = pages(lambda place: client.get(A + path, params={"limit": 3, **place}, headers=bearer), path[1:], "after")

    lines = client.get(A + path, params={"format": "jsonl"}, headers=bearer).text.splitlines()
    assert found == [json.loads(line) for line in lines[:-1]]
    assert "HR_Person" not in json.dumps(found)


@pytest.mark.parametrize(
    "after", ["", "{}", "[1]", '["a"]', '["a", "b", "c", "d", 5]', '["\\u0000","b","c","d","e"]', "[" * 9_999]
)
@pytest.mark.parametrize("path", ["/keys", "/pairs", "/classifications", "/dirty"])
def test_a_place_that_names_no_row_is_refused(clients: dict[str, Any], path: str, after: str) -> None:
    answer = clients["reader"].get(A + path, params={"after": after})

    assert (answer.status_code, answer.json()["type"]) == (400, "urn:deltamark:problem:usage-error")


def test_the_configuration_is_that_of_the_record(site: Site, clients: dict[str, Any]) -> None:
    answer = clients["reader"].get(f"{A}/configuration")
    then = clients["reader"].get(f"{A}/configuration", params={"at": "run:last"})

    assert answer.headers["content-type"].startswith("application/xml")
    assert answer.headers["etag"] == then.headers["etag"] == f'"{site.engine.configurations()[-1].digest}"'
    again = clients["reader"].get(f"{A}/configuration", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_an_audit_says_who_had_a_value(clients: dict[str, Any]) -> None:
    params = {**PERSON, "property": "EmployeeId", "from": "0", "to": "run:last"}

    one = clients["reader"].get(f"{A}/resource/audit", params={**params, "value": "E00003"}).json()
    few = clients["reader"].get(f"{A}/resource/audit", params={**params, "limit": 3}).json()
    refused = clients["reader"].get(f"{A}/resource/audit", params={"from": "0", "to": "run:1"})

    assert [row["key"] for row in one["held"]] == ["E00003"]
    assert (len(few["held"]), few["more"]) == (3, True)
    assert refused.status_code == 400


@pytest.mark.parametrize("start", [{}, {"after": 0}])
def test_pages_of_the_log_are_all_of_it_once(site: Site, clients: dict[str, Any], start: dict[str, int]) -> None:
    cursor = "after" if start else "before"
    found = pages(
        lambda place: clients["reader"].get(f"{A}/changes", params={"limit": 100, **(place or start)}),
        "changes",
        cursor,
    )

    positions = [change["position"] for change in found]
    expected = [change.position for change in site.engine.changes()]
    assert positions == (expected if start else expected[::-1])


FILTERS: list[tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = [
    ({"connector": "AD"}, lambda row: _subject(row).startswith("Directory") and not _computed(row)),
    ({"connector": "HR"}, lambda row: _subject(row).startswith("HR") and not _computed(row)),
    ({"task": "SynchronizeHR_DoNotDeleteChanges"}, lambda row: row["task"] == "SynchronizeHR_DoNotDeleteChanges"),
    ({"property": "LastName"}, lambda row: "LastName" in row.get("changes", {})),
    ({"association": "HR_Person_Manager"}, lambda row: row.get("association") == "HR_Person_Manager"),
    ({"rule": "DisplayName"}, lambda row: _computed(row) and "DisplayName" in row["changes"]),
]


def _subject(row: dict[str, Any]) -> str:
    return str(row.get("association") or row["entity_type"])


def _computed(row: dict[str, Any]) -> bool:
    return "Expressions" in row["task"] or row["task"].startswith("Compute")


@pytest.mark.parametrize(
    ("named", "is_wanted"), FILTERS, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_the_log_is_searched_by_each_filter(
    clients: dict[str, Any], named: dict[str, str], is_wanted: Callable[[dict[str, Any]], bool]
) -> None:
    def every(**params: str) -> list[dict[str, Any]]:
        answer = clients["reader"].get(f"{A}/changes", params={"format": "jsonl", **params})
        assert answer.status_code == 200, answer.text
        *rows, end = (json.loads(line) for line in answer.text.splitlines())
        assert end == {"end": True, "count": len(rows)}
        return rows

    whole = every()
    found = every(**named)
    newest = clients["reader"].get(f"{A}/changes", params={"limit": 1_000, **named}).json()["changes"]

    assert found == [row for row in whole if is_wanted(row)] != []
    assert newest == found[::-1][:1_000]


def test_pages_of_a_history_are_all_of_it_once(site: Site, clients: dict[str, Any]) -> None:
    person = {**PERSON, "key": "E00001"}
    found = pages(
        lambda place: clients["reader"].get(f"{A}/resource/history", params={"limit": 2, **person, **place}),
        "changes",
        "after",
    )

    positions = [change["position"] for change in found]
    assert len(positions) > 4
    assert positions == [change.position for change in site.engine.history("HR_Person", "E00001")]


@pytest.mark.parametrize("start", [{}, {"after": 2}])
def test_the_log_ends_at_a_moment_in_every_form(site: Site, clients: dict[str, Any], start: dict[str, int]) -> None:
    every = [change.position for change in site.engine.changes()]
    until = every[len(every) // 2]
    expected = [position for position in every if start.get("after", 0) < position <= until]
    reader, asked = clients["reader"], {"until": str(until), **start}
    cursor = "after" if start else "before"

    found = pages(
        lambda place: reader.get(f"{A}/changes", params={"limit": 100, **asked, **(place or {})}), "changes", cursor
    )
    lines = reader.get(f"{A}/changes", params={**asked, "format": "jsonl"}).text.splitlines()
    arrow = reader.get(f"{A}/changes", params={**asked, "format": "arrow"}).content

    assert [change["position"] for change in found] == (expected if start else expected[::-1])
    assert [json.loads(line).get("position") for line in lines[:-1]] == expected
    assert pa.ipc.open_stream(arrow).read_all()["position"].to_pylist() == expected


def test_nothing_is_beyond_a_moment_that_came_before_and_none_waits_for_the_past(clients: dict[str, Any]) -> None:
    page = clients["reader"].get(f"{A}/changes", params={"after": 9, "until": "run:1", "limit": 1}).json()
    past = clients["reader"].get(f"{A}/changes", params={"after": 9, "until": "3"}).json()
    refused = clients["reader"].get(f"{A}/changes", params={"until": "3", "wait": 1})

    assert len(page["changes"]) == 1
    assert (past["changes"], past["next"], past["more"]) == ([], 9, False)
    assert refused.status_code == 400


def test_the_log_is_one_in_every_form(site: Site, clients: dict[str, Any]) -> None:
    expected = [change.position for change in site.engine.changes()]
    reader = clients["reader"]

    lines = [json.loads(line) for line in reader.get(f"{A}/changes?format=jsonl").text.splitlines()]
    text = reader.get(f"{A}/changes", headers={"Accept": "text/csv"}).text
    arrow = reader.get(f"{A}/changes", headers={"Accept": "application/vnd.apache.arrow.stream"}).content

    assert [line["position"] for line in lines[:-1]] == expected
    assert lines[-1] == {"end": True, "count": len(expected)}
    assert len(text.splitlines()) == len(expected) + 1
    assert pa.ipc.open_stream(arrow).read_all()["position"].to_pylist() == expected
    assert reader.get(f"{A}/changes", headers={"Accept": "image/png"}).status_code == 406


def test_resources_are_the_same_in_every_form(site: Site, clients: dict[str, Any]) -> None:
    reader = clients["reader"]

    lines = reader.get(f"{A}/resources", params={**PERSON, "format": "jsonl"}).text.splitlines()
    arrow = pa.ipc.open_stream(reader.get(f"{A}/resources", params={**PERSON, "format": "arrow"}).content).read_all()

    assert len(lines) == 21
    assert arrow.to_pylist() == site.engine.export("HR_Person").select(arrow.column_names).to_pylist()
    assert not {"HR_Person_Department"} & set(arrow.column_names)  # who may see persons need not see departments


def test_what_is_known_already_is_not_sent_again(clients: dict[str, Any]) -> None:
    params = {**PERSON, "key": "E00001"}
    etag = clients["reader"].get(f"{A}/resource", params=params).headers["etag"]

    again = clients["reader"].get(f"{A}/resource", params=params, headers={"If-None-Match": etag})

    assert (again.status_code, again.content) == (304, b"")
    assert (
        "immutable" in clients["reader"].get(f"{A}/resource", params={**params, "at": "run:1"}).headers["cache-control"]
    )


HOSTILE = [
    "a/b",
    "..",
    "/",
    "",
    "?#&%2e",
    "<script>alert(1)</script>",
    "x" * 1_000,
    "\u202eltr",
    "a\nb",
    "%00",
    "\ud7ff",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_is_looked_up_as_it_is(clients: dict[str, Any], key: str) -> None:
    answer = clients["reader"].get(f"{A}/resource", params={**PERSON, "key": key})

    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "params", "status", "kind"),
    [
        ("/resources", {"type": "Nothing"}, 400, "usage-error"),
        ("/resources", {}, 400, "bad-request"),
        ("/resources", {**PERSON, "limit": 0}, 400, "bad-request"),
        ("/resources", {**PERSON, "limit": -89600862170}, 400, "bad-request"),
        ("/changes", {"after": 2**63}, 400, "bad-request"),
        ("/changes", {"after": 10**15}, 400, "usage-error"),
        ("/changes", {"after": 1, "before": 9}, 400, "usage-error"),
        ("/runs/77", {}, 404, "run-not-found"),
        ("/resource", {**PERSON, "key": "E00001", "at": "yesterday-ish"}, 400, "usage-error"),
        ("/resource", {**PERSON, "key": "E00001", "at": "2026-11-24T08:15:30"}, 400, "usage-error"),
        ("/resource", {**PERSON, "key": "E00001", "at": "9999-12-31T23:59:59-14:00"}, 400, "usage-error"),
        ("/resource", {**PERSON, "key": "E00001", "at": "0001-01-01T00:00:00+14:00"}, 404, "not-found"),
        ("/resource/history", {**PERSON, "key": "nobody"}, 400, "usage-error"),
        ("/nothing", {}, 404, "not-found"),
    ],
)
def test_an_error_is_a_problem(
    clients: dict[str, Any], path: str, params: dict[str, Any], status: int, kind: str
) -> None:
    answer = clients["reader"].get(A + path, params=params)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:deltamark:problem:{kind}"
    assert problem["status"] == status
    assert problem["detail"]


def test_a_failure_inside_says_only_its_number(site: Site, clients: dict[str, Any], monkeypatch) -> None:
    def fail() -> int:
        raise ValueError("a secret")

    monkeypatch.setattr(site.engine, "counts", fail)

    answer = clients["reader"].get(f"{A}/entity-types")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["instance"].startswith("urn:deltamark:failure:")


@pytest.mark.parametrize("path", ["/resource?type=HR_Person&key=P1", "/health", "/entity-types", "/jobs"])
def test_a_route_of_one_document_refuses_the_forms_of_rows_by_name(clients: dict[str, Any], path: str) -> None:
    reader = clients["reader"]
    sign = "&" if "?" in path else "?"
    for answer in (
        reader.get(f"/api/v1{path}{sign}format=jsonl"),
        reader.get(f"/api/v1{path}", headers={"Accept": "text/csv"}),
    ):
        assert answer.status_code == 406, answer.text
        assert "jsonl or csv" in answer.json()["detail"]
    assert reader.get(f"/api/v1{path}", headers={"Accept": "text/csv, */*;q=0.1"}).status_code != 406


@pytest.mark.parametrize(
    "path", ["/changes?to=3", "/resource/history?type=HR_Person&key=P1&form=jsonl", "/space?Limit=1"]
)
def test_a_parameter_that_a_route_does_not_know_is_refused(clients: dict[str, Any], path: str) -> None:
    """An answer that leaves it out would look as if it had been kept to."""
    answer = clients["reader"].get(f"/api/v1{path}")
    assert answer.status_code == 400, answer.text
    name = path.rpartition("=")[0].rpartition("&")[2].rpartition("?")[2]
    assert answer.json()["detail"].startswith(f"{name}: this route has no such parameter. It has "), answer.text


def test_csv_holds_no_formula_unless_it_is_asked_for(clients: dict[str, Any]) -> None:
    safe = clients["reader"].get(f"{A}/resources", params={**PERSON, "format": "csv"}).text
    raw = clients["reader"].get(f"{A}/resources", params={**PERSON, "format": "csv", "raw": "1"}).text

    assert safe.startswith('"key"')
    assert raw.startswith("key,")


def test_what_happens_is_measured_without_names(clients: dict[str, Any]) -> None:
    assert clients["reader"].get(f"{A}/resource", params={**PERSON, "key": "E00001"}).status_code == 200

    text = clients["reader"].get("/metrics").text

    assert "deltamark_log_position" in text
    assert 'route="/api/v1/resource"' in text
    assert "E00001" not in text


def test_a_token_is_shown_once_and_is_of_use_until_it_ends(site: Site, clients: dict[str, Any]) -> None:
    made = clients["admin"].post(
        f"{A}/tokens",
        json={"name": "a program", "role": "reader", "days": 2, "entity_types": ["HR_Person"]},
        headers=OWN,
    )
    assert made.status_code == 201, made.text
    client, token = site.client(), made.json()
    bearer = {"Authorization": f"Bearer {token['token']}"}

    assert client.get(f"{A}/me", headers=bearer).json()["user"] == "a program"
    assert client.get(f"{A}/resources", params=PERSON, headers=bearer).status_code == 200
    assert client.get(f"{A}/resources", params={"type": "AD_User"}, headers=bearer).status_code == 403
    assert client.post(f"{A}/tokens", headers=bearer, json={}).status_code == 403
    assert token["token"].rpartition("_")[2] not in clients["admin"].get(f"{A}/tokens").text
    assert token["token"].rpartition("_")[2] not in site.tokens.read_text()
    assert site.tokens.stat().st_mode & 0o777 == 0o600
    changes = client.get(f"{A}/changes", params={"after": 0, "limit": 1000}, headers=bearer).json()["changes"]
    assert changes
    assert {change["entity_type"] for change in changes} == {"HR_Person"}
    assert all(change.get("other_entity_type", "HR_Person") == "HR_Person" for change in changes)
    document = client.get(f"{A}/resource", params={**PERSON, "key": "E00001"}, headers=bearer).json()
    assert not document["links"].keys() & {"HR_Person_Department"}

    site.time.goes_on(timedelta(days=2))
    assert client.get(f"{A}/me", headers=bearer).status_code == 401
    again = site.signed_in().delete(f"{A}/tokens/{token['identifier']}", headers=OWN)
    assert again.status_code == 204


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer dm_00000000_" + "x" * 43, "Basic YTpi", "Bearer \u00e9"])
def test_a_token_that_is_none_is_refused_also_with_a_session(clients: dict[str, Any], token: str) -> None:
    answer = clients["admin"].get(f"{A}/me", headers={"Authorization": token.encode()})

    assert answer.status_code == 401
