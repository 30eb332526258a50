"""Keeps the rows of the newest complete extract of each entity type, in columns.

They are not in the log: it says what became of them. Whatever does not fit together makes them useless, not the store
damaged: the next extract is compared with the resources themselves.

Most rows are one piece, which is not written again when few of them differ: a second piece says which these are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from attrs import frozen

from deltamark.application.ports.applied_rows import AppliedRows, KeptRows, RowDigests
from deltamark.infrastructure.store.arrow import np, pa, pc
from deltamark.infrastructure.store.queries.repetitions import RepetitionQueries
from deltamark.infrastructure.store.session import Session

_MOST_BYTES = 500_000_000
"""SQLite and PostgreSQL take values of twice as many."""

_LARGEST_DIFFERENCE = 8
"""All is written again once one row of so many differs from the first piece."""

_SALT = b"salt"
_DIGEST = 16
_ALL, _DIFFERENT = 0, 1


@cache
def _schema() -> pa.Schema:
    return pa.schema([("digest", pa.binary(_DIGEST)), ("key", pa.string())])


@cache
def _schema_of_difference() -> pa.Schema:
    return pa.schema([("place", pa.int64()), *_schema()])


@frozen(kw_only=True)
class _Piece:
    """A part of what is kept.

    :param position: the position in the log at which it is valid.
    """

    position: int
    digest: str
    content: bytes

    @classmethod
    def new(cls, kind: int, basis: str, position: int, content: bytes, *, first: str = "") -> _Piece:
        """A piece with its digest.

        :param first: the digest of the piece that it belongs to.
        """
        digest = hashlib.sha256(f"{kind} {basis} {position} {first} ".encode())
        digest.update(content)
        return cls(position=position, digest=digest.hexdigest(), content=content)


class AppliedRowQueries(RepetitionQueries):
    """Queries about the rows of extracts that were applied."""

    def applied_rows(self, entity_type: str, basis: str) -> RowDigests | None:
        kind = self._type_id(entity_type)
        sql = "SELECT piece, position, digest FROM applied_rows WHERE entity_type=?1 AND basis=?2"
        kept = {piece: (position, digest) for piece, position, digest in self._db.all(sql, (kind, basis))}
        if _ALL not in kept:
            return None
        position = max(position for position, _ in kept.values())
        touched = self.keys_touched_since(position, entity_type) if position <= self.head() else None
        if touched is None:
            return None
        first = self._piece(kind, basis, _ALL)
        second = self._piece(kind, basis, _DIFFERENT, first.digest if first else "") if _DIFFERENT in kept else None
        if first is None or (second is None and _DIFFERENT in kept):
            return None
        return _read(first, second, touched)

    def _piece(self, kind: int, basis: str, piece: int, first: str = "") -> _Piece | None:
        """Returns a piece; None if it is not what its digest says."""
        sql = "SELECT position, digest, content FROM applied_rows WHERE entity_type=?1 AND basis=?2 AND piece=?3"
        row = self._db.row(sql, (kind, basis, piece))
        if row is None:
            return None
        found = _Piece.new(kind, basis, row[0], bytes(row[2]), first=first)
        return found if found.digest == row[1] else None


class AppliedRowCommands(Session, AppliedRowQueries):
    """Writes the rows of extracts that were applied."""

    def keep_applied_rows(self, entity_type: str, basis: str, digests: RowDigests) -> None:
        kind, position = self._type_id(entity_type), self.head()
        if digests.applied is not None and self._keep_difference(kind, basis, position, digests.applied):
            return
        self._db.execute("DELETE FROM applied_rows WHERE entity_type=?1", (kind,))
        content = b"" if digests.applied is None else _content(digests.salt, digests.applied)
        if kind and 0 < len(content) <= _MOST_BYTES:
            self._put(kind, basis, _ALL, _Piece.new(kind, basis, position, content))

    def confirm_applied_rows(self, entity_type: str, basis: str) -> None:
        kind, position = self._type_id(entity_type), self.head()
        sql = "SELECT digest FROM applied_rows WHERE entity_type=?1 AND basis=?2 AND piece=?3"
        first = self._db.one(sql, (kind, basis, _ALL))
        if first is None:
            return
        sql = "SELECT content FROM applied_rows WHERE entity_type=?1 AND basis=?2 AND piece=?3"
        content = self._db.one(sql, (kind, basis, _DIFFERENT)) or b""
        piece = _Piece.new(kind, basis, position, bytes(content), first=first)
        self._put(kind, basis, _DIFFERENT, piece)

    def _keep_difference(self, kind: int, basis: str, position: int, applied: AppliedRows) -> bool:
        """Writes what differs from the first piece; not if it is not there, or if much differs."""
        if applied.kept is None:
            return False
        sql = "SELECT digest FROM applied_rows WHERE entity_type=?1 AND basis=?2 AND piece=?3"
        if self._db.one(sql, (kind, basis, _ALL)) != applied.kept.piece:
            return False
        difference = _difference(applied, applied.kept)
        if difference.num_rows * _LARGEST_DIFFERENCE > applied.kept.count:
            return False
        piece = _Piece.new(kind, basis, position, _written(difference), first=applied.kept.piece)
        self._put(kind, basis, _DIFFERENT, piece)
        return True

    def _put(self, kind: int, basis: str, number: int, piece: _Piece) -> None:
        self._db.execute("DELETE FROM applied_rows WHERE entity_type=?1 AND piece=?2", (kind, number))
        self._db.execute(
            "INSERT INTO applied_rows (entity_type, piece, basis, position, digest, content) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (kind, number, basis, piece.position, piece.digest, piece.content),
        )


def _read(first: _Piece, second: _Piece | None, touched: list[str]) -> RowDigests:
    """Returns the rows of both pieces, in the order of their digests, without those of resources changed since."""
    table = pa.ipc.open_stream(first.content).read_all()
    salt = _metadata(table)[_SALT].decode()
    rows, others = _split(table)
    places = np.arange(rows.num_rows)
    if second is not None and second.content:
        difference = pa.ipc.open_stream(second.content).read_all()
        is_removal = pc.is_valid(difference.column("place"))
        is_there = np.ones(rows.num_rows, np.bool_)
        is_there[difference.column("place").filter(is_removal).to_numpy()] = False
        added, others = _split(difference.filter(pc.invert(is_removal)).select(_schema().names))
        places = places[is_there]
        before = np.searchsorted(_first_halves(rows)[is_there], _first_halves(added))
        # Where each row is taken from: those that were added have no place, and go between the others.
        order = np.insert(places, before, rows.num_rows + np.arange(added.num_rows))
        rows = pa.concat_tables([rows, added]).combine_chunks().take(pa.array(order))
        places = np.insert(places, before, -1)
    if touched:
        keys = pa.array(touched, pa.string())
        is_as_applied = pc.invert(pc.is_in(rows.column("key"), value_set=keys)).combine_chunks()
        rows, places = rows.filter(is_as_applied).combine_chunks(), places[is_as_applied.to_numpy(zero_copy_only=False)]
        others = pa.concat_arrays([others, keys]).unique()
    kept = KeptRows(piece=first.digest, count=table.num_rows, places=pa.array(places))
    return RowDigests(salt=salt, applied=AppliedRows(rows=rows, others=others, is_as_applied=not touched, kept=kept))


def _metadata(table: pa.Table) -> Mapping[bytes, bytes]:
    return table.schema.metadata or {}


def _split(table: pa.Table) -> tuple[pa.Table, pa.Array]:
    """Returns the rows, and the other keys that follow them."""
    count = table.num_rows - table.column("digest").null_count
    return table.slice(0, count).combine_chunks(), table.slice(count).column("key").combine_chunks()


def _content(salt: str, applied: AppliedRows) -> bytes:
    """Returns the rows in the order of their digests, in which they are looked up; then the other keys."""
    return _written(_ordered(applied.rows, applied.others).replace_schema_metadata({_SALT: salt.encode()}))


def _difference(applied: AppliedRows, kept: KeptRows) -> pa.Table:
    """Returns the places of rows of the first piece that are no more, the rows that came since, and all other keys."""
    places = kept.places.to_numpy()
    is_there = np.zeros(kept.count, np.bool_)
    is_there[places[places >= 0]] = True
    gone = pa.array(np.flatnonzero(~is_there))
    removed = pa.table([gone, *(pa.nulls(len(gone), field.type) for field in _schema())], _schema_of_difference())
    added = _ordered(applied.rows.filter(pa.array(places < 0)), applied.others)
    added = pa.table([pa.nulls(added.num_rows, pa.int64()), *added.columns], _schema_of_difference())
    return pa.concat_tables([removed, added])


def _ordered(rows: pa.Table, others: pa.Array) -> pa.Table:
    rows = rows.select(_schema().names).cast(_schema()).combine_chunks()
    rows = rows.take(pa.array(np.argsort(_first_halves(rows), kind="stable")))
    return pa.concat_tables([rows, pa.table([pa.nulls(len(others), pa.binary(_DIGEST)), others], schema=_schema())])


def _written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _first_halves(rows: pa.Table) -> Any:
    digests = rows.column("digest")
    if not rows.num_rows:
        return np.empty(0, np.uint64)
    chunk = digests.chunk(0)
    buffer = chunk.buffers()[1]
    return np.frombuffer(buffer, np.uint64, 2 * len(chunk), _DIGEST * chunk.offset)[::2]
