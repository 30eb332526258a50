"""Active Directory: complete readings page by page, and what changed by DirSync (ADR 0068).

DirSync says which objects changed. Their rows are read again by GUID, so that a row is always whole, and the server
itself says whether an object is still within filter and base of a table.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import define, field, frozen

from deltamark.application.ports.sources import (
    DELETE,
    PlaceLost,
    Probe,
    Question,
    Reached,
    SourcePlace,
    SourceUnreachable,
    Tables,
)
from deltamark.infrastructure.ldap import controls
from deltamark.infrastructure.ldap.controls import DirSyncAnswer
from deltamark.infrastructure.ldap.places import sealed, unsealed
from deltamark.infrastructure.ldap.schema import Schema, read_schema
from deltamark.infrastructure.ldap.session import (
    BASE,
    EVERY_ENTRY,
    MOST_EMPTY_PAGES,
    Attributes,
    Entry,
    Refused,
    Search,
    Session,
    opened,
)
from deltamark.infrastructure.ldap.tables import (
    EntryTable,
    LinkTable,
    RowMaker,
    Rows,
    asked_tables,
    check_names,
)
from deltamark.infrastructure.ldap.values import guid, guid_of_dn, sid

GUID = "objectGUID"

_CONTAINERS = ("organizationalUnit", "container", "organization", "locality", "country", "builtinDomain")
_CHUNK = 100
_ANSWER_BYTES = 1 << 20
_INSUFFICIENT_RIGHTS, _REFUSED_CONTROL = 50, 12
_EXTENDED = (controls.extended_dn(), controls.domain_scope())
_WITNESS = "witness"
_WINDOWS = (100, 10_000)
"""How many update numbers before the newest one the newest object is looked for: other partitions have numbers too."""
_NOT_REPLICATED, _CONSTRUCTED = 0x1, 0x4
_TOLD_BY_NAME = frozenset({"distinguishedname", "objectguid", "dn", "objectsid", "name", "cn", "objectclass"})
_WITHOUT_RIGHT = (
    'the user lacks the right "Replicating Directory Changes": deletions are seen by complete readings only. Grant it '
    "on the domain"
)
_ADMINISTRATORS = {"-512": "Domain Admins", "-519": "Enterprise Admins", "-518": "Schema Admins"}


@define
class _Change:
    """What DirSync says of one object."""

    deleted: bool = False
    restored: bool = False
    besides_links: bool = False
    added: dict[str, dict[str, None]] = field(factory=dict)
    removed: dict[str, dict[str, None]] = field(factory=dict)
    replaced: set[str] = field(factory=set)


@frozen
class _Domain:
    """The domain that a session reads, as the server describes itself."""

    session: Session
    base: str
    guard: dict[str, str]
    schema: Schema

    def base_of(self, table: EntryTable) -> str:
        return table.base or self.base


class ActiveDirectory:
    """Reads users, groups and other objects of a domain of Active Directory."""

    def probe(self, ask: Question) -> Probe:
        """Signs in, reads the schema, and sees what the user may do."""
        tables = asked_tables(ask)
        with opened(ask) as session:
            try:
                domain = _domain(session, tables)
                rights, _ = _first_cookie(domain)
                findings = [*_administrator(session)]
                findings.append(
                    "changes are found by DirSync"
                    if rights == 0
                    else f"changes are found by DirSync, but {_WITHOUT_RIGHT}"
                )
                for table in tables:
                    size = sum(1 for _ in session.pages(domain.base_of(table), table.searched, ["1.1"]))
                    findings.append(f"{table.name}: {size:,} objects")
            except Refused as refused:
                raise refused.unreachable from refused
            return Probe(server=f"Active Directory, {domain.guard['dc']}", findings=tuple(findings))

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Reads all objects; the place is taken first, so that a change meanwhile is read again."""
        tables = asked_tables(ask)
        with opened(ask) as session:
            try:
                domain = _domain(session, tables)
                rights, cookie = _first_cookie(domain)
                rows = Rows(into, delta=False)
                for table in tables:
                    _read_table(domain, table, rows)
                rows.finish()
            except Refused as refused:
                raise refused.unreachable from refused
            return Reached(
                place=_place(ask, domain, cookie),
                messages=(*rows.messages, *session.told(), *([_WITHOUT_RIGHT] if rights else [])),
                warned=bool(rights),
            )

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Reads what changed: objects again by GUID, values of links one by one."""
        cookie = unsealed(since.cookie).get("", b"")
        tables = asked_tables(ask)
        with opened(ask) as session:
            try:
                domain = _domain(session, tables)
                _same_server(domain, since.guard)
                rights, changes, cookie = _changed(domain, tables, cookie)
                rows = Rows(into, delta=True)
                _write_changes(domain, tables, changes, rows)
                rows.finish()
            except Refused as refused:
                raise refused.unreachable from refused
            return Reached(
                place=_place(ask, domain, cookie),
                messages=(*rows.messages, *session.told(), *([_WITHOUT_RIGHT] if rights else [])),
                warned=bool(rights),
            )


def _place(ask: Question, domain: _Domain, cookie: bytes) -> SourcePlace:
    return SourcePlace(cookie=sealed({"": cookie}), guard=domain.guard, scope=ask.scope)


def _domain(session: Session, tables: Sequence[EntryTable]) -> _Domain:
    root = session.root()
    base = _text(root, "defaultNamingContext")
    service = _text(root, "dsServiceName")
    if not base or not service:
        raise SourceUnreachable(
            f"{session.server.address} is no domain controller of Active Directory",
            'For another directory, write Package="Ldap".',
        )
    settings = list(session.search(service, EVERY_ENTRY, ["invocationId"], scope=BASE))
    invocation = settings[0].first("invocationId") if settings else None
    if invocation is None:
        raise SourceUnreachable(
            f"{session.server.address} does not say its invocationId to this user",
            f"Give the user the right to read {service}.",
        )
    guard = {
        "dc": _text(root, "dnsHostName"),
        "invocationId": str(guid(invocation)),
        "usn": _text(root, "highestCommittedUSN"),
    }
    if newest := _newest_object(session, base, int(guard["usn"])):
        guard[_WITNESS] = newest
    schema = read_schema(session, _text(root, "subschemaSubentry"))
    check_names(tables, schema)
    _check_replicated(session, _text(root, "schemaNamingContext"), tables)
    return _Domain(session, base, guard, schema)


def _text(attributes: Attributes, name: str) -> str:
    values = attributes.get(name.lower())
    return values[0].decode() if values else ""


def _check_replicated(session: Session, schema: str, tables: Sequence[EntryTable]) -> None:
    """Sees that the server reports changes of all attributes.

    :raises SourceUnreachable: if one is computed, or has another value on each domain controller.
    """
    asked = {
        name.lower(): table.name
        for table in tables
        for name in (*table.attributes, *table.filter_attributes, *(link.attribute for link in table.links))
        if name.lower() not in _TOLD_BY_NAME
    }
    if not asked:
        return
    names = "".join(f"(lDAPDisplayName={name})" for name in sorted(asked))
    for entry in session.pages(schema, f"(|{names})", ["lDAPDisplayName", "systemFlags", "linkID"]):
        name = _text(entry.attributes, "lDAPDisplayName")
        where = asked.get(name.lower(), "")
        flags, link = int(_text(entry.attributes, "systemFlags") or 0), int(_text(entry.attributes, "linkID") or 0)
        if link % 2:
            raise SourceUnreachable(
                f"{where} names {name}, which is the other end of a link: no change of it is ever reported",
                f'Read the link at its own end, by a table with Links="…" and Attribute="member" for {name} of groups.'
                if name.lower() == "memberof"
                else "Read the link at its own end, by a table with Links.",
            )
        if flags & (_NOT_REPLICATED | _CONSTRUCTED):
            kind = "is computed by the server" if flags & _CONSTRUCTED else "differs between domain controllers"
            raise SourceUnreachable(
                f"{where} names {name}, which {kind}: no change of it is ever reported",
                "Leave it out; lastLogonTimestamp is replicated in place of lastLogon."
                if name.lower() == "lastlogon"
                else "Leave it out of the mapping and of filters.",
            )


def _newest_object(session: Session, base: str, usn: int) -> str | None:
    """The object that changed last, with its update number; None if that cannot be said."""
    for window in _WINDOWS:
        newest: tuple[int, str] | None = None
        for entry in session.pages(
            base, f"(uSNChanged>={max(usn - window, 0)})", ["uSNChanged", GUID], (controls.show_deleted(),)
        ):
            changed = int(_text(entry.attributes, "uSNChanged") or 0)
            newest = max(newest or (0, ""), (changed, _identity(entry)))
        if newest is not None:
            return f"{newest[1]} {newest[0]}"
    return None


def _same_server(domain: _Domain, then: Mapping[str, str]) -> None:
    """Sees that the server is the one of which a place was taken, and went on from there.

    A server that was restored from a backup accepts an old cookie and says nothing.

    :raises PlaceLost: if it is not.
    """
    now = domain.guard
    if now["dc"] != then.get("dc"):
        raise PlaceLost(f"it is of the domain controller {then.get('dc')}, and {now['dc']} answers")
    if now["invocationId"] != then.get("invocationId"):
        raise PlaceLost(f"the database of {now['dc']} is another one: it was restored or made anew")
    if int(now["usn"]) < int(then.get("usn", "0")):
        raise PlaceLost(
            f"{now['dc']} is at update number {now['usn']}, and was at {then['usn']}: it was restored from a backup"
        )
    identity, _, changed = then.get(_WITNESS, "").partition(" ")
    if not identity:
        return
    found = _read_again(domain.session, domain.base, [identity], EVERY_ENTRY, ["uSNChanged"], controls.show_deleted())
    if not any(int(_text(entry.attributes, "uSNChanged") or 0) >= int(changed) for entry in found):
        raise PlaceLost(
            f"the object {identity} is as it was before update {changed}: the server was restored from a backup"
        )


def _administrator(session: Session) -> Iterator[str]:
    entries = list(session.search("", EVERY_ENTRY, ["tokenGroups"], scope=BASE))
    for value in entries[0].attributes.get("tokengroups", []) if entries else []:
        group = sid(value) or ""
        for ending, name in _ADMINISTRATORS.items():
            if group.startswith("S-1-5-21-") and group.endswith(ending):
                yield f"the user is a member of {name}; reading needs no such right"


def _dirsync(
    domain: _Domain, filtered: str, attributes: Sequence[str], cookie: bytes, flags: int
) -> Iterator[Entry | bytes]:
    """Yields the entries of a DirSync, and at last the next cookie."""
    empty = 0
    while True:
        end, count = Search(), 0
        request = controls.dirsync(flags | controls.INCREMENTAL_VALUES, _ANSWER_BYTES, cookie)
        for entry in domain.session.search(
            domain.base, filtered, attributes, controls=(request, controls.extended_dn()), end=end
        ):
            count += 1
            yield entry
        answer = next((one for one in end.answers if isinstance(one, DirSyncAnswer)), None)
        if answer is None or not answer.cookie:
            raise SourceUnreachable(
                f"{domain.session.server.address} gave no cookie",
                "See that it is a domain controller of Active Directory.",
            )
        if answer.more and answer.cookie == cookie:
            raise SourceUnreachable(f"{domain.session.server.address} gives the same cookie again and again")
        empty = 0 if count else empty + 1
        if empty > MOST_EMPTY_PAGES:
            raise SourceUnreachable(
                f"{domain.session.server.address} gave {MOST_EMPTY_PAGES:,} empty answers one after another"
            )
        cookie = answer.cookie
        if not answer.more:
            yield cookie
            return


def _first_cookie(domain: _Domain) -> tuple[int, bytes]:
    """Where changes begin that are later than now; which objects there are is read by other searches."""
    return _with_rights(domain, "(objectClass=domainDNS)", ["objectClass"], b"", {})


def _with_rights(
    domain: _Domain, filtered: str, attributes: Sequence[str], cookie: bytes, changes: dict[str, _Change]
) -> tuple[int, bytes]:
    """Follows DirSync to its end, by the right to replicate or else as far as the user may read each object.

    :return: the flags that were needed, and the next cookie.
    """
    for flags in (0, controls.OBJECT_SECURITY):
        changes.clear()
        try:
            for entry in _dirsync(domain, filtered, attributes, cookie, flags):
                if isinstance(entry, bytes):
                    return flags, entry
                _note(changes, entry)
        except Refused as refused:
            if refused.code != _INSUFFICIENT_RIGHTS or flags:
                raise
    raise AssertionError("a DirSync ends with a cookie or an error")


def _changed(domain: _Domain, tables: Sequence[EntryTable], cookie: bytes) -> tuple[int, dict[str, _Change], bytes]:
    classes = sorted({table.of_class for table in tables} | {f"(objectClass={name})" for name in _CONTAINERS})
    attributes = {"name", "isDeleted", "objectClass"}
    for table in tables:
        attributes |= {*table.attributes, *table.filter_attributes, *(link.attribute for link in table.links)}
    changes: dict[str, _Change] = {}
    try:
        rights, following = _with_rights(domain, f"(|{''.join(classes)})", sorted(attributes), cookie, changes)
    except Refused as refused:
        if refused.code == _REFUSED_CONTROL:
            raise PlaceLost("the server refuses it") from refused
        raise
    return rights, changes, following


def _note(changes: dict[str, _Change], entry: Entry) -> None:
    identity = entry.first(GUID)
    if identity is None:
        raise ValueError(f"the server gave {entry.dn} without its GUID")
    change = changes.setdefault(str(guid(identity)), _Change())
    for name, values in entry.attributes.items():
        attribute, _, option = name.partition(";")
        if option in {"range=1-1", "range=0-0"}:
            values_of = change.added if option == "range=1-1" else change.removed
            pairs = values_of.setdefault(attribute, {})
            for value in values:
                pairs[str(guid_of_dn(value))] = None
        elif attribute == "isdeleted":
            change.deleted = bool(values) and values[0] == b"TRUE"
            change.restored = not change.deleted
        elif attribute not in {"objectguid", "instancetype"}:
            change.besides_links = True
            change.replaced.add(attribute)


def _read_table(domain: _Domain, table: EntryTable, rows: Rows) -> None:
    maker = RowMaker(table, domain.schema, rows)
    attributes = [*table.attributes, GUID, *(link.attribute for link in table.links)]
    for entry in domain.session.pages(domain.base_of(table), table.searched, attributes, _EXTENDED):
        whole = domain.session.completed(entry, _by_guid, _EXTENDED)
        maker.add(whole)
        for link in table.links:
            for value in _linked(whole, link):
                rows.add(link, link.row(_identity(whole), value))


def _identity(entry: Entry) -> str:
    value = entry.first(GUID)
    if value is None:
        raise ValueError(f"the server gave {entry.dn} without its GUID")
    return str(guid(value))


def _by_guid(entry: Entry) -> str:
    return f"<GUID={_identity(entry)}>"


def _linked(entry: Entry, link: LinkTable) -> Iterator[str]:
    for value in entry.attributes.get(link.attribute.lower(), []):
        if b"\\0ADEL:" not in value:
            yield str(guid_of_dn(value))


def _write_changes(domain: _Domain, tables: Sequence[EntryTable], changes: dict[str, _Change], rows: Rows) -> None:
    session = domain.session
    alive = [identity for identity, change in changes.items() if not change.deleted]
    classes = {
        _identity(entry): {value.decode().lower() for value in entry.attributes.get("objectclass", [])}
        for entry in _read_again(session, domain.base, alive, EVERY_ENTRY, ["objectClass", GUID])
    }
    gone = [identity for identity in changes if identity not in classes]
    containers = {name.lower() for name in _CONTAINERS}
    for identity in [known for known, names in classes.items() if names & containers]:
        below = "".join(sorted({table.of_class for table in tables}))
        for entry in session.pages(f"<GUID={identity}>", f"(|{below})", ["objectClass", GUID], _EXTENDED):
            classes[_identity(entry)] = {value.decode().lower() for value in entry.attributes.get("objectclass", [])}
            changes.setdefault(_identity(entry), _Change()).besides_links = True
    for table in tables:
        of_class = [
            known
            for known, names in classes.items()
            if table.object_class == "*" or table.object_class.lower() in names
        ]
        maker = RowMaker(table, domain.schema, rows)
        found: list[str] = []
        for entry in _read_again(session, domain.base_of(table), of_class, table.searched, [*table.attributes, GUID]):
            found.append(_identity(entry))
            maker.add(session.completed(entry, _by_guid, _EXTENDED))
        for identity in [*gone, *sorted(set(of_class) - set(found))]:
            rows.add(table, _deleted_row(table, identity), DELETE)
        for link in table.links:
            _write_links(domain, table, link, {identity: changes[identity] for identity in found}, rows)


def _deleted_row(table: EntryTable, identity: str) -> tuple[str | None, ...]:
    return tuple(identity if column.lower() == GUID.lower() else None for column in table.columns)


def _write_links(domain: _Domain, table: EntryTable, link: LinkTable, changes: dict[str, _Change], rows: Rows) -> None:
    attribute = link.attribute.lower()
    narrowed = bool(table.filter or table.base)
    whole = [
        identity
        for identity, change in changes.items()
        if change.restored or attribute in change.replaced or (narrowed and change.besides_links)
    ]
    for identity in whole:
        rows.add(link, link.row(identity, None), DELETE)
    for entry in _read_again(domain.session, domain.base, whole, EVERY_ENTRY, [link.attribute, GUID]):
        complete = domain.session.completed(entry, _by_guid, _EXTENDED)
        for value in _linked(complete, link):
            rows.add(link, link.row(_identity(entry), value))
    for identity in changes.keys() - set(whole):
        for value in changes[identity].removed.get(attribute, ()):
            rows.add(link, link.row(identity, value), DELETE)
        for value in changes[identity].added.get(attribute, ()):
            rows.add(link, link.row(identity, value))


def _read_again(
    session: Session,
    base: str,
    identities: Iterable[str],
    filtered: str,
    attributes: Sequence[str],
    *more: controls.Request,
) -> Iterator[Entry]:
    wanted = list(identities)
    for start in range(0, len(wanted), _CHUNK):
        alternatives = "".join(
            f"(objectGUID={_escaped(uuid.UUID(identity).bytes_le)})" for identity in wanted[start : start + _CHUNK]
        )
        asked = set(wanted[start : start + _CHUNK])
        for entry in session.search(base, f"(&{filtered}(|{alternatives}))", attributes, controls=(*_EXTENDED, *more)):
            if GUID in attributes and _identity(entry) not in asked:
                raise ValueError(f"the server gave {entry.dn}, which was not asked for")
            yield entry


def _escaped(value: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in value)
