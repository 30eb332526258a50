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
_ENCODE = (
    "Write such a character of a user or password as % and two digits (/ is %2F, @ is %40, # is %23, ? is %3F, a blank "
    "is %20), or leave the password out: PGPASSWORD and ~/.pgpass are read. Write postgresql://user@host/database, for "
    "example."
)
_HOSTS = re.compile(r"[\w.:%,/ -]*")
_PORTS = re.compile(r"[0-9,]*")
_SHORTEST_SECRET = 4
"""A shorter one occurs in other words too."""
_SECRET = re.compile(r"password|secret|_key$|token")


@frozen(kw_only=True)
class Address:
    """A database, a schema in it, and how to connect. Its text never shows a password."""

    schema: str
    parameters: dict[str, str] = field(repr=False)

    def __str__(self) -> str:
        parameters = self.parameters
        user = quote(parameters["user"].partition(":")[0], safe="") + "@" if "user" in parameters else ""
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
    _check_form(url)
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise StoreError(f"the URL of the store cannot be read. {_EXAMPLE}") from None
    schema = dict(pairs).get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA_NAME.fullmatch(schema):
        raise StoreError(
            "the schema in the URL of the store is not valid: use up to 50 lower-case letters, digits and underscores, "
            "such as postgresql://user@host/database?schema=deltamark."
        )
    query = urlencode([(name, value) for name, value in pairs if name != "schema"], quote_via=quote)
    try:
        parameters = conninfo_to_dict(urlunsplit(parts._replace(query=query)))
    except psycopg.Error:
        raise StoreError(
            "the URL of the store cannot be read: PostgreSQL does not know one of its parameters, or a character must "
            f"be written as % and two digits. {_EXAMPLE}"
        ) from None
    address = Address(schema=schema, parameters={name: str(value) for name, value in parameters.items() if value})
    _check_place(address)
    return address


def _check_form(url: str) -> None:
    """Refuses a URL that is read in another way than its author means, so that a password would be taken for a host."""
    _, mark, rest = url.partition("://")
    if not mark:
        raise StoreError(f"the URL of the store cannot be read: :// is missing after postgresql. {_EXAMPLE}")
    authority, at, _ = rest.rpartition("@")
    if re.search(r"\s", rest):
        raise StoreError(f"the URL of the store holds a blank. {_ENCODE}")
    if at and re.search(r"[/?#@]", authority):
        raise StoreError(f"the URL of the store holds a /, ?, # or @ before the @ of its host. {_ENCODE}")


def _check_place(address: Address) -> None:
    """Refuses what cannot be a host, a port or a database: messages show these, and a password may have got there."""
    parameters = address.parameters
    hosts = f"{parameters.get('host', '')},{parameters.get('hostaddr', '')}"
    if not _HOSTS.fullmatch(hosts):
        raise StoreError(f"the host in the URL of the store has a character that no host has. {_ENCODE}")
    if not _PORTS.fullmatch(parameters.get("port", "")):
        raise StoreError(f"the port in the URL of the store is not a number. {_ENCODE}")
    if re.search(r"[=@]|://", parameters.get("dbname", "")):
        raise StoreError(f"the database in the URL of the store has a =, an @ or :// in its name. {_ENCODE}")


def without_secrets(text: str, address: Address) -> str:
    """A text of PostgreSQL without the password and its like, wherever it repeats them."""
    parameters = address.parameters
    secrets = [value for name, value in parameters.items() if _SECRET.search(name)]
    secrets += [parameters.get("user", "").partition(":")[2]]
    words = {parameters.get(name, "") for name in ("user", "host", "hostaddr", "dbname")}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET and secret not in words:
            text = text.replace(secret, "…")
    return text


def dump_command(address: Address, file: Path) -> str:
    """Returns the shell command that copies a store to a file. It contains no password."""
    database = evolve(address, schema=DEFAULT_SCHEMA)  # pg_dump knows no ?schema=
    options = ("--format=custom", f"--schema={address.schema}", f"--file={file}")
    return shlex.join(["pg_dump", *options, str(database)])
