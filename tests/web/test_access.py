"""What administrators see and end, what is written of it, how often one may try, and the settings in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import ConfigurationError
from deltamark.config.settings import load_settings
from deltamark.interfaces.http.rates import Rate
from deltamark.interfaces.http.settings_of_file import http_settings
from deltamark.interfaces.http.users import Grant, Role
from tests.web.conftest import OWN, NewSite, Site

ROUTES = ("GET /access", "POST /access/tokens", "POST /access/tokens/none/revoke", "POST /access/sessions/none/end")


@pytest.mark.parametrize("role", [None, *Role])
def test_only_administrators_are_let_in(site: Site, role: Role | None) -> None:
    client = site.client() if role is None else site.signed_in(role, f"another {role.value}")
    for route in ROUTES:
        method, _, path = route.partition(" ")
        answer = client.request(method, path, headers=OWN, data={} if method == "POST" else None)
        if role is Role.ADMIN:
            assert answer.status_code in (200, 303, 400), route
        else:
            assert answer.status_code == (401 if role is None else 403), route


def test_an_administrator_makes_a_token_that_is_shown_once_and_revokes_it(site: Site) -> None:
    ann = site.signed_in(name="<b>ann")
    made = ann.post("/access/tokens", headers=OWN, data={"name": "<i>reports", "role": "reader", "days": "7"})
    token = made.text.partition('<code class="long">')[2].partition("<")[0]
    bearer = {"Authorization": f"Bearer {token}"}
    assert site.client().get("/api/v1/me", headers=bearer).json()["user"] == "<i>reports"

    page = ann.get("/access").text
    assert token not in page
    assert "&lt;i&gt;reports" in page
    assert "<i>reports" not in page
    identifier = token.split("_")[1]
    assert ann.post(f"/access/tokens/{identifier}/revoke", headers=OWN).status_code == 303
    assert site.client().get("/api/v1/me", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    "given", [{"days": "x"}, {"days": "999"}, {"role": "god"}, {"types": "Nothing"}, {"name": " "}]
)
def test_no_token_is_made_of_wrong_fields(site: Site, given: dict[str, str]) -> None:
    ann = site.signed_in()
    before = len(ann.get("/api/v1/tokens").json())
    fields = {"name": "reports", "role": "reader", "days": "7", **given}
    answer = ann.post("/access/tokens", headers=OWN, data=fields)
    assert (answer.status_code, "No token was made" in answer.text) == (400, True)
    assert len(ann.get("/api/v1/tokens").json()) == before


def test_an_administrator_ends_a_session(site: Site) -> None:
    bob, ann = site.signed_in(Role.READER, "bob"), site.signed_in()
    (session,) = [each for each in ann.get("/api/v1/sessions").json() if each["user"] == "bob"]
    assert ann.post(f"/access/sessions/{session['identifier']}/end", headers=OWN).status_code == 303
    assert bob.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("path", [route.partition(" ")[2] for route in ROUTES[1:]])
def test_a_page_of_another_site_and_another_host_do_nothing(site: Site, path: str) -> None:
    ann = site.signed_in()
    assert ann.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert ann.post(path, headers={**OWN, "Host": "evil.example:8765"}).status_code == 421


def test_what_people_did_is_written_without_secrets_keys_and_values(new_site: NewSite, tmp_path: Path) -> None:
    file = tmp_path / "access.jsonl"
    site = new_site(access_log=file)
    ann = site.signed_in()
    ann.get("/api/v1/resources", params={"type": "HR_Person"}, headers={"Accept": "text/csv"})
    ann.get("/api/v1/resource", params={"type": "HR_Person", "key": "E00001"})
    site.signed_in(Role.READER, "bob").post("/api/v1/runs", headers=OWN, json={"job": "Incremental"})
    site.client().get("/api/v1/me", headers={"Authorization": "Bearer dm_geheim"})
    site.client().get("/sign-in", params={"token": "geheim-2"})

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["what"], line["user"], line["deed"], line["status"], line["outcome"]) for line in lines] == [
        ("sign-in", "ann", "GET /sign-in", 303, "done"),
        ("export", "ann", "GET /api/v1/resources", 200, "done"),
        ("sign-in", "bob", "GET /sign-in", 303, "done"),
        ("deed", "bob", "POST /api/v1/runs", 403, "refused"),
        ("read", None, "GET /api/v1/me", 401, "refused"),
        ("read", None, "GET /sign-in", 401, "refused"),
    ]
    assert {line["from"] for line in lines} == {"127.0.0.1"}
    assert not any(hidden in file.read_text() for hidden in ("geheim", "E00001", "deltamark_8765"))
    assert file.stat().st_mode & 0o077 == 0


def test_who_fails_to_sign_in_too_often_waits(new_site: NewSite) -> None:
    site = new_site(sign_ins_per_minute=3)
    client = site.client()
    statuses = [client.get("/sign-in", params={"token": "wrong"}).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    refused = client.get("/api/v1/me", headers={"Authorization": "Bearer dm_x"})
    assert (refused.status_code, refused.headers["retry-after"].isdigit()) == (429, True)
    assert client.get(site.link()).status_code == 429, "a right link does not help an address that guesses"
    assert site.client(address="192.0.2.7").get(site.link()).status_code == 303


def test_a_token_has_so_many_requests_a_minute(new_site: NewSite) -> None:
    site = new_site(requests_per_minute=2)
    made = site.signed_in().post("/api/v1/tokens", headers=OWN, json={"name": "reports", "role": "reader"}).json()
    client = site.client()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert [client.get("/api/v1/me", headers=bearer).status_code for _ in range(3)] == [200, 200, 429]


def test_a_rate_begins_anew_after_a_minute_and_forgets_the_oldest() -> None:
    now = [0.0]
    rate = Rate(1, "tries", lambda: now[0])
    rate.add("a")
    with pytest.raises(Exception, match="Try again in 60 s"):
        rate.refuse_too_many("a")
    now[0] = 61.0
    rate.refuse_too_many("a")
    for number in range(10_050):
        rate.add(str(number))
    assert len(rate._counts) == 10_000


def test_ready_says_why_it_is_not(new_site: NewSite, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site = new_site()
    assert site.client().get("/health/ready").json() == {"state": "ready", "reasons": []}

    def fails(*_: Any) -> int:
        raise OSError("geheim")

    monkeypatch.setattr(type(engine), "position", fails)
    answer = site.client().get("/health/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the store cannot be read: OSError"])


def test_what_is_watched_of_the_store_is_bounded(site: Site) -> None:
    text = site.signed_in().get("/metrics").text
    for name in ("store_bytes", "dirty_resources", "consumer_lag_changes", "schedule_overdue_seconds"):
        assert f"# TYPE deltamark_{name} gauge" in text, name


@pytest.mark.parametrize("faults", [0, 2])
def test_the_last_verification_of_the_whole_is_watched_whoever_made_it(new_site: NewSite, faults: int) -> None:
    site = new_site()
    sound = site.engine.verify()
    site.engine.record_verification(sound)
    site.engine.record_verification(evolve(sound, differences=faults))
    site.engine.record_verification(site.engine.verify_derived(sample=2))
    text = site.signed_in().get("/metrics").text

    label = '{subject="the log and the state"}'
    assert f"deltamark_verified_well{label} {0.0 if faults else 1.0}\n" in text
    assert f"deltamark_verified_position{label} {float(site.engine.position())}\n" in text
    assert f"deltamark_verified_timestamp_seconds{label} 1.7" in text
    assert 'subject="derived values"' not in text, "a sample says nothing of the whole"


SETTINGS = """[deltamark.serve]
port = 9000
public_host = ["deltamark.example.com"]
behind_proxy = "10.0.0.0/24"
default_role = "reader"
four_eyes = true

[deltamark.serve.role]
ann = "admin"
"""


def test_the_file_says_how_the_server_listens_and_whom_it_lets_in(tmp_path: Path) -> None:
    (tmp_path / "deltamark.toml").write_text(SETTINGS)
    settings = http_settings(load_settings(tmp_path, {}).serve)
    assert (settings.port, settings.default_role) == (9000, Role.READER)
    assert settings.users == {"ann": Grant(role=Role.ADMIN)}
    assert settings.four_eyes
    assert "deltamark.example.com:9000" in settings.hosts


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("prot = 9000", 'did you mean "port"'),
        ('port = "x"', "whole number"),
        ('default_role = "god"', "reader, reviewer"),
        ('role = { ann = "god" }', 'the role of "ann"'),
        ('masks = { HR_Person = "Mail" }', "list of texts"),
        ('oidc = { issuer = "https://x" }', "client_id is missing"),
        ('oidc = { issuer = "https://x", client_id = "d", client_secret = "geheim" }', "must say where"),
    ],
)
def test_a_wrong_setting_of_the_server_is_a_fault(tmp_path: Path, line: str, fault: str) -> None:
    (tmp_path / "deltamark.toml").write_text(f"[deltamark]\n[deltamark.serve]\n{line}\n")
    with pytest.raises(ConfigurationError, match=fault) as raised:
        load_settings(tmp_path, {})
    assert "geheim" not in str(raised.value)
    assert ":3:" in str(raised.value) or "deltamark.toml" in str(raised.value)
