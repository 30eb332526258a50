"""Processes that follow a server into a store, and are killed at one step of reading or applying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from deltamark import CannotResume, Configuration, Engine, JobRun, TaskState
from deltamark.application.ports.sources import Question, Reached, SourcePlace, Tables
from deltamark.domain.secrets import Secret
from deltamark.infrastructure.ldap.ldif.source import LdifFiles
from deltamark.infrastructure.scim.source import ScimSource
from tests.crash.source_children import Steps, every_step, moves_the_place_and_dies
from tests.scenarios.directory_source import configuration, held, in_files


@frozen(kw_only=True)
class Follower:
    """A store that follows a server.

    :param changes: the job that reads what changed.
    :param everything: the job that reads all.
    :param xml: its configuration, where it is no directory.
    """

    url: str
    folder: Path
    package: str
    connection: str
    settings: Mapping[str, str | int]
    secrets: Mapping[str, str]
    changes: str = "Changes"
    everything: str = "Everything"
    xml: Path | None = None

    @contextmanager
    def opened(self) -> Iterator[Engine]:
        """An engine of the store, which never waits."""
        secrets = {name: Secret(value) for name, value in self.secrets.items()}
        with Engine.open(
            self.url,
            configuration=self.xml or self._configuration,
            export_output=self.folder,
            connections={self.connection: {**self.settings, **secrets}},
        ) as engine:
            sources = {**engine._services.sources}
            if self.package == "Scim":
                sources["Scim"] = ScimSource(wait=lambda seconds: None)
            engine._services = evolve(engine._services, wait=lambda seconds: None, sources=sources)
            yield engine

    @property
    def _configuration(self) -> Configuration:
        if self.package == "ActiveDirectory":
            return configuration(
                self.package, "objectGUID", user="user", group="group", name="sAMAccountName", named_by="Guid"
            )
        kinds = {"user": "inetOrgPerson", "group": "groupOfNames", "name": "cn"}
        if self.package == "Ldif":
            return in_files(configuration(self.package, "entryUUID", **kinds, named_by="Guid"))
        return configuration(self.package, "entryUUID", **kinds, named_by="Dn")

    def follow(self, engine: Engine, *, resumes: bool, garbled: bool = False) -> JobRun:
        """Goes on with the last run if it was killed and that is wanted, or reads what changed.

        :param garbled: whether the place is not one that the server gave.
        """
        with _garbled(self.package) if garbled else ExitStack():
            last = engine.runs()[-1:]
            if resumes and last and last[0].state is TaskState.ABORTED:
                with suppress(CannotResume):  # only its end was missing
                    return engine.resume(last[0].number)
            return engine.run_job(self.changes)


def _source(package: str) -> type[Any]:
    if package == "Scim":
        return ScimSource
    if package == "Ldif":
        return LdifFiles
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory  # python-ldap may be absent
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    return ActiveDirectory if package == "ActiveDirectory" else LdapDirectory


@contextmanager
def _garbled(package: str) -> Iterator[None]:
    source = _source(package)
    changes = source.changes

    def altered(self: Any, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        cookie = since.cookie[: len(since.cookie) // 2] + b"\xff" + since.cookie[len(since.cookie) // 2 + 1 :]
        reached: Reached = changes(self, ask, evolve(since, cookie=cookie), into)
        return reached

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "changes", altered)
        yield


__all__ = ["Follower", "held", "run", "run_that_moves_the_place_first"]


def run(follower: Follower, at_step: int, resumes: bool, told: Connection) -> None:
    """Follows the server once, and tells how many steps it took; dies at the step of that number, if it is not 0."""
    steps = Steps(at_step)
    with every_step(steps), follower.opened() as engine:
        follower.follow(engine, resumes=resumes)
    told.send(steps.count)


def run_that_moves_the_place_first(follower: Follower, at_step: int, resumes: bool, told: Connection) -> None:
    """A run whose place moves in a transaction of its own, before what was delivered is applied: what must never be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "deltamark.application.execution.task_types.synchronize", moves_the_place_and_dies(follower.connection)
        )
        run(follower, 0, False, told)
