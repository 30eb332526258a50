"""The address of a PostgreSQL store: its database, and the schema in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from attrs import evolve, field, frozen
from psycopg.conninfo import conninfo_to_dict

from deltamark.domain.errors import StoreError

DEFAULT_SCHEMA = "deltamark"

_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,49}")
_EXAMPLE = "Write postgresql://user@host/database, for example."


@frozen(kw_only=True)
class Address:
    """A database, a schema in it, and how to connect. Its text never shows a password."""

    schema: str
    parameters: dict[str, str] = field(repr=False)

    def __str__(self) -> str:
        parameters = self.parameters
        user = quote(parameters["user"], safe="") + "@" if "user" in parameters else ""
        host = parameters.get("host", parameters.get("hostaddr", ""))
        place = f"{quote(host, safe=',:')}:{parameters['port']}" if "port" in parameters else quote(host, safe=",:")
        schema = "" if self.schema == DEFAULT_SCHEMA else f"?schema={self.schema}"
        return f"postgresql://{user}{place}/{parameters.get('dbname', '')}{schema}"


def address_of(url: str) -> Address:
    """Returns the address of a `postgresql://` URL.

    It has the form of PostgreSQL's own programs.

    Parameters may follow, such as ``?sslmode=verify-full``. ``schema`` is Deltamark's own: the schema of the store,
    `deltamark` by default. A password is best kept out of the URL: in ``PGPASSWORD`` or ``~/.pgpass``.

    :raises StoreError: if the URL cannot be read.
    """
    # The errors of the parsers quote what they could not read, which may be a part of the password.
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise StoreError(f"the URL of the store cannot be read. {_EXAMPLE}") from None
    schema = dict(pairs).get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA_NAME.fullmatch(schema):
        raise StoreError(
            "the schema in the URL of the store is not valid: use up to 50 lower-case letters, digits and underscores, "
            "such as ?schema=deltamark."
        )
    query = urlencode([(name, value) for name, value in pairs if name != "schema"], quote_via=quote)
    try:
        parameters = conninfo_to_dict(urlunsplit(parts._replace(query=query)))
    except psycopg.Error:
        raise StoreError(
            "the URL of the store cannot be read: PostgreSQL does not know one of its parameters, or a character must "
            f"be written as % and two digits. {_EXAMPLE}"
        ) from None
    return Address(schema=schema, parameters={name: str(value) for name, value in parameters.items() if value})


def dump_command(address: Address, file: Path) -> str:
    """Returns the shell command that copies a store to a file. It contains no password."""
    database = evolve(address, schema=DEFAULT_SCHEMA)  # pg_dump knows no ?schema=
    options = ("--format=custom", f"--schema={address.schema}", f"--file={file}")
    return shlex.join(["pg_dump", *options, str(database)])
