"""What is read of a SCIM service, whatever happens to it meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from deltamark.application.ports.sources import PlaceLost, Question, SourcePlace, SourceUnreachable, WantedTable
from deltamark.infrastructure.scim import pages
from deltamark.infrastructure.scim.source import ScimSource
from tests.scenarios.http_server import Reply, Request, http_server
from tests.scim.service import GROUPS, MEMBERS, USERS, Intercept, Scim, question, reply, scim_service
from tests.servers.folding import Collected

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
def service() -> Iterator[Scim]:
    """A service that sorts and filters."""
    with scim_service() as started:
        yield started


def source(waits: list[float] | None = None) -> ScimSource:
    """The source, which waits in no time."""
    return ScimSource(wait=([] if waits is None else waits).append)


def snapshot(ask: Question) -> tuple[dict[str, Any], Any]:
    """The rows of a complete reading, and what it reached."""
    rows = Collected()
    reached = source().snapshot(ask, rows)
    return rows.rows, reached


def changes(ask: Question, place: SourcePlace) -> tuple[dict[str, Any], Any]:
    """The rows of what changed, and what was reached."""
    rows = Collected()
    reached = source().changes(ask, place, rows)
    return rows.rows, reached


def ids(rows: dict[str, Any], command: str | None = None) -> list[str]:
    """The identifiers of the users among rows."""
    return sorted(row["id"] for row in rows.get("Users", ()) if command is None or row["command"] == command)


def at_page(number: int, edit: Any, path: str = "/Users") -> Intercept:
    """Edits before the page of that number, of the pages of rows, is given."""
    pages = 0

    def intercept(_: int, request: Request) -> None:
        nonlocal pages
        asked = parse_qs(urlsplit(request.path).query)
        if urlsplit(request.path).path.endswith(path) and asked.get("sortOrder") is None:
            pages += 1
            if pages == number:
                edit()

    return intercept


def test_values_are_read_by_the_paths_of_attributes(service: Scim) -> None:
    columns = (
        "id",
        "userName",
        "name.familyName",
        'emails[type eq "work"].value',
        "emails.value",
        "active",
        f"{ENTERPRISE}:department",
        f"{ENTERPRISE}:manager.value",
        "meta.lastModified",
        "urn:ietf:params:scim:schemas:core:2.0:User:title",
        "nickName",
    )
    key = service.user(
        "ann",
        name={"familyName": "Adler"},
        emails=[{"type": "home", "value": "a@h.example"}, {"type": "work", "value": "a@w.example", "primary": True}],
        active=False,
        title="Clerk",
        **{ENTERPRISE: {"department": "D1", "manager": {"value": "u9"}}},
    )

    rows, _ = snapshot(question(service, evolve(USERS, columns=columns)))

    assert list(rows["Users"][0].values()) == [
        key, "ann", "Adler", "a@w.example", "a@w.example", "false", "D1", "u9", "2026-11-30T08:00:01Z", "Clerk", None
    ]  # fmt: skip


def test_of_several_values_the_first_in_sorted_order_is_taken_with_a_word(service: Scim) -> None:
    service.user("ann", emails=[{"type": "work", "value": "b@m.example"}, {"type": "work", "value": "a@m.example"}])

    rows, reached = snapshot(question(service))

    assert rows["Users"][0]['emails[type eq "work"].value'] == "a@m.example"
    (message,) = reached.messages
    assert "has several values" in message


def test_what_changed_is_read_from_the_place(service: Scim) -> None:
    ann, bob, cid = (service.user(name) for name in ("ann", "bob", "cid"))
    group, empty = service.group("g", ann, bob), service.group("e", cid)
    _, reached = snapshot(question(service))
    service.storage.time += listing_overlap()
    service.set(f"/Users/{bob}", userName="bo")
    service.delete(f"/Users/{cid}")
    dan = service.user("dan")
    service.set(f"/Groups/{group}", members=[{"value": dan}])
    service.patch(f"/Groups/{empty}", {"op": "remove", "path": "members"})

    known = {"Users": {ann, bob, cid}, "Groups": {group, empty}}
    rows, after = changes(question(service, known=known), reached.place)

    # The newest one before, and what lies less than the overlap before it, come again.
    assert ids(rows, "insert") == sorted({*ids(rows, "insert"), bob, dan})
    assert ids(rows, "delete") == [cid]
    assert sorted(tuple(row.values()) for row in rows["Members"]) == [
        ("replace", empty, None) if owner == empty else ("replace", group, dan) for owner in sorted([empty, group])
    ]
    assert after.place != reached.place


def listing_overlap() -> Any:
    """A time that is longer than the overlap."""
    from datetime import timedelta

    return timedelta(hours=1)


def test_only_what_changed_is_asked_for(service: Scim) -> None:
    users = [service.user(f"u{number}") for number in range(20)]
    _, reached = snapshot(question(service, USERS))
    service.storage.time += listing_overlap()
    service.set(f"/Users/{users[3]}", userName="changed")

    first, after = changes(question(service, USERS, known={"Users": set(users)}), reached.place)
    service.storage.time += listing_overlap()
    second, _ = changes(question(service, USERS, known={"Users": set(users)}), after.place)

    assert len(first["Users"]) == 20  # those of the last minutes before the place
    assert ids(second) == [users[3]]


def test_a_resource_that_leaves_the_filter_is_deleted_and_one_that_enters_is_written(service: Scim) -> None:
    table = evolve(USERS, options={"ResourceType": "User", "Filter": 'userName sw "a"'})
    ann, bob, abe = (service.user(name) for name in ("ann", "bob", "abe"))
    rows, reached = snapshot(question(service, table))
    assert ids(rows) == sorted([ann, abe])
    service.set(f"/Users/{ann}", userName="nan")
    service.set(f"/Users/{bob}", userName="ab")

    rows, _ = changes(question(service, table, known={"Users": {ann, abe}}), reached.place)

    assert ids(rows, "delete") == [ann]
    assert bob in ids(rows, "insert")


@pytest.mark.parametrize("kind", ["sorted", "not sorted", "cursors"])
def test_nobody_is_lost_when_one_is_deleted_and_one_added_between_two_pages(kind: str) -> None:
    with scim_service(sorts=kind == "sorted", cursors=kind == "cursors") as service:
        users = [service.user(f"u{number}") for number in range(20)]
        total = len(users)

        def edit() -> None:
            service.delete(f"/Users/{users[2]}")
            service.user("new")
            assert len(service.ids()) == total

        service.intercept = at_page(3, edit)

        rows, reached = snapshot(question(service, USERS, page_size=5))

        assert set(ids(rows)) >= set(users) - {users[2]}
        assert len(ids(rows)) == len(set(ids(rows)))
        assert reached.incomplete is None


def test_without_the_common_resource_of_two_pages_one_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test before: plain pages by index lose somebody, and the total tells nothing."""
    with scim_service(sorts=False) as service:
        users = [service.user(f"u{number}") for number in range(20)]
        service.intercept = at_page(3, lambda: (service.delete(f"/Users/{users[2]}"), service.user("new")))
        seen: list[str] = []
        for start in range(1, 21, 5):
            path = f"/scim/v2/Users?startIndex={start}&count=5"
            answer = json.loads(
                service.answer(Request("GET", path, {"authorization": "Bearer tulip-token-1"}, b"")).body
            )
            assert answer["totalResults"] == 20
            seen += [item["id"] for item in answer["Resources"]]

    assert len(set(seen)) == 20
    assert set(users) - {users[2]} - set(seen)


@pytest.mark.parametrize(
    ("page", "cursors"),
    [(2, False), *(pytest.param(page, True, marks=pytest.mark.slow) for page in (1, 2, 3))],  # the same by cursors
)
def test_what_is_modified_while_pages_are_read_comes_with_the_next_reading(page: int, cursors: bool) -> None:
    with scim_service(cursors=cursors) as service:
        users = [service.user(f"u{number}") for number in range(12)]
        service.storage.time += listing_overlap()

        def edit() -> None:
            for number, user in enumerate(users):
                service.set(f"/Users/{user}", userName=f"changed{number}")

        service.intercept = at_page(page, edit)
        rows, reached = snapshot(question(service, USERS, page_size=5))
        names = {row["id"]: row["userName"] for row in rows["Users"]}
        service.intercept = lambda number, request: None

        rows, _ = changes(question(service, USERS, known={"Users": set(users)}), reached.place)

        names |= {row["id"]: row["userName"] for row in rows["Users"]}
        assert names == {user: f"changed{number}" for number, user in enumerate(users)}


def test_a_missing_resource_is_asked_for_before_it_is_deleted(service: Scim) -> None:
    ann, bob = service.user("ann"), service.user("bob")
    _, reached = snapshot(question(service, USERS))
    service.delete(f"/Users/{bob}")

    def hides(_: int, request: Request) -> Reply | None:
        if "sortBy=id" not in request.path:
            return None
        return reply({"totalResults": 0, "Resources": []})

    service.intercept = hides
    known = {"Users": {ann, bob}}
    whole, _ = snapshot(question(service, USERS, known=known))
    delta, _ = changes(question(service, USERS, known=known), reached.place)

    assert ids(whole) == [ann]
    assert (ids(delta, "insert"), ids(delta, "delete")) == ([ann], [bob])


def test_nothing_is_deleted_where_more_is_missing_than_is_asked_for(service: Scim) -> None:
    users = [service.user(f"u{number}") for number in range(6)]
    _, reached = snapshot(question(service, USERS))
    for user in users[:4]:
        service.delete(f"/Users/{user}")
    known = {"Users": set(users)}

    for read in (snapshot, lambda ask: changes(ask, reached.place)):
        rows, end = read(question(service, USERS, known=known, confirm_limit=3))
        assert "4 resources of Users are not listed, more than the 3" in end.incomplete
        assert "delete" not in {row.get("command") for row in rows["Users"]}
    rows, end = changes(question(service, USERS, known=known, confirm_limit=4), reached.place)
    assert (end.incomplete, ids(rows, "delete")) == (None, sorted(users[:4]))


@pytest.mark.slow  # several readings of whole lists
def test_what_was_not_applied_is_written_again(service: Scim) -> None:
    users = [service.user(f"u{number}") for number in range(6)]
    _, reached = snapshot(question(service, USERS))
    service.storage.time += listing_overlap()
    service.user("last")
    _, reached = snapshot(question(service, USERS))

    few, _ = changes(question(service, USERS, known={"Users": set(users[1:])}), reached.place)
    many, _ = changes(question(service, USERS, known={"Users": set()}, confirm_limit=2), reached.place)

    assert users[0] in ids(few, "insert")
    assert set(ids(many, "insert")) >= set(users)
    assert len(ids(many)) == len(set(ids(many)))


@pytest.mark.parametrize(("sorts", "filters"), [(False, True), (True, False), (False, False)])
def test_a_service_that_does_not_sort_and_filter_is_read_as_a_whole(sorts: bool, filters: bool) -> None:
    with scim_service(sorts=sorts, filters=filters) as service:
        ann = service.user("ann")

        rows, reached = snapshot(question(service, USERS))

    assert (ids(rows), reached.place) == ([ann], None)
    assert "each reading is complete" in reached.messages[0]


def test_a_service_that_says_nothing_of_itself_is_read_as_a_whole(service: Scim) -> None:
    ann = service.user("ann")
    service.intercept = lambda _, request: reply(None, 404) if "/Users" not in request.path else None

    rows, reached = snapshot(question(service, USERS))
    probe = source().probe(question(service, USERS))

    assert (ids(rows), reached.place) == ([ann], None)
    assert any("cannot be checked" in finding for finding in probe.findings)


def test_a_service_that_was_restored_is_read_as_a_whole(service: Scim) -> None:
    ann, bob = service.user("ann"), service.user("bob")
    before = [item.model_copy(deep=True) for item in service.storage.resources]
    service.set(f"/Users/{ann}", userName="anna")
    _, reached = snapshot(question(service, USERS))
    service.storage.resources = before
    service.user("later")

    with pytest.raises(PlaceLost, match="was restored from a backup"):
        changes(question(service, USERS, known={"Users": {ann, bob}}), reached.place)


def test_a_deletion_of_the_newest_resource_is_no_restored_service(service: Scim) -> None:
    ann, bob = service.user("ann"), service.user("bob")
    _, reached = snapshot(question(service, USERS))
    service.delete(f"/Users/{bob}")

    rows, _ = changes(question(service, USERS, known={"Users": {ann, bob}}), reached.place)

    assert ids(rows, "delete") == [bob]


@pytest.mark.parametrize(
    "cookie", [b"", b"{}", b"garbage", b'{"format": 9, "newest": {}}', b'{"format":1,"newest":[]}']
)
def test_a_place_that_cannot_be_read_is_lost(service: Scim, cookie: bytes) -> None:
    with pytest.raises(PlaceLost):
        changes(question(service, USERS), SourcePlace(cookie=cookie, scope=""))


def test_a_busy_service_is_asked_again_when_it_says(service: Scim) -> None:
    ann = service.user("ann")
    storm = iter([Reply(429, {"Retry-After": "7"}), Reply(503, {"Retry-After": "2"}), Reply(503)])
    service.intercept = lambda _, request: next(storm, None) if "/Users" in request.path else None
    waits: list[float] = []

    rows = Collected()
    source(waits).snapshot(question(service, USERS), rows)

    assert ids(rows.rows) == [ann]
    assert waits == [7, 2, 4]


@pytest.mark.parametrize(
    ("answer", "problem", "is_temporary"),
    [
        (Reply(429), "answers 429", True),
        (Reply(503), "answers 503", True),
        (Reply(None), "did not answer", True),
        (
            Reply(200, {"Content-Length": "900", "Connection": "close"}, b'{"totalResults": 1, '),
            "did not answer|not JSON",
            None,
        ),
        (Reply(429, {"Retry-After": "3600"}), "asks to wait 3600 seconds", False),
        (reply({"detail": "no"}, 401), 'answers 401: "no"', False),
        (reply({"detail": "no"}, 403), 'answers 403: "no"', False),
        (reply({"detail": "invalid filter"}, 400), 'answers 400: "invalid filter"', False),
        (Reply(302, {"Location": "http://other.example/"}), "leads elsewhere", False),
        (Reply(200, body=b"{"), "not JSON", False),
        (Reply(200, body=b"[" * 100_000), "not JSON", False),
        (Reply(200, body=b'{"totalResults": NaN}'), "not JSON", False),
        (Reply(200, body=b"[]"), "no object", False),
        (reply({"Resources": []}), "totalResults", False),
        (reply({"totalResults": 5, "Resources": []}), "gives none from number 1 on", False),
        (reply({"totalResults": 1, "Resources": [{"userName": "ann"}]}), "without an id", False),
        (reply({"totalResults": 1, "Resources": [7]}), "without an id", False),
        (reply({"totalResults": 1, "Resources": "x"}), "without a list", False),
    ],
)
def test_an_answer_that_cannot_be_used_voids_the_reading(
    service: Scim, answer: Reply, problem: str, is_temporary: bool | None
) -> None:
    service.user("ann")
    service.intercept = lambda _, request: answer if "sortBy=id" in request.path else None

    with pytest.raises(SourceUnreachable, match=problem) as failed:
        snapshot(question(service, USERS))

    assert is_temporary in (None, failed.value.is_temporary)


def test_a_connection_that_ends_midway_voids_the_reading(service: Scim) -> None:
    for number in range(10):
        service.user(f"u{number}")
    service.intercept = lambda _, request: Reply(None) if "startIndex=5" in request.path else None

    with pytest.raises(SourceUnreachable) as failed:
        snapshot(question(service, USERS, page_size=5))

    assert failed.value.is_temporary


def test_a_server_that_is_not_there_is_no_lasting_failure(service: Scim) -> None:
    with http_server() as gone:
        url = gone.url
    ask = question(service, USERS)

    with pytest.raises(SourceUnreachable, match="did not answer") as failed:
        snapshot(evolve(ask, settings={"server": url}))

    assert failed.value.is_temporary


@pytest.mark.parametrize("cursors", [True, False])
def test_pages_without_an_end_are_refused(cursors: bool) -> None:
    with scim_service(cursors=cursors) as service:
        for number in range(4):
            service.user(f"u{number}")

        def endless(_: int, request: Request) -> Reply | None:
            if "sortBy=id" not in request.path:
                return None
            page = [{"id": f"u{number}"} for number in range(4)]
            return reply({"totalResults": 1000, "Resources": page, "nextCursor": "again"})

        service.intercept = endless

        with pytest.raises(SourceUnreachable, match="its pages do not end"):
            snapshot(question(service, USERS))


def test_more_resources_than_are_allowed_are_refused(service: Scim) -> None:
    for number in range(4):
        service.user(f"u{number}")

    with pytest.raises(SourceUnreachable, match="more than 3 resources"):
        snapshot(question(service, USERS, max_entries=3))


def test_an_answer_that_is_too_large_is_refused(service: Scim, monkeypatch: pytest.MonkeyPatch) -> None:
    service.user("ann", displayName="x" * 200_000)
    monkeypatch.setattr("deltamark.infrastructure.scim.client._LARGEST_ANSWER", 150_000)

    with pytest.raises(SourceUnreachable, match="larger than 150000 bytes"):
        snapshot(question(service, evolve(USERS, columns=("id", "displayName"))))


@pytest.mark.slow  # several readings of whole lists
def test_a_list_that_never_holds_still_is_read_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with scim_service(sorts=False) as service:
        users = [service.user(f"u{number}") for number in range(8)]
        service.intercept = lambda number, request: service.user(f"n{number}") and None

        rows, reached = snapshot(question(service, USERS, page_size=5))

    assert set(ids(rows)) >= set(users)
    assert "new resources may come with the next reading" in reached.messages[-1]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (evolve(USERS, columns=("id", "userNmae")), "names the attribute .userNmae., which the schemas"),
        (evolve(USERS, columns=("id", "name.familyNmae")), "familyNmae"),
        (evolve(USERS, columns=("id", f"{ENTERPRISE}:departmnt")), "departmnt"),
        (evolve(USERS, columns=("id", "urn:no:such:2.0:User:x")), "urn:no:such"),
        (evolve(USERS, options={"ResourceType": "User", "Filter": "activ eq true"}), "the Filter of Users names"),
        (evolve(USERS, options={"ResourceType": "Usr"}), "no resource type"),
        (evolve(USERS, columns=("id", "name")), "has the parts"),
    ],
)
def test_names_that_the_service_does_not_have_are_refused(service: Scim, table: WantedTable, problem: str) -> None:
    service.user("ann", name={"familyName": "Adler"})

    with pytest.raises(SourceUnreachable, match=problem):
        snapshot(question(service, table))


def test_a_probe_counts_and_reads_no_rows(service: Scim) -> None:
    service.group("g", service.user("ann"))

    probe = source().probe(question(service, USERS, GROUPS, MEMBERS))
    wrong = source().probe(question(service, evolve(USERS, columns=("id", "userNmae"))))

    assert probe.problems == ()
    assert probe.findings == (
        "pages by index, sorted",
        "changes are found by meta.lastModified",
        "Users: 1 resources",
        "Groups: 1 resources",
    )
    assert "userNmae" in wrong.problems[0]
    assert not any("sortBy=id" in path for path in service.asked)


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("http://scim.example/v2", "is not encrypted"),
        ("ldap://127.0.0.1", "no address of a server"),
        ("", "has no server"),
    ],
)
def test_a_server_that_is_asked_in_the_clear_is_refused(service: Scim, server: str, problem: str) -> None:
    ask = question(service, USERS)

    with pytest.raises(SourceUnreachable, match=problem):
        snapshot(evolve(ask, settings={"server": server}))


def test_limits_of_a_page_are_those_of_the_service() -> None:
    with scim_service(most_of_a_page=3) as service:
        users = [service.user(f"u{number}") for number in range(8)]

        rows, _ = snapshot(question(service, USERS))

    assert ids(rows) == users
    assert pages.PAGE_SIZE > 3
