"""What an SQLite store writes and syncs, operation by operation, and what of it is left when the power goes.

The recorder is a file system of SQLite's own kind (https://sqlite.org/vfs.html), laid over the usual one by way of
ctypes in the very library that Python uses. What was synced is kept; of what was not, each write survives, vanishes, or
is torn into sectors. That the blocks of different files are kept apart, and that folders are synced, is not looked at.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen

SECTOR = 512
OK = 0


@frozen
class Write:
    """Bytes at a place of a file; cut off there where there are none."""

    file: str
    offset: int
    data: bytes | None


@frozen
class Sync:
    """Everything written to a file before is on the disk."""

    file: str


@frozen
class Delete:
    """A file is gone."""

    file: str


@frozen
class Acknowledged:
    """Somebody was told that everything up to a position of the log is kept."""

    position: int


Operation = Write | Sync | Delete | Acknowledged


def after_power_cut(operations: Sequence[Operation], random: Random) -> dict[str, bytes]:
    """The files that are left when the power goes after these operations."""
    kept: dict[str, bytearray] = {}
    waiting: dict[str, list[Write]] = {}
    for operation in operations:
        match operation:
            case Write(file):
                waiting.setdefault(file, []).append(operation)
            case Sync(file):
                for write in waiting.pop(file, ()):
                    _apply(kept, write)
            case Delete(file) if random.random() < 0.5 or operation is not operations[-1]:
                kept.pop(file, None)
                waiting.pop(file, None)
    for writes in waiting.values():
        for write in writes:
            for part in _survivors(write, random):
                _apply(kept, part)
    return {file: bytes(data) for file, data in kept.items()}


def _survivors(write: Write, random: Random) -> list[Write]:
    fate = random.random()
    if fate < 0.4:
        return [write]
    if fate < 0.7 or write.data is None:
        return []
    first = -write.offset % SECTOR or SECTOR
    ends = [0, *range(first, len(write.data), SECTOR), len(write.data)]
    sectors = [Write(write.file, write.offset + a, write.data[a:b]) for a, b in pairwise(ends)]
    return [sector for sector in sectors if random.random() < 0.5]


def _apply(files: dict[str, bytearray], write: Write) -> None:
    content = files.setdefault(write.file, bytearray())
    if write.data is None:
        del content[write.offset :]
        return
    content.extend(bytes(max(0, write.offset - len(content))))
    content[write.offset : write.offset + len(write.data)] = write.data


def acknowledged(operations: Sequence[Operation]) -> int:
    """The last position that somebody was told of."""
    return max((o.position for o in operations if isinstance(o, Acknowledged)), default=0)


# The recorder

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_WriteTo = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _FileSystem(Structure):
    _fields_ = (
        *(("version", c_int), ("file_size", c_int), ("longest", c_int), ("next", c_void_p), ("name", c_char_p)),
        *(("data", c_void_p), ("open", _Open), ("delete", _Delete)),
        *((f"other{n}", c_void_p) for n in range(14)),
    )


class _Methods(Structure):
    _fields_ = (
        *(("version", c_int), ("close", c_void_p), ("read", c_void_p), ("write", _WriteTo), ("truncate", _Truncate)),
        ("sync", _Sync),
        *((f"other{n}", c_void_p) for n in range(13)),
    )


class _File(Structure):
    _fields_ = (("methods", POINTER(_Methods)),)


def library() -> str | None:
    """The SQLite library that this Python uses; None where it brings its own, built in."""
    import sqlite3  # noqa: F401 - loads it

    maps = Path("/proc/self/maps")
    found = re.search(r"/\S*libsqlite3\S*", maps.read_text()) if maps.exists() else None
    return found[0] if found else None


class Recorder:
    """Records what this process writes to SQLite files from now on, under their names without folder."""

    def __init__(self) -> None:
        name = library()
        assert name is not None
        sqlite = ctypes.CDLL(name)
        sqlite.sqlite3_vfs_find.restype = POINTER(_FileSystem)
        self.operations: list[Operation] = []
        self._files: dict[int, str] = {}
        self._methods: dict[int, _Methods] = {}
        self._kept: list[Any] = []
        usual = sqlite.sqlite3_vfs_find(None).contents
        self._system = _FileSystem.from_buffer_copy(usual)
        self._system.name = b"recording"
        self._system.open = self._keep(_Open, self._opened(usual.open))
        self._system.delete = self._keep(_Delete, self._deleted(usual.delete))
        assert sqlite.sqlite3_vfs_register(ctypes.byref(self._system), 1) == OK

    def _keep(self, kind: Any, function: Callable[..., int]) -> Any:
        self._kept.append(kind(function))
        return self._kept[-1]

    def _opened(self, usual: Callable[..., int]) -> Callable[..., int]:
        def opened(system: int, name: int | None, file: int, flags: int, given: int | None) -> int:
            result = usual(system, name, file, flags, given)
            if result == OK and name:
                self._files[file] = Path(ctypes.string_at(name).decode()).name
                opened_file = _File.from_address(file)
                opened_file.methods = ctypes.pointer(self._recording(opened_file.methods))
            return result

        return opened

    def _recording(self, usual: Any) -> _Methods:
        address = ctypes.addressof(usual.contents)
        if address not in self._methods:
            methods = _Methods.from_buffer_copy(usual.contents)
            methods.write = self._keep(_WriteTo, self._written(usual.contents.write))
            methods.truncate = self._keep(_Truncate, self._truncated(usual.contents.truncate))
            methods.sync = self._keep(_Sync, self._synced(usual.contents.sync))
            self._methods[address] = methods
        return self._methods[address]

    def _written(self, usual: Callable[..., int]) -> Callable[..., int]:
        def written(file: int, data: int, size: int, offset: int) -> int:
            self.operations.append(Write(self._files[file], offset, ctypes.string_at(data, size)))
            return usual(file, data, size, offset)

        return written

    def _truncated(self, usual: Callable[..., int]) -> Callable[..., int]:
        def truncated(file: int, size: int) -> int:
            self.operations.append(Write(self._files[file], size, None))
            return usual(file, size)

        return truncated

    def _synced(self, usual: Callable[..., int]) -> Callable[..., int]:
        def synced(file: int, flags: int) -> int:
            result = usual(file, flags)
            self.operations.append(Sync(self._files[file]))
            return result

        return synced

    def _deleted(self, usual: Callable[..., int]) -> Callable[..., int]:
        def deleted(system: int, name: bytes, sync_folder: int) -> int:
            self.operations.append(Delete(Path(name.decode()).name))
            return usual(system, name, sync_folder)

        return deleted
