"""Installed from wheels alone, in an environment of its own and without a compiler, every kind of server answers.

Directories need python-ldap, of which there is no wheel for Linux: one that was built elsewhere is enough.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hatchling.builders.wheel import WheelBuilder

from deltamark.domain.configuration.packages import LDAP
from tests.scim.service import TOKEN, scim_service
from tests.servers import samba, slapd
from tests.servers import test_ldap_directory as directory
from tests.servers.processes import needs
from tests.servers.samba import DomainController
from tests.servers.slapd import Slapd

pytestmark = pytest.mark.slow  # installs the package with all that it needs, and starts servers

ROOT = Path(__file__).parents[2]
COMPILERS = ("cc", "gcc", "clang", "c++", "make")
SOURCES: dict[str, tuple[str, str]] = {
    "AD": ("ActiveDirectory", 'ObjectClass="user"'),
    "Directory": ("Ldap", 'ObjectClass="inetOrgPerson"'),
    "Server": ("Sql", 'Query="SELECT 1 AS id"'),
    "File": ("Sql", 'Query="SELECT id FROM person"'),
    "Cloud": ("Scim", 'ResourceType="User"'),
}
KEYS = {"ActiveDirectory": "objectGUID", "Ldap": "entryUUID"}


@frozen
class Installed:
    """An environment in which nothing but wheels was installed."""

    folder: Path

    def install(self, *requirements: str) -> subprocess.CompletedProcess[str]:
        """Installs with wheels alone, and without a compiler."""
        return self.run("pip", "install", "--quiet", "--only-binary=:all:", *requirements)

    def run(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment; those of the machine are not found."""
        command = [str(self.folder / "bin" / program), *arguments]
        environment = {"PATH": str(self.folder / "bin"), "HOME": str(self.folder), "SECRET": samba.PASSWORD}
        environment |= {"DIRECTORY": slapd.PASSWORD, "TOKEN": TOKEN, "PYTHONUTF8": "1"}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The package of this checkout, with what SCIM needs."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder))
    venv.create(folder / "venv", with_pip=True)
    environment = Installed(folder / "venv")
    assert not [name for name in COMPILERS if shutil.which(name, path=str(environment.folder / "bin"))]
    if environment.run("pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "cronsim<3").returncode:
        needs("a registry of packages")
    done = environment.install(f"{wheel}[scim]")
    assert done.returncode == 0, done.stderr
    yield environment
    shutil.rmtree(folder)


@pytest.fixture
def workspace(tmp_path: Path, postgresql_database: str) -> Iterator[Path]:
    """A configuration with a connection to a server of each kind; those of directories do not run."""
    with closing(sqlite3.connect(tmp_path / "hr.db")) as connection, connection:
        connection.execute("CREATE TABLE person (id)")
    with scim_service() as service:
        service.user("ann")
        configure(
            tmp_path,
            AD={"server": samba.ADDRESS, "user": samba.ADMINISTRATOR, "password": "env:SECRET"},
            Directory={"server": "ldaps://127.0.0.1", "user": slapd.ADMINISTRATOR, "password": "env:DIRECTORY"},
            Server={"server": postgresql_database},
            File={"server": "sqlite:///hr.db"},
            Cloud={"server": service.url, "token": "env:TOKEN"},
        )
        yield tmp_path


def configure(folder: Path, **settings: dict[str, str]) -> None:
    """Writes a workspace with these connections."""
    lines = ['[deltamark]\nconfiguration = "all.xml"\n']
    xml = ["<ConfigurationFile>"]
    for name, values in settings.items():
        package, options = SOURCES[name]
        key = KEYS.get(package, "id")
        lines += [f"[deltamark.connections.{name}_Source]", *(f'{key} = "{value}"' for key, value in values.items())]
        xml.append(f"""
<Connector Identifier="{name}" /><EntityType Identifier="{name}"><Property Identifier="Key" /></EntityType>
<Connection Identifier="{name}_Source" Connector="{name}" Package="{package}">
  <ConnectionTable Identifier="{name}_Row" {options} />
</Connection>
<EntityTypeMapping Identifier="{name}" Connector="{name}" ConnectionTable="{name}_Row">
  <Property Identifier="Key" ConnectionColumn="{key}" IsPrimaryKey="true" />
</EntityTypeMapping>""")
    (folder / "deltamark.toml").write_text("\n".join(lines))
    (folder / "all.xml").write_text("\n".join([*xml, "</ConfigurationFile>"]))


def answers(installed: Installed, folder: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """What `deltamark connections` says of each."""
    done = installed.run("deltamark", "connections", "--format", "jsonl", cwd=folder)
    found = {row["connection"].removesuffix("_Source"): row for row in map(json.loads, done.stdout.splitlines())}
    assert set(found) == set(SOURCES), done.stderr
    return done.returncode, found


def test_without_the_library_of_directories_all_others_answer_and_it_is_said_how_to_get_it(
    installed: Installed, workspace: Path
) -> None:
    validated = installed.run("deltamark", "validate", cwd=workspace)
    status, found = answers(installed, workspace)

    assert LDAP.library is not None
    directories = [f'connection "{name}_Source" cannot be read here' for name in ("AD", "Directory")]
    assert all(text in validated.stdout for text in directories), validated.stdout
    assert validated.stdout.count(LDAP.library.installation) == 2
    assert validated.returncode == 0
    problems = {name: row["problems"] for name, row in found.items()}
    for name in ("AD", "Directory"):
        (problem,) = problems.pop(name)
        assert LDAP.library.installation in problem
    assert problems == {"Server": [], "File": [], "Cloud": []}
    assert status == 1


def test_control_there_is_no_wheel_of_it_and_none_can_be_built(installed: Installed) -> None:
    assert installed.install("python-ldap").returncode != 0
    assert installed.run("pip", "install", "--quiet", "python-ldap").returncode != 0


def test_with_a_wheel_that_was_built_elsewhere_directories_answer_too(
    installed: Installed,
    workspace: Path,
    tmp_path: Path,
    controller: DomainController,
    new_slapd: Callable[..., Slapd],
) -> None:
    built = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path / "wheels")]
    subprocess.run([*built, "python-ldap"], check=True, capture_output=True)
    done = installed.install("--find-links", str(tmp_path / "wheels"), "python-ldap")
    assert done.returncode == 0, done.stderr
    server = new_slapd()
    directory.filled(server)
    settings = (workspace / "deltamark.toml").read_text()
    settings = settings.replace('"ldaps://127.0.0.1"', f'"{server.address}"\ntls = "none"')
    authority = f'"{samba.ADDRESS}"\nauthority = "{controller.authority}"'
    (workspace / "deltamark.toml").write_text(settings.replace(f'"{samba.ADDRESS}"', authority))

    validated = installed.run("deltamark", "validate", cwd=workspace)
    status, found = answers(installed, workspace)

    assert validated.returncode == 0, validated.stderr
    assert {name: row["problems"] for name, row in found.items()} == {name: [] for name in SOURCES}
    assert status == 0
