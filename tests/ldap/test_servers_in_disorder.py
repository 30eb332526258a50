"""What servers do wrong: the task fails, nothing is deleted, the place stays, and the message says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import Engine, JobRun, TaskState
from deltamark.application.ports.sources import Question, SourceUnreachable, WantedTable
from deltamark.domain.secrets import Secret
from deltamark.infrastructure.ldap import ber, controls
from tests.fakes.directory import SUBSCHEMA, SUFFIX, End, FakeDirectory, Fault, Request, Silence
from tests.scenarios.directory_source import configuration, held
from tests.servers.folding import Collected

PAGE, MOST = 3, 300
PASSWORD = "s3cret/%41\"'@: of the r\u00e9ader"
EVERY_PAGE = frozenset({controls.PAGED, controls.DIRSYNC, controls.SYNC_REQUEST})


def person(number: int) -> dict[str, Any]:
    """The values of a person."""
    return {"sAMAccountName": f"u{number}", "mail": f"u{number}@fake.example"}


class Fed:
    """A directory, and an engine that reads it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.directory = FakeDirectory(kind)
        self._folder = folder

    def __enter__(self) -> Fed:
        directory = self.directory.__enter__()
        for number in range(8):
            directory.put(f"u{number}", "user", **person(number))
        directory.put("g", "group", member=[f"CN=u{number},{SUFFIX}" for number in range(7)])
        is_ad = directory.kind == "ad"
        self.engine = Engine.open(
            "sqlite://",
            configuration=configuration(
                "ActiveDirectory" if is_ad else "Ldap",
                "objectGUID" if is_ad else "entryUUID",
                user="user",
                group="group",
                name="cn",
                named_by="Guid" if is_ad else "Dn",
            ),
            export_output=self._folder,
            connections={
                "Source": {
                    "server": directory.address,
                    "tls": "none",
                    "user": "reader",
                    "password": Secret(PASSWORD),
                    "page_size": PAGE,
                    "max_entries": MOST,
                    "timeout": 1,
                }
            },
        )
        self.waited: list[float] = []
        self.engine._services = evolve(self.engine._services, wait=self.waited.append)
        assert self.run("Everything").state is not TaskState.FAILED
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()
        self.directory.__exit__()

    def run(self, job: str, fault: Fault | None = None) -> JobRun:
        """Runs a job while the directory does something wrong."""
        self.directory.fault = fault
        try:
            return self.engine.run_job(job)
        finally:
            self.directory.fault = None

    def keeps_no_secret(self) -> None:
        """Sees that nothing that was written has the password in it."""
        written = [message for run in self.engine.runs() for task in run.tasks for message in task.messages]
        written += [str(place) for place in self.engine.places()]
        assert not any("s3cret" in text for text in written)
        for path in self._folder.rglob("*"):
            assert path.is_dir() or b"s3cret" not in path.read_bytes()

    def known(self) -> Any:
        """What the store holds of the directory: resources, links, and the place."""
        return held(self.engine), [(place.position, place.run) for place in self.engine.places()]

    def fails(self, job: str, fault: Fault) -> str:
        """Runs a job that must fail and change nothing; gives its message."""
        before = self.known()
        self.directory.put("new", "user", mail=f"{self.directory.version}@fake.example")
        run = self.run(job, fault)
        assert run.state is TaskState.FAILED, run
        assert self.known() == before
        message = " ".join(run.tasks[0].messages)
        assert "s3cret" not in message + str(run)
        return message


@pytest.fixture(scope="module", params=["ad", "sync", "plain"])
def fed(ldap_library: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    """The engine, for each kind of directory; it holds at the end of the module what the directory holds."""
    with Fed(request.param, tmp_path_factory.mktemp(request.param)) as fed:
        yield fed
        fed.keeps_no_secret()
        assert fed.run("Changes").state is TaskState.COMPLETED
        (accounts, _), _ = fed.known()
        assert {account["Name"] for account in accounts} == fed.directory.names("user")


def of_rows(fault: Fault) -> Fault:
    """A fault in answers with rows alone."""

    def only(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        return fault(request, answered) if request.is_of_rows else answered

    return only


def ends_with(code: int, referral: str = "") -> Fault:
    """The result is this one, after half of the answer."""

    def fault(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        return [*answered[: len(answered) // 2], request.done(code, f"said so to {PASSWORD}", referral=referral)]

    return of_rows(fault)


@of_rows
def ends_midway(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """The connection ends within a message."""
    yield answered[0][:-2]
    raise End


@of_rows
def is_silent(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """Nothing comes any more."""
    yield from answered[:-1]
    raise Silence


@of_rows
def gives_no_message(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """What comes is no message, and says that it is very long."""
    yield b"\x30\x84\x7f\xff\xff\xff" + bytes(range(64))
    raise End


@of_rows
def cuts_off(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """A message ends before what it says that it holds."""
    content = answered[-1][2:]
    yield ber.element(ber.SEQUENCE, content[:-4])
    raise End


@of_rows
def gives_controls_of_nonsense(request: Request, answered: list[bytes]) -> Iterable[bytes]:
    """The value of the control at the end cannot be read."""
    kind = next(iter(request.controls.keys() & EVERY_PAGE))
    kind = controls.SYNC_DONE if kind == controls.SYNC_REQUEST else kind
    return [request.done(with_controls=[ber.sequence(ber.octets(kind.encode()), ber.octets(b"\x30\x05\x01"))])]


@of_rows
def says_good_bye(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """The server says that it goes away (RFC 4511, 4.4.1)."""
    result = (
        ber.integer(52, ber.ENUMERATED),
        ber.octets(b""),
        ber.octets(b""),
        ber.element(0x8A, b"1.3.6.1.4.1.1466.20036"),
    )
    yield ber.sequence(ber.integer(0), ber.element(0x78, b"".join(result)))
    raise End


@of_rows
def refers_without_end(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """One reference after the other."""
    while True:
        yield request.reference("ldap://127.0.0.1:9/") * 50


@of_rows
def gives_entries_without_end(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """The same entries again and again."""
    while True:
        yield (b"".join(answered[:-1]) or request.reference("ldap://127.0.0.1:9/")) * 50


FAULTS: dict[str, tuple[Fault, str]] = {
    "limit of entries": (ends_with(4), r"result 4: .*said so.*without a limit of entries"),
    "limit of time": (ends_with(3), "result 3: .*without a limit of time"),
    "limit of the administrator": (ends_with(11), "result 11: .*without a limit of entries"),
    "busy": (ends_with(51), "result 51: .*the next run reads again"),
    "some error": (ends_with(80), "result 80: .*the next run reads again"),
    "no right": (ends_with(8), "result 8: .*the next run reads again"),
    "referral": (ends_with(10, "ldap://127.0.0.1:9/"), "result 10: .*Name the server that holds the data"),
    "end midway": (ends_midway, "ended the connection midway.*the next run reads again"),
    "no message": (gives_no_message, "the next run reads again"),
    "cut off": (cuts_off, "the next run reads again"),
    "nonsense": (gives_controls_of_nonsense, "cannot be read: .*the next run reads again"),
    "good bye": (says_good_bye, "the next run reads again"),
    "references without end": (refers_without_end, f"more than {MOST} entries.*raise max_entries"),
    "entries without end": (gives_entries_without_end, f"more than {MOST} entries.*raise max_entries"),
}


@pytest.mark.parametrize("job", ["Changes", pytest.param("Everything", marks=pytest.mark.slow)])  # many runs
@pytest.mark.parametrize("name", FAULTS)
def test_a_server_in_disorder_changes_nothing(fed: Fed, name: str, job: str) -> None:
    fault, expected = FAULTS[name]

    message = fed.fails(job, fault)

    assert re.search(expected, message), message
    assert "Nothing was changed." in message


def account(fed: Fed, name: str) -> dict[str, Any] | None:
    """An account of the store."""
    return next((found for found in held(fed.engine)[0] if found["Name"] == name), None)


def kinds(*names: str) -> pytest.MarkDecorator:
    """The kinds of directories that a test is about."""
    return pytest.mark.parametrize("fed", names, indirect=True)


@of_rows
def begins_again(request: Request, answered: list[bytes]) -> Iterable[bytes]:
    """Each page is the first one, and its cookie is the same."""
    return [*answered[:1], request.paged_done(b"3")]


@of_rows
def gives_empty_pages(request: Request, answered: list[bytes]) -> Iterable[bytes]:
    """No page has an entry, and none is the last one."""
    return [request.paged_done(b"3")] if controls.PAGED in request.controls else answered


def refuses_the_second_page(code: int) -> Fault:
    """The server has forgotten where the next page begins."""

    def fault(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        _, (_, cookie) = ber.members(
            request.controls.get(controls.PAGED) or ber.sequence(ber.octets(b""), ber.octets(b""))
        )
        return [request.done(code)] if cookie else answered

    return fault


@kinds("ad", "plain")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (begins_again, "on several pages, so its pages do not end.*the next run reads again"),
        (gives_empty_pages, "gave 20 empty pages one after another.*the next run reads again"),
        (refuses_the_second_page(53), "result 53"),
        (refuses_the_second_page(12), "result 12"),
    ],
)
def test_pages_that_do_not_end_or_are_lost_change_nothing(
    fed: Fed, fault: Fault, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltamark.infrastructure.ldap.session.MOST_EMPTY_PAGES", 20)

    message = fed.fails("Everything", fault)

    assert re.search(expected, message), message


@pytest.mark.parametrize("fault", [ends_midway, ends_with(51), ends_with(52)])
def test_a_failure_that_passes_is_followed_by_a_whole_reading(fed: Fed, fault: Fault) -> None:
    fed.directory.put("new", "user", mail=f"{fed.directory.version}@fake.example")
    fed.waited.clear()

    def passes(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        return fault(request, answered) if len(fed.waited) < 2 else answered

    run = fed.run("Changes", passes)

    assert fed.waited == [1, 5]
    assert run.state in (TaskState.COMPLETED, TaskState.WARNING), run
    assert account(fed, "new") is not None


@kinds("ad")
def test_a_silent_server_is_not_waited_for(fed: Fed) -> None:
    message = fed.fails("Everything", is_silent)

    assert "gave no answer within 1 s" in message
    assert "raise timeout of the connection" in message


def of_dirsync(answer: Any) -> Fault:
    """What is answered to each DirSync instead."""

    def fault(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        return answer(request, answered) if controls.DIRSYNC in request.controls else answered

    return fault


def same_cookie(request: Request, _: list[bytes]) -> Iterable[bytes]:
    """There is more, from where this began."""
    (_, cookie) = ber.members(request.controls[controls.DIRSYNC])[2]
    return [request.dirsync_done(cookie or b"1", more=True)]


def ever_new_cookies(request: Request, _: list[bytes]) -> Iterable[bytes]:
    """There is always more, and never anything."""
    return [request.dirsync_done(str(request.number).encode(), more=True)]


def no_cookie(request: Request, answered: list[bytes]) -> Iterable[bytes]:
    """The result lacks the control."""
    return [*answered[:-1], request.done()]


@kinds("ad")
@pytest.mark.parametrize("job", ["Changes", "Everything"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (same_cookie, "gives the same cookie again and again"),
        (ever_new_cookies, "gave 20 empty answers one after another"),
        (no_cookie, "gave no cookie.*See that it is a domain controller"),
    ],
)
def test_a_cookie_that_leads_nowhere_changes_nothing(
    fed: Fed, job: str, answer: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltamark.infrastructure.ldap.active_directory.MOST_EMPTY_PAGES", 20)

    message = fed.fails(job, of_dirsync(answer))

    assert re.search(expected, message), message


@kinds("sync")
def test_a_refresh_without_a_cookie_changes_nothing(fed: Fed) -> None:
    def no_cookie_of_refresh(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        return [*answered[:-1], request.done()] if controls.SYNC_REQUEST in request.controls else answered

    for job in ("Changes", "Everything"):
        assert "gave no cookie at the end" in fed.fails(job, no_cookie_of_refresh)


def refuses_places(kind: str, code: int) -> Fault:
    """The server does not go on from any place."""

    def fault(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        control = request.controls.get(kind)
        known = control is not None and len(ber.members(control)[-1][1]) > 1
        return [request.done(code, "no")] if known else answered

    return fault


@kinds("ad", "sync")
def test_a_refused_place_leads_to_a_complete_reading_on_record(fed: Fed) -> None:
    kind = controls.DIRSYNC if fed.directory.kind == "ad" else controls.SYNC_REQUEST
    for code in (12,) if fed.directory.kind == "ad" else (12, 53, 4096):
        fed.directory.put("late", "user", mail=f"{fed.directory.version}@fake.example")
        if code == 12:
            fed.directory.delete("late")

        run = fed.run("Changes", refuses_places(kind, code))

        assert run.state is TaskState.WARNING
        assert "everything was read (" in run.tasks[0].messages[0]
        assert "because the server refuses it" in run.tasks[0].messages[0]
        assert (account(fed, "late") is None) == (code == 12)


@kinds("ad")
@pytest.mark.parametrize("went_on", [pytest.param(0, marks=pytest.mark.slow), 40])  # the easier of two
def test_a_restored_server_that_accepts_the_place_is_read_as_a_whole(fed: Fed, went_on: int) -> None:
    directory = fed.directory
    version = directory.version
    kept = {name: (dict(entry.values), entry.version) for name, entry in directory.entries.items()}
    for number in range(3):
        directory.put("lost", "user", mail=f"{number}@fake.example")
    assert fed.run("Changes").state is TaskState.COMPLETED

    del directory.entries["lost"]
    for name, (values, of) in kept.items():
        directory.entries[name].values, directory.entries[name].version = values, of
    directory.version = version
    for number in range(went_on):
        directory.put("u1", "user", mail=f"after{number}@fake.example")
    run = fed.run("Changes")

    assert run.state is TaskState.WARNING
    assert "restored from a backup" in run.tasks[0].messages[0]
    assert {account["Name"] for account in held(fed.engine)[0]} == directory.names("user")


@kinds("ad")
def test_a_reader_without_the_right_to_replicate_ends_each_run_in_warning(fed: Fed) -> None:
    def needs_the_flag(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        if controls.DIRSYNC not in request.controls:
            return answered
        flags = ber.number(ber.members(request.controls[controls.DIRSYNC])[0][1])
        return answered if flags & controls.OBJECT_SECURITY else [request.done(50)]

    for job in ("Changes", "Everything"):
        fed.directory.put("u2", "user", mail=f"{fed.directory.version}@fake.example")
        run = fed.run(job, needs_the_flag)

        assert run.state is TaskState.WARNING
        assert any('lacks the right "Replicating Directory Changes"' in text for text in run.tasks[0].messages)


@kinds("ad", "plain")
@pytest.mark.parametrize("range_size", [2, 3])
def test_values_that_come_in_ranges_are_read_to_the_end(fed: Fed, range_size: int) -> None:
    members = [f"CN=u{number},{SUFFIX}" for number in range(range_size, 8)]
    fed.directory.put("g", "group", member=members)
    fed.directory.range_size = range_size
    fed.directory.requests.clear()
    try:
        assert fed.run("Everything").state is TaskState.COMPLETED
    finally:
        fed.directory.range_size = 1_500

    (group,) = held(fed.engine)[1]
    assert len(group["Member"]) == len(members)
    asked = [name for request in fed.directory.requests for name in request.attributes if ";range=" in name]
    assert asked == [f"member;range={first}-*" for first in range(range_size, len(members), range_size)]


@kinds("ad", "plain")
@pytest.mark.parametrize("answered_range", [None, "0-1", "2-1", "4-*"])
def test_a_range_that_does_not_go_on_changes_nothing(fed: Fed, answered_range: str | None) -> None:
    def fault(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        if not any("range=" in name for name in request.attributes):
            return answered
        if answered_range is None:
            return answered[-1:]
        name = ber.octets(f"member;range={answered_range}".encode())
        values = ber.sequence(ber.sequence(name, ber.element(0x31, ber.octets(b"CN=u1"))))
        return [request.message(0x64, ber.octets(f"CN=g,{SUFFIX}".encode()), values), answered[-1]]

    fed.directory.range_size = 2
    try:
        message = fed.fails("Everything", fault)
    finally:
        fed.directory.range_size = 1_500

    assert "gave no values of member" in message
    assert "after the first 2" in message


def of_entry(attribute: bytes, value: bytes | None) -> Fault:
    """An attribute of all entries has another name, or a value that is too large."""

    def fault(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        if value is None:
            return [part.replace(attribute, attribute[:-1] + b"_") for part in answered]
        large = ber.sequence(ber.sequence(ber.octets(attribute), ber.element(0x31, ber.octets(value))))
        return [request.message(0x64, ber.octets(f"CN=u1,{SUFFIX}".encode()), large), answered[-1]]

    return of_rows(fault)


def test_an_entry_without_its_identity_or_with_an_enormous_value_changes_nothing(fed: Fed) -> None:
    key = "objectGUID" if fed.directory.kind == "ad" else "entryUUID"
    without = fed.fails("Everything", of_entry(key.encode(), None))
    enormous = fed.fails("Everything", of_entry(b"mail", b"x" * (1 << 20 | 1)))

    assert f"without its {'GUID' if fed.directory.kind == 'ad' else 'entryUUID'}" in without or "state" in without
    assert "1,048,577 bytes" in enormous
    assert "Leave mail out of the mapping" in enormous


def test_a_schema_that_cannot_be_read_changes_nothing(fed: Fed) -> None:
    def no_schema(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        return answered[-1:] if request.base == SUBSCHEMA else answered

    message = fed.fails("Changes", no_schema)

    assert "has no attributes that this user may read" in message
    assert "Give the user the right to read the schema" in message


def test_references_are_told_and_not_followed(fed: Fed) -> None:
    def refers(request: Request, answered: list[bytes]) -> Iterable[bytes]:
        return [request.reference("ldap://127.0.0.1:9/"), *answered] if request.is_of_rows else answered

    run = fed.run("Everything", refers)

    assert run.state is TaskState.COMPLETED
    assert any("referred to other servers" in text for text in run.tasks[0].messages)


@pytest.mark.parametrize(
    "fed", ["ad", "sync", pytest.param("plain", marks=pytest.mark.slow)], indirect=True
)  # complete readings are part of the others
def test_a_value_that_is_no_text_sets_its_row_aside_until_it_is_corrected(fed: Fed) -> None:
    directory = fed.directory
    directory.put("u3", "user", mail=b"\xff\xfe@fake.example")
    directory.put("bad", "user", mail=b"\xe9\0")
    before = account(fed, "u3")

    for job in ("Changes", "Everything"):
        directory.put("u4", "user", mail=f"{directory.version}@fake.example")
        run = fed.run(job)

        assert run.state is TaskState.WARNING
        aside = {row.key: row for row in run.tasks[-1].set_aside}
        assert set(aside) == {str(directory.entries[name].identity) for name in ("u3", "bad")}
        for row in aside.values():
            assert (row.file, row.column, row.reason) == ("Account.parquet", "mail", "the value is not text in UTF-8")
        assert account(fed, "u3") == before
        assert account(fed, "bad") is None
        assert account(fed, "u4")["Mail"] == directory.entries["u4"].values["mail"][0].decode()  # type: ignore[index]
    directory.put("u3", "user", mail="corrected@fake.example")
    directory.put("bad", "user", mail="good@fake.example")
    assert fed.run("Changes").state is TaskState.COMPLETED

    assert account(fed, "u3")["Mail"] == "corrected@fake.example"  # type: ignore[index]
    assert account(fed, "bad")["Mail"] == "good@fake.example"  # type: ignore[index]


@pytest.mark.parametrize(
    ("join", "text", "told"), [(None, "a", 1), ("; ", "a; b; c", 0), ("", "abc", 0), ("\n", "a\nb\nc", 0)]
)
def test_several_values_are_the_first_one_or_joined(fed: Fed, join: str | None, text: str, told: int) -> None:
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    fed.directory.put("g", "group", description=["c", "a", "b"])
    options = {"ObjectClass": "group", **({} if join is None else {"Join": join})}
    key = "objectGUID" if fed.directory.kind == "ad" else "entryUUID"
    ask = Question(
        connection="Source",
        package="",
        settings={"server": fed.directory.address, "tls": "none"},
        tables=(WantedTable(name="Group", columns=(key, "description"), options=options),),
    )
    rows = Collected()
    source: Any = ActiveDirectory() if fed.directory.kind == "ad" else LdapDirectory()

    reached = source.snapshot(ask, rows)

    assert [row["description"] for row in rows.rows["Group"]] == [text]
    assert sum("several values" in message for message in reached.messages) == told
    named = evolve(ask, tables=(WantedTable(name="Group", columns=(key, "member"), options=options),))
    with pytest.raises(SourceUnreachable, match="names other entries"):
        source.snapshot(named, Collected())
