"""A connection to one LDAP server: how it is opened, and how it is searched. Every failure voids the reading."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import ldap
from attrs import define, field, frozen
from ldap.ldapobject import SimpleLDAPObject

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.infrastructure.ldap.controls import (
    PAGED,
    RESPONSES,
    SYNC_INFO,
    Answer,
    PagedAnswer,
    Request,
    SyncInfo,
    paged,
)
from deltamark.infrastructure.ldap.isolated import IsolatedConnection
from deltamark.infrastructure.ldap.tls_failure import tls_failure

BASE, SUBTREE = ldap.SCOPE_BASE, ldap.SCOPE_SUBTREE
EVERY_ENTRY = "(objectClass=*)"

_TIMEOUT = 60
_PAGE_SIZE = 1000
_MOST_ENTRIES = 10_000_000
_LARGEST_VALUE = 1 << 20
_BULK, _BULK_BYTES = 64, 256 << 10
"""How many entries are handed on at once, at most, and by their size: few, so that their memory is used again."""
MOST_EMPTY_PAGES = 1000
_METHODS = ("simple", "external", "gssapi")
_PORTS = {"ldap": 389, "ldaps": 636}
_RANGE = re.compile(r"(?P<name>.+);range=(?P<first>\d+)-(?P<last>\d+|\*)", re.IGNORECASE)
_AGAIN = "Nothing is wrong with what is stored: the next run reads again."
_ENTRY, _LAST = ldap.RES_SEARCH_ENTRY, ldap.RES_SEARCH_RESULT
_MOST_NAMES = 1000
_NO_MODULE = "no mechanism available"

Attributes = dict[str, list[bytes]]
"""Values by the name of their attribute, in lower case."""
RawEntry = tuple[str, dict[str, list[bytes]], Sequence[tuple[str, bool, bytes | None]]]
"""An entry as the library gives it: its name, its values by the names that the server writes, and its controls."""


@define(eq=False)
class Entry:
    """An entry of the directory.

    :param dn: its distinguished name, in the form in which the server gave it.
    :param answers: the controls that came with it.
    """

    dn: str
    attributes: Attributes
    answers: tuple[Answer, ...] = ()

    def first(self, attribute: str) -> bytes | None:
        """The first value of an attribute; None if it has none."""
        values = self.attributes.get(attribute.lower())
        return values[0] if values else None


class Refused(Exception):
    """The server answered a search with a result code that the reader may understand.

    :ivar code: the result code.
    :ivar unreachable: the same as a failure of the source.
    """

    def __init__(self, code: int, unreachable: SourceUnreachable) -> None:
        self.code = code
        self.unreachable = unreachable
        super().__init__(unreachable.problem)


@define
class Search:
    """The end of a search: what came with its result.

    :ivar reads_messages: whether messages within the answer are read, by a process of its own (see `isolated`).
    :ivar unread: how many came that were not read.
    """

    reads_messages: bool = False
    unread: int = 0
    answers: tuple[Answer, ...] = ()
    messages: list[SyncInfo] = field(factory=list)
    references: int = 0


@frozen
class Server:
    """An address of a directory: `ldaps://dc1.example`, `ldap://dc1.example` (StartTLS), `ldapi:///run/slapd/ldapi`."""

    address: str
    scheme: str
    host: str
    port: int

    @property
    def local(self) -> bool:
        """Whether what is sent to it does not leave this machine."""
        if self.scheme == "ldapi" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class NotEncrypted(SourceUnreachable):
    """A server offers no StartTLS.

    :ivar is_local: whether the setting `tls` may be `none`, because the server is on this machine.
    """

    def __init__(self, server: Server, reason: str) -> None:
        self.is_local = server.local
        local = ', or set tls = "none", which is accepted for a server of this machine' if server.local else ""
        super().__init__(
            f"{server.address} does not encrypt the connection: {reason}",
            f"Use ldaps://, or let the server offer StartTLS{local}.",
        )


def servers(ask: Question) -> list[Server]:
    """The servers of a connection, in the order in which they are tried.

    :raises SourceUnreachable: if the setting is missing, or no address.
    """
    addresses = (ask.text("server") or "").replace(",", " ").split()
    if not addresses:
        raise SourceUnreachable(
            f"connection {ask.connection} has no server",
            f'Name it under [deltamark.connections.{ask.connection}]: server = "ldaps://directory.example".',
        )
    return [_server(address) for address in addresses]


def _server(address: str) -> Server:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme == "ldapi":
        path = unquote(parts.netloc or parts.path)
        return Server(f"ldapi://{path.replace('/', '%2F')}", "ldapi", "", 0)
    if parts.scheme not in _PORTS or not parts.hostname or not plain:
        raise SourceUnreachable(
            f'"{address}" is not the address of a directory',
            "Write ldaps://HOST or ldap://HOST, with :PORT if it is another one, and nothing behind it.",
        )
    port = port or _PORTS[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Server(f"{parts.scheme}://{host}:{port}", parts.scheme, parts.hostname, port)


@contextmanager
def opened(ask: Question) -> Iterator[Session]:
    """Yields a session with the first server that can be reached, signed in.

    :raises SourceUnreachable: if none can be reached, or one refuses the user: no other is asked then, for passwords
        are tried once.
    """
    session = _first_reached(ask)
    try:
        yield session
    except ValueError as error:
        raise _not_understood(session.server, error) from error
    finally:
        session.close()


_NOT_DECODED = (ValueError, MemoryError, SystemError)
"""What the library raises for a message that it cannot decode."""


def _not_understood(server: Server, error: BaseException) -> SourceUnreachable:
    reason = f": {error}" if isinstance(error, ValueError) else ""
    return SourceUnreachable(f"{server.address} gave an answer that cannot be read{reason}", _AGAIN)


def _first_reached(ask: Question) -> Session:
    failures: list[SourceUnreachable] = []
    for server in servers(ask):
        session = Session(server, ask)
        try:
            session.connect()
        except SourceUnreachable as failure:
            session.close()
            failures.append(failure)
            continue
        except _NOT_DECODED as error:
            session.close()
            failures.append(_not_understood(server, error))
            continue
        try:
            session.sign_in()
        except _NOT_DECODED as error:
            session.close()
            raise _not_understood(server, error) from error
        except BaseException:
            session.close()
            raise
        return session
    if len(failures) == 1:
        raise failures[0]
    problem = "; ".join(failure.problem for failure in failures)
    may_pass = all(failure.is_temporary for failure in failures)
    raise SourceUnreachable(problem, failures[-1].advice, is_temporary=may_pass)


class _Connection(SimpleLDAPObject):  # type: ignore[misc]  # it has no types
    """A connection of the library that leaves the controls of answers as they came: one comes with each entry."""

    def next_message(self, search: int, timeout: float, reads_messages: bool) -> tuple[int, Any, Any]:
        """The next message of a search: its kind, what it holds, and the controls of a result."""
        # One thread uses it, so that it needs no lock of the library, which costs as much as an entry.
        kind, data, _, answers = self._l.result4(search, 0, timeout, 1, int(reads_messages), 0)
        return kind, data, answers


def _decoded(answers: Iterable[tuple[str, bool, bytes | None]]) -> tuple[Answer, ...]:
    """The controls of an answer that are known.

    :raises ldap.LDAPError: if one is not, and must be.
    """
    found = []
    for oid, is_critical, value in answers:
        known = RESPONSES.get(oid)
        if known is not None:
            answer = known()
            answer.decodeControlValue(value)
            answer.controlType = oid
            found.append(answer)
        elif is_critical:
            raise ldap.UNAVAILABLE_CRITICAL_EXTENSION({"desc": f"the control {oid} of an answer is not known"})
    return tuple(found)


class Session:
    """One connection to one server.

    :ivar server: where it leads.
    :ivar references: how often the server referred to other servers, which are never asked.
    """

    def __init__(self, server: Server, ask: Question) -> None:
        self.server = server
        self.references = 0
        self.page_size = int(ask.text("page_size") or _PAGE_SIZE)
        self._ask = ask
        self._timeout = float(ask.text("timeout") or _TIMEOUT)
        self._most = int(ask.text("max_entries") or _MOST_ENTRIES)
        self._read = 0
        self._names: dict[str, str] = {}
        self._connection: Any = None
        self._isolated: IsolatedConnection | None = None

    def connect(self) -> None:
        """Connects, and encrypts the connection.

        :raises SourceUnreachable: if the server is not reached, or its certificate does not prove its name.
        """
        encrypted = self.server.scheme != "ldapi"
        if self._ask.text("tls") == "none":
            encrypted = self.server.scheme == "ldaps"
            if not self.server.local:
                raise SourceUnreachable(
                    f'tls = "none" is refused for {self.server.address}: passwords and data would be sent unencrypted',
                    "Leave tls out: the connection is encrypted then. It may be none only for a server of this "
                    "machine.",
                )
        authority = self._authority()
        self._connection = _Connection(self.server.address)
        for option, value in (
            (ldap.OPT_REFERRALS, 0),
            (ldap.OPT_DEREF, ldap.DEREF_NEVER),
            (ldap.OPT_SIZELIMIT, 0),
            (ldap.OPT_TIMELIMIT, 0),
            (ldap.OPT_NETWORK_TIMEOUT, self._timeout),
            (ldap.OPT_TIMEOUT, self._timeout),
        ):
            self._connection.set_option(option, value)
        self._connection.set_option(ldap.OPT_X_SASL_NOCANON, 1)  # a name is asked for as the address has it
        if encrypted:
            self._connection.set_option(ldap.OPT_X_SASL_SSF_MAX, 0)  # one encryption is enough, and AD refuses two
            self._connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            self._connection.set_option(ldap.OPT_X_TLS_CACERTFILE, authority)
            self._connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, 0x303)
            for setting, option in (("certificate", ldap.OPT_X_TLS_CERTFILE), ("key", ldap.OPT_X_TLS_KEYFILE)):
                if path := self._ask.text(setting):
                    self._connection.set_option(option, path)
            self._connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        try:
            if encrypted and self.server.scheme == "ldap":
                self._connection.start_tls_s()
            else:
                self._connection.search_ext_s("", BASE, EVERY_ENTRY, ["1.1"])
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT) as error:
            reason = _failure(error)
            if encrypted:
                found = tls_failure(
                    self.server.host, self.server.port, self.server.scheme == "ldap", authority, self._timeout
                )
                if found is not None:
                    raise SourceUnreachable(
                        f"{self.server.address} is not trusted: {found}",
                        "See that the address names the server as its certificate does, and that authority names the "
                        "file of the authority that issued it. Certificates are always verified.",
                    ) from error
            raise SourceUnreachable(
                f"{self.server.address} was not reached: {reason}",
                "See that the server runs and can be reached from here.",
                is_temporary=True,
            ) from error
        except ldap.LDAPError as error:
            # A server may refuse to be searched before the user is known, which shows that it is there.
            if encrypted and self.server.scheme == "ldap":
                raise NotEncrypted(self.server, _failure(error)) from error

    def _authority(self) -> str:
        path = self._ask.text("authority")
        if path is not None:
            try:
                ssl.create_default_context(cafile=path)
            except (OSError, ValueError) as error:
                raise SourceUnreachable(
                    f"the authority {path} cannot be read: {error}", "Name a file of certificates in the form PEM."
                ) from error
            return path
        default = ssl.get_default_verify_paths()
        for file in (default.cafile, "/etc/ssl/certs/ca-certificates.crt", default.openssl_cafile):
            if file and Path(file).is_file():
                return file
        raise SourceUnreachable(
            "this machine has no file of certificate authorities",
            "Name one by the setting authority of the connection.",
        )

    def sign_in(self) -> None:
        """Says who reads.

        :raises SourceUnreachable: if the user is refused. It is tried once, for servers lock accounts.
        """
        user = self._ask.text("user")
        method = self._ask.text("authentication") or "simple"
        if method not in _METHODS:
            raise SourceUnreachable(
                f'the authentication of connection {self._ask.connection} is "{method}"',
                f"Write {' or '.join(_METHODS)}.",
            )
        try:
            if method == "external":
                self._connection.sasl_external_bind_s()
            elif method == "gssapi":
                self._sign_in_by_ticket(user)
            elif user:
                secret = self._ask.secret("password")
                if secret is None or not secret.value:
                    raise SourceUnreachable(
                        f"user {user} of connection {self._ask.connection} has an empty password, which a server may "
                        "take for no user at all",
                        "Name where the password is by the setting password of the connection.",
                    )
                self._connection.simple_bind_s(user, secret.value)
        except ldap.LDAPError as error:
            who = user or "the certificate of the connection"
            raise SourceUnreachable(
                f"{self.server.address} refused {who}: {_failure(error)}",
                "See that the user and its password are right, and the account is not locked. It was tried once.",
            ) from error

    def _sign_in_by_ticket(self, user: str | None) -> None:
        if user:
            raise SourceUnreachable(
                f'user {user} of connection {self._ask.connection} has no meaning with authentication = "gssapi": the '
                "ticket says who reads",
                "Leave out user and password.",
            )
        try:
            self._connection.sasl_non_interactive_bind_s("GSSAPI")
        except ldap.LDAPError as error:
            failure = _failure(error)
            advice = (
                "See that the ticket is of a user who may read, and that the address names the server as Kerberos does "
                "(ldap/HOST). It was tried once."
            )
            if _NO_MODULE in failure:
                advice = (
                    "Install the Kerberos module of SASL: the package libsasl2-modules-gssapi-mit of Debian, or "
                    "cyrus-sasl-gssapi of Fedora."
                )
            elif isinstance(error, ldap.LOCAL_ERROR):
                advice = (
                    "Get a ticket by kinit, or name a keytab by the environment variable KRB5_CLIENT_KTNAME, for the "
                    "account under which this program runs; see that the address names the server as Kerberos does."
                )
            raise SourceUnreachable(
                f"{self.server.address} was not signed in to by Kerberos: {failure}", advice
            ) from error

    def values_matching(self, filters: Sequence[str]) -> Request:
        """Asks for those values of entries that match one of the filters (RFC 3876)."""
        from ldap.controls.libldap import MatchedValuesControl

        control = MatchedValuesControl(criticality=True, filterstr=f"({''.join(filters)})")
        return Request(control.controlType, control.encodeControlValue())

    def told(self) -> Iterator[str]:
        """What a user must know of the searches."""
        if self.references:
            yield f"the server referred to other servers {self.references:,} times; those are not asked"

    def root(self) -> Attributes:
        """What the server says of itself."""
        entries = list(self.search("", EVERY_ENTRY, ["*", "+"], scope=BASE))
        return entries[0].attributes if entries else {}

    def search(
        self,
        base: str,
        filtered: str,
        attributes: Sequence[str],
        *,
        scope: int = SUBTREE,
        controls: Iterable[Request] = (),
        end: Search | None = None,
    ) -> Iterator[Entry]:
        """Yields the entries of one search.

        :param end: is told what came with the result.
        :raises Refused: if the result is any but success.
        :raises SourceUnreachable: if the connection ends, or more comes than is allowed.
        """
        for bulk in self.bulks(base, filtered, attributes, scope=scope, controls=controls, end=end):
            yield from map(self.entry, bulk)

    def bulks(
        self,
        base: str,
        filtered: str,
        attributes: Sequence[str],
        *,
        scope: int = SUBTREE,
        controls: Iterable[Request] = (),
        end: Search | None = None,
    ) -> Iterator[list[RawEntry]]:
        """Yields the entries of one search as the library gives them, many at once (see `search`)."""
        end = end if end is not None else Search()
        yield from self._received(base, self._sent(base, scope, filtered, attributes, controls, end), end)

    def _sent(
        self,
        base: str,
        scope: int,
        filtered: str,
        attributes: Sequence[str],
        controls: Iterable[Request],
        end: Search,
    ) -> int:
        """Sends a search; gives its number."""
        with self._understood(base):
            connection = self._isolated_connection() if end.reads_messages else self._connection
            message: int = connection.search_ext(
                base, scope, filtered, list(attributes) or ["1.1"], serverctrls=list(controls)
            )
        return message

    def _received(self, base: str, message: int, end: Search) -> Iterator[list[RawEntry]]:
        """Yields the entries of a search that was sent."""
        bulk: list[RawEntry] = []
        size, most, timeout = 1, self._most, self._timeout
        connection: Any = self._isolated if end.reads_messages else self._connection
        with self._understood(base):
            next_message = connection.next_message
            while True:
                kind, data, answers = next_message(message, timeout, False)
                if kind == _LAST:
                    end.answers = _decoded(answers)
                    break
                self._read += 1
                if self._read > most:
                    raise self._too_many()
                if kind == _ENTRY:
                    bulk += data
                    if len(bulk) >= size:
                        size = self._following_size(bulk)
                        yield bulk
                        bulk = []
                elif kind == ldap.RES_INTERMEDIATE:
                    end.unread += not end.reads_messages
                    end.messages += [SyncInfo(value or b"") for oid, value, _ in data if oid == SYNC_INFO]
                elif kind == ldap.RES_SEARCH_REFERENCE:
                    end.references += 1
                    self.references += 1
        if bulk:
            self._following_size(bulk)
            yield bulk

    def _following_size(self, bulk: Sequence[RawEntry]) -> int:
        """How many entries are handed on at once after these, so that they take the same memory whatever they hold.

        :raises SourceUnreachable: if a value is too large.
        """
        listed = chain.from_iterable([values.values() for _, values, _ in bulk])
        size = sum(map(len, chain.from_iterable(listed)))
        if size > _LARGEST_VALUE:
            for dn, attributes, _ in bulk:
                for name, values in attributes.items():
                    self._check_size(dn, name, values)
        return max(1, min(_BULK, _BULK_BYTES * len(bulk) // max(size, 1)))

    def _check_size(self, dn: str, name: str, values: Sequence[bytes]) -> None:
        largest = max(map(len, values), default=0)
        if largest > _LARGEST_VALUE:
            raise SourceUnreachable(
                f"{self.server.address} gave {name} of {dn}, which has {largest:,} bytes, and at most "
                f"{_LARGEST_VALUE:,} are read",
                f"Leave {name} out of the mapping.",
            )

    @contextmanager
    def _understood(self, base: str) -> Iterator[None]:
        """Says why an answer cannot be used.

        :raises Refused: if it is a result other than success.
        :raises SourceUnreachable: if it is no answer.
        """
        try:
            yield
        except ldap.LDAPError as error:
            raise self._refused(error, base) from error
        except _NOT_DECODED as error:
            raise _not_understood(self.server, error) from error

    def _isolated_connection(self) -> IsolatedConnection:
        if self._isolated is None:
            self._isolated = IsolatedConnection(self._ask, self.server.address)
        return self._isolated

    def raw_messages(
        self,
        base: str,
        scope: int,
        filtered: str,
        attributes: Sequence[str],
        controls: Iterable[tuple[str, bool, bytes | None]],
    ) -> Iterator[Mapping[str, Any]]:
        """Yields all messages of a search as the library gives them: for the process that `isolated` starts, alone."""
        requests = [Request(oid, value, criticality=critical) for oid, critical, value in controls]
        try:
            message = self._connection.search_ext(base, scope, filtered, attributes, serverctrls=requests)
            kind = None
            while kind != _LAST:
                kind, data, answers = self._connection.next_message(message, self._timeout, True)
                yield {"message": [kind, data, answers]}
        except ldap.LDAPError as error:
            details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            kept = {name: details[name] for name in ("desc", "info", "result") if name in details}
            yield {"error": [type(error).__name__, kept]}
        except _NOT_DECODED as error:
            yield {"undecoded": str(error)}

    def pages(
        self,
        base: str,
        filtered: str,
        attributes: Sequence[str],
        controls: Sequence[Request] = (),
    ) -> Iterator[Entry]:
        """Yields the entries of a search that is answered page by page.

        :raises Refused: if the result of a page is any but success.
        :raises SourceUnreachable: if the connection ends, or the pages never end.
        """
        for bulk in self.bulks_of_pages(base, filtered, attributes, controls):
            yield from map(self.entry, bulk)

    def bulks_of_pages(
        self,
        base: str,
        filtered: str,
        attributes: Sequence[str],
        controls: Sequence[Request] = (),
    ) -> Iterator[list[RawEntry]]:
        """Yields the entries of pages as the library gives them, many at once (see `pages`).

        A page is asked for before the end of the one before it is handed on: the server works meanwhile.
        """
        first_of_pages: set[str] = set()
        empty, cookie = 0, b""
        waiting: list[RawEntry] = []
        while True:
            end = Search()
            asked = (*controls, paged(self.page_size, cookie))
            message = self._sent(base, SUBTREE, filtered, attributes, asked, end)
            if waiting:
                yield waiting
                waiting = []
            count = 0
            for bulk in self._received(base, message, end):
                if waiting:
                    yield waiting
                elif count == 0:
                    first = bulk[0][0]
                    if first in first_of_pages:
                        raise self._broken(f"gives {first} on several pages, so its pages do not end")
                    first_of_pages.add(first)
                count += len(bulk)
                waiting = bulk
            empty = 0 if count else empty + 1
            if empty > MOST_EMPTY_PAGES:
                raise self._broken(f"gave {MOST_EMPTY_PAGES:,} empty pages one after another")
            answer = next((one for one in end.answers if one.controlType == PAGED), None)
            cookie = answer.cookie if isinstance(answer, PagedAnswer) else b""
            if not cookie:
                break
        if waiting:
            yield waiting

    def completed(self, entry: Entry, locate: Callable[[Entry], str], controls: Sequence[Request] = ()) -> Entry:
        """An entry with all values of attributes of which the server gave a range.

        :param locate: the name by which the entry is read again.
        """
        ranges = [match for name in entry.attributes if (match := _RANGE.fullmatch(name))]
        for match in ranges:
            name = match["name"]
            values = entry.attributes.pop(match[0])
            last = match["last"]
            while last != "*":
                first = int(last) + 1
                again = list(
                    self.search(locate(entry), EVERY_ENTRY, [f"{name};range={first}-*"], scope=BASE, controls=controls)
                )
                more = _range_of(again[0], name) if len(again) == 1 else None
                if more is None or not _goes_on(more[0], first):
                    raise self._broken(f"gave no values of {name} of {entry.dn} after the first {first:,}")
                values += more[1]
                last = more[0]["last"]
            entry.attributes[name] = values
        return entry

    def _too_many(self) -> SourceUnreachable:
        """What the server sends may not go on without end: entries, references and messages."""
        return SourceUnreachable(
            f"{self.server.address} gave more than {self._most:,} entries",
            "If the directory is that large, raise max_entries of the connection.",
        )

    def entry(self, raw: RawEntry) -> Entry:
        """An entry with its attributes in lower case, and the controls that are known (see `answers`)."""
        dn, values, _ = raw
        attributes, names = {}, self._names
        for name, listed in values.items():
            key = names.get(name)
            if key is None:
                key = name.lower()
                if len(names) < _MOST_NAMES:  # a server may give any number of ranges
                    names[name] = key
            attributes[key] = listed
        return Entry(dn, attributes, self.answers(raw))

    def answers(self, raw: RawEntry) -> tuple[Answer, ...]:
        """The controls of an entry that are known.

        :raises Refused: if one is not, and must be.
        :raises SourceUnreachable: if one cannot be read.
        """
        dn, _, encoded = raw
        if not encoded:
            return ()
        with self._understood(dn):
            return _decoded(encoded)

    def _broken(self, problem: str) -> SourceUnreachable:
        return SourceUnreachable(f"{self.server.address} {problem}", _AGAIN)

    def _refused(self, error: Any, base: str) -> Refused | SourceUnreachable:
        where = f"{self.server.address} "
        if isinstance(error, ldap.SERVER_DOWN):
            return SourceUnreachable(
                f"{where}ended the connection midway: {_failure(error)}", _AGAIN, is_temporary=True
            )
        if isinstance(error, ldap.TIMEOUT):
            return SourceUnreachable(
                f"{where}gave no answer within {self._timeout:g} s",
                "If the server needs longer, raise timeout of the connection.",
                is_temporary=True,
            )
        unreachable = SourceUnreachable(
            f"{where}answered with {_failure(error)}",
            _advice(error, base),
            is_temporary=isinstance(error, ldap.BUSY | ldap.UNAVAILABLE),
        )
        return Refused(_code(error), unreachable)

    def close(self) -> None:
        """Ends the connection."""
        if self._isolated is not None:
            self._isolated.close()
            self._isolated = None
        if self._connection is not None:
            with suppress(ldap.LDAPError, AttributeError):
                self._connection.unbind_s()
            self._connection = None


def _goes_on(found: re.Match[str], first: int) -> bool:
    return int(found["first"]) == first and (found["last"] == "*" or int(found["last"]) >= first)


def _range_of(entry: Entry, name: str) -> tuple[re.Match[str], list[bytes]] | None:
    for other, values in entry.attributes.items():
        match = _RANGE.fullmatch(other)
        if match is not None and match["name"] == name:
            return match, values
    return None


def _code(error: Any) -> int:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return int(details.get("result", -1))


def _failure(error: Any) -> str:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    parts = [
        str(details.get("desc") or type(error).__name__),
        " ".join(str(details.get("info") or "").replace("\0", "").split()),
    ]
    code = details.get("result")
    if code is not None and code > 0:
        parts.insert(0, f"result {code}")
    return ": ".join(part for part in parts if part)


def _advice(error: Any, base: str) -> str:
    if isinstance(error, ldap.SIZELIMIT_EXCEEDED | ldap.ADMINLIMIT_EXCEEDED):
        return "Let the server answer this user without a limit of entries. Part of a directory is never used."
    if isinstance(error, ldap.TIMELIMIT_EXCEEDED):
        return "Let the server answer this user without a limit of time. Part of a directory is never used."
    if isinstance(error, ldap.NO_SUCH_OBJECT):
        return f'See that "{base}" exists and that the user may read it.'
    if isinstance(error, ldap.INSUFFICIENT_ACCESS):
        return "Give the user the right to read."
    if isinstance(error, ldap.REFERRAL):
        return "Name the server that holds the data: references to other servers are not followed."
    return _AGAIN
