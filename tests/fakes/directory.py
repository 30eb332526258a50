"""A directory that speaks LDAP and does what it is told: also what no real server can be brought to do.

It has no TLS and listens on this machine alone.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, Self

from attrs import define, field, frozen

from deltamark.infrastructure.ldap import ber, controls

SUFFIX = "DC=fake,DC=example"
DC_NAME, SERVICE = "dc1.fake.example", f"CN=NTDS Settings,CN=dc1,{SUFFIX}"
SCHEMA, SUBSCHEMA = f"CN=Schema,{SUFFIX}", f"CN=Aggregate,{SUFFIX}"
CONTEXT_CSN = "20260101000000.{:06}Z#000000#001#000000"
ATTRIBUTES = {
    **dict.fromkeys(("cn", "sAMAccountName", "mail", "description", "name", "uid"), "1.3.6.1.4.1.1466.115.121.1.15"),
    **dict.fromkeys(("objectGUID", "jpegPhoto"), "1.3.6.1.4.1.1466.115.121.1.40"),
    **dict.fromkeys(("member", "manager", "distinguishedName"), "1.3.6.1.4.1.1466.115.121.1.12"),
    "objectClass": "1.3.6.1.4.1.1466.115.121.1.38",
    "entryUUID": "1.3.6.1.1.16.1",
    "whenCreated": "1.3.6.1.4.1.1466.115.121.1.24",
    "uSNChanged": "1.2.840.113556.1.4.906",
}

_BIND, _UNBIND, _SEARCH = 0x60, 0x42, 0x63
_BOUND, _ENTRY, _DONE, _REFERENCE, _INTERMEDIATE = 0x61, 0x64, 0x65, 0x73, 0x79
_CONTROLS = 0xA0
_BASE_SCOPE = 0
_NO_SUCH_OBJECT, _NOT_SERVED = 32, 12
_ADD, _DELETED = 1, 3
_IDENTITIES = uuid.NAMESPACE_URL


class Silence(Exception):
    """A fault: nothing more is sent, and the connection stays."""


class End(Exception):
    """A fault: the connection ends."""


@frozen
class Request:
    """A search.

    :ivar number: the number of the message.
    :ivar filter: its tag and its content.
    :ivar controls: the value of each, by its identifier.
    """

    number: int
    base: str
    scope: int
    filter: tuple[int, bytes]
    attributes: tuple[str, ...]
    controls: dict[str, bytes]

    @property
    def is_of_rows(self) -> bool:
        """Whether it asks for a page of rows of a table, or for what changed: not for what the server is."""
        found = {controls.PAGED, controls.DIRSYNC, controls.SYNC_REQUEST} & self.controls.keys()
        return bool(found) and self.base != SCHEMA and "uSNChanged" not in self.attributes

    def message(self, tag: int, *elements: bytes, with_controls: Sequence[bytes] = ()) -> bytes:
        """A message that answers it."""
        attached = [ber.element(_CONTROLS, b"".join(with_controls))] if with_controls else []
        return ber.sequence(ber.integer(self.number), ber.element(tag, b"".join(elements)), *attached)

    def done(self, code: int = 0, text: str = "", with_controls: Sequence[bytes] = (), referral: str = "") -> bytes:
        """The result."""
        where = [ber.element(0xA3, ber.octets(referral.encode()))] if referral else []
        result = (ber.integer(code, ber.ENUMERATED), ber.octets(b""), ber.octets(text.encode()), *where)
        return self.message(_DONE, *result, with_controls=with_controls)

    def reference(self, address: str) -> bytes:
        """A reference to another server."""
        return self.message(_REFERENCE, ber.octets(address.encode()))

    def paged_done(self, cookie: bytes) -> bytes:
        """The end of a page."""
        return self.done(with_controls=[_control(controls.PAGED, ber.sequence(ber.integer(0), ber.octets(cookie)))])

    def dirsync_done(self, cookie: bytes, *, more: bool = False) -> bytes:
        """The end of an answer of DirSync."""
        value = ber.sequence(ber.integer(int(more)), ber.integer(0), ber.octets(cookie))
        return self.done(with_controls=[_control(controls.DIRSYNC, value)])


@define
class FakeEntry:
    """An entry.

    :ivar version: which change of the directory was its last one.
    """

    dn: str
    values: dict[str, list[bytes]]
    identity: uuid.UUID
    version: int = 0
    deleted: bool = False


Fault = Callable[[Request, list[bytes]], Iterable[bytes]]
"""From a search and what would be answered to what is sent. It may raise `Silence` or `End`."""


@define
class FakeDirectory:
    """The entries of a directory, and the server that gives them.

    :ivar kind: "ad" (DirSync), "sync" (RFC 4533) or "plain".
    :ivar fault: what it does wrong.
    :ivar range_size: how many values of one attribute it gives at once.
    :ivar requests: the searches that it was asked for.
    """

    kind: str = "ad"
    entries: dict[str, FakeEntry] = field(factory=dict)
    fault: Fault | None = None
    range_size: int = 1_500
    requests: list[Request] = field(factory=list)
    version: int = 100
    invocation: uuid.UUID = uuid.NAMESPACE_DNS
    _server: ThreadingTCPServer | None = None

    def __enter__(self) -> Self:
        directory = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    directory._serve(self.request)

        self._server = _Server(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"ldap://127.0.0.1:{self._server.server_address[1]}"

    def put(self, name: str, of_class: str, **values: Any) -> FakeEntry:
        """Creates an entry, or gives it these values: texts, bytes, or lists of them."""
        self.version += 1
        entry = self.entries.setdefault(
            name, FakeEntry(f"CN={name},{SUFFIX}", {}, uuid.uuid5(_IDENTITIES, f"{name} {self.version}"))
        )
        entry.version, entry.deleted = self.version, False
        for attribute, given in {"objectClass": of_class, "cn": name, **values}.items():
            listed = given if isinstance(given, list) else [given]
            entry.values[attribute] = [value if isinstance(value, bytes) else str(value).encode() for value in listed]
        return entry

    def delete(self, name: str) -> None:
        """Deletes an entry."""
        self.version += 1
        self.entries[name].version, self.entries[name].deleted = self.version, True

    def names(self, of_class: str) -> set[str]:
        """The entries of a class that are there."""
        classes = [of_class.encode()]
        return {
            name for name, entry in self.entries.items() if entry.values["objectClass"] == classes and not entry.deleted
        }

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as stream:
            while message := _read(stream):
                (_, number), (tag, content), *rest = list(ber.elements(message))
                identity = ber.number(number)
                if tag == _UNBIND:
                    return
                if tag == _BIND:
                    result = (ber.integer(0, ber.ENUMERATED), ber.octets(b""), ber.octets(b""))
                    connection.sendall(ber.sequence(ber.integer(identity), ber.element(_BOUND, b"".join(result))))
                elif tag == _SEARCH:
                    request = _request(identity, content, rest)
                    self.requests.append(request)
                    answered = list(self.answer(request))
                    try:
                        if self.fault is None:
                            connection.sendall(b"".join(answered))
                            continue
                        for part in self.fault(request, answered):
                            connection.sendall(part)
                    except Silence:
                        continue
                    except End:
                        return

    def answer(self, request: Request) -> Iterator[bytes]:
        """What a directory in good order answers."""
        base = request.base.lower()
        special = {"": self._root, SUBSCHEMA.lower(): _subschema, SERVICE.lower(): self._settings}
        if base in special and request.scope == _BASE_SCOPE:
            yield request.message(_ENTRY, ber.octets(request.base.encode()), _attributes(special[base]()))
            yield request.done()
        elif controls.DIRSYNC in request.controls:
            yield from self._dirsync(request)
        elif controls.SYNC_REQUEST in request.controls:
            yield from self._sync(request)
        else:
            yield from self._search(request)

    def _root(self) -> dict[str, list[bytes]]:
        named = {"ad": controls.DIRSYNC, "sync": controls.SYNC_REQUEST, "plain": controls.PAGED}[self.kind]
        root = {"namingContexts": SUFFIX, "subschemaSubentry": SUBSCHEMA, "supportedControl": named}
        if self.kind == "ad":
            root |= {"defaultNamingContext": SUFFIX, "dsServiceName": SERVICE, "dnsHostName": DC_NAME}
            root |= {"highestCommittedUSN": str(self.version), "schemaNamingContext": SCHEMA}
        return {name: [value.encode()] for name, value in root.items()}

    def _settings(self) -> dict[str, list[bytes]]:
        return {"invocationId": [self.invocation.bytes_le]}

    def _values(self, entry: FakeEntry) -> dict[str, list[bytes]]:
        own = {"uSNChanged": [str(entry.version).encode()]}
        if self.kind == "ad":
            own["objectGUID"] = [entry.identity.bytes_le]
        else:
            own["entryUUID"] = [str(entry.identity).encode()]
            own["entryCSN"] = [CONTEXT_CSN.format(entry.version).encode()]
        if entry.deleted:
            own["isDeleted"] = [b"TRUE"]
        return {**entry.values, **own}

    def _found(self, request: Request) -> list[FakeEntry]:
        shown = controls.SHOW_DELETED in request.controls
        base = request.base.lower()
        return [
            entry
            for entry in list(self.entries.values())
            if (shown or not entry.deleted)
            and (base in {SUFFIX.lower(), entry.dn.lower()} or base == f"<guid={entry.identity}>")
            and _matches(request.filter, self._values(entry))
        ]

    def _search(self, request: Request) -> Iterator[bytes]:
        if request.base.lower() == SUFFIX.lower() and request.scope == _BASE_SCOPE:
            csn = {"contextCSN": [CONTEXT_CSN.format(self.version).encode()]} if self.kind == "sync" else {}
            yield request.message(_ENTRY, ber.octets(request.base.encode()), _attributes(csn))
            yield request.done()
            return
        found = self._found(request)
        known = request.base.lower() in {SUFFIX.lower(), SCHEMA.lower()} or request.base.startswith("<GUID=")
        if not known and not found:
            yield request.done(_NO_SUCH_OBJECT)
            return
        paging = request.controls.get(controls.PAGED)
        start, end, cookie = 0, len(found), b""
        if paging is not None:
            (_, size), (_, before) = ber.members(paging)
            start = int(before or b"0")
            end = start + ber.number(size)
            cookie = str(end).encode() if end < len(found) else b""
        for entry in found[start:end]:
            yield self._entry(request, entry)
        yield request.done() if paging is None else request.paged_done(cookie)

    def _entry(self, request: Request, entry: FakeEntry, with_controls: Sequence[bytes] = ()) -> bytes:
        given: dict[str, list[bytes]] = {}
        for name, values in self._values(entry).items():
            if controls.EXTENDED_DN in request.controls and name in {"member", "manager"}:
                values = [self._extended(value) for value in values]
            for asked in request.attributes:
                wanted, _, option = asked.partition(";")
                if wanted.lower() == name.lower() or wanted in {"*", "+"}:
                    first = int(option.removeprefix("range=").split("-")[0]) if option.startswith("range=") else 0
                    part = values[first : first + self.range_size]
                    if (
                        len(part) < len(values)
                        and not {controls.DIRSYNC, controls.SYNC_REQUEST} & request.controls.keys()
                    ):
                        last = "*" if first + len(part) == len(values) else str(first + len(part) - 1)
                        given[f"{name};range={first}-{last}"] = part
                    else:
                        given[name] = values
        return request.message(_ENTRY, ber.octets(entry.dn.encode()), _attributes(given), with_controls=with_controls)

    def _extended(self, value: bytes) -> bytes:
        named = [entry for entry in self.entries.values() if entry.dn.encode() == value]
        return b"<GUID=%s>;%s" % (str(named[0].identity).encode(), value) if named else value

    def _dirsync(self, request: Request) -> Iterator[bytes]:
        _, _, (_, cookie) = ber.members(request.controls[controls.DIRSYNC])
        since = int(cookie or b"0")
        for entry in list(self.entries.values()):
            if entry.version > since and _matches(request.filter, self._values(entry)):
                everything = Request(
                    request.number, request.base, request.scope, request.filter, ("*",), request.controls
                )
                yield self._entry(everything, entry)
        yield request.dirsync_done(str(self.version).encode())

    def _sync(self, request: Request) -> Iterator[bytes]:
        _, *known = ber.members(request.controls[controls.SYNC_REQUEST])
        since = int(known[0][1].decode().partition(".")[2][:6]) if known else 0
        gone = [entry for entry in self.entries.values() if known and entry.version > since and entry.deleted]
        for entry in list(self.entries.values()):
            if entry.version > since and not entry.deleted and _matches(request.filter, self._values(entry)):
                state = ber.sequence(ber.integer(_ADD, ber.ENUMERATED), ber.octets(entry.identity.bytes))
                yield self._entry(request, entry, [_control(controls.SYNC_STATE, state)])
        if gone:
            ids = ber.element(0x31, b"".join(ber.octets(entry.identity.bytes) for entry in gone))
            told = ber.element(0xA3, ber.boolean(True) + ids)
            yield request.message(
                _INTERMEDIATE, ber.element(0x80, controls.SYNC_INFO.encode()), ber.element(0x81, told)
            )
        cookie = f"rid=000,csn={CONTEXT_CSN.format(self.version)}".encode()
        ended = ber.sequence(ber.octets(cookie), ber.boolean(True))
        yield request.done(with_controls=[_control(controls.SYNC_DONE, ended)])


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


def _subschema() -> dict[str, list[bytes]]:
    described = [
        f"( 1.2.{at} NAME '{name}' SYNTAX '{syntax}' )" for at, (name, syntax) in enumerate(ATTRIBUTES.items())
    ]
    return {"attributeTypes": [text.encode() for text in described]}


def _control(oid: str, value: bytes) -> bytes:
    return ber.sequence(ber.octets(oid.encode()), ber.octets(value))


def _attributes(values: dict[str, list[bytes]]) -> bytes:
    return ber.sequence(
        *(
            ber.sequence(ber.octets(name.encode()), ber.element(0x31, b"".join(map(ber.octets, listed))))
            for name, listed in values.items()
        )
    )


def _read(stream: Any) -> bytes:
    """The content of the next message; empty at the end."""
    head = stream.read(2)
    if len(head) < 2:
        return b""
    length = head[1]
    if length >= 0x80:
        length = int.from_bytes(stream.read(length - 0x80), "big")
    content: bytes = stream.read(length)
    return content


def _request(number: int, content: bytes, rest: list[tuple[int, bytes]]) -> Request:
    (_, base), (_, scope), _, _, _, _, filtered, (_, attributes) = list(ber.elements(content))
    given = {}
    for tag, listed in rest:
        if tag == _CONTROLS:
            for _, control in ber.elements(listed):
                (_, oid), *more = list(ber.elements(control))
                given[oid.decode()] = next((value for kind, value in more if kind == ber.OCTETS), b"")
    names = tuple(name.decode() for _, name in ber.elements(attributes)) or ("*",)
    return Request(number, base.decode(), ber.number(scope), filtered, names, given)


def _matches(filtered: tuple[int, bytes], values: dict[str, list[bytes]]) -> bool:
    tag, content = filtered
    if tag in {0xA0, 0xA1}:
        return (all if tag == 0xA0 else any)(_matches(inner, values) for inner in ber.elements(content))
    if tag == 0xA2:
        return not _matches(next(ber.elements(content)), values)
    of = {name.lower(): listed for name, listed in values.items()}
    if tag == 0x87:
        return content.decode().lower() in of
    (_, name), (_, value), *_ = list(ber.elements(content))
    listed = of.get(name.decode().lower(), [])
    if tag == 0xA5:
        return any(int(found) >= int(value) for found in listed)
    return any(found.lower() == value.lower() for found in listed)
