"""What a directory says of itself and of some of its entries, made into what may be proposed for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from attrs import define, evolve, field, frozen

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.domain.configuration.entity_model import ConnectionTable
from deltamark.domain.configuration.packages import (
    ACTIVE_DIRECTORY,
    ATTRIBUTE,
    BASE,
    FILTER,
    LDAP,
    LINKS,
    OBJECT_CLASS,
    OWNER,
    VALUE,
)
from deltamark.domain.configuration.secret_attributes import holds_secrets
from deltamark.domain.proposal.descriptions import DescribedTable, Description, Reference
from deltamark.domain.values import shown
from deltamark.infrastructure.ldap.schema import Schema, read_schema
from deltamark.infrastructure.ldap.session import Entry, NotEncrypted, Refused, Session, opened
from deltamark.infrastructure.ldap.tables import DN
from deltamark.infrastructure.ldap.values import DERIVED, DN_SYNTAX

_SAMPLE = 2_000
"""So many entries of a class are looked at."""

_IS_ACTIVE_DIRECTORY = b"1.2.840.113556.1.4.800"
_SYNTAX = "1.3.6.1.4.1.1466.115.121.1."
_BYTES = frozenset(f"{_SYNTAX}{number}" for number in (5, 8, 9, 10, 23, 28, 40))
_NEVER = frozenset({"objectclass", DN})
_OFTEN_SEVERAL = 0.05


@frozen(kw_only=True)
class _Kind:
    """What is looked for in a directory.

    :param classes: the first of these that has entries is taken.
    :param columns: those that are proposed where they have values; None: all that have.
    :param links: the attributes that name other entries; None: all of that syntax.
    """

    name: str
    classes: tuple[str, ...]
    filter: str | None = None
    columns: tuple[str, ...] | None = None
    links: tuple[str, ...] | None = None


_OF_ACTIVE_DIRECTORY = (
    _Kind(
        name="user",
        classes=("user",),
        filter="(objectCategory=person)",
        columns=(
            *("sAMAccountName", "userPrincipalName", "displayName", "givenName", "sn", "mail", "employeeID"),
            *("employeeNumber", "title", "department", "company", "telephoneNumber", "mobile"),
            *("physicalDeliveryOfficeName", "l", "co", "description", "whenCreated", "accountExpires", "uac.disabled"),
        ),
        links=("manager",),
    ),
    _Kind(
        name="group",
        classes=("group",),
        columns=("cn", "sAMAccountName", "mail", "description", "whenCreated", "groupType.scope", "groupType.security"),
        links=("member",),
    ),
    _Kind(
        name="organizationalUnit",
        classes=("organizationalUnit",),
        columns=("ou", "description", "whenCreated"),
        links=(),
    ),
)
_OF_OTHERS = (
    _Kind(name="person", classes=("inetOrgPerson", "organizationalPerson", "person", "posixAccount", "account")),
    _Kind(name="group", classes=("groupOfNames", "groupOfUniqueNames", "groupOfMembers", "posixGroup")),
    _Kind(name="organizationalUnit", classes=("organizationalUnit",)),
)


@define
class _Seen:
    """What some entries of a class have."""

    kind: _Kind
    object_class: str
    entries: int = 0
    having: Counter[str] = field(factory=Counter)
    several: Counter[str] = field(factory=Counter)
    names: dict[str, str] = field(factory=dict)
    dns: set[str] = field(factory=set)
    pointing: dict[str, Counter[str]] = field(factory=dict)

    def add(self, entry: Entry, schema: Schema) -> None:
        """Looks at an entry."""
        self.entries += 1
        self.dns.add(_plain(entry.dn))
        for name, values in entry.attributes.items():
            known = schema.find(name)
            self.names.setdefault(name, name if known is None else known.name)
            self.having[name] += 1
            self.several[name] += len(values) > 1
            if known is not None and known.syntax == DN_SYNTAX:
                pointing = self.pointing.setdefault(name, Counter())
                pointing.update(_plain(value.decode("utf-8", "replace")) for value in values)


class DirectoryDescriber:
    """Looks at some entries of a directory (see `Describer`)."""

    def describe(self, ask: Question, names: Collection[str] = ()) -> Description:
        """People, groups and organizational units, or the object classes that are named.

        Of a server on this machine that offers no StartTLS, without encryption.
        """
        try:
            return _described(ask, names)
        except NotEncrypted as refused:
            if not refused.is_local:
                raise
        settings = {"tls": "none"}
        found = _described(evolve(ask, settings={**ask.settings, **settings}), names)
        note = 'it offers no StartTLS: tls = "none", which is accepted for a server of this machine alone'
        return evolve(found, settings={**found.settings, **settings}, notes=[*found.notes, note])


def _described(ask: Question, names: Collection[str]) -> Description:
    """People, groups and organizational units of a directory, or the object classes that are named.

    :raises SourceUnreachable: if it has none of them, or cannot be read.
    """
    with opened(ask) as session:
        try:
            root = session.root()
            is_active_directory = _IS_ACTIVE_DIRECTORY in root.get("supportedcapabilities", [])
            base = ask.text("base") or _only_context(session, root, is_active_directory=is_active_directory)
            subschema = root.get("subschemasubentry", [b"cn=subschema"])[0].decode()
            schema = read_schema(session, subschema)
            kinds: Sequence[_Kind] = _OF_ACTIVE_DIRECTORY if is_active_directory else _OF_OTHERS
            if names:
                kinds = [_kind_named(name, kinds) for name in names]
            seen = [found for kind in kinds if (found := _seen(session, base, kind, schema)) is not None]
        except Refused as refused:
            raise refused.unreachable from refused
    if not seen:
        looked = ", ".join(name for kind in kinds for name in kind.classes)
        raise SourceUnreachable(
            f"below {base} there are no entries of the classes {looked} that the user may read",
            "Name the object classes after the address, or give the user the right to read.",
        )
    key = (ACTIVE_DIRECTORY if is_active_directory else LDAP).key_column
    assert key is not None, "the packages of directories have one"
    place = {BASE: base} if is_active_directory and ask.text("base") else {}
    tables = [table for found in seen for table in _tables(found, seen, key, schema, place)]
    return Description(
        server="Active Directory" if is_active_directory else f"LDAP directory, {base}",
        package=ACTIVE_DIRECTORY.name if is_active_directory else LDAP.name,
        tables=tables,
        settings={} if is_active_directory else {"base": base},
        notes=[
            f"{found.object_class}: only {_SAMPLE:,} entries were looked at to choose its columns"
            for found in seen
            if found.entries == _SAMPLE
        ],
    )


def _only_context(session: Session, root: Mapping[str, list[bytes]], *, is_active_directory: bool) -> str:
    contexts = [value.decode() for value in root.get("namingcontexts", [])]
    default = root.get("defaultnamingcontext", [])
    if is_active_directory and default:
        return default[0].decode()
    if len(contexts) != 1:
        named = f": {', '.join(contexts)}" if contexts else ""
        raise SourceUnreachable(
            f"{session.server.address} has {len(contexts)} naming contexts{named}",
            "Write the one that is meant behind the address: ldaps://HOST/dc=example,dc=org.",
        )
    return contexts[0]


def _kind_named(name: str, kinds: Sequence[_Kind]) -> _Kind:
    for kind in kinds:
        if name.lower() in (kind.name.lower(), *(known.lower() for known in kind.classes)):
            return _Kind(
                name=kind.name, classes=(name,) if name != kind.name else kind.classes, filter=kind.filter,
                columns=kind.columns, links=kind.links,
            )  # fmt: skip
    if not name.replace("-", "").isalnum():
        raise SourceUnreachable(f"{shown(name)} is no name of an object class", "Correct it.")
    return _Kind(name=name, classes=(name,))


def _seen(session: Session, base: str, kind: _Kind, schema: Schema) -> _Seen | None:
    for object_class in kind.classes:
        found = _Seen(kind, object_class)
        condition = f"(objectClass={object_class})"
        searched = f"(&{condition}{kind.filter})" if kind.filter else condition
        for entry in islice(session.pages(base, searched, ["*"]), _SAMPLE):
            found.add(entry, schema)
        if found.entries:
            return found
    return None


def _tables(
    found: _Seen, seen: Sequence[_Seen], key: str, schema: Schema, place: Mapping[str, str]
) -> Iterator[DescribedTable]:
    """The table of the entries of a class, and those of their links."""
    columns, left_out = _columns(found, schema)
    filtered = {FILTER: found.kind.filter} if found.kind.filter else {}
    options = {OBJECT_CLASS: found.object_class, **filtered, **place}
    yield DescribedTable(
        label=found.object_class,
        table=ConnectionTable(found.object_class, options),
        columns=(key, DN, *columns),
        key=(key,),
        key_why="it stays when an entry is renamed or moved",
        left_out=left_out,
    )
    by_name = key.lower() != "objectguid"
    for attribute in sorted(found.pointing):
        if found.kind.links is not None and attribute not in {name.lower() for name in found.kind.links}:
            continue
        hits = {other.object_class: sum(found.pointing[attribute][dn] for dn in other.dns) for other in seen}
        target = max(hits, key=lambda name: hits[name])
        if not hits[target]:
            continue
        name = found.names[attribute]
        others = [f"{count} of {other}" for other, count in hits.items() if count and other != target]
        also = f" ({', '.join(others)} are left out)" if others else ""
        yield DescribedTable(
            label=f"{found.object_class}.{name}",
            table=ConnectionTable(f"{found.object_class}_{name}", {LINKS: found.object_class, ATTRIBUTE: name}),
            columns=(OWNER, VALUE),
            link_name=name,
            is_single_link=not found.several[attribute] and attribute != "member",
            references=[
                Reference(columns=[OWNER], table=found.object_class, target=[key], why="its entries own the links"),
                Reference(
                    columns=[VALUE],
                    table=target,
                    target=[DN if by_name else key],
                    why=f"{name} names entries of {target}{also}",
                    is_directory_name=by_name,
                ),
            ],
        )


def _source(column: str) -> str:
    """The attribute that a column is made of."""
    derived = DERIVED.get(column.lower())
    return column if derived is None else derived.attribute


def _columns(found: _Seen, schema: Schema) -> tuple[list[str], list[tuple[str, str]]]:
    """The columns that are proposed, and those that are not, each with the reason."""
    if found.kind.columns is not None:
        return [name for name in found.kind.columns if found.having[_source(name).lower()]], []
    columns: list[str] = []
    left_out: list[tuple[str, str]] = []
    for attribute, count in sorted(found.having.items(), key=lambda item: (-item[1], item[0])):
        name, known = found.names[attribute], schema.find(attribute)
        if attribute in _NEVER or attribute in found.pointing or known is None or known.local:
            continue
        if holds_secrets(attribute):
            left_out.append((name, "it holds secrets, which are never read"))
        elif known.syntax in _BYTES:
            left_out.append((name, "it holds bytes; map it to a property of the type Binary if you need it"))
        elif found.several[attribute] > count * _OFTEN_SEVERAL:
            left_out.append((name, "entries have several values of it; map it with Join on its table if you need all"))
        else:
            columns.append(name)
    return columns, left_out


def _plain(dn: str) -> str:
    """A name for a comparison that need not be exact: it only decides what is proposed."""
    return ",".join(part.strip().lower() for part in dn.split(","))
