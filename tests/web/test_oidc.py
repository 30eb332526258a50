"""Sign-in by OpenID Connect, at a provider on this machine: who is let in, and every answer that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey

from deltamark.domain.errors import UsageError
from deltamark.interfaces.http.settings import HttpSettings, OidcSettings, Proxy, networks_of
from deltamark.interfaces.http.users import Role
from tests.web.conftest import OWN, NewSite, Site
from tests.web.provider import CLIENT, SECRET, Provider, provider_at_work

START, CALLBACK = "/sign-in/oidc", "/sign-in/oidc/callback"
GROUPS = {"deltamark-admins": Role.ADMIN, "deltamark-reviewers": Role.REVIEWER}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_at_work() as provider:
        yield provider


@pytest.fixture
def site(new_site: NewSite, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    oidc = OidcSettings(issuer=provider.url, client_id=CLIENT, client_secret="env:OIDC_SECRET", groups=GROUPS)
    site = new_site(oidc=oidc)
    provider.now = site.time.now.timestamp()
    return site


def signed_in(site: Site, provider: Provider, client: Any = None) -> tuple[Any, Any]:
    """A browser after the way to the provider and back, and the answer that it got."""
    client = client or site.client()
    back = provider.code_for(client.get(START).headers["location"])
    return client, client.get(CALLBACK, params=back)


def test_a_group_of_the_provider_gives_the_role(site: Site, provider: Provider) -> None:
    client, answer = signed_in(site, provider)

    assert (answer.status_code, 'content="0; url=/"' in answer.text) == (200, True)
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("deltamark_8765="))
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/api/v1/me").json() == {
        "user": "ann@example.com", "role": "reviewer", "entity_types": None, "signed_in_by": "oidc",
    }  # fmt: skip
    assert client.post("/api/v1/runs", headers=OWN, json={"job": "Incremental"}).status_code == 403


def test_a_person_without_a_group_is_let_in_only_by_a_role_of_their_own(
    new_site: NewSite, site: Site, provider: Provider
) -> None:
    provider.claims = {"groups": ["others"]}
    _, refused = signed_in(site, provider)
    assert (refused.status_code, "You have no role here" in refused.text) == (401, True)

    other = new_site(oidc=site.settings.oidc, users={"ann@example.com": Role.OPERATOR})
    client, _ = signed_in(other, provider)
    assert client.get("/api/v1/me").json()["role"] == "operator"


OTHER = ECKey.generate_key("P-256", {"kid": "one"})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"claims": {"nonce": "another"}}, "ID token"),
        ({"claims": {"nonce": None}}, "ID token"),
        ({"claims": {"aud": "another"}}, "ID token"),
        ({"claims": {"aud": [CLIENT, "another"], "azp": "another"}}, "ID token"),
        ({"claims": {"iss": "https://evil.example"}}, "ID token"),
        ({"claims": {"exp": 1}}, "ID token"),
        ({"claims": {"exp": None}}, "ID token"),
        ({"claims": {"email_verified": False}}, "no verified email"),
        ({"claims": {"email": None}}, "no verified email"),
        ({"claims": {"email": "x\0y"}}, "no name of a person"),
        ({"signs_with": OTHER}, "ID token"),
        ({"header": {"alg": "none"}}, "ID token"),
        ({"header": {"alg": "HS256", "kid": "one"}, "signs_with": OctKey.import_key(SECRET)}, "ID token"),
        ({"metadata": {"issuer": "https://evil.example"}}, "another one"),
        ({"metadata": {"token_endpoint": "ftp://x"}}, "token_endpoint"),
    ],
)
def test_what_a_provider_must_not_answer_signs_nobody_in(
    site: Site, provider: Provider, changes: dict[str, Any], word: str
) -> None:
    for name, value in changes.items():
        setattr(provider, name, value)
    client = site.client()
    start = client.get(START)
    answer = start
    if start.status_code == 303:
        answer = client.get(CALLBACK, params=provider.code_for(start.headers["location"]))

    assert (answer.status_code, word in answer.text) == (401, True), answer.text
    assert client.get("/api/v1/me").status_code == 401


def test_an_attempt_is_finished_once_in_its_browser_and_within_ten_minutes(site: Site, provider: Provider) -> None:
    mine, others = site.client(), site.client()
    back = provider.code_for(mine.get(START).headers["location"])
    others.get(START)
    assert "another browser" in others.get(CALLBACK, params=back).text
    assert "finished already" in mine.get(CALLBACK, params=back).text, "a try ends it"

    back = provider.code_for(mine.get(START).headers["location"])
    assert mine.get(CALLBACK, params={**back, "iss": "https://evil.example"}).status_code == 401
    back = provider.code_for(mine.get(START).headers["location"])
    site.time.goes_on(timedelta(minutes=11))
    assert "ten minutes" in mine.get(CALLBACK, params=back).text
    assert mine.get(CALLBACK, params={"error": "access_denied", "state": "x"}).status_code == 401
    assert mine.get("/api/v1/me").status_code == 401


def test_a_session_that_was_there_before_ends(site: Site, provider: Provider) -> None:
    client = site.signed_in(Role.READER, "bob")
    before = client.cookies["deltamark_8765"]
    signed_in(site, provider, client)

    assert client.cookies["deltamark_8765"] != before
    stale = site.client()
    stale.cookies.set("deltamark_8765", before)
    assert stale.get("/api/v1/me").status_code == 401


def test_a_new_key_of_the_provider_is_asked_for(
    site: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltamark.interfaces.http import oidc

    signed_in(site, provider)
    provider.key = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})
    provider.header = {"alg": "ES256", "kid": "two"}
    _, soon = signed_in(site, provider)
    assert soon.status_code == 401, "a token with an unknown key makes no request each time"
    monkeypatch.setattr(oidc, "_REFRESH_S", 0.0)
    _, later = signed_in(site, provider)
    assert later.status_code == 200
    assert provider.asked.count("/keys") == 2


def test_a_provider_that_is_down_is_named_without_details(new_site: NewSite) -> None:
    site = new_site(oidc=OidcSettings(issuer="http://127.0.0.1:1", client_id=CLIENT))
    answer = site.client().get(START)
    assert (answer.status_code, "cannot be asked" in answer.text) == (401, True)


def test_attempts_are_counted_and_other_hosts_refused(site: Site) -> None:
    client = site.client()
    assert client.get(START, headers={"Host": "evil.example"}).status_code == 421
    statuses = {client.get(CALLBACK, params={"state": "x", "code": "y"}).status_code for _ in range(21)}
    assert statuses == {401, 429}


def test_without_a_provider_there_is_no_such_page(new_site: NewSite) -> None:
    client = new_site().client()
    assert [client.get(path).status_code for path in (START, CALLBACK)] == [404, 404]


def test_a_proxy_and_a_provider_are_not_both_asked() -> None:
    settings = HttpSettings(
        oidc=OidcSettings(issuer="https://x", client_id="y"),
        proxy=Proxy(networks=networks_of("10.0.0.0/8"), header="X"),
    )
    with pytest.raises(UsageError, match="Leave one of them out"):
        settings.refuse_open_network()
