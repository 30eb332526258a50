"""The port to the sources that connections read: a database, a directory. A source knows no store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from deltamark.domain.configuration.jobs import COMMAND
from deltamark.domain.fields import as_tuple
from deltamark.domain.secrets import Secret

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "COMMAND",
    "DELETE",
    "INSERT",
    "LARGEST_COOKIE",
    "NOT_READ",
    "ConnectionSettings",
    "PlaceLost",
    "Probe",
    "Question",
    "Reached",
    "Source",
    "SourcePlace",
    "SourceUnreachable",
    "Tables",
    "UnreadCell",
    "WantedTable",
    "unread_cell",
]

LARGEST_COOKIE = 64 * 1024
"""In bytes."""

INSERT, DELETE = "insert", "delete"
"""The commands that sources write: what is inserted and is there already is updated."""

NOT_READ = "deltamark:not read"
"""The column that says why a row could not be read: `UnreadCell.text`, or nothing where it was read."""

_SEPARATOR = "\t"
_LONGEST_VALUE = 200
_SCOPE_FORMAT = 1
_NOT_IN_SCOPE = frozenset(
    {
        "authority",
        "confirm_limit",
        "max_age",
        "max_entries",
        "page_bytes",
        "page_size",
        "timeout",
        "tls",
        "user",
    }
)
"""Settings that change how a source is read, and not what is read."""


@frozen
class UnreadCell:
    """A value that a source could not read: its row is set aside, and its resource stays as it is.

    :param reason: a clause.
    :param value: the value as it can be shown.
    """

    column: str
    reason: str
    value: str

    @property
    def text(self) -> str:
        """What stands in the column `NOT_READ`."""
        return _SEPARATOR.join((self.column, self.reason, self.value[:_LONGEST_VALUE]))


def unread_cell(text: str) -> UnreadCell:
    """The value of which the column `NOT_READ` says that it could not be read."""
    column, reason, value, *_ = (*text.split(_SEPARATOR, 2), "", "")
    return UnreadCell(column, reason, value)


class PlaceLost(Exception):
    """A source cannot go on from a place: it is too old, of another server, or the server refuses it.

    Everything is read then instead.

    :param reason: why; a clause without a full stop.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class SourceUnreachable(Exception):
    """A source cannot be read: it was not reached, it refused the user, or it ended midway.

    What was written meanwhile is void.

    :param problem: what happened, in the words of the server; a clause without a full stop. It may hold secrets: the
        caller redacts it.
    :param advice: what to do next; a sentence.
    :param is_temporary: whether it may pass in a moment: no connection, a connection that ended, a server that is busy.
        Then all is read again. Never where the server refused the user, for it may lock the account.
    """

    def __init__(self, problem: str, advice: str = "", *, is_temporary: bool = False) -> None:
        self.problem = problem
        self.advice = advice
        self.is_temporary = is_temporary
        super().__init__(problem)


@frozen(kw_only=True)
class ConnectionSettings:
    """The settings of a connection.

    :param values: such as `server` and `user`.
    :param secrets: setting -> reads the secret when it is needed; raises `SourceUnreachable` where it cannot be read.
    """

    values: Mapping[str, str | int | bool] = field(factory=dict)
    secrets: Mapping[str, Callable[[], Secret]] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class WantedTable:
    """A table that is read from a source.

    :param columns: what mappings name, each once, in the order in which they are written.
    :param options: the other attributes of its `ConnectionTable`, by their names: `Query`, `ObjectClass`, `Filter`.
    :param key: the column that tells the resources of its rows apart; None where no resources are read from it.
    :param transformations: what is made of it: with another query, all of its rows are to be judged again.
    :param mapped: the digest of how its values are mapped, where a file that did not change is not read again.
    """

    name: str
    columns: tuple[str, ...] = field(converter=as_tuple)
    options: Mapping[str, str] = field(factory=dict)
    key: str | None = None
    transformations: tuple[str, ...] = field(converter=as_tuple, default=())
    mapped: str = ""


@frozen(kw_only=True)
class Question:
    """What is asked of a source.

    :param settings: of the connection, such as `server` and `user`, without its secrets.
    :param secrets: setting -> reads the secret when it is needed; raises `SourceUnreachable` where it cannot be read.
    :param known: table -> reads the keys of the resources that were applied from it, where a mapping reads its key from
        the key column of the package: a source that lists what there is finds out by them what is gone.
    """

    connection: str
    package: str
    settings: Mapping[str, str | int | bool] = field(factory=dict)
    secrets: Mapping[str, Callable[[], Secret]] = field(factory=dict, repr=False)
    tables: tuple[WantedTable, ...] = field(converter=as_tuple, default=())
    known: Mapping[str, Callable[[], frozenset[str]]] = field(factory=dict, eq=False, repr=False)

    def text(self, setting: str) -> str | None:
        """A setting as text; None where it is not given."""
        value = self.settings.get(setting)
        return None if value is None else str(value)

    def secret(self, setting: str) -> Secret | None:
        """A secret, read now; None where none is given.

        :raises SourceUnreachable: if it cannot be read.
        """
        read = self.secrets.get(setting)
        return None if read is None else read()

    @property
    def scope(self) -> str:
        """The digest of what is asked, hexadecimal: a place of another scope says nothing about this one.

        User, secrets and the size of pages are not in it.
        """
        asked: dict[str, object] = {
            "format": _SCOPE_FORMAT,
            "package": self.package,
            "settings": {name: value for name, value in self.settings.items() if name not in _NOT_IN_SCOPE},
            "tables": [
                [table.name, table.columns, dict(table.options), *filter(None, [table.mapped])] for table in self.tables
            ],
        }
        made = {table.name: table.transformations for table in self.tables if table.transformations}
        if made:  # without one the scope is what it was before there were any
            asked["transformations"] = made
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@frozen(kw_only=True)
class SourcePlace:
    """How far a source was read.

    :param cookie: what the source goes on from, at most `LARGEST_COOKIE` bytes.
    :param guard: what the server said of itself when the place was taken, such as its id: another one loses the place.
    :param scope: that of the question, see `Question.scope`.
    """

    cookie: bytes
    guard: Mapping[str, str] = field(factory=dict)
    scope: str


@frozen(kw_only=True)
class Reached:
    """How far one reading came.

    :param place: where the next one may go on; None where the source can only be read as a whole.
    :param incomplete: why what is missing in the tables may still be in the source, a clause; None where it is not.
        Nothing is deleted then because it is missing.
    :param messages: what a user must know.
    :param warned: whether one of them says that a delta may lack something: the run ends in warning.
    """

    place: SourcePlace | None = None
    incomplete: str | None = None
    messages: tuple[str, ...] = field(converter=as_tuple, default=())
    warned: bool = False


@frozen(kw_only=True)
class Probe:
    """What a source said without being read.

    :param server: what it says of itself, such as its product and version.
    :param findings: what a user must know: rights, certificates, how changes are found.
    :param problems: why it cannot be read, each a clause; empty where it can be.
    """

    server: str = ""
    findings: tuple[str, ...] = field(converter=as_tuple, default=())
    problems: tuple[str, ...] = field(converter=as_tuple, default=())


class Tables(Protocol):
    """Receives the rows of the tables that are read."""

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Adds rows to a table.

        :param batch: the columns of its `WantedTable`, all strings (null is no value); in a delta `COMMAND` is the
            first column: insert, update, merge or delete, as in extracts with commands. Without it there, the table is
            read as a whole. `NOT_READ` may be the last one. A table of which nothing is written has no rows.
        """
        ...

    def keep_keys(self, table: str, keys: pa.Array) -> str:
        """Keeps the keys of a table beside the delivery, for the reading that goes on from its place.

        Returns their digest, hexadecimal, which belongs into the place.

        :param keys: strings, in the same order whenever they are the same.
        """
        ...

    def kept_keys(self, table: str, digest: str) -> pa.Array | None:
        """The keys that an earlier reading kept; None where they are not there any more, or were altered."""
        ...

    def copy(self, table: str, ending: str, blocks: Iterable[bytes]) -> None:
        """Adds a table as the file that it is, read as a whole when it is applied.

        :param ending: that of an extract format, such as `.csv`.
        """
        ...


class Source(Protocol):
    """One kind of source."""

    def probe(self, ask: Question) -> Probe:
        """Asks the source whether it can be read, without reading rows."""
        ...

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Reads all rows of all tables.

        :raises SourceUnreachable: if it cannot be read as a whole.
        """
        ...

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Reads what changed since a place: whole rows, each with its command.

        :raises PlaceLost: if it cannot go on from the place. What was written before is void.
        :raises SourceUnreachable: if it cannot be read as a whole.
        """
        ...
