"""The command `serve`: the console and the API."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click

from deltamark.config.serve import ROLE, ROLES
from deltamark.domain.errors import UsageError
from deltamark.interfaces.cli.context import Workspace, leave_out_option, pass_workspace
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.streams import say

NEEDED = ("litestar", "jinja2", "uvicorn", "prometheus_client")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)


def refuse_without_web() -> None:
    """Refuses what needs packages that are not installed.

    :raises UsageError: if one is missing.
    """
    if any(importlib.util.find_spec(module) is None for module in NEEDED):
        raise UsageError("the console needs more than is installed. Install it by: pip install 'deltamark[web]'.")


def _roles(assigned: tuple[str, ...]) -> dict[str, str]:
    from deltamark.interfaces.http.users import role_named

    roles = {}
    for assignment in assigned:
        name, sign, role = assignment.rpartition("=")
        if not sign or not name:
            raise UsageError(f"{assignment} gives no role; write USER=ROLE, such as ann=reviewer.")
        roles[name] = role_named(role).value
    return roles


@click.command(epilog="Example: deltamark serve --port 8000")
@click.option("--host", metavar="ADDRESS", help="Where it listens; 127.0.0.1 if it is left out.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port; 8765 if it is left out.")
@click.option(
    "--public-host", "names", multiple=True, metavar="NAME", help="A name by which it is reached; may be repeated."
)
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="The certificate, for TLS.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="The key of the certificate.")
@click.option("--behind-proxy", metavar="NETWORKS", help="Networks of a proxy that signs users in, such as 10.0.0.0/8.")
@click.option("--user-header", metavar="HEADER", help="Holds the name of the user; X-Forwarded-User if left out.")
@click.option("--role", "assigned", multiple=True, metavar="USER=ROLE", help="The role of a user of the proxy.")
@click.option("--default-role", type=click.Choice(ROLES), metavar="ROLE", help="Of the other users of the proxy.")
@click.option("--four-eyes", is_flag=True, default=None, help="Who started a run may not accept what it holds back.")
@click.option("--access-log", type=_NEW_FILE, metavar="FILE", help="Gets a line for each deed.")
@click.option(
    "--as", "name", type=Name("USER"), metavar="USER", envvar="DELTAMARK_USER", help="Whom the link signs in."
)
@leave_out_option
@pass_workspace
def serve(
    workspace: Workspace, /, names: tuple[str, ...], assigned: tuple[str, ...], name: str | None, **options: Any
) -> None:
    """Serves the console and the API until it is stopped.

    It prints a link that signs an administrator in: once, within ten minutes. It listens on this machine only; any
    other address needs TLS or a proxy. Runs go on when it ends. Settings: [deltamark.serve] in deltamark.toml.

    Exit status 2 if it cannot listen, or if what it needs is not installed.
    """
    refuse_without_web()
    from deltamark.infrastructure.system.account import process_account
    from deltamark.interfaces.http.children import Runs
    from deltamark.interfaces.http.server import serve as run_server
    from deltamark.interfaces.http.settings_of_file import http_settings
    from deltamark.interfaces.http.users import Role, SignInMethod, User

    given = {key: value for key, value in options.items() if value is not None}
    given |= {"public_host": list(names)} if names else {}
    from_file = workspace.settings().serve
    roles = {**from_file.get(ROLE, {}), **_roles(assigned)}
    settings = http_settings({**from_file, **given, ROLE: roles})
    settings.refuse_open_network()
    user = User(name=name or process_account(), role=Role.ADMIN, method=SignInMethod.LINK)
    with workspace.engine(create=True, reading_only=True) as engine:
        runs = Runs(engine, environment=workspace.environment(), four_eyes=settings.four_eyes)
        first = None if settings.proxy else user
        run_server(engine, settings, runs=runs, first_user=first, on_listening=_say_address)
    say("Stopped.")


def _say_address(address: str) -> None:
    say(f"Open {address}")
    say("Stop it with Ctrl-C.")


COMMANDS: tuple[click.Command, ...] = (serve,)
