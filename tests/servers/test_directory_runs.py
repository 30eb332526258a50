"""Directories through whole runs: an engine that reads what changed holds what one that reads everything holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deltamark import Configuration, Engine, TaskState
from deltamark.domain.secrets import Secret
from tests.scenarios.database_source import messages
from tests.scenarios.directory_source import configuration, held
from tests.servers import slapd as openldap
from tests.servers import test_active_directory as ad
from tests.servers import test_ldap_directory as directory
from tests.servers.samba import ADDRESS, ADMINISTRATOR, PASSWORD, DomainController
from tests.servers.slapd import Slapd
from tests.tiers import examples

# Each test starts a server, and two engines read it.
pytestmark = pytest.mark.slow


def lives_equal(
    folder: Path, config: Configuration, settings: dict[str, Any], edit: Callable[[int], Any], rounds: int
) -> None:
    """Sees that an engine that reads changes holds after each round what one holds that reads everything."""
    options: dict[str, Any] = {"configuration": config, "connections": {"Source": settings}}
    with (
        Engine.open(f"sqlite:///{folder / 'a.db'}", export_output=folder / "a", **options) as by_changes,
        Engine.open(f"sqlite:///{folder / 'b.db'}", export_output=folder / "b", **options) as by_reading_all,
    ):
        for number in range(rounds):
            done = edit(number)
            for engine, job in ((by_changes, "Changes"), (by_reading_all, "Everything")):
                run = engine.run_job(job)
                assert {task.state for task in run.tasks} <= {TaskState.COMPLETED, TaskState.WARNING}, run
            assert held(by_changes) == held(by_reading_all), done
        assert by_changes.verify().is_sound


def domain_options(controller: DomainController) -> dict[str, Any]:
    """How an engine reads the domain."""
    settings = {
        "server": ADDRESS,
        "authority": str(controller.authority),
        "user": ADMINISTRATOR,
        "password": Secret(PASSWORD),
    }
    config = configuration(
        "ActiveDirectory", "objectGUID", user="user", group="group", name="sAMAccountName", named_by="Guid"
    )
    return {"configuration": config, "connections": {"Source": settings}}


def slapd_settings(server: Slapd) -> dict[str, Any]:
    """How an engine reads slapd."""
    return {
        "server": server.address,
        "tls": "none",
        "user": openldap.ADMINISTRATOR,
        "password": Secret(openldap.PASSWORD),
    }


def keys_stay(
    folder: Path, options: dict[str, Any], client: Any, *, rdn: str, unit: str, other: str, values: list[Any]
) -> None:
    """Sees what becomes of a person who is renamed, moved, moved with their unit, and deleted and created again.

    :param unit: where the person is at first.
    :param other: a unit below another one; the unit itself is renamed.
    """
    attribute = rdn.partition("=")[0]
    client.add_s(f"{rdn},{unit}", values)
    with Engine.open("sqlite://", export_output=folder, **options) as engine:

        def run() -> Counter[str]:
            place = engine.position()
            assert engine.run_job("Changes").state in (TaskState.COMPLETED, TaskState.WARNING)
            return Counter(change.kind for change in engine.changes(place, entity_type="Account"))

        def keys() -> dict[str, str]:
            """Of each account that is, where it is."""
            return {account.key: str(account.values["Dn"]).lower() for account in engine.export_resources("Account")}

        run()
        (key,) = (key for key, dn in keys().items() if dn == f"{rdn},{unit}".lower())
        renamed = f"{attribute}=Renamed"
        for deed in (
            lambda: client.rename_s(f"{rdn},{unit}", renamed),
            lambda: client.rename_s(f"{renamed},{unit}", renamed, other),
            lambda: client.rename_s(other, "ou=Elsewhere"),
        ):
            before = keys()
            deed()
            counts = run()
            assert (counts["created"], counts["deleted"]) == (0, 0)
            assert counts["updated"]
            assert keys().keys() == before.keys()
            assert keys()[key] != before[key]
        elsewhere = f"{renamed},ou=Elsewhere,{other.partition(',')[2]}"
        assert keys()[key] == elsewhere.lower()
        client.delete_s(elsewhere)
        client.add_s(elsewhere, values)
        counts = run()
        assert (counts["created"], counts["deleted"]) == (1, 1)
        assert key not in keys()


def test_a_person_of_a_domain_keeps_the_key_through_renames_and_moves(
    controller: DomainController, tmp_path: Path
) -> None:
    client = controller.client()
    unit, other = "OU=Keys,DC=meridian,DC=example", "OU=Below,OU=Keys,DC=meridian,DC=example"
    for dn in (unit, other):
        client.add_s(dn, [("objectClass", [b"organizationalUnit"])])

    values = [("objectClass", [b"user"]), ("sAMAccountName", [b"keeper"])]
    keys_stay(tmp_path, domain_options(controller), client, rdn="CN=keeper", unit=unit, other=other, values=values)


def test_a_person_of_an_ldap_directory_keeps_the_key_through_renames_and_moves(
    new_slapd: Callable[..., Slapd], tmp_path: Path
) -> None:
    server = new_slapd()
    client = directory.filled(server)
    config = configuration("Ldap", "entryUUID", user="inetOrgPerson", group="groupOfNames", name="cn", named_by="Dn")
    options = {"configuration": config, "connections": {"Source": slapd_settings(server)}}

    values = [("objectClass", [b"inetOrgPerson"]), ("uid", [b"keeper"]), ("sn", [b"x"])]
    keys_stay(tmp_path, options, client, rdn="cn=keeper", unit=directory.PEOPLE, other=directory.STAFF, values=values)


def test_the_run_after_a_domain_was_restored_reads_everything(controller: DomainController, tmp_path: Path) -> None:
    options = domain_options(controller)
    edits = ad.Edits(controller.client(), Random(5))
    with (
        Engine.open("sqlite://", export_output=tmp_path / "a", **options) as by_changes,
        Engine.open("sqlite://", export_output=tmp_path / "b", **options) as by_reading_all,
    ):
        copy = controller.backup()
        edits.client = controller.client()
        for _ in range(5):
            edits.user(again=0)
        assert by_changes.run_job("Changes").state in (TaskState.COMPLETED, TaskState.WARNING)
        before = held(by_changes)

        controller.restore(copy)
        run = by_changes.run_job("Changes")

        assert run.state is TaskState.WARNING
        assert "restored from a backup" in messages(run)
        assert by_reading_all.run_job("Everything").state in (TaskState.COMPLETED, TaskState.WARNING)
        assert held(by_changes) == held(by_reading_all) != before


def test_active_directory_by_changes_is_active_directory_read_as_a_whole(
    controller: DomainController, tmp_path: Path
) -> None:
    options = domain_options(controller)
    edits = ad.Edits(controller.client(), Random(8))

    def edit(number: int) -> list[str]:
        edits.done.clear()
        for _ in range(8):
            edits.any()
        return edits.done

    lives_equal(tmp_path, options["configuration"], options["connections"]["Source"], edit, examples(12))


@pytest.mark.parametrize("corrects_links", [True, False])
def test_an_ldap_directory_by_changes_is_the_directory_read_as_a_whole(
    new_slapd: Callable[..., Slapd], tmp_path: Path, corrects_links: bool
) -> None:
    server = new_slapd(session_log=60, corrects_links=corrects_links)
    client = directory.filled(server)
    edits = directory.Edits(client, Random(9))
    config = configuration("Ldap", "entryUUID", user="inetOrgPerson", group="groupOfNames", name="cn", named_by="Dn")

    def edit(number: int) -> list[str]:
        edits.done.clear()
        for _ in range(8):
            edits.any()
        if number % 5 == 4:
            server.stop()
            server.start()
            edits.client = server.client()
        if corrects_links:
            directory.settled(edits.client)
        return edits.done

    lives_equal(tmp_path, config, slapd_settings(server), edit, examples(20))
