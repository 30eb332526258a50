"""What slapd writes of its changes (overlay auditlog), applied to its content, is what the server holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from deltamark import Engine, TaskState
from deltamark.domain.secrets import Secret
from tests.scenarios.directory_source import configuration, held, in_files
from tests.servers import slapd as openldap
from tests.servers import test_ldap_directory as directory
from tests.servers.slapd import Slapd
from tests.tiers import examples

pytestmark = pytest.mark.slow  # starts a server, which two engines read


def test_the_audit_log_of_a_server_leaves_what_the_server_holds(
    new_slapd: Callable[..., Slapd], tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    server = new_slapd(limits="moduleload auditlog", database=f"overlay auditlog\nauditlog {files / 'changes.ldif'}")
    client = directory.filled(server)
    edits = directory.Edits(client, Random(4))
    content = server.content()
    (files / "changes.ldif").unlink()
    (files / "content.ldif").write_bytes(content)
    kinds = {"user": "inetOrgPerson", "group": "groupOfNames", "name": "cn"}
    by_server = configuration("Ldap", "entryUUID", **kinds, named_by="Dn")
    settings = {"server": server.address, "tls": "none", "user": openldap.ADMINISTRATOR}
    by_files = in_files(configuration("Ldif", "entryUUID", **kinds, named_by="Guid"))
    with (
        Engine.open(
            "sqlite://",
            configuration=by_files,
            export_output=tmp_path / "a",
            connections={"Source": {"folder": str(files)}},
        ) as changed,
        Engine.open(
            "sqlite://",
            configuration=by_server,
            export_output=tmp_path / "b",
            connections={"Source": {**settings, "password": Secret(openldap.PASSWORD)}},
        ) as asked,
    ):
        for number in range(examples(14)):
            edits.done.clear()
            for _ in range(8):
                edits.any()
            directory.settled(client)
            for engine, job in ((changed, "Changes"), (asked, "Everything")):
                run = engine.run_job(job)
                assert {task.state for task in run.tasks} <= {TaskState.COMPLETED, TaskState.WARNING}, run
                assert not [row for task in run.tasks for row in task.set_aside if "changes" in row.reason], (
                    number,
                    edits.done,
                )
            assert held(changed) == held(asked), (number, edits.done)
            if number % 5 == 4:  # new content takes the place of what changed
                (files / "content.ldif").write_bytes(server.content())
                (files / "changes.ldif").write_bytes(b"")
        assert changed.verify().is_sound
