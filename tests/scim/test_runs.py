"""A SCIM service through whole runs, with the configuration of the page about it."""

from __future__ import annotations

import logging
import re
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

from deltamark import Engine, RunFailed, TaskState
from deltamark.application.ports.sources import ConnectionSettings
from deltamark.domain.secrets import Secret
from deltamark.infrastructure.scim.source import ScimSource
from tests.docs.pages import ROOT, blocks_of
from tests.docs.running import Reader
from tests.scenarios.database_source import messages
from tests.scenarios.http_server import Reply, Request
from tests.scim.service import TOKEN, Scim, reply, scim_service
from tests.tiers import examples

PAGE = (ROOT / "docs" / "how-to" / "synchronize-a-scim-service.md").read_text("utf-8")


@pytest.fixture
def service() -> Iterator[Scim]:
    """A service with three users, and a group of two of them."""
    with scim_service() as started:
        users = [started.user(name, name={"familyName": name.title()}, active=True) for name in ("ann", "bob", "cid")]
        started.group("all", *users[:2])
        yield started


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    """The configuration of the page, without thresholds."""
    (block,) = [block for block in blocks_of(PAGE) if block.file == "configuration/scim.xml"]
    limits = " ".join(f'MaxPercentage{kind}Lines="0"' for kind in ("Inserted", "Updated", "Deleted"))
    links = " ".join(f'MaxLinkPercentage{kind}Lines="0"' for kind in ("Inserted", "Deleted"))
    path = tmp_path / "scim.xml"
    path.write_text(
        block.text.replace('<Connector Identifier="Cloud"', f'<Connector Identifier="Cloud" {limits} {links}')
    )
    return path


NewEngine = Callable[..., Engine]


@pytest.fixture
def new_engine(service: Scim, xml: Path, tmp_path: Path) -> Iterator[NewEngine]:
    """Opens engines that read the service and never wait."""
    opened: list[Engine] = []

    def new(**settings: Any) -> Engine:
        engine = Engine.open(
            "sqlite://",
            configuration=xml,
            export_output=tmp_path / f"exports{len(opened)}",
            connections={"Cloud_Source": {"server": service.url, "token": Secret(TOKEN), **settings}},
        )
        never_waits(engine)
        opened.append(engine)
        return engine

    yield new
    for engine in opened:
        engine.close()


def never_waits(engine: Engine) -> None:
    """Lets an engine ask again at once."""
    at_once = ScimSource(wait=lambda seconds: None)
    sources = {**engine._services.sources, "Scim": at_once}
    engine._services = evolve(engine._services, wait=lambda seconds: None, sources=sources)


def held(engine: Engine) -> Any:
    """All resources with their links."""
    return [engine.export(name).to_pylist() for name in ("Cloud_User", "Cloud_Group")]


def test_what_changed_is_applied(service: Scim, new_engine: NewEngine) -> None:
    engine = new_engine()
    first = engine.run_job("Incremental")
    ann, bob, cid = service.ids()
    (group,) = service.ids("Group")
    service.set(f"/Users/{ann}", userName="anna")
    service.delete(f"/Users/{bob}")
    service.set(f"/Groups/{group}", members=[{"value": cid}])

    second = engine.run_job("Incremental")
    nothing = engine.run_job("Incremental")

    assert {run.state for run in (first, second, nothing)} == {TaskState.COMPLETED}
    assert "everything was read" in messages(first)
    assert "what changed was read" in messages(second)
    assert sorted(change.kind for change in engine.changes(run=second.number)) == [
        "deleted", "linked", "unlinked", "unlinked", "updated"
    ]  # fmt: skip
    assert list(engine.changes(run=nothing.number)) == []
    assert {item.key: item.values["Login"] for item in engine.export_resources("Cloud_User")} == {
        ann: "anna",
        cid: "cid",
    }
    assert engine.verify().is_sound


def test_a_service_that_went_back_is_read_as_a_whole_on_record(service: Scim, new_engine: NewEngine) -> None:
    engine = new_engine()
    before = [item.model_copy(deep=True) for item in service.storage.resources]
    service.set(f"/Users/{service.ids()[0]}", userName="anna")
    engine.run_job("Incremental")
    service.storage.resources = before

    run = engine.run_job("Incremental")

    assert run.state is TaskState.WARNING
    assert "everything was read" in messages(run)
    assert "was restored from a backup" in messages(run)
    assert {item.values["Login"] for item in engine.export_resources("Cloud_User")} == {"ann", "bob", "cid"}


def test_nobody_who_was_applied_is_lost_by_a_race_between_pages(service: Scim, new_engine: NewEngine) -> None:
    users = [*service.ids(), *(service.user(f"u{number}") for number in range(9))]
    engine = new_engine(page_size=4)
    engine.run_job("Complete")
    done: list[str] = []

    def race(_: int, request: Request) -> None:
        if "startIndex=7" in request.path and not done:
            done.append(users[4])
            service.delete(f"/Users/{users[4]}")
            service.user("new")

    service.intercept = race
    for job in ("Complete", "Incremental"):
        run = engine.run_job(job)
        assert run.state is TaskState.COMPLETED
        assert {item.key for item in engine.export_resources("Cloud_User")} >= set(users) - {users[4]}
    assert {item.key for item in engine.export_resources("Cloud_User")} == set(service.ids())


# Two engines read the service in each round.
@pytest.mark.slow
@pytest.mark.law
@pytest.mark.parametrize("cursors", [True, False])
def test_a_service_by_changes_is_the_service_read_as_a_whole(xml: Path, tmp_path: Path, cursors: bool) -> None:
    random = Random(7)
    with scim_service(cursors=cursors) as service:
        for number in range(30):
            service.user(f"u{number}")
        service.group("all", *service.ids()[:2])
        settings = {"Cloud_Source": {"server": service.url, "token": Secret(TOKEN), "page_size": 7}}
        options: dict[str, Any] = {"configuration": xml, "connections": settings}
        with (
            Engine.open("sqlite://", export_output=tmp_path / "a", **options) as by_changes,
            Engine.open("sqlite://", export_output=tmp_path / "b", **options) as by_reading_all,
        ):
            for _ in range(examples(24)):
                edits = [random_edit(service, random) for _ in range(random.randrange(1, 9))]
                racing = random_race(service, random)
                service.intercept = racing
                by_changes.run_job("Incremental")
                service.intercept = lambda number, request: None
                changed = by_changes.run_job("Incremental")
                whole = by_reading_all.run_job("Complete")

                states = {task.state for run in (changed, whole) for task in run.tasks}
                assert states <= {TaskState.COMPLETED, TaskState.WARNING}, (changed, whole)
                assert "what changed was read" in messages(changed) or changed.number == 1
                assert held(by_changes) == held(by_reading_all), edits
                assert {item.key for item in by_changes.export_resources("Cloud_User")} == set(service.ids())
            assert by_changes.verify().is_sound


def random_edit(service: Scim, random: Random) -> str:
    """Does something to the service, and says what."""
    users, groups = service.ids(), service.ids("Group")[1:]  # a table that is empty is held back
    kind = random.choice(["create", "change", "change", "clear", "delete", "group", "members", "member", "ungroup"])
    match kind:
        case "create":
            service.user(f"n{service.storage.time:%H%M%S}", emails=[{"type": "work", "value": "n@m.example"}])
        case "change" if users:
            service.set(f"/Users/{random.choice(users)}", title="t", active=random.random() < 0.5)
        case "clear" if users:
            service.patch(f"/Users/{random.choice(users)}", {"op": "remove", "path": "emails"})
        case "delete" if len(users) > 10:
            service.delete(f"/Users/{random.choice(users[2:])}")
        case "group":
            service.group(f"g{service.storage.time:%H%M%S}", *random.sample(users, min(3, len(users))))
        case "members" if groups:
            members = [{"value": user} for user in random.sample(users, random.randrange(4))]
            service.set(f"/Groups/{random.choice(groups)}", members=members)
        case "member" if groups and users:
            operation = {"op": "add", "path": "members", "value": [{"value": random.choice(users)}]}
            service.patch(f"/Groups/{random.choice(groups)}", operation)
        case "ungroup" if groups:
            service.delete(f"/Groups/{random.choice(groups)}")
    if random.random() < 0.3:  # so that what was before is older than the overlap
        service.storage.time = (
            service.storage.time.replace(hour=(service.storage.time.hour + 1) % 24)
            if (service.storage.time.hour < 22)
            else service.storage.time
        )
    return kind


def random_race(service: Scim, random: Random) -> Callable[[int, Request], None]:
    """Edits the service before some of the pages are given."""

    def race(_: int, request: Request) -> None:
        if "startIndex" in request.path and random.random() < 0.3:
            random_edit(service, random)

    return race


def test_a_failure_that_passes_is_read_again_and_said(service: Scim, new_engine: NewEngine) -> None:
    engine = new_engine()
    failures = iter([Reply(None)] * 6)
    service.intercept = lambda _, request: next(failures, None) if "/Groups" in request.path else None

    run = engine.run_job("Incremental")

    assert run.state is TaskState.COMPLETED
    assert "read again from the beginning, for" in messages(run)
    assert len(list(engine.export_resources("Cloud_User"))) == 3


@pytest.mark.parametrize(
    "answer", [Reply(429), Reply(503), Reply(None), Reply(200, body=b"{"), reply({"detail": "x"}, 401)]
)
def test_a_failure_that_stays_changes_nothing(service: Scim, new_engine: NewEngine, answer: Reply) -> None:
    engine = new_engine()
    engine.run_job("Incremental")
    before, place = held(engine), engine.places()
    service.user("new")
    service.intercept = lambda _, request: answer if "/Groups" in request.path else None

    run = engine.run_job("Incremental")

    assert run.state is TaskState.FAILED
    assert (held(engine), engine.places()) == (before, place)
    service.intercept = lambda number, request: None
    assert engine.run_job("Incremental").counts.inserted == 1


def test_a_refused_token_is_tried_once(service: Scim, new_engine: NewEngine) -> None:
    engine = new_engine(token=Secret("wrong"))

    run = engine.run_job("Incremental")

    assert run.state is TaskState.FAILED
    assert service.requests == 1
    assert "It was tried once." in messages(run)


SECRETS = [
    "Tulip-Zx9q",
    "Tulip%2F%40x",
    "user@Tulip:x",
    "Tulip'quoted'",
    'Tulip"quoted"',
    "Tulip\\back\\slash",
    "Tulip&<amp>;",
    "Tulip+plus=pad==",
    "Tülïp-ünïcode",
    "Tulip with blanks ",
    "?Tulip#hash/slash",
    "{Tulip}$HOME`x`",
]
FAILURES: dict[str, Callable[[Request], Reply]] = {
    "echoed": lambda request: reply({"detail": f"bad {request.headers.get('authorization')}"}, 401),
    "echoed long": lambda request: reply({"detail": "x" * 190 + request.headers.get("authorization", "")}, 400),
    "echoed raw": lambda request: Reply(200, body=request.headers.get("authorization", "").encode()),
    "echoed name": lambda request: reply(
        {"totalResults": 1, "Resources": [{"userName": request.headers.get("authorization", "")}]}
    ),
    "redirect": lambda request: Reply(302, {"Location": "http://h/" + request.headers.get("authorization", "")[:20]}),
    "busy": lambda request: reply({"detail": request.headers.get("authorization")}, 503),
    "ended": lambda request: Reply(None),
}


@pytest.mark.parametrize(
    ("failure", "how"),
    [
        pytest.param(failure, how, marks=[] if (failure, how) == ("echoed", "password") else [pytest.mark.slow])
        for failure in FAILURES  # all of them: many runs
        for how in ("password", "token")
    ],
)
def test_no_secret_is_in_anything_that_a_failure_leaves(
    service: Scim, xml: Path, tmp_path: Path, failure: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.intercept = lambda _, request: FAILURES[failure](request)
    settings = {"Cloud_Source": {"server": service.url, "token": Secret("none")}}
    store, said = f"sqlite:///{tmp_path / 'store.db'}", []
    with Engine.open(store, configuration=xml, export_output=tmp_path / "exports", connections=settings) as engine:
        never_waits(engine)
        for value in SECRETS if failure.startswith("echoed") else SECRETS[:3]:
            signs = {"user": "ann"} if how == "password" else {}
            secrets = {how: partial(Secret, value)}
            changed = ConnectionSettings(values={"server": service.url, **signs}, secrets=secrets)
            engine._services = evolve(engine._services, connections={"Cloud_Source": changed})
            run, probe = engine.run_job("Incremental"), engine.probe("Cloud_Source")
            with pytest.raises(RunFailed) as failed:
                run.raise_for_state()
            said += [messages(run), repr(run), repr(probe), repr(engine._services.connections)]
            said.append("".join(traceback.format_exception(failed.value)))
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    everything = "\n".join((*said, caplog.text, files.decode("utf-8", "replace")))

    assert {value: leaks(everything, value) for value in SECRETS} == {value: [] for value in SECRETS}


def leaks(text: str, value: str) -> list[str]:
    """The parts of a secret that a text shows."""
    encoded = [b64encode(f"ann:{value}".encode()).decode()[8:20], b64encode(value.encode()).decode()[4:12]]
    words = [word for word in re.findall(r"\w{4,}", value) if word not in ("user", "slash", "quoted", "back", "with")]
    return [part for part in (value, *encoded, *words) if part in text]


def test_the_search_for_leaks_finds_one() -> None:
    """The control of the test before."""
    for value in SECRETS:
        assert leaks(f"bad Bearer {value}", value)


# Runs the page.
@pytest.mark.slow
def test_the_page_works_as_printed(service: Scim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_TOKEN", TOKEN)
    page = PAGE.replace("https://cloud.meridian.example/scim/v2", service.url).replace("```text\n$ ", "```console\n$ ")

    Reader(tmp_path).follow(page)
