"""The packages of connections that are built: what is written about their tables, and in their settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial

from attrs import field, frozen

from deltamark.domain.configuration.entity_model import Connection, ConnectionTable
from deltamark.domain.configuration.ldap_filter import filter_attributes, filter_predicate
from deltamark.domain.configuration.scim_paths import filter_paths, scim_path, written_path
from deltamark.domain.configuration.secret_attributes import holds_secrets
from deltamark.domain.fields import as_tuple

QUERY, WATERMARK, OVERLAP, DELETED, KEYS = "Query", "Watermark", "Overlap", "Deleted", "Keys"
CHANGE_TABLE, SEQUENCE, OPERATION = "ChangeTable", "Sequence", "Operation"
SUBJECT, PROPERTIES, ASSOCIATIONS, DISTINGUISHED_NAME = "Subject", "Properties", "Associations", "DistinguishedName"
LDAP_SCHEMES = ("ldap://", "ldaps://", "ldapi://")
OBJECT_CLASS, FILTER, BASE, LINKS, ATTRIBUTE = "ObjectClass", "Filter", "Base", "Links", "Attribute"
JOIN = "Join"
SAFE_FOR_SPREADSHEETS = "SafeForSpreadsheets"
RESOURCE_TYPE, ENDPOINT = "ResourceType", "Endpoint"
FILE, SHEET, KEY, CHANGE_FILES = "File", "Sheet", "Key", "ChangeFiles"
FOLDER = "folder"
"""The setting of packages that read files."""

OWNER, VALUE = "owner", "value"
"""The columns of a table of links."""

_DURATION = re.compile(r"(?:(?P<days>\d{1,4})\.)?(?P<hours>\d{1,2}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)\Z")
_LARGEST_NUMBER = 2**63 - 1
_TRANSACTIONS = "xmin:"
_QUALIFIED_NAME = re.compile(r"""(?:[^\W\d][\w$]*|"[^"]+"|`[^`]+`)(?:\.(?:[^\W\d][\w$]*|"[^"]+"|`[^`]+`)){0,2}\Z""")


_OBJECT_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")


@frozen(kw_only=True)
class Library:
    """A library that a package needs and that is not installed with Deltamark.

    :param module: what it is imported as.
    :param extra: what installs it, `pip install deltamark[EXTRA]`.
    :param advice: what else must be known to install it; a sentence.
    :param untried: the product whose reader was never tried on a server; empty where it was.
    """

    module: str
    extra: str
    advice: str = ""
    untried: str = ""

    @property
    def warning(self) -> str:
        """That it was never tried on a server, a clause; empty where it was."""
        return f"the reader of {self.untried} is untried on a server: compare what it reads" if self.untried else ""

    @property
    def installation(self) -> str:
        """How to install it; a sentence."""
        warning = f"{self.warning[:1].upper()}{self.warning[1:]}." if self.untried else ""
        return " ".join(filter(None, (f"Install it by: pip install 'deltamark[{self.extra}]'.", self.advice, warning)))


_SETTINGS_OF_SOURCES: Mapping[str, type] = {"max_age": str, "max_entries": int}
"""How old a place may be, and how many rows, or entries, one table may have."""


@frozen(kw_only=True)
class Package:
    """A kind of source.

    :param options: the attributes of its `ConnectionTable` elements besides `Identifier`.
    :param settings: the names of its settings in `[deltamark.connections.NAME]`; the type of each.
    :param secrets: those of its settings that name where a secret is.
    :param problems: of one of its tables, each a clause whose subject is the table.
    :param column_problem: why a mapping cannot read a column, a clause whose subject is the column; None where it can.
    :param key_column: the only column that keys of resources may be read from; None where any may.
    :param library: what it needs; None where that comes with Deltamark.
    :param libraries: what it needs for some servers: the beginning of the address -> the library.
    :param is_sink: whether changes are delivered to it, instead of rows being read from it.
    :param has_values: whether all chosen values of a resource are delivered with each of its changes, and not only
        those that changed.
    :param reads_files: whether it reads files as a whole: one that did not change is not read again.
    :param endings: those of its files; empty where any will do.
    """

    name: str
    options: tuple[str, ...] = field(converter=as_tuple)
    settings: Mapping[str, type]
    secrets: tuple[str, ...] = field(converter=as_tuple, default=())
    problems: Callable[[ConnectionTable], Iterator[str]]
    column_problem: Callable[[str], str | None] | None = None
    key_column: str | None = None
    library: Library | None = None
    libraries: Mapping[str, Library] = field(factory=dict)
    is_sink: bool = False
    has_values: bool = False
    reads_files: bool = False
    endings: tuple[str, ...] = field(converter=as_tuple, default=())

    @property
    def all_settings(self) -> Mapping[str, type]:
        """Its settings, with those that every source has."""
        return self.settings if self.is_sink else {**self.settings, **_SETTINGS_OF_SOURCES}

    def library_for(self, server: object) -> Library | None:
        """What is needed to read a server; None where that comes with Deltamark.

        :param server: its address, or nothing where it is not known.
        """
        for beginning, library in self.libraries.items():
            if isinstance(server, str) and server.startswith(beginning):
                return library
        return self.library

    def gives_changes(self, table: ConnectionTable) -> bool:
        """Whether what changed in a table can be read without reading all of it."""
        return WATERMARK in table.options or CHANGE_TABLE in table.options


def overlap_of(table: str) -> timedelta | int:
    """How far before the watermark a reading begins: a time, or a number of versions.

    :param table: the attribute `Overlap`, such as `00:10:00`, `1.00:00:00` or `1000`.
    :raises ValueError: if it is neither.
    """
    match = _DURATION.match(table)
    if match is not None:
        return timedelta(**{unit: int(number) for unit, number in match.groupdict(default="0").items()})
    if not (table.isascii() and table.isdigit()) or int(table) > _LARGEST_NUMBER:
        raise ValueError(table)
    return int(table)


def transaction_column(watermark: str) -> str | None:
    """The column that holds which transaction wrote a row: `name` of `xmin:name`; None for other watermarks."""
    return watermark.removeprefix(_TRANSACTIONS) if watermark.startswith(_TRANSACTIONS) else None


def transactions_of(column: str) -> str:
    """The watermark of a column that holds which transaction wrote a row."""
    return f"{_TRANSACTIONS}{column}"


def _sql_problems(table: ConnectionTable) -> Iterator[str]:
    options = table.options
    if not options.get(QUERY, "").strip():
        yield 'has no Query; write Query="select …", whose columns are those that the mappings name'
    for name in (DELETED, KEYS):
        if name in options and WATERMARK not in options:
            yield f"has {name}, which only a table with Watermark needs; name the Watermark, or remove {name}"
    for name in (SEQUENCE, OPERATION):
        if name in options and CHANGE_TABLE not in options:
            yield f"has {name}, but no {CHANGE_TABLE}; name the table of changes, or remove {name}"
    if OVERLAP in options and WATERMARK not in options and CHANGE_TABLE not in options:
        yield f"has {OVERLAP}, which only a table with Watermark needs; name the Watermark, or remove {OVERLAP}"
    if transaction_column(options.get(WATERMARK, "")) == "":
        yield 'has a Watermark of transactions without a column; write Watermark="xmin:column"'
    if CHANGE_TABLE in options:
        yield from _change_table_problems(table)
    yield from _overlap_problems(table)


def _change_table_problems(table: ConnectionTable) -> Iterator[str]:
    options = table.options
    if not _QUALIFIED_NAME.match(options[CHANGE_TABLE]):
        yield f'has the {CHANGE_TABLE} "{options[CHANGE_TABLE]}"; write the name of a table, such as hr.person_changes'
    if not options.get(SEQUENCE, "").strip():
        yield f"has a {CHANGE_TABLE}, but no {SEQUENCE}; name the column by which its changes are numbered"
    if WATERMARK in options:
        yield f"has {WATERMARK} and {CHANGE_TABLE}; one of the two tells what changed, remove the other"


def _overlap_problems(table: ConnectionTable) -> Iterator[str]:
    overlap = table.options.get(OVERLAP)
    if overlap is None:
        return
    if transaction_column(table.options.get(WATERMARK, "")) is not None:
        yield f"has {OVERLAP}, which a Watermark of transactions does not need; remove {OVERLAP}"
    try:
        overlap_of(overlap)
    except ValueError:
        yield f'has the Overlap "{overlap}"; write a time such as 00:10:00, or a whole number such as 1000'


_MYSQL_LIBRARY = Library(module="pymysql", extra="mysql")
_MYSQL_LIBRARIES = {"mysql://": _MYSQL_LIBRARY, "mariadb://": _MYSQL_LIBRARY}
_ORACLE_LIBRARY = Library(module="oracledb", extra="oracle", untried="Oracle")
_SQL_SERVER_LIBRARY = Library(module="mssql_python", extra="sqlserver", untried="SQL Server")
SQL = Package(
    name="Sql",
    options=(QUERY, WATERMARK, OVERLAP, DELETED, KEYS, CHANGE_TABLE, SEQUENCE, OPERATION),
    settings={"server": str, "user": str, "password": str, "authority": str, "timeout": int},
    secrets=("password",),
    problems=_sql_problems,
    libraries={
        **_MYSQL_LIBRARIES,
        "oracle://": _ORACLE_LIBRARY,
        "sqlserver://": _SQL_SERVER_LIBRARY,
        "mssql://": _SQL_SERVER_LIBRARY,
    },
)


def _directory_problems(table: ConnectionTable) -> Iterator[str]:
    if LINKS in table.options:
        for name in (OBJECT_CLASS, FILTER, BASE, JOIN):
            if name in table.options:
                yield f"has {LINKS} and {name}; the table that {LINKS} names has them, remove {name}"
        if not table.options.get(ATTRIBUTE, "").strip():
            yield f'has {LINKS}, but no {ATTRIBUTE}; name that of the links, such as {ATTRIBUTE}="member"'
        return
    if ATTRIBUTE in table.options:
        yield f"has {ATTRIBUTE}, but no {LINKS}; name the table whose links these are, or remove {ATTRIBUTE}"
    if not _OBJECT_CLASS.match(table.options.get(OBJECT_CLASS, "")):
        yield f'has no {OBJECT_CLASS}; write what its entries are, such as {OBJECT_CLASS}="user"'
    if table.options.get(JOIN) == "":
        yield f'has an empty {JOIN}; write what stands between several values of one attribute, such as {JOIN}="; "'
    try:
        filter_attributes(table.options.get(FILTER, "(objectClass=*)"))
    except ValueError as error:
        yield f"has a {FILTER} that is no LDAP filter: {error}"


_LDAP_LIBRARY = Library(
    module="ldap",
    extra="ldap",
    advice="It is compiled, and needs the packages libldap2-dev and libsasl2-dev of Debian, or openldap-devel and "
    "cyrus-sasl-devel of Fedora, and a compiler.",
)
_DIRECTORY_SETTINGS: Mapping[str, type] = {
    "server": str,
    "user": str,
    "password": str,
    "base": str,
    "authority": str,
    "authentication": str,
    "certificate": str,
    "key": str,
    "tls": str,
    "timeout": int,
    "page_size": int,
    "max_entries": int,
}
ACTIVE_DIRECTORY = Package(
    name="ActiveDirectory",
    options=(OBJECT_CLASS, FILTER, BASE, JOIN, LINKS, ATTRIBUTE),
    settings={name: kind for name, kind in _DIRECTORY_SETTINGS.items() if name != "base"},
    secrets=("password",),
    problems=_directory_problems,
    key_column="objectGUID",
    library=_LDAP_LIBRARY,
)
LDAP = Package(
    name="Ldap",
    options=(OBJECT_CLASS, FILTER, BASE, JOIN, LINKS, ATTRIBUTE),
    settings=_DIRECTORY_SETTINGS,
    secrets=("password",),
    problems=_directory_problems,
    key_column="entryUUID",
    library=_LDAP_LIBRARY,
)

_ENDPOINT = re.compile(r"/[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*\Z")
_NOT_TOLD = {
    "groups": "the service makes it of the members of groups, and reports no change of it; read members of the group",
    "manager.displayname": "the service makes it of the manager, and reports no change of it; read manager.value",
}


def _scim_problems(table: ConnectionTable) -> Iterator[str]:
    if LINKS in table.options:
        for name in (RESOURCE_TYPE, ENDPOINT, FILTER, OVERLAP):
            if name in table.options:
                yield f"has {LINKS} and {name}; the table that {LINKS} names has them, remove {name}"
        attribute = table.options.get(ATTRIBUTE, "").strip()
        if not attribute:
            yield f'has {LINKS}, but no {ATTRIBUTE}; name that of the links, such as {ATTRIBUTE}="members"'
            return
        problem = _scim_column_problem(attribute)
        if problem is not None:
            yield f'has the {ATTRIBUTE} "{attribute}", which {problem}'
        return
    if ATTRIBUTE in table.options:
        yield f"has {ATTRIBUTE}, but no {LINKS}; name the table whose links these are, or remove {ATTRIBUTE}"
    if (RESOURCE_TYPE in table.options) is (ENDPOINT in table.options):
        yield f'must have one of {RESOURCE_TYPE} and {ENDPOINT}; write {RESOURCE_TYPE}="User" or {ENDPOINT}="/Users"'
    if ENDPOINT in table.options and not _ENDPOINT.match(table.options[ENDPOINT]):
        yield f'has the {ENDPOINT} "{table.options[ENDPOINT]}"; write a path below the server, such as /Users'
    if FILTER in table.options:
        try:
            filter_paths(table.options[FILTER])
        except ValueError as error:
            yield f"has a {FILTER} that is no SCIM filter: {error}"
    if OVERLAP in table.options and not _DURATION.match(table.options[OVERLAP]):
        yield f'has the Overlap "{table.options[OVERLAP]}"; write a time such as 00:05:00'


def _scim_column_problem(column: str) -> str | None:
    try:
        path = scim_path(column)
    except ValueError as error:
        return str(error)
    name = path.attribute.lower()
    if name == "password":
        return "holds secrets, which are never read"
    not_told = _NOT_TOLD.get(name) or _NOT_TOLD.get(f"{name}.{(path.part or '').lower()}")
    return None if not_told is None else f"cannot be read: {not_told}"


SCIM = Package(
    name="Scim",
    options=(RESOURCE_TYPE, ENDPOINT, FILTER, OVERLAP, LINKS, ATTRIBUTE),
    settings={
        "server": str,
        "user": str,
        "password": str,
        "token": str,
        "authority": str,
        "timeout": int,
        "page_size": int,
        "confirm_limit": int,
    },
    secrets=("password", "token"),
    problems=_scim_problems,
    column_problem=_scim_column_problem,
    key_column="id",
    library=Library(module="urllib3", extra="scim"),
)


_ATTRIBUTE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*(?:;[A-Za-z0-9-]+)*\Z")
_PLAIN_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")


def names_at_sink(table: ConnectionTable) -> Mapping[str, str] | None:
    """Name at the sink -> property, as `Properties` says; None where it does not, and all go by their own names.

    :raises ValueError: if it is no such list; the message is a clause.
    """
    return None if PROPERTIES not in table.options else names_listed(table, PROPERTIES, "a property")


def associations_at_sink(table: ConnectionTable) -> Mapping[str, str]:
    """Name at the sink -> association, as `Associations` says.

    :raises ValueError: if it is no such list; the message is a clause.
    """
    return names_listed(table, ASSOCIATIONS, "an association")


def names_listed(table: ConnectionTable, option: str, what: str) -> Mapping[str, str]:
    """Name at the sink -> name here, of an option such as `mail=Mail, sn=LastName, Title`.

    A name alone is that at both ends.

    :param what: what it has the names of, for messages.
    :raises ValueError: if it is no such list; the message is a clause.
    """
    names: dict[str, str] = {}
    text = table.options.get(option, "")
    for part in text.split(",") if text.strip() or option == PROPERTIES else ():
        name, given, own = (item.strip() for item in part.partition("="))
        if not name or (given and not own):
            raise ValueError(f'"{part.strip()}" is neither {what} nor NAME={what.split()[-1].upper()}')
        if name in names:
            raise ValueError(f'the name "{name}" is there twice')
        names[name] = own or name
    return names


def listed(table: ConnectionTable, option: str) -> tuple[str, ...]:
    """The names in an option that lists some, separated by commas."""
    return tuple(filter(None, (part.strip() for part in table.options.get(option, "").split(","))))


def _sink_problems(table: ConnectionTable) -> Iterator[str]:
    if not table.options.get(SUBJECT, "").strip():
        yield f'has no {SUBJECT}; write the entity type whose changes are delivered, such as {SUBJECT}="Directory_User"'
    try:
        names_at_sink(table)
    except ValueError as problem:
        yield f"has {PROPERTIES} that cannot be read: {problem}"
    try:
        associations_at_sink(table)
    except ValueError as problem:
        yield f"has {ASSOCIATIONS} that cannot be read: {problem}"


def _ldif_problems(table: ConnectionTable) -> Iterator[str]:
    yield from _sink_problems(table)
    if not table.options.get(DISTINGUISHED_NAME, "").strip():
        yield (
            f"has no {DISTINGUISHED_NAME}; write the property that holds the distinguished name of each entry, such as "
            f'{DISTINGUISHED_NAME}="DN"'
        )
    classes = listed(table, OBJECT_CLASS)
    if not classes:
        yield f'has no {OBJECT_CLASS}; write what its entries are, such as {OBJECT_CLASS}="inetOrgPerson"'
    if any(not _OBJECT_CLASS.match(name) for name in classes):
        yield f"has an {OBJECT_CLASS} that is no list of names of classes"
    try:
        names = names_at_sink(table)
    except ValueError:
        return
    if names is None:
        yield (
            f"has no {PROPERTIES}; write which attribute has which property, such as "
            f'{PROPERTIES}="uid=Login, mail=Mail"'
        )
    for name in names or ():
        if not _ATTRIBUTE_NAME.match(name):
            yield f'has {PROPERTIES} with "{name}", which is no name of an attribute'
        if holds_secrets(name):
            yield f'has {PROPERTIES} with "{name}", an attribute of passwords, which are not delivered; remove it'
    yield from _attribute_problems(table, _ATTRIBUTE_NAME, "member")


def _attribute_problems(table: ConnectionTable, attribute: re.Pattern[str], example: str) -> Iterator[str]:
    """What is wrong with the attributes that links go to, which must be named."""
    try:
        names = associations_at_sink(table)
    except ValueError:
        return
    for name, association in names.items():
        if not attribute.match(name) or name == association:
            yield (
                f'has {ASSOCIATIONS} with "{name}"; write which attribute has the links, such as '
                f'{ASSOCIATIONS}="{example}={association}"'
            )


def _csv_sink_problems(table: ConnectionTable) -> Iterator[str]:
    yield from _sink_problems(table)
    if table.options.get(SAFE_FOR_SPREADSHEETS, "true") not in ("true", "false"):
        yield f'has {SAFE_FOR_SPREADSHEETS}="{table.options[SAFE_FOR_SPREADSHEETS]}"; write true or false'


_MEMBER = re.compile(r"[A-Za-z$][A-Za-z0-9_$-]*\Z")


def _scim_sink_problems(table: ConnectionTable) -> Iterator[str]:
    yield from _sink_problems(table)
    if not table.options.get(RESOURCE_TYPE, "").strip():
        yield f'has no {RESOURCE_TYPE}; write what its resources are at the service, such as {RESOURCE_TYPE}="User"'
    yield from _attribute_problems(table, _MEMBER, "members")
    try:
        names = names_at_sink(table)
    except ValueError:
        return
    if names is None:
        yield (
            f"has no {PROPERTIES}; write which attribute has which property, such as "
            f'{PROPERTIES}="userName=Login, name.familyName=LastName"'
        )
    for name in names or ():
        try:
            path = written_path(name)
        except ValueError as error:
            yield f'has {PROPERTIES} with "{name}", which {error}'
            continue
        if path.attribute.lower() == "password":
            yield f'has {PROPERTIES} with "{name}", which holds secrets, which are not delivered; remove it'
        if path.attribute.lower() in _OF_THE_SERVICE:
            yield f'has {PROPERTIES} with "{name}", which is set by the service, or by this sink; remove it'


_OF_THE_SERVICE = frozenset({"id", "externalid", "meta", "schemas", "members", "groups"})


def _sql_sink_problems(table: ConnectionTable) -> Iterator[str]:
    yield from _sink_problems(table)
    if not _PLAIN_TABLE_NAME.match(table.identifier):
        yield "has an Identifier that is no name of a table; use letters, digits and underscores"


_CHOICE = (SUBJECT, PROPERTIES, ASSOCIATIONS)
_HTTP_LIBRARY = Library(module="urllib3", extra="webhook")
CSV_SINK = Package(
    name="CsvSink",
    options=(*_CHOICE, SAFE_FOR_SPREADSHEETS),
    settings={"folder": str},
    problems=_csv_sink_problems,
    is_sink=True,
    has_values=True,
)
JSON_LINES_SINK = Package(
    name="JsonLinesSink", options=_CHOICE, settings={"folder": str}, problems=_sink_problems, is_sink=True
)
CLOUD_EVENTS_SINK = Package(
    name="CloudEventsSink", options=_CHOICE, settings={"folder": str}, problems=_sink_problems, is_sink=True
)
LDIF_SINK = Package(
    name="LdifSink",
    options=(*_CHOICE, DISTINGUISHED_NAME, OBJECT_CLASS),
    settings={"folder": str},
    problems=_ldif_problems,
    is_sink=True,
    has_values=True,
)
WEBHOOK_SINK = Package(
    name="WebhookSink",
    options=_CHOICE,
    settings={"server": str, "authority": str, "timeout": int, "batch": int, "secret": str, "token": str},
    secrets=("secret", "token"),
    problems=_sink_problems,
    library=_HTTP_LIBRARY,
    is_sink=True,
)
SQL_SINK = Package(
    name="SqlSink",
    options=_CHOICE,
    settings={"server": str, "user": str, "password": str, "authority": str, "timeout": int},
    secrets=("password",),
    problems=_sql_sink_problems,
    libraries=_MYSQL_LIBRARIES,
    is_sink=True,
)
SCIM_SINK = Package(
    name="ScimSink",
    options=(*_CHOICE, RESOURCE_TYPE),
    settings={"server": str, "user": str, "password": str, "token": str, "authority": str, "timeout": int},
    secrets=("password", "token"),
    problems=_scim_sink_problems,
    library=Library(module="urllib3", extra="scim"),
    is_sink=True,
    has_values=True,
)
SINKS: tuple[Package, ...] = (
    CSV_SINK,
    JSON_LINES_SINK,
    CLOUD_EVENTS_SINK,
    LDIF_SINK,
    WEBHOOK_SINK,
    SQL_SINK,
    SCIM_SINK,
)
"""The packages that changes are delivered to."""


def file_parts(file: str) -> tuple[str, ...] | None:
    """The parts of the path of a file below a folder; None where it is none.

    The last one may have the signs `*` and `?` of a pattern.
    """
    parts = tuple(file.split("/"))
    is_path = not any(char in file for char in "\\\0:[]")
    return (
        parts
        if is_path and not {"", ".", ".."} & {*parts} and not any("*" in part or "?" in part for part in parts[:-1])
        else None
    )


def _file_problems(endings: Sequence[str], table: ConnectionTable) -> Iterator[str]:
    file = table.options.get(FILE)
    if file is None:
        yield f'has no {FILE}; name the file below the folder of the connection, such as {FILE}="people{endings[0]}"'
    elif file_parts(file) is None:
        yield f'has the {FILE} "{file}"; write its name, or its path below the folder of the connection, with /'
    elif not file.lower().endswith(tuple(endings)):
        yield f'has the {FILE} "{file}", whose ending is none of {", ".join(endings)}'


def _json_problems(endings: Sequence[str], table: ConnectionTable) -> Iterator[str]:
    if LINKS not in table.options:
        yield from _file_problems(endings, table)
        for name in (ATTRIBUTE, KEY):
            if name in table.options:
                yield f"has {name}, but no {LINKS}; name the table whose lists these are, or remove {name}"
        return
    if FILE in table.options:
        yield f"has {LINKS} and {FILE}; the table that {LINKS} names has the file, remove {FILE}"
    if not table.options.get(ATTRIBUTE, "").strip():
        yield f'has {LINKS}, but no {ATTRIBUTE}; name the list, such as {ATTRIBUTE}="groups"'
    if not table.options.get(KEY, "").strip():
        yield f'has {LINKS}, but no {KEY}; name the member that identifies the object, such as {KEY}="id"'


def _ldif_file_problems(table: ConnectionTable) -> Iterator[str]:
    if LINKS in table.options:
        for name in (FILE, CHANGE_FILES, KEY):
            if name in table.options:
                yield f"has {LINKS} and {name}; the table that {LINKS} names has it, remove {name}"
    else:
        yield from _file_problems(_LDIF_ENDINGS, table)
        changes = table.options.get(CHANGE_FILES)
        if changes is not None and (file_parts(changes) is None or not changes.lower().endswith(_LDIF_ENDINGS)):
            yield (
                f'has the {CHANGE_FILES} "{changes}"; write the names of the files below the folder of the connection, '
                f'such as {CHANGE_FILES}="changes-*{_LDIF_ENDINGS[0]}"'
            )
    yield from _directory_problems(table)
    try:
        filter_predicate(table.options.get(FILTER, "(objectClass=*)"))
    except ValueError as error:
        yield f"has a {FILTER} that needs a server: {error}"


_LDIF_ENDINGS = (".ldif", ".ldf")
_CSV_ENDINGS = (".csv", ".csv.gz", ".csv.zst")
_JSON_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_EXCEL_ENDINGS = (".xlsx",)
CSV = Package(
    name="Csv",
    options=(FILE,),
    settings={FOLDER: str},
    problems=partial(_file_problems, _CSV_ENDINGS),
    reads_files=True,
    endings=_CSV_ENDINGS,
)
EXCEL = Package(
    name="Excel",
    options=(FILE, SHEET),
    settings={FOLDER: str},
    problems=partial(_file_problems, _EXCEL_ENDINGS),
    library=Library(module="python_calamine", extra="excel"),
    reads_files=True,
    endings=_EXCEL_ENDINGS,
)
JSON_LINES = Package(
    name="JsonLines",
    options=(FILE, LINKS, ATTRIBUTE, KEY),
    settings={FOLDER: str},
    problems=partial(_json_problems, _JSON_ENDINGS),
    reads_files=True,
    endings=_JSON_ENDINGS,
)

LDIF = Package(
    name="Ldif",
    options=(FILE, CHANGE_FILES, OBJECT_CLASS, FILTER, KEY, JOIN, LINKS, ATTRIBUTE),
    settings={FOLDER: str},
    problems=_ldif_file_problems,
    reads_files=True,
    endings=_LDIF_ENDINGS,
)

PACKAGES: Mapping[str, Package] = {
    package.name: package for package in (SQL, ACTIVE_DIRECTORY, LDAP, SCIM, LDIF, CSV, EXCEL, JSON_LINES, *SINKS)
}
"""Those that are built, by name."""


def package_named(name: str | None) -> Package | None:
    """The package of that name, or None where none is built."""
    return None if name is None else PACKAGES.get(name)


def is_sink(connection: Connection) -> bool:
    """Whether changes are delivered to a connection."""
    package = package_named(connection.package)
    return package is not None and package.is_sink
