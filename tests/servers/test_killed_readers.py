"""Lives beside real servers: kills between reading and applying, servers that end and start, places that they refuse.

After each round the store that read what changed holds what one holds that read everything. `make soak` lives longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random, randrange
from typing import Any

import pytest
from attrs import define, field

from deltamark import TaskState
from tests.scenarios.database_source import messages
from tests.scim import test_runs as cloud
from tests.scim.service import TOKEN, scim_service
from tests.servers import killed_readers
from tests.servers import slapd as openldap
from tests.servers import test_active_directory as ad
from tests.servers import test_ldap_directory as directory
from tests.servers.killed_readers import Follower
from tests.servers.samba import ADDRESS, ADMINISTRATOR, PASSWORD, DomainController
from tests.servers.slapd import Slapd
from tests.store.children import CONTEXT, steps_of
from tests.tiers import SOAK

pytestmark = [pytest.mark.slow, pytest.mark.law]  # a server, and a process for each kill

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
ROUNDS = int(os.environ.get("DELTAMARK_SOAK_ROUNDS") or (200 if SOAK else 3))
CONTEXT.set_forkserver_preload(["tests.store.children", killed_readers.__name__])


@define(kw_only=True)
class Life:
    """A server, a store that follows it through kills, and one that reads everything each time.

    :param edit: changes something on the server.
    :param restart: ends the server, or kills it, and starts it again.
    :param deletions_move_the_place: whether the place tells that something was deleted; that of a SCIM service is
        the newest `meta.lastModified`, which a deletion leaves as it is.
    """

    followed: Follower
    whole: Follower
    random: Random
    edit: Callable[[], Any]
    restart: Callable[[bool], Any] | None
    held: Callable[[Any], Any]
    child: Callable[..., None] = killed_readers.run
    deletions_move_the_place: bool = True
    steps: int = 1
    lived: dict[str, int] = field(
        factory=lambda: dict.fromkeys(("kills", "before", "after", "resumed", "restarts", "lost"), 0)
    )

    def live(self, rounds: int) -> None:
        """Lives so many rounds."""
        with self.followed.opened() as followed, self.whole.opened() as whole:
            self.followed.follow(followed, resumes=False)
            self._count_steps()
            for number in range(rounds):
                try:
                    self._round(followed, whole)
                except AssertionError as error:
                    raise AssertionError(f"seed {SEED}, round {number}: {error}") from error
            assert followed.verify().is_sound

    def _round(self, followed: Any, whole: Any) -> None:
        self.edit()
        if self.restart is not None and self.random.random() < 0.2:
            self.restart(self.random.random() < 0.5)
            self.lived["restarts"] += 1
        assert whole.run_job(self.whole.everything).state in (TaskState.COMPLETED, TaskState.WARNING)
        wanted = self.held(whole)
        for _ in range(self.random.choice([0, 1, 1, 2])):
            self.kill(followed, wanted)
        garbled = self.random.random() < 0.15
        resumes = not garbled and self.random.random() < 0.5
        run = self.followed.follow(followed, resumes=resumes, garbled=garbled)
        self.lived["resumed"] += resumes
        if garbled:
            self.lived["lost"] += 1
            assert "everything was read" in messages(run), messages(run)
        if resumes:  # what was delivered before it was killed was applied; the rest comes now
            run = self.followed.follow(followed, resumes=False)
        assert run.state in (TaskState.COMPLETED, TaskState.WARNING), messages(run)
        assert self.held(followed) == wanted

    def kill(self, followed: Any, wanted: Any) -> None:
        """Kills a process at some step: what it read is applied with its place, or neither is."""
        before, place = self.held(followed), followed.places()
        at_step, resumes = self.random.randint(1, self.steps), self.random.random() < 0.4
        if steps_of(self.child, self.followed, at_step, resumes) is not None:
            return
        self.lived["kills"] += 1
        held = self.held(followed)
        if followed.places() != place:
            self.lived["after"] += 1
            assert held == wanted, "the place moved, and not all was applied"
        elif held != before and not self.deletions_move_the_place:
            self.lived["after"] += 1
            assert held == wanted, "a part of what was read was applied"
        else:
            self.lived["before"] += 1
            assert held == before, "something was applied, and the place is as before"

    def _count_steps(self) -> None:
        self.edit()
        steps = steps_of(self.child, self.followed, 0, False)
        assert steps is not None
        self.steps = steps

    def told(self) -> str:
        """What was lived, in words."""
        return ", ".join(f"{count} {name}" for name, count in self.lived.items())


@pytest.fixture
def lives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Life]]:
    """Makes a life, and says at the end what was lived."""
    made: list[Life] = []

    def new(package: str, connection: str, whole: dict[str, Any] | None = None, **options: Any) -> Life:
        life_options = {
            name: options.pop(name)
            for name in ("edit", "restart", "held", "random", "deletions_move_the_place")
            if name in options
        }
        followers = [
            Follower(
                **{
                    "url": f"sqlite:///{tmp_path / name}.db",
                    "folder": tmp_path / name,
                    "package": package,
                    "connection": connection,
                    **options,
                    **others,
                }
            )
            for name, others in (("followed", {}), ("whole", whole or {}))
        ]
        made.append(Life(followed=followers[0], whole=followers[1], **life_options))
        return made[-1]

    yield new
    with capsys.disabled():
        for life in made:
            print(f"\n{life.followed.package}, seed {SEED}: {ROUNDS} rounds, {life.told()}")


def slapd_life(lives: Callable[..., Life], server: Slapd, random: Random) -> Life:
    edits = directory.Edits(directory.filled(server), random)

    def edit() -> None:
        for _ in range(random.randint(1, 8)):
            edits.any()
        directory.settled(edits.client)

    def restart(kills: bool) -> None:
        (server.kill if kills else server.stop)()
        server.start()
        edits.client = server.client()

    return lives(
        "Ldap",
        "Source",
        settings={"server": server.address, "tls": "none", "user": openldap.ADMINISTRATOR},
        secrets={"password": openldap.PASSWORD},
        edit=edit,
        restart=restart,
        held=killed_readers.held,
        random=random,
    )


def test_a_life_beside_slapd(new_slapd: Callable[..., Slapd], lives: Callable[..., Life]) -> None:
    slapd_life(lives, new_slapd(session_log=60), Random(SEED)).live(ROUNDS)


def test_a_life_beside_ldif_files(new_slapd: Callable[..., Slapd], tmp_path: Path, lives: Callable[..., Life]) -> None:
    """Files that slapd writes of its changes are followed; the other store asks the server itself."""
    random, files = Random(SEED), tmp_path / "files"
    files.mkdir()
    content, changes = files / "content.ldif", files / "changes.ldif"
    server = new_slapd(limits="moduleload auditlog", database=f"overlay auditlog\nauditlog {changes}")
    edits = directory.Edits(directory.filled(server), random)

    def edit() -> None:
        for _ in range(random.randint(1, 8)):
            edits.any()
        directory.settled(edits.client)

    def restart(writes_content: bool) -> None:
        server.stop()
        if writes_content:
            content.write_bytes(server.content())
            changes.write_bytes(b"")
        server.start()
        edits.client = server.client()

    directory.settled(edits.client)
    restart(writes_content=True)
    lives(
        "Ldif",
        "Source",
        settings={"folder": str(files)},
        secrets={},
        whole={
            "package": "Ldap",
            "settings": {"server": server.address, "tls": "none", "user": openldap.ADMINISTRATOR},
            "secrets": {"password": openldap.PASSWORD},
        },
        edit=edit,
        restart=restart,
        held=killed_readers.held,
        random=random,
    ).live(ROUNDS)


def test_a_life_beside_active_directory(controller: DomainController, lives: Callable[..., Life]) -> None:
    random = Random(SEED)
    edits = ad.Edits(controller.client(), random)

    def edit() -> None:
        for _ in range(random.randint(1, 8)):
            edits.any()

    def restart(kills: bool) -> None:
        (controller.kill if kills else controller.stop)()
        controller.stop()  # waits until its ports are free
        controller.start()
        edits.client = controller.client()

    lives(
        "ActiveDirectory",
        "Source",
        settings={"server": ADDRESS, "authority": str(controller.authority), "user": ADMINISTRATOR},
        secrets={"password": PASSWORD},
        edit=edit,
        restart=restart,
        held=killed_readers.held,
        random=random,
    ).live(ROUNDS)


@pytest.mark.parametrize("cursors", [True, False])
def test_a_life_beside_a_scim_service(xml: Path, lives: Callable[..., Life], cursors: bool) -> None:
    random = Random(SEED)
    with scim_service(cursors=cursors) as service:
        for number in range(30):
            service.user(f"u{number}")
        service.group("all", *service.ids()[:2])

        def edit() -> None:
            for _ in range(random.randint(1, 8)):
                cloud.random_edit(service, random)

        lives(
            "Scim",
            "Cloud_Source",
            settings={"server": service.url, "page_size": 7},
            secrets={"token": TOKEN},
            changes="Incremental",
            everything="Complete",
            xml=xml,
            edit=edit,
            restart=None,
            held=cloud.held,
            random=random,
            deletions_move_the_place=False,
        ).live(ROUNDS)


def test_control_a_place_that_moves_by_itself_is_caught(
    new_slapd: Callable[..., Slapd], lives: Callable[..., Life]
) -> None:
    life = slapd_life(lives, new_slapd(), Random(1))
    life.child = killed_readers.run_that_moves_the_place_first
    with life.followed.opened() as followed, life.whole.opened() as whole:
        life.followed.follow(followed, resumes=False)
        life.edit()
        whole.run_job("Everything")
        with pytest.raises(AssertionError, match="the place moved, and not all was applied"):
            life.kill(followed, killed_readers.held(whole))


xml = cloud.xml
