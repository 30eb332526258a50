"""The statements by which the owner of a store lets one role write and another read."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen
from psycopg.sql import Identifier

from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.postgresql.address import Address
from deltamark.infrastructure.store.postgresql.retention_functions import DISCARD_EVENTS, ERASE_EVENTS

_LONGEST_NAME = 63
"""Bytes. PostgreSQL shortens longer names, and would grant the rights to another role."""

_NO_ROLES = ("public", "none")
"""Names that are not roles: even in quotes, `public` means all roles."""

_PREDEFINED = "pg_"
"""Begins the names of PostgreSQL's own roles."""

_POWERS = """SELECT rolname::text FROM pg_roles WHERE rolname IN
    ('pg_write_all_data', 'pg_write_server_files', 'pg_read_server_files', 'pg_execute_server_program')
    AND pg_has_role(?1, oid, 'MEMBER') ORDER BY 1"""
"""Predefined roles that may write every table, or get the rights of a superuser."""

_MAY_BECOME_ANYBODY = """SELECT coalesce(bool_or(rolcreaterole), false)
    AND current_setting('server_version_num')::integer < 160000
    FROM pg_roles WHERE pg_has_role(?1, oid, 'MEMBER')"""

_RIGHTS_OF_OTHERS = """
    SELECT r.rolname::text, a.privilege_type, c.relname::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = ?1 AND c.relkind = 'r' AND a.privilege_type <> 'SELECT'
    AND (a.grantee = 0 OR (r.rolname <> ?2 AND a.grantee <> c.relowner AND pg_has_role(?2, a.grantee, 'MEMBER')))
    ORDER BY r.rolname NULLS FIRST, c.relname = 'stored_events' DESC, 3, 2 LIMIT 1"""
"""What a role may do to tables by rights of everybody, or of roles that it is a member of."""

_NEVER_DELETED = ("horizons", "snapshots", "runs", "store", "log_end")
"""Tables whose rows are never deleted."""

_FUNCTIONS = (DISCARD_EVENTS, ERASE_EVENTS)


@frozen(kw_only=True)
class _Place:
    """Where the store is, and who owns it."""

    database: str
    schema: str
    owner: str


def grants(db: Database, address: Address, *, writer: str | None, reader: str | None) -> str:
    """Returns the statements that give two roles their rights, and revoke all others.

    :param writer: runs jobs; it appends to the log, and can neither change nor delete events.
    :param reader: reads everything.
    :raises UsageError: for a role that does not exist, or that has rights which these statements cannot restrict.
    """
    if writer is None and reader is None:
        raise UsageError("no role was named. Name one that writes (--writer), one that only reads (--reader), or both.")
    if writer == reader:
        raise UsageError(f"{shown(str(writer))} cannot both write and only read. Name two roles.")
    database, owner = db.all(
        "SELECT current_database()::text, pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = ?1",
        (address.schema,),
    )[0]
    for role in (writer, reader):
        if role is not None:
            _check(db, role, owner, address.schema)
    if writer is not None and reader is not None and db.one("SELECT pg_has_role(?1, ?2, 'MEMBER')", (reader, writer)):
        raise UsageError(f"{shown(reader)} is a member of {shown(writer)}, so it could write. Name another reader.")
    place = _Place(database=_quoted(database), schema=_quoted(address.schema), owner=owner)
    statements = [
        *([] if writer is None else _for_writer(place, _quoted(writer))),
        *([] if reader is None else _for_reader(place, _quoted(reader))),
    ]
    lines = [f"-- For the owner of the store, {_one_line(owner)}, to run; once more after every upgrade of Deltamark."]
    return "\n".join([*lines, "BEGIN;", *(f"{statement};" for statement in statements), "COMMIT;"]) + "\n"


def _for_writer(place: _Place, role: str) -> Iterator[str]:
    yield f"GRANT CONNECT, TEMPORARY ON DATABASE {place.database} TO {role}"
    yield from _for_both(place, role)
    tables = f"ALL TABLES IN SCHEMA {place.schema}"
    yield f"GRANT INSERT, UPDATE, DELETE ON {tables} TO {role}"
    for table in ("stored_events", "moments", "configurations"):
        yield f"REVOKE UPDATE, DELETE ON {place.schema}.{table} FROM {role}"
    yield f"REVOKE DELETE ON {', '.join(f'{place.schema}.{table}' for table in _NEVER_DELETED)} FROM {role}"
    yield f"REVOKE INSERT, UPDATE, DELETE ON {place.schema}.schema_version FROM {role}"
    for function in _FUNCTIONS:
        yield f"GRANT EXECUTE ON FUNCTION {place.schema}.{function}(bigint) TO {role}"


def _for_reader(place: _Place, role: str) -> Iterator[str]:
    yield f"GRANT CONNECT ON DATABASE {place.database} TO {role}"
    yield from _for_both(place, role)


def _for_both(place: _Place, role: str) -> Iterator[str]:
    """Yields what both roles need, after revoking what they had."""
    for what in (f"ALL TABLES IN SCHEMA {place.schema}", f"ALL SEQUENCES IN SCHEMA {place.schema}"):
        yield f"REVOKE ALL ON {what} FROM {role}"
    for function in _FUNCTIONS:
        yield f"REVOKE ALL ON FUNCTION {place.schema}.{function}(bigint) FROM PUBLIC, {role}"
    yield f"REVOKE ALL ON SCHEMA {place.schema} FROM {role}"
    yield f"GRANT USAGE ON SCHEMA {place.schema} TO {role}"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {place.schema} TO {role}"
    yield f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {place.schema} TO {role}"  # pg_dump asks for them


def _check(db: Database, role: str, owner: str, schema: str) -> None:
    if not role or "\0" in role or len(role.encode()) > _LONGEST_NAME or role in _NO_ROLES:
        raise UsageError(f"{shown(role)} is not the name of a role. Name a role of the server.")
    if role.startswith(_PREDEFINED):
        raise UsageError(
            f"{shown(role)} is a predefined role of PostgreSQL, which others have for other reasons: they would get "
            "the rights too. Name a role that was made for this store."
        )
    rights = db.row(
        "SELECT rolsuper, pg_has_role(rolname, ?2, 'MEMBER') FROM pg_roles WHERE rolname = ?1", (role, owner)
    )
    if rights is None:
        raise UsageError(f"the role {shown(role)} does not exist. Create it first: CREATE ROLE {_quoted(role)} LOGIN")
    if any(rights):
        why = "is a superuser" if rights[0] else f"is, or may act as, {shown(owner)}, the owner of the store"
        raise _unrestricted(role, why)
    powers = [name for (name,) in db.all(_POWERS, (role,))]
    if powers:
        raise _unrestricted(role, f"is a member of {powers[0]}")
    if db.one(_MAY_BECOME_ANYBODY, (role,)):
        raise _unrestricted(role, "may make itself a member of any role (CREATEROLE, before PostgreSQL 16)")
    others = db.all(_RIGHTS_OF_OTHERS, (schema, role))
    if others:
        grantee, right, table = others[0]
        by = "like everybody (PUBLIC)" if grantee is None else f"as a member of {shown(grantee)}"
        raise UsageError(
            f"{shown(role)} has {right} on {table} {by}, which no grant to {shown(role)} takes away. First run: "
            f"REVOKE ALL ON ALL TABLES IN SCHEMA {_quoted(schema)} FROM "
            f"{'PUBLIC' if grantee is None else _quoted(grantee)}"
        )


def _unrestricted(role: str, why: str) -> UsageError:
    return UsageError(f"{shown(role)} {why}: grants cannot restrict it. Name a role that has no rights of its own.")


def _quoted(name: str) -> str:
    return Identifier(name).as_string(None)


def _one_line(name: str) -> str:
    return " ".join(name.split())
