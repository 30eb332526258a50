"""Who is let in: links that work once, sessions that end, other hosts and other sites."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deltamark.domain.errors import UsageError
from deltamark.interfaces.http.settings import HttpSettings, Proxy, networks_of
from deltamark.interfaces.http.users import Role
from tests.web.conftest import OWN, NewSite, Site

PAGE = {"Accept": "text/html"}


def test_a_link_signs_in_once_and_leads_to_the_clean_address(site: Site) -> None:
    client, link = site.client(), site.link()

    first = client.get(link)

    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/").status_code == 200
    assert site.client().get(link).status_code == 401


def test_a_link_is_of_no_use_after_ten_minutes(site: Site) -> None:
    link = site.link()
    site.time.goes_on(timedelta(minutes=10))

    assert site.client().get(link).status_code == 401


def test_a_link_has_256_bits(site: Site) -> None:
    assert len(site.link().partition("=")[2]) == 43


@pytest.mark.parametrize(("each", "answered"), [(timedelta(minutes=30), 0), (timedelta(minutes=29), 16)])
def test_a_session_ends_when_it_is_idle_and_after_eight_hours(site: Site, each: timedelta, answered: int) -> None:
    client = site.signed_in()
    for _ in range(answered):
        site.time.goes_on(each)
        assert client.get("/").status_code == 200

    site.time.goes_on(each)

    assert client.get("/").status_code == 401


def test_signing_in_gives_a_new_session_and_ends_the_one_before(site: Site) -> None:
    client = site.signed_in(Role.READER)
    name, before = next(iter(client.cookies.items()))

    client.get(site.link(Role.ADMIN))

    assert client.cookies[name] != before
    other = site.client()
    other.cookies.set(name, before)
    assert other.get("/").status_code == 401


def test_a_session_that_an_attacker_chose_is_not_taken(site: Site) -> None:
    client = site.client()
    name = next(iter(site.signed_in().cookies))
    client.cookies.set(name, "chosen", domain="127.0.0.1")

    answer = client.get(site.link())

    assert "chosen" not in answer.headers["set-cookie"]


def test_signing_out_ends_the_session(site: Site) -> None:
    client = site.signed_in()
    cookies = dict(client.cookies)

    assert client.post("/sign-out", headers=OWN).status_code == 303

    other = site.client()
    other.cookies.update(cookies)
    assert other.get("/").status_code == 401


def test_a_page_sends_those_who_are_not_signed_in_to_the_sign_in_page(site: Site) -> None:
    answer = site.client().get("/", headers=PAGE)

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert site.client().get("/sign-in", headers=PAGE).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost:8765.evil.example", ""])
def test_a_request_for_another_host_is_refused(site: Site, host: str) -> None:
    for path in ("/health/live", "/", "/nothing"):
        answer = site.signed_in().get(path, headers={"Host": host})

        assert answer.status_code == 421
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_a_request_for_this_host_is_answered(site: Site, host: str) -> None:
    assert site.client().get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://127.0.0.1:8765"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8765"}, 403),
        ({}, 403),
    ],
)
def test_a_change_is_made_only_for_a_page_of_this_site(site: Site, headers: dict[str, str], status: int) -> None:
    assert site.signed_in().post("/sign-out", headers=headers).status_code == status


def test_every_answer_has_the_headers_that_protect(site: Site) -> None:
    client = site.signed_in()
    for path in ("/", "/health/live", "/nothing", "/static/console.css", "/sign-in"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] in ("no-store", "no-cache")


def test_under_tls_the_cookie_is_only_for_this_host_and_encrypted(new_site: NewSite, tmp_path) -> None:
    site = new_site(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    client = site.client(base_url="https://127.0.0.1:8765")

    answer = client.get(site.link())

    assert answer.headers["set-cookie"].startswith("__Host-")
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


def test_the_header_of_a_proxy_is_believed_from_its_network_only(new_site: NewSite) -> None:
    proxy = Proxy(networks=networks_of("10.0.0.0/8"), header="X-Forwarded-User")
    site = new_site(proxy=proxy, users={"ann": Role.READER})
    sent = {"X-Forwarded-User": "ann"}
    inside, outside = site.client(address="10.1.2.3"), site.client(address="11.1.2.3")

    assert inside.get("/", headers=sent).status_code == 200
    assert inside.get("/").status_code == 401
    assert inside.get("/", headers={"X-Forwarded-User": "bob"}).status_code == 403
    assert outside.get("/", headers=sent).status_code == 401
    assert inside.get("/", headers=[("X-Forwarded-User", "ann"), ("X-Forwarded-User", "bob")]).status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.com"])  # noqa: S104
def test_other_machines_are_let_in_only_with_tls_or_a_proxy(host: str) -> None:
    with pytest.raises(UsageError, match="not be encrypted"):
        HttpSettings(host=host).refuse_open_network()
    HttpSettings(host=host, proxy=Proxy(networks=networks_of("10.0.0.0/8"), header="X")).refuse_open_network()
    HttpSettings(host="127.0.0.2").refuse_open_network()


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fpages.py", "/static//etc/passwd"]
)
def test_only_known_files_are_given_out(site: Site, path: str) -> None:
    assert site.client().get(path).status_code == 404
