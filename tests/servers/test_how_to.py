"""The page about Active Directory, followed on a real domain controller."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from deltamark import Engine, TaskState
from deltamark.domain.secrets import Secret
from tests.docs.pages import ROOT, blocks_of
from tests.servers import test_active_directory as ad
from tests.servers.samba import ADDRESS, ADMINISTRATOR, PASSWORD, DomainController

# Starts a domain controller.
pytestmark = pytest.mark.slow


def test_the_configuration_of_the_page_follows_a_domain(controller: DomainController, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "synchronize-an-active-directory.md").read_text("utf-8")
    (block,) = [block for block in blocks_of(page) if block.file == "configuration/active-directory.xml"]
    (tmp_path / "ad.xml").write_text(block.text)
    edits = ad.Edits(controller.client(), Random(12))
    settings = {
        "server": ADDRESS,
        "authority": str(controller.authority),
        "user": ADMINISTRATOR,
        "password": Secret(PASSWORD),
    }

    with Engine.open(
        "sqlite://",
        configuration=tmp_path / "ad.xml",
        export_output=tmp_path / "exports",
        connections={"AD_Source": settings},
    ) as engine:
        first = engine.run_job("Incremental", force=True)
        new = f"CN=new,{ad.PEOPLE}"
        edits.client.add_s(new, [("objectClass", [b"user"]), ("sAMAccountName", [b"new"]), ("mail", [b"n@m.example"])])
        edits.client.rename_s(new, "CN=renamed", newsuperior=f"OU=Support,{ad.PEOPLE}")
        second = engine.run_job("Incremental")
        edits.client.delete_s(f"CN=renamed,OU=Support,{ad.PEOPLE}")
        third = engine.run_job("Incremental")
        nothing = engine.run_job("Incremental")

        # Groups that are members of groups wait for users of their GUID, with a warning.
        states = {run.state for run in (first, second, third, nothing)}
        assert states <= {TaskState.COMPLETED, TaskState.WARNING}
        kinds = [[change.kind for change in engine.changes(run=run.number)] for run in (second, third, nothing)]
        assert kinds == [["created"], ["deleted"], []]
        (created,) = engine.changes(run=second.number)
        assert created.event.values["Mail"] == "n@m.example"
        assert created.event.values["Disabled"] is True
