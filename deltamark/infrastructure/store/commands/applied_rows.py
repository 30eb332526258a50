"""Keeps the rows of the newest complete extract of each entity type, in columns.

They are not in the log: it says what became of them. Whatever does not fit together makes them useless, not the store
damaged: the next extract is compared with the resources themselves.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from deltamark.application.ports.applied_rows import AppliedRows, RowDigests
from deltamark.infrastructure.store.arrow import np, pa
from deltamark.infrastructure.store.queries.repetitions import RepetitionQueries
from deltamark.infrastructure.store.session import Session

_MOST_BYTES = 500_000_000
"""SQLite and PostgreSQL take values of twice as many."""

_SALT = b"salt"
_DIGEST = 16


@cache
def _schema() -> pa.Schema:
    return pa.schema([("digest", pa.binary(_DIGEST)), ("key", pa.string())])


class AppliedRowQueries(RepetitionQueries):
    """Queries about the rows of extracts that were applied."""

    def applied_rows(self, entity_type: str, basis: str) -> RowDigests | None:
        kind = self._type_id(entity_type)
        sql = "SELECT position, digest FROM applied_rows WHERE entity_type=?1 AND basis=?2"
        row = self._db.row(sql, (kind, basis))
        if row is None or row[0] > self.head() or self.is_touched_since(row[0], [entity_type], []):
            return None
        position, digest = row
        content = bytes(self._db.one("SELECT content FROM applied_rows WHERE entity_type=?1", (kind,)))
        if digest != _digest(kind, basis, position, content):
            return None
        table = pa.ipc.open_stream(content).read_all()
        salt = table.schema.metadata[_SALT].decode()
        count = table.num_rows - table.column("digest").null_count
        rows, others = table.slice(0, count).combine_chunks(), table.slice(count).column("key").combine_chunks()
        return RowDigests(salt=salt, applied=AppliedRows(rows=rows, others=others))


class AppliedRowCommands(Session, AppliedRowQueries):
    """Writes the rows of extracts that were applied."""

    def keep_applied_rows(self, entity_type: str, basis: str, digests: RowDigests) -> None:
        kind, position = self._type_id(entity_type), self.head()
        content = b"" if digests.applied is None else _content(digests.salt, digests.applied)
        self._db.execute("DELETE FROM applied_rows WHERE entity_type=?1", (kind,))
        if kind and 0 < len(content) <= _MOST_BYTES:
            self._db.execute(
                "INSERT INTO applied_rows (entity_type, basis, position, digest, content) VALUES (?1, ?2, ?3, ?4, ?5)",
                (kind, basis, position, _digest(kind, basis, position, content), content),
            )

    def confirm_applied_rows(self, entity_type: str, basis: str) -> None:
        kind, position = self._type_id(entity_type), self.head()
        content = self._db.one("SELECT content FROM applied_rows WHERE entity_type=?1 AND basis=?2", (kind, basis))
        if content is not None:
            digest = _digest(kind, basis, position, bytes(content))
            self._db.execute(
                "UPDATE applied_rows SET position=?1, digest=?2 WHERE entity_type=?3", (position, digest, kind)
            )


def _digest(kind: int, basis: str, position: int, content: bytes) -> str:
    digest = hashlib.sha256(f"{kind} {basis} {position} ".encode())
    digest.update(content)
    return digest.hexdigest()


def _content(salt: str, applied: AppliedRows) -> bytes:
    """The rows in the order of their digests, in which they are looked up; then the other keys."""
    rows = applied.rows.select(_schema().names).cast(_schema()).combine_chunks()
    rows = rows.take(pa.array(np.argsort(_first_halves(rows), kind="stable")))
    others = pa.table([pa.nulls(len(applied.others), pa.binary(_DIGEST)), applied.others], schema=_schema())
    table = pa.concat_tables([rows, others]).replace_schema_metadata({_SALT: salt.encode()})
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
