"""People who see only some entity types: what groups grant, and that no route shows them anything of the others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from deltamark import ConfigurationError, Engine, JobRun, TaskState, UsageError
from deltamark.config.settings import load_settings
from deltamark.interfaces.http.settings import HttpSettings, OidcSettings, Proxy, networks_of
from deltamark.interfaces.http.settings_of_file import http_settings
from deltamark.interfaces.http.users import Grant, Role
from tests.web.conftest import OWN, NewSite, Site

SOME = frozenset({"HR_Person"})
GROUPS = {f"{role.value}s of HR": Grant(role=role, entity_types=SOME) for role in Role} | {
    "everything": Grant(role=Role.ADMIN),
}
PROXY = Proxy(networks=networks_of("127.0.0.0/8"), header="X-User", groups_header="X-Groups")
ENDLESS = ("/stream", "/live")


@pytest.fixture(scope="module")
def lived(_company: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The company after a row that was set aside, and accounts whose deletion is held back."""
    folder = shutil.copytree(
        _company, tmp_path_factory.mktemp("types") / "company", ignore=shutil.ignore_patterns("*-shm", "*-wal")
    )
    accounts = folder / "exports" / "AD_Account.csv"
    header, first, second, *rest = accounts.read_text("utf-8").splitlines()
    with Engine.open(
        f"sqlite:///{folder}/deltamark.db", configuration=folder / "configuration", export_output=folder / "exports"
    ) as engine:
        if engine.position() == 0:
            engine.run_job("Incremental")
        accounts.write_text("\n".join([header, first, second + ",too,many,cells", *rest, ""]), "utf-8")
        engine.run_job("Incremental")
        accounts.write_text("\n".join([header, first, second, ""]), "utf-8")
        assert engine.run_job("Incremental").state is TaskState.BLOCKED
    return folder


@pytest.fixture(scope="module")
def site(lived: Path, new_site: NewSite) -> Iterator[Site]:
    with Engine.open(f"sqlite:///{lived}/deltamark.db", configuration=lived / "configuration") as engine:
        yield new_site(engine, proxy=PROXY, groups=GROUPS)


def person(groups: str) -> dict[str, str]:
    return {"X-User": "ann", "X-Groups": groups, **OWN}


@pytest.fixture(scope="module")
def hidden(site: Site) -> set[str]:
    """Keys of resources of other types, which are in no value of a person."""
    people = {word for found in site.engine.export_resources("HR_Person") for word in words_of(str(found.values))}
    keys = {found.key for name in ("Directory_User", "HR_Department") for found in site.engine.export_resources(name)}
    return keys - people


def words_of(text: str) -> set[str]:
    return set(re.split(r"[^\w.@-]+", text))


def routes(site: Site) -> list[tuple[str, str, HTTPRouteHandler]]:
    return [
        (method, route.path, handler)
        for route in site.app.routes
        for handler in getattr(route, "route_handlers", [])
        if isinstance(handler, HTTPRouteHandler) and handler.handler_name != "options_handler"
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
    ]


ONE_BY_ONE = {"resources": ("property",), "changes": ("property", "rule")}
"""Parameters of routes that exclude others."""


def questions(site: Site, path: str, handler: HTTPRouteHandler) -> Iterator[tuple[str, dict[str, str]]]:
    """Addresses of a route, with parameters about each entity type, in each form."""
    known = {
        field.kwarg_definition.name or name
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    } | {name for name in ("type", "key", "q", "show", "association") if name in handler.parsed_fn_signature.parameters}
    engine = site.engine
    rule = next(iter(engine.keys())).rule
    last = max(run.number for run in engine.runs())
    for defined in engine.configuration.entity_types if known & {"type", "key", "q"} else [None]:
        key = "" if defined is None else next(iter(engine.export_resources(defined.identifier))).key
        name = "" if defined is None else defined.identifier
        values = {"type": name, "key": key, "q": f"{name} {key}", "from": "0", "to": "run:last", "rule": rule}
        values |= {"property": "" if defined is None else defined.properties[0].identifier}
        given = {name: value for name, value in values.items() if name in known}
        for other in ONE_BY_ONE.get(handler.handler_name or "", ()):
            given.pop(other)
        for number in (1, last - 1, last) if "{number:int}" in path else (1,):
            url = path.replace("{number:int}", str(number)).replace("{identifier:str}", "none")
            for form in ("", "jsonl", "csv", "arrow") if "format" in known else ("",):
                yield url, {**given, "format": form} if form else given
        if "association" in known:
            for association in engine.configuration.associations:
                others = {name: value for name, value in given.items() if name != "property"}
                yield path, {**others, "association": association.identifier}
        if "connector" in known:
            for connector in engine.configuration.connectors:
                yield path, {"connector": connector.identifier}
            yield path, {"property": values["property"]}


def asked(site: Site, client: Any, groups: str) -> Iterator[tuple[str, Any]]:
    for method, path, handler in routes(site):
        if method != "GET" or path.endswith(ENDLESS) or path.startswith(("/static", "/sign-in")):
            continue
        for url, parameters in questions(site, path, handler):
            yield f"{url} {parameters}", client.get(url, params=parameters, headers=person(groups))


@pytest.mark.parametrize("role", [*[pytest.param(role, marks=pytest.mark.slow) for role in Role][:3], Role.ADMIN])
def test_no_route_and_no_page_shows_anything_of_other_types(site: Site, hidden: set[str], role: Role) -> None:
    client, answered = site.client(), 0
    for question, answer in asked(site, client, f"others, {role.value}s of HR"):
        assert answer.status_code < 500, question
        leaked = words_of(answer.content.decode("utf-8", "replace")) & hidden
        assert not leaked, (question, sorted(leaked)[:5])
        answered += answer.status_code == 200
    assert answered > 15


def test_who_sees_all_types_is_shown_the_others_by_many_routes(site: Site, hidden: set[str]) -> None:
    """The control: the words that must not be shown are in the answers."""
    client = site.client()
    shows = {
        question.partition(" ")[0]
        for question, answer in asked(site, client, "everything")
        if words_of(answer.content.decode("utf-8", "replace")) & hidden
    }
    assert len(shows) > 15
    assert {"/api/v1/changes", "/api/v1/exports", "/api/v1/runs/3/held", "/log", "/resources"} <= shows


def test_a_person_who_sees_some_types_decides_and_grants_nothing_beyond_them(site: Site) -> None:
    client, ann = site.client(), person("admins of HR")
    etag = client.get("/api/v1/runs/3", headers=ann).headers["etag"]
    deeds = [
        ("/api/v1/runs/3/resume", {"reason": "x"}), ("/api/v1/runs/3/cancel", {"reason": "x"}),
        ("/api/v1/runs/3/held/accept", {"reason": "x"}), ("/api/v1/runs/3/held/drop", {"reason": "x"}),
        ("/api/v1/verifications", {}), ("/api/v1/dry-runs", {"job": "Incremental"}),
        ("/api/v1/tokens", {"name": "all", "role": "admin"}),
        ("/api/v1/tokens", {"name": "more", "role": "reader", "entity_types": ["HR_Person", "Directory_User"]}),
    ]  # fmt: skip
    for path, body in deeds:
        answer = client.post(path, headers={**ann, "If-Match": etag}, json=body)
        assert answer.status_code == 403, (path, answer.text)
    assert (
        client.post("/access/tokens", headers=ann, data={"name": "x", "role": "admin", "days": "7"}).status_code == 403
    )
    made = {"name": "own", "role": "reader", "entity_types": ["HR_Person"]}
    assert client.post("/api/v1/tokens", headers=ann, json=made).status_code == 201
    assert [token["name"] for token in client.get("/api/v1/tokens", headers=person("everything")).json()] == ["own"]
    assert client.get("/metrics", headers=ann).status_code == 403


class Begun:
    """Answers that a run has begun, which by now has ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, *_: object, **__: object) -> JobRun:
        return self._engine.run(3, with_rows=False)

    resume = cancel = start


def test_a_run_that_is_started_again_says_no_more_than_it_may(new_site: NewSite, site: Site) -> None:
    client = new_site(site.engine, given={"runs": Begun(site.engine)}, proxy=PROXY, groups=GROUPS).client()
    said = [line for task in site.engine.run(3, with_rows=False).tasks for line in task.messages]
    assert said

    def started(groups: str) -> str:
        headers = {**person(groups), "Idempotency-Key": groups}
        answers = [client.post("/api/v1/runs", headers=headers, json={"job": "Incremental"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        return "".join(answer.text for answer in answers)

    assert all(line[:40] not in started("operators of HR") for line in said)
    assert any(line[:40] in started("everything") for line in said), "the control"


def test_a_type_of_others_is_no_filter_of_what_is_held_back(site: Site) -> None:
    client = site.client()
    asked = {"type": "Directory_User", "key": "nobody", "limit": "1"}

    assert client.get("/api/v1/runs/3/held", params=asked, headers=person("reviewers of HR")).status_code == 403
    assert client.get("/api/v1/runs/3/held", params=asked, headers=person("everything")).status_code == 200


def test_a_group_grants_role_and_types_and_a_name_comes_before_groups() -> None:
    settings = HttpSettings(users={"ann": Role.ADMIN}, groups=GROUPS, default_role=Role.READER)
    assert settings.granted("ann", ["readers of HR"]) == Grant(role=Role.ADMIN)
    assert settings.granted("bob", ["x", "reviewers of HR", "everything"]) == GROUPS["reviewers of HR"]
    assert settings.granted("bob", []) == Grant(role=Role.READER)
    assert HttpSettings(groups=GROUPS).granted("bob", ["x"]) is None
    oidc = OidcSettings(issuer="https://id.example", client_id="x", groups={"g": Role.OPERATOR})
    assert HttpSettings(oidc=oidc, groups=GROUPS).granted("bob", ["g", "everything"]) == Grant(role=Role.OPERATOR)


def test_the_header_of_groups_is_believed_from_the_proxy_only(site: Site) -> None:
    inside, outside = site.client(), site.client(address="192.0.2.7")
    assert inside.get("/api/v1/me", headers=person("readers of HR")).json()["entity_types"] == ["HR_Person"]
    assert inside.get("/api/v1/me", headers=person("none of these")).status_code == 403
    assert outside.get("/api/v1/me", headers=person("everything")).status_code == 401


def test_the_file_names_groups_with_types_and_faults_of_them(tmp_path: Path, site: Site) -> None:
    file = tmp_path / "deltamark.toml"
    head = '[deltamark]\nconfiguration = "c"\n[deltamark.serve]\nbehind_proxy = "10.0.0.0/8"\n'
    groups = '[deltamark.serve.groups]\nhr = { role = "reviewer", types = ["HR_Person"] }\nall = "admin"\n'
    file.write_text(f'{head}groups_header = "X-Groups"\n{groups}', "utf-8")
    settings = http_settings(load_settings(tmp_path, {}).serve)
    assert settings.granted("bob", ["hr"]) == Grant(role=Role.REVIEWER, entity_types=SOME)
    assert settings.proxy is not None
    assert settings.proxy.groups_header == "X-Groups"
    with pytest.raises(UsageError, match='unknown entity type "HR_Person"; did you mean "Person"'):
        settings.refuse_unknown_types(["Person"])
    settings.refuse_unknown_types(["HR_Person"])

    for text, words in [
        (f"{head}{groups}", "groups_header"),
        (head + '[deltamark.serve.role]\nann = { role = "god" }\n', "must be one of"),
        (head + '[deltamark.serve.role]\nann = { role = "reader", type = "x" }\n', "unknown key"),
        (head + '[deltamark.serve.role]\nann = { role = "reader", types = [] }\n', "with one at least"),
        (head + '[deltamark.serve.role]\nann = { types = ["x"] }\n', "must be one of"),
    ]:
        file.write_text(text, "utf-8")
        with pytest.raises(ConfigurationError, match=words):
            load_settings(tmp_path, {})
