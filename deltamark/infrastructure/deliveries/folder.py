"""Deliveries in a folder: one folder for each, written aside, forced to disk and renamed."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import asdict, evolve, field, frozen

from deltamark.application.ports.deliveries import PARQUET, DeliveredTable, Delivery
from deltamark.application.ports.extracts import Extracts
from deltamark.application.ports.sources import COMMAND, LARGEST_COOKIE, NOT_READ, Reached, WantedTable
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.sources.places import DeliveryKind, PlaceReached
from deltamark.infrastructure.deliveries.delivered_tables import DeliveredExtracts
from deltamark.infrastructure.deliveries.kept_keys import KeptKeys
from deltamark.infrastructure.system.temporary_files import TemporaryFolder

_RECORD = "delivery.json"
_KEYS = "keys"
"""The folder of keys beside the deliveries of a connection."""
_FORMAT = 1
_OWNER_ONLY = 0o700
_BLOCK = 1 << 20

ReadFolder = Callable[[Path, Mapping[str, Mapping[str, str]]], Extracts]
"""Reads the extracts of a folder: table -> what its connection says of how it is read."""


@frozen
class DeliveryFolder:
    """Keeps deliveries below a folder, which only this user may read: `<connection>/<run>-<task>`.

    :param read_folder: reads the tables of a delivery.
    :param temporary: keeps the folder of a dry run; None where it stays.
    :param before: where deliveries are that were made before a dry run.
    """

    root: Path
    read_folder: ReadFolder
    temporary: TemporaryFolder | None = field(default=None, repr=False)
    before: DeliveryFolder | None = None

    @contextmanager
    def draft(
        self, epoch: str, connection: str, tables: Sequence[WantedTable], *, run: int, task: int
    ) -> Iterator[FolderDraft]:
        """A new delivery; what is not finished at the end of the block is removed."""
        where = Location(f"delivery of {connection}, run {run}")
        kept = [KeptKeys(folder.root / connection / _KEYS) for folder in (self, self.before) if folder is not None]
        draft = FolderDraft(
            self.root / connection, epoch, {table.name: table for table in tables}, where, connection, run, task, kept
        )
        try:
            draft.begin()
            yield draft
        except OSError as e:
            raise _not_written(where, e) from e
        finally:
            draft.drop()

    def newest(self, epoch: str, connection: str) -> Delivery | None:
        """The newest delivery of a connection that was made for a store; None where there is none.

        :raises SourceError: if it was altered.
        """
        for folder in _folders(self.root / connection):
            delivery = _delivery(folder, epoch)
            if delivery is not None:
                return delivery
        return None if self.before is None else self.before.newest(epoch, connection)

    def extracts(self, deliveries: Sequence[Delivery], others: Extracts) -> Extracts:
        """Reads the tables of these deliveries, and all others as before."""
        read = {}
        for delivery in deliveries:
            options = {table.name: table.options for table in delivery.tables.values()}
            extracts = self.read_folder(self._folder_of(delivery), options)
            read.update(dict.fromkeys(delivery.tables, (delivery, extracts)))
        return DeliveredExtracts(read, others)

    def _folder_of(self, delivery: Delivery) -> Path:
        folder = self.root / delivery.connection / f"{delivery.run}-{delivery.task}"
        if self.before is not None and not folder.is_dir():
            return self.before._folder_of(delivery)
        return folder

    def rehearsal(self) -> DeliveryFolder:
        """The same for a dry run: what is made is removed with it, and leaves these as they are."""
        temporary = TemporaryFolder()
        return DeliveryFolder(temporary.path, self.read_folder, temporary, self)


class FolderDraft:
    """A delivery that is being written into a folder whose name begins with a dot."""

    def __init__(
        self,
        parent: Path,
        epoch: str,
        tables: Mapping[str, WantedTable],
        where: Location,
        connection: str,
        run: int,
        task: int,
        kept_keys: Sequence[KeptKeys],
    ) -> None:
        self._kept_keys = kept_keys
        self._parent = parent
        self._epoch = epoch
        self._tables = tables
        self._where = where
        self._connection = connection
        self._run = run
        self._task = task
        self._folder = parent / f".{run}-{task}"
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._rows: dict[str, int] = {}
        self._copied: dict[str, str] = {}

    def begin(self) -> None:
        """Makes the folder, empty."""
        self._parent.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        for folder in (self._parent, self._parent.parent):
            folder.chmod(_OWNER_ONLY)
        self.drop()
        self._folder.mkdir(mode=_OWNER_ONLY)

    def drop(self) -> None:
        """Removes what was written and not finished."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._rows.clear()
        self._copied.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def restart(self) -> None:
        """Drops what was written."""
        self.drop()
        self._folder.mkdir(mode=_OWNER_ONLY)

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Adds rows to a table."""
        if batch.schema.names[-1:] != [NOT_READ]:
            batch = batch.append_column(pa.field(NOT_READ, pa.string()), pa.nulls(batch.num_rows, pa.string()))
        writer = self._writers.get(table)
        if writer is None:
            wanted = list(self._tables[table].columns)
            names = batch.schema.names[:-1]
            if names not in (wanted, [COMMAND, *wanted]) or any(kind != pa.string() for kind in batch.schema.types):
                raise ValueError(f"{table} has the columns {names} and not {wanted}, all of them strings")
            writer = self._writer(table, batch.schema)
        writer.write_batch(batch)
        self._rows[table] += batch.num_rows

    def keep_keys(self, table: str, keys: pa.Array) -> str:
        """Keeps the keys of a table beside the delivery."""
        return self._kept_keys[0].keep(table, keys)

    def kept_keys(self, table: str, digest: str) -> pa.Array | None:
        """The keys that an earlier reading kept."""
        found = (kept.keys(table, digest) for kept in self._kept_keys)
        return next((keys for keys in found if keys is not None), None)

    def copy(self, table: str, ending: str, blocks: Iterable[bytes]) -> None:
        """Adds a table as the file that it is."""
        if table not in self._tables or table in self._writers:
            raise ValueError(f"{table} is written already, or was not asked for")
        with open(self._folder / f"{table}{ending}", "xb", opener=_private) as stream:
            stream.writelines(blocks)
        self._copied[table] = ending

    def _writer(self, table: str, schema: pa.Schema) -> pq.ParquetWriter:
        path = self._folder / f"{table}{PARQUET}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.close(descriptor)
        self._writers[table] = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows[table] = 0
        return self._writers[table]

    def finish(self, kind: DeliveryKind, since: str | None, scope: str, reached: Reached) -> Delivery:
        """Makes it the newest delivery of its connection, whole on disk; earlier ones are removed."""
        for name, wanted in self._tables.items():
            if name not in self._writers and name not in self._copied:
                names = [COMMAND, *wanted.columns] if kind is DeliveryKind.DELTA else wanted.columns
                self._writer(name, pa.schema([(column, pa.string()) for column in (*names, NOT_READ)]))
        tables = {name: self._closed(name) for name in self._tables}
        delivery = Delivery(
            connection=self._connection,
            kind=kind,
            since=since,
            place=None,
            scope=scope,
            incomplete=reached.incomplete,
            tables=tables,
            run=self._run,
            task=self._task,
        )
        delivery = evolve(delivery, place=_place(delivery, reached))
        with open(self._folder / _RECORD, "xb", opener=_private) as stream:
            stream.write(_record(delivery, self._epoch))
            stream.flush()
            os.fsync(stream.fileno())
        _sync(self._folder)
        final = self._parent / f"{self._run}-{self._task}"
        shutil.rmtree(final, ignore_errors=True)
        self._folder.rename(final)
        _sync(self._parent)
        for earlier in _folders(self._parent):
            if earlier != final:
                shutil.rmtree(earlier, ignore_errors=True)
        self._kept_keys[0].remove_others()
        return delivery

    def _closed(self, table: str) -> DeliveredTable:
        wanted, is_delta = self._tables[table], False
        ending = self._copied.get(table, PARQUET)
        if ending == PARQUET:
            writer = self._writers.pop(table)
            is_delta = COMMAND in writer.schema.names and COMMAND not in wanted.columns
            writer.close()
        path = self._folder / f"{table}{ending}"
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
            os.fsync(stream.fileno())
        return DeliveredTable(
            name=table,
            rows=self._rows.get(table, 0),
            digest=digest.hexdigest(),
            is_delta=is_delta,
            ending=ending,
            options={} if ending == PARQUET else dict(wanted.options),
        )


def _place(delivery: Delivery, reached: Reached) -> PlaceReached | None:
    place = reached.place
    if place is None:
        return None
    if len(place.cookie) > LARGEST_COOKIE:
        raise ValueError(f"the cookie of {delivery.connection} has {len(place.cookie)} bytes")
    return PlaceReached(
        connection=delivery.connection,
        since=delivery.since,
        cookie=base64.b64encode(place.cookie).decode(),
        guard=dict(place.guard),
        scope=place.scope,
        delivery=delivery.kind.value,
        rows=delivery.rows,
        made=delivery.made,
    )


def _record(delivery: Delivery, epoch: str) -> bytes:
    members = asdict(delivery, value_serializer=lambda _, __, value: getattr(value, "value", value))
    return json.dumps({"format": _FORMAT, "epoch": epoch, **members}, indent=1, sort_keys=True).encode()


def _delivery(folder: Path, epoch: str) -> Delivery | None:
    """The delivery of a folder, or None where it was made for another store."""
    where = Location(str(folder / _RECORD))
    try:
        with open(folder / _RECORD, "rb", opener=_not_through_a_link) as stream:
            members: dict[str, Any] = json.load(stream)
        if members.pop("format") != _FORMAT:
            raise ValueError("it is of another format")
        if members.pop("epoch") != epoch:
            return None
        members["kind"] = DeliveryKind(members["kind"])
        members["tables"] = {name: DeliveredTable(**table) for name, table in members["tables"].items()}
        members["place"] = None if members["place"] is None else PlaceReached(**members["place"])
        return Delivery(**members)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        advice = "Run the ExportTask of this connection again, which replaces the delivery."
        is_link = isinstance(e, OSError) and e.errno == errno.ELOOP
        reason = "it is a symbolic link, which is not followed" if is_link else e
        raise SourceError(where, f"the delivery cannot be read ({reason})", advice=advice) from e


def _folders(parent: Path) -> list[Path]:
    """The deliveries of a connection, the newest first."""
    try:
        names = [entry.name for entry in os.scandir(parent) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    numbered = []
    for name in names:
        run, _, task = name.partition("-")
        if run.isdigit() and task.isdigit():
            numbered.append((int(run), int(task), name))
    return [parent / name for _, _, name in sorted(numbered, reverse=True)]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _not_through_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(where: Location, error: OSError) -> SourceError:
    return SourceError(
        where,
        f"it cannot be written ({error.strerror or error})",
        advice="Nothing is left of it. Make room, or give this account the right to write, and run the job again.",
    )
