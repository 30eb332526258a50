"""LDAP directories: complete readings, and what changed by the content synchronization of RFC 4533, as slapd has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

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
from deltamark.infrastructure.ldap.controls import SyncDone, SyncState
from deltamark.infrastructure.ldap.isolated import ReaderDied
from deltamark.infrastructure.ldap.places import sealed, unsealed
from deltamark.infrastructure.ldap.schema import Schema, read_schema
from deltamark.infrastructure.ldap.session import (
    BASE,
    EVERY_ENTRY,
    Attributes,
    Entry,
    RawEntry,
    Refused,
    Search,
    Session,
    opened,
)
from deltamark.infrastructure.ldap.tables import (
    Bulk,
    EntryTable,
    LinkTable,
    RowMaker,
    Rows,
    asked_tables,
    check_names,
)

ENTRY_UUID = "entryUUID"

_CONTAINERS = ("organizationalUnit", "organization", "locality", "country", "domain", "dcObject")
_CONTAINER_FILTER = f"(|{''.join(f'(objectClass={name})' for name in _CONTAINERS)})"
_CONTAINER_COOKIE = ""
_NAMES_OF_A_SEARCH = 50
_NOT_SERVED = 12
_REFUSED_CODES = frozenset({_NOT_SERVED, 53, 4096})
"""A critical control that is not served, a cookie that is newer than the server, and one that is too old."""
_CSN_OF, _WITNESS = "csn ", "witness"
_OPENLDAP_COOKIE = re.compile(rb"(?:rid=\d+,)?(?:sid=[0-9a-f]+,)?csn=[0-9A-Za-z.#;]+(?:,delcsn=[0-9A-Za-z.#]+)?")
"""What slapd takes: to any other text it answers with all entries and names no deletion."""
_CSN = re.compile(r"(\d{14}\.\d{6}Z#[0-9a-f]{6}#([0-9a-f]{3})#[0-9a-f]{6})")
_SYNC = "changes are found by the content synchronization of RFC 4533"
_NO_SYNC = "the server does not offer the content synchronization of RFC 4533: each reading is complete"


@frozen
class _Directory:
    """What a session reads."""

    session: Session
    base: str
    schema: Schema
    guard: dict[str, str]
    announced: bool
    matches_values: bool

    def base_of(self, table: EntryTable) -> str:
        return table.base or self.base


class LdapDirectory:
    """Reads the entries of an LDAP directory."""

    def probe(self, ask: Question) -> Probe:
        """Signs in, reads the schema, and counts what the user may see."""
        tables = asked_tables(ask)
        with opened(ask) as session:
            try:
                directory = _directory(session, ask, tables)
                counts = [f"{table.name}: {_count(directory, table):,} entries" for table in tables]
                offered = _first_cookie(directory) is not None
            except Refused as refused:
                raise refused.unreachable from refused
            return Probe(server=f"LDAP directory, {directory.base}", findings=(_SYNC if offered else _NO_SYNC, *counts))

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Reads all entries, and with them the place that they reach."""
        tables = asked_tables(ask)
        with opened(ask) as session:
            try:
                directory = _directory(session, ask, tables)
                rows = Rows(into, delta=False)
                cookie = _first_cookie(directory)
                if cookie is None:
                    _read_pages(directory, tables, rows)
                    place = None
                else:
                    place = _read_with_places(directory, ask, tables, cookie, rows)
                rows.finish()
            except Refused as refused:
                raise refused.unreachable from refused
            messages = [*rows.messages, *session.told(), *([_NO_SYNC] if place is None else [])]
            return Reached(place=place, messages=messages)

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Reads what changed: whole entries, and the identifiers of deleted ones."""
        cookies = unsealed(since.cookie)
        tables = asked_tables(ask)
        with opened(ask) as session:
            try:
                directory = _directory(session, ask, tables)
                missing = _same_directory(directory, dict(since.guard))
                rows = Rows(into, delta=True)
                following, deleted = _changed(directory, tables, cookies, rows)
                if missing is not None and missing not in deleted:
                    raise PlaceLost(
                        "an entry that it knew is gone, and no deletion of it is told: it was restored from a backup"
                    )
                rows.finish()
            except Refused as refused:
                if refused.code in _REFUSED_CODES:
                    raise PlaceLost(f"the server refuses it: {refused}") from refused
                raise refused.unreachable from refused
            place = SourcePlace(cookie=sealed(following), guard=directory.guard, scope=ask.scope)
            return Reached(place=place, messages=[*rows.messages, *session.told()])


def _count(directory: _Directory, table: EntryTable) -> int:
    return sum(1 for _ in directory.session.pages(directory.base_of(table), table.searched, ["1.1"]))


def _directory(session: Session, ask: Question, tables: Sequence[EntryTable]) -> _Directory:
    root = session.root()
    contexts = [value.decode() for value in root.get("namingcontexts", [])]
    base = ask.text("base") or (contexts[0] if len(contexts) == 1 else "")
    if not base:
        named = f": {', '.join(contexts)}" if contexts else ""
        raise SourceUnreachable(
            f"{session.server.address} has {len(contexts)} naming contexts{named}",
            f"Name where to read from by the setting base of the connection {ask.connection}.",
        )
    schema = read_schema(session, _text(root, "subschemaSubentry") or "cn=subschema")
    check_names(tables, schema)
    for table in tables:
        session_base = table.base or base
        if not list(session.search(session_base, EVERY_ENTRY, ["1.1"], scope=BASE)):
            raise SourceUnreachable(
                f"{session_base}, where {table.name} is read from, cannot be read on {session.server.address}",
                "Correct it, or give the user the right to read it.",
            )
    offered = {value.decode() for value in root.get("supportedcontrol", [])}
    return _Directory(
        session,
        base,
        schema,
        _guard(session, contexts, base),
        announced=controls.SYNC_REQUEST in offered,
        matches_values=controls.MATCHED_VALUES in offered,
    )


def _text(attributes: Attributes, name: str) -> str:
    values = attributes.get(name.lower())
    return values[0].decode() if values else ""


def _guard(session: Session, contexts: Sequence[str], base: str) -> dict[str, str]:
    """The newest change of each server that the directory knows, and the entry that the newest one is of.

    A server whose newest change is older now, or whose entry is as it was before, was restored from a backup.
    """
    context = next((name for name in contexts if base.lower().endswith(name.lower())), base)
    guard: dict[str, str] = {"context": context}
    for entry in session.search(context, EVERY_ENTRY, ["contextCSN"], scope=BASE):
        for value in entry.attributes.get("contextcsn", []):
            if match := _CSN.fullmatch(value.decode("ascii", "replace")):
                guard[f"{_CSN_OF}{match[2]}"] = match[1]
    newest = max((value for name, value in guard.items() if name.startswith(_CSN_OF)), default=None)
    if newest is not None:
        for entry in session.search(context, f"(entryCSN={newest})", [ENTRY_UUID]):
            guard[_WITNESS] = f"{_identity(entry)} {newest}"
    return guard


def _same_directory(directory: _Directory, then: dict[str, str]) -> str | None:
    """Sees that the server did not go back.

    :return: an entry that it knew and does not have now; None if it has it.
    :raises PlaceLost: if it did.
    """
    now = directory.guard
    for name, value in then.items():
        if name.startswith(_CSN_OF) and now.get(name, "") < value:
            raise PlaceLost(
                f"the newest change of the server is {now.get(name, 'unknown')}, and was {value}: it was restored "
                "from a backup"
            )
    if then.get("context") != now["context"]:
        raise PlaceLost(f"it is of {then.get('context')}, and {now['context']} is read")
    identity, _, changed = then.get(_WITNESS, "").partition(" ")
    if not identity:
        return None
    for entry in directory.session.search(now["context"], f"(entryUUID={identity})", ["entryCSN"]):
        if (entry.first("entryCSN") or b"").decode() < changed:
            raise PlaceLost(f"{entry.dn} is as it was before {changed}: the server was restored from a backup")
        return None
    return identity


def _first_cookie(directory: _Directory) -> bytes | None:
    """Where changes of containers begin; None where the server offers no content synchronization here.

    A server announces the control also for databases that do not have it.
    """
    if not directory.announced:
        return None
    try:
        return _containers(directory, None)[1]
    except Refused as refused:
        if refused.code != _NOT_SERVED:
            raise
        return None


def _read_pages(directory: _Directory, tables: Sequence[EntryTable], rows: Rows) -> None:
    for table in tables:
        maker = RowMaker(table, directory.schema, rows)
        for raw in directory.session.bulks_of_pages(directory.base_of(table), table.searched, _attributes(table)):
            _add_all(directory, table, maker, raw, rows)
        maker.finish()


def _read_with_places(
    directory: _Directory, ask: Question, tables: Sequence[EntryTable], cookie: bytes, rows: Rows
) -> SourcePlace:
    cookies = {_CONTAINER_COOKIE: cookie}
    for table in tables:
        maker = RowMaker(table, directory.schema, rows)
        refresh = _Refresh(directory, directory.base_of(table), table.searched, _attributes(table), None)
        for raw in refresh.bulks():
            _add_all(directory, table, maker, raw, rows)
        maker.finish()
        cookies[table.name] = refresh.cookie
    return SourcePlace(cookie=sealed(cookies), guard=directory.guard, scope=ask.scope)


def _attributes(table: EntryTable) -> list[str]:
    return [*table.attributes, ENTRY_UUID, *(link.attribute for link in table.links)]


def _add_all(
    directory: _Directory, table: EntryTable, maker: RowMaker, entries: Sequence[RawEntry], rows: Rows
) -> None:
    """Adds the rows of entries, and their links."""
    bulk = Bulk.of(entries)
    if bulk is None:
        maker.finish()
        for raw in entries:
            _add(table, maker, directory.session.completed(directory.session.entry(raw), lambda whole: whole.dn), rows)
        return
    maker.add_all(bulk)
    if table.links:
        identities = [
            _identity_of(name, listed)
            for (name, _, _), listed in zip(entries, bulk.values(ENTRY_UUID.lower()), strict=True)
        ]
        for link in table.links:
            rows.add_links(link, identities, bulk.values(link.attribute.lower()))


def _add(table: EntryTable, maker: RowMaker, entry: Entry, rows: Rows, *, replaced: bool = False) -> None:
    """Adds the row of an entry, and its links.

    :param replaced: whether the links that the store holds give way to these.
    """
    maker.add(entry)
    for link in table.links:
        owner = _identity(entry)
        if replaced:
            rows.add(link, link.row(owner, None), DELETE)
        for value in entry.attributes.get(link.attribute.lower(), []):
            rows.add_link(link, owner, value)


def _identity(entry: Entry) -> str:
    return _identity_of(entry.dn, entry.attributes.get(ENTRY_UUID.lower()))


def _identity_of(dn: str, values: Sequence[bytes] | None) -> str:
    if not values:
        raise ValueError(f"the server gave {dn} without its entryUUID, or the user may not read it")
    return values[0].decode().lower()


class _Refresh:
    """One refresh of RFC 4533.

    Where the server sends messages that a delta needs, such as the names of what was deleted, it is read again by a
    process that reads them: what that gives comes last, and counts.

    :ivar cookie: where the next one goes on.
    :ivar found: the identifiers of the entries that were added or modified.
    :ivar deleted: the identifiers of the entries that are no longer found.
    """

    def __init__(
        self, directory: _Directory, base: str, filtered: str, attributes: Sequence[str], cookie: bytes | None
    ) -> None:
        self._directory = directory
        self._base = base
        self._filter = filtered
        self._attributes = attributes
        self._since = cookie
        self.cookie = b""
        self.found: set[str] = set()
        self.deleted: list[str] = []

    def entries(self) -> Iterator[Entry]:
        """Yields the entries that were added or modified.

        :raises PlaceLost: if the server no longer knows what was deleted since the cookie.
        """
        for bulk in self.bulks():
            yield from map(self._directory.session.entry, bulk)

    def bulks(self) -> Iterator[list[RawEntry]]:
        """Yields the same as the library gives them, many at once."""
        end = Search()
        yield from self._read(end)
        if end.unread and (self._since is not None or not _done_cookie(end)):
            end = Search(reads_messages=True)
            try:
                yield from self._read(end)
            except ReaderDied as died:
                problem = f"its messages cannot be read: the process that read them ended ({died})"
                if self._since is None:
                    raise SourceUnreachable(f"{self._directory.session.server.address} is refused: {problem}") from None
                raise PlaceLost(problem) from None
        self._finish(end)

    def _read(self, end: Search) -> Iterator[list[RawEntry]]:
        self.found.clear()
        self.deleted.clear()
        request = controls.sync_request(self._since)
        for bulk in self._directory.session.bulks(
            self._base, self._filter, self._attributes, controls=[request], end=end
        ):
            have_attributes = all(attributes for _, attributes, _ in bulk)
            if self._since is None and have_attributes and controls.all_added([answers for _, _, answers in bulk]):
                yield bulk
            else:
                yield [raw for raw in bulk if self._is_there(raw)]

    def _is_there(self, raw: RawEntry) -> bool:
        """Notes the state of an entry; says whether its attributes came."""
        dn, attributes, _ = raw
        answers = self._directory.session.answers(raw)
        state = next((answer for answer in answers if type(answer) is SyncState), None)
        if state is None:
            raise ValueError(f"the server gave {dn} without its state")
        if state.deleted:
            self.deleted.append(state.entry_uuid)
        elif attributes and self._since is not None:
            self.found.add(state.entry_uuid)
        return bool(attributes) and not state.deleted

    def _finish(self, end: Search) -> None:
        done = next((answer for answer in end.answers if isinstance(answer, SyncDone)), None)
        cookies = [message.cookie for message in end.messages if message.cookie]
        if done is not None and done.cookie:
            cookies.append(done.cookie)
        elif not cookies and self._since is not None:
            cookies.append(self._since)
        if done is None or not cookies:
            raise ValueError("the server gave no cookie at the end")
        if self._since is not None and any(message.present for message in end.messages):
            raise PlaceLost("the server no longer knows what was deleted since")
        if self._since is not None and not done.deletions_named:
            raise PlaceLost("the server does not say what was deleted since")
        self.cookie = cookies[-1]
        for message in end.messages:
            self.deleted += message.deleted


def _done_cookie(end: Search) -> bytes | None:
    return next((answer.cookie for answer in end.answers if isinstance(answer, SyncDone)), None)


def _containers(directory: _Directory, cookie: bytes | None) -> tuple[list[Entry], bytes]:
    refresh = _Refresh(directory, directory.base, _CONTAINER_FILTER, [ENTRY_UUID], cookie)
    found = {entry.dn: entry for entry in refresh.entries()}
    return ([] if cookie is None else list(found.values())), refresh.cookie


def _changed(
    directory: _Directory, tables: Sequence[EntryTable], cookies: dict[str, bytes], rows: Rows
) -> tuple[dict[str, bytes], set[str]]:
    """Writes what changed.

    :return: the next cookies, and the entries of which a deletion is told.
    """
    if cookies.keys() != {_CONTAINER_COOKIE, *(table.name for table in tables)}:
        raise PlaceLost("it is of other tables")
    is_openldap = any(name.startswith(_CSN_OF) for name in directory.guard)
    if is_openldap and not all(_OPENLDAP_COOKIE.fullmatch(cookie) for cookie in cookies.values()):
        raise PlaceLost("it is not of the form of this server")
    containers, container_cookie = _containers(directory, cookies[_CONTAINER_COOKIE])
    following = {_CONTAINER_COOKIE: container_cookie}
    told: set[str] = set()
    changed_names: dict[str, None] = {}
    owners: dict[str, set[str]] = {}
    for table in tables:
        maker = RowMaker(table, directory.schema, rows)
        refresh = _Refresh(directory, directory.base_of(table), table.searched, _attributes(table), cookies[table.name])
        for entry in refresh.entries():
            changed_names[entry.dn] = None
            _add(table, maker, entry, rows, replaced=True)
        written = set(refresh.found)
        following[table.name] = refresh.cookie
        told |= set(refresh.deleted)
        gone = {identity for identity in refresh.deleted if identity not in written}
        for entry in containers:
            below = set(_below(directory, table, entry))
            for moved in _in_table(directory, table, entry):
                identity = _identity(moved)
                if identity not in written:
                    written.add(identity)
                    changed_names[moved.dn] = None
                    _add(table, maker, moved, rows, replaced=True)
            gone |= below
        for identity in sorted(gone - written):
            rows.add(table, _deleted_row(table, identity), DELETE)
        owners[table.name] = written
    for table in tables:
        for link in table.links:
            _link_changed(directory, table, link, list(changed_names), owners[table.name], rows)
    return following, told


def _link_changed(
    directory: _Directory, table: EntryTable, link: LinkTable, names: Sequence[str], written: set[str], rows: Rows
) -> None:
    """Adds the links to what was changed: by its name, it may have another one now.

    A server that corrects names in links (the overlay refint) does not say so.

    :param written: the owners of which all links were added already.
    """
    attribute = link.attribute
    for start in range(0, len(names), _NAMES_OF_A_SEARCH):
        filters = [f"({attribute}={_escaped(name)})" for name in names[start : start + _NAMES_OF_A_SEARCH]]
        matching = [directory.session.values_matching([*filters, f"({ENTRY_UUID}=*)"])]
        owners = directory.session.search(
            directory.base_of(table),
            f"(&{table.searched}(|{''.join(filters)}))",
            [ENTRY_UUID, attribute],
            controls=matching if directory.matches_values else [],
        )
        for owner in owners:
            identity = _identity(owner)
            if identity in written:
                continue
            if not directory.matches_values:
                rows.add(link, link.row(identity, None), DELETE)
            for value in owner.attributes.get(attribute.lower(), []):
                rows.add_link(link, identity, value)


def _escaped(value: str) -> str:
    return re.sub(r"[\\*()\0]", lambda match: f"\\{ord(match[0]):02x}", value)


def _deleted_row(table: EntryTable, identity: str) -> tuple[str | None, ...]:
    return tuple(identity if column.lower() == ENTRY_UUID.lower() else None for column in table.columns)


def _below(directory: _Directory, table: EntryTable, container: Entry) -> Iterator[str]:
    """The entries of the class of a table below a container, whether the table has them or not."""
    try:
        for entry in directory.session.pages(container.dn, table.of_class, [ENTRY_UUID]):
            yield _identity(entry)
    except Refused as refused:
        _moved_meanwhile(refused)


def _in_table(directory: _Directory, table: EntryTable, container: Entry) -> Iterator[Entry]:
    """The entries of a table below a container."""
    inner = _inner(directory.base_of(table), container.dn)
    if inner is None:
        return
    try:
        for entry in directory.session.pages(inner, table.searched, _attributes(table)):
            yield directory.session.completed(entry, lambda ranged: ranged.dn)
    except Refused as refused:
        _moved_meanwhile(refused)


_NO_SUCH_OBJECT = 32


def _moved_meanwhile(refused: Refused) -> None:
    """Ignores that a container is not there any more: the next reading is told so."""
    if refused.code != _NO_SUCH_OBJECT:
        raise refused


def _inner(first: str, second: str) -> str | None:
    """The one of two names that is below the other; None if neither is."""
    one, other = _parts(first), _parts(second)
    if one[-len(other) :] == other:
        return first
    return second if other[-len(one) :] == one else None


def _parts(dn: str) -> list[str]:
    return [re.sub(r"\s*=\s*", "=", part.strip()).lower() for part in re.split(r"(?<!\\),", dn)]
