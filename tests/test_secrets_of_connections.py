"""No secret of a connection is in anything that a failure leaves: for every package that has one, in every shape.

The servers here refuse whoever signs in, and quote what they were told, in the clear.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from deltamark import DeltamarkError, Engine
from deltamark.domain.configuration.packages import PACKAGES
from deltamark.infrastructure.ldap import ber
from tests.scenarios.http_server import Reply, Request, http_server
from tests.scim.test_runs import SECRETS, leaks

USER = "ann"
RUNS = 6
"""A run, or a delivery, of each connection with every so many of the shapes; all are probed with all."""

Case = tuple[str, str, tuple[str, ...]]
CASES: Mapping[str, Case] = {
    "Postgres": ("Sql", "postgresql", ("password",)),
    "MySQL": ("Sql", "mysql", ("password",)),
    "AD": ("ActiveDirectory", "ldap", ("password",)),
    "Directory": ("Ldap", "ldap", ("password",)),
    "ScimByPassword": ("Scim", "http", ("password",)),
    "ScimByToken": ("Scim", "http", ("token",)),
    "Hook": ("WebhookSink", "http", ("secret", "token")),
    "PostgresSink": ("SqlSink", "postgresql", ("password",)),
    "MySQLSink": ("SqlSink", "mysql", ("password",)),
    "ScimSinkByPassword": ("ScimSink", "http", ("password",)),
    "ScimSinkByToken": ("ScimSink", "http", ("token",)),
}
OPTIONS = {
    "Sql": 'Query="select * from t"',
    "ActiveDirectory": 'ObjectClass="user"',
    "Ldap": 'ObjectClass="person"',
    "Scim": 'ResourceType="User"',
    "WebhookSink": 'Subject="Known"',
    "SqlSink": 'Subject="Known"',
    "ScimSink": 'Subject="Known" ResourceType="User" Properties="userName=Name"',
}
KEYS = {"ActiveDirectory": "objectGUID", "Ldap": "entryUUID"}


def test_every_package_with_secrets_is_tried() -> None:
    assert {package for package, _, _ in CASES.values()} == {name for name, item in PACKAGES.items() if item.secrets}


class Postgres(BaseRequestHandler):
    """Asks for a password in the clear, and quotes it."""

    def handle(self) -> None:
        while struct.unpack("!i", (head := self.request.recv(4096))[4:8])[0] in (80877103, 80877104):
            self.request.sendall(b"N")
        assert head
        self.request.sendall(b"R" + struct.pack("!ii", 8, 3))
        password = self.request.recv(4096)[5:].rstrip(b"\0")
        fields = b"SFATAL\0C28P01\0M" + b"the password " + password + b" is wrong\0\0"
        self.request.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)


class MySQL(BaseRequestHandler):
    """Refuses everyone at once."""

    def handle(self) -> None:
        said = b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied"
        self.request.sendall(struct.pack("<I", len(said))[:3] + b"\0" + said)


class Directory(BaseRequestHandler):
    """Refuses whoever binds, and quotes the password."""

    def handle(self) -> None:
        while data := self.request.recv(4096):
            (_, number), (tag, body), *_ = ber.members(data)
            if tag != 0x60:
                return
            *_, (_, password) = ber.elements(body)
            result = ber.integer(49, ber.ENUMERATED) + ber.octets(b"") + ber.octets(b"wrong: " + password)
            self.request.sendall(ber.sequence(ber.integer(ber.number(number)), ber.element(0x61, result)))


@contextmanager
def listening(handler: type[BaseRequestHandler]) -> Iterator[str]:
    """The address of a server for a block."""
    with ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def quoting(request: Request) -> Reply:
    told = f"{request.headers.get('authorization', '')} {request.headers.get('webhook-signature', '')}"
    return Reply(401, {"Content-Type": "application/scim+json"}, f'{{"detail": "not {told}"}}'.encode())


@contextmanager
def servers() -> Iterator[Mapping[str, str]]:
    """Scheme -> the address of a server that refuses."""
    with ExitStack() as stack:
        yield {
            "postgresql": f"postgresql://{stack.enter_context(listening(Postgres))}/hr",
            "mysql": f"mysql://{stack.enter_context(listening(MySQL))}/hr",
            "ldap": f"ldap://{stack.enter_context(listening(Directory))}",
            "http": stack.enter_context(http_server(quoting)).url,
        }


def configuration(cases: Mapping[str, Case]) -> str:
    """A connection, and for a source what it feeds and a job that reads it, for each case."""
    parts = [
        '<Connector Identifier="Elsewhere" DisplayName_L1="E" /><Connector Identifier="Files" DisplayName_L1="F" />',
        '<EntityType Identifier="Known"><Property Identifier="Name" IsKey="true" /></EntityType>',
        '<EntityTypeMapping Identifier="Known" Connector="Files" ConnectionTable="known">'
        '<Property Identifier="Name" ConnectionColumn="name" IsPrimaryKey="true" /></EntityTypeMapping>'
        '<Job Identifier="Known" DisplayName_L1="K"><SynchronizeTask Identifier="SynchronizeFiles" Connector="Files" '
        'DoNotDeleteChanges="true" DisplayName_L1="S" /></Job>',
    ]
    for name, (package, _, _) in cases.items():
        is_sink = PACKAGES[package].is_sink
        connector = "Elsewhere" if is_sink else f"C{name}"
        parts.append(
            f'<Connection Identifier="{name}" Connector="{connector}" Package="{package}" DisplayName_L1="{name}">'
            f'<ConnectionTable Identifier="T{name}" {OPTIONS[package]} /></Connection>'
        )
        if not is_sink:
            key = KEYS.get(package, "id")
            parts.append(
                f'<Connector Identifier="{connector}" DisplayName_L1="C" />'
                f'<EntityType Identifier="E{name}"><Property Identifier="Key" IsKey="true" /></EntityType>'
                f'<EntityTypeMapping Identifier="E{name}" Connector="{connector}" ConnectionTable="T{name}">'
                f'<Property Identifier="Key" ConnectionColumn="{key}" IsPrimaryKey="true" /></EntityTypeMapping>'
                f'<Job Identifier="J{name}" DisplayName_L1="J"><ExportTask Identifier="X{name}" Connection="{name}" '
                f'DisplayName_L1="X" /></Job>'
            )
    return f"<ConfigurationFile>{''.join(parts)}</ConfigurationFile>"


def said_of(engine: Engine, name: str, *, is_sink: bool, runs: bool) -> Iterator[str]:
    """What a user is told of a connection that fails."""
    yield repr(engine.probe(name))
    if not runs:
        return
    if not is_sink:
        run = engine.run_job(f"J{name}")
        yield repr(run)
        return
    with pytest.raises(DeltamarkError) as failed:
        engine.deliver(name)
    yield f"{failed.value} {failed.value!r}"


def command_lines() -> bytes:
    """Those of all processes of this machine."""
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += path.read_bytes()
    return found


@pytest.mark.parametrize("is_redacted", [True, pytest.param(False, id="control")])
def test_no_secret_is_in_anything_that_a_failure_leaves(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    is_redacted: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    if not is_redacted:
        for module in ("sources.export", "sinks.deliver"):
            monkeypatch.setattr(f"deltamark.application.{module}.redacted", lambda text, secrets: text)
            monkeypatch.setattr(f"deltamark.application.{module}.masked", lambda text: text)
    cases = {name: case for name, case in CASES.items() if case[1] != "ldap" or find_spec("ldap") is not None}
    (tmp_path / "all.xml").write_text(configuration(cases))
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "known.csv").write_text("name\nAnn\n")
    said: list[str] = []
    with servers() as addresses:
        settings = {
            name: {
                "server": addresses[scheme],
                **({} if PACKAGES[package].is_sink and "token" in secrets else {"user": USER}),
                **({"tls": "none"} if scheme == "ldap" else {}),
                **{secret: f"env:{name}_{secret}" for secret in secrets},
            }
            for name, (package, scheme, secrets) in cases.items()
        }
        with Engine.open(
            f"sqlite:///{tmp_path / 'store.db'}",
            configuration=tmp_path / "all.xml",
            export_output=tmp_path / "exports",
            connections=settings,
        ) as engine:
            engine.run_job("Known")
            for shape, value in enumerate(SECRETS if is_redacted else SECRETS[:1]):
                for number, (name, (package, _, secrets)) in enumerate(cases.items()):
                    for secret in secrets:
                        monkeypatch.setenv(f"{name}_{secret}", value)
                    runs = (shape + number) % RUNS == 0
                    said += said_of(engine, name, is_sink=PACKAGES[package].is_sink, runs=runs)
            processes = command_lines()
    out, err = capfd.readouterr()
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    everything = "\n".join((*said, out, err, caplog.text, files.decode("utf-8", "replace")))

    found = {value: leaks(everything, value) for value in SECRETS}
    assert not [value for value in SECRETS if value.encode() in processes]
    assert any(found.values()) is not is_redacted
    assert is_redacted is False or found == {value: [] for value in SECRETS}
