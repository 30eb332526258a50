"""From the stored bytes of a text extract to a plain UTF-8 file: decompress and decode, in chunks, strictly."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from attrs import field, frozen

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.infrastructure.extracts.files import ExtractFile, check_signature

CHUNK = 8 << 20
"""Bytes read at a time."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_SHOWN = {"cp1252": "windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_PACKED = {".csv.gz": (b"\x1f\x8b", "a gzip file"), ".csv.zst": (b"\x28\xb5\x2f\xfd", "a Zstandard file")}
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf-16": "utf-16-le",  # unless a byte order mark says otherwise
    "utf-16-le": "utf-16-le",
    "utf-16le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "utf-16be": "utf-16-be",
    "windows-1252": "cp1252",
}


@frozen(kw_only=True)
class UnpackLimits:
    """How far a compressed extract may grow; the defaults are far above any honest one."""

    ratio: int = 200
    ratio_from: int = 1 << 30
    total: int = 64 << 30

    def exceeded(self, packed: int, unpacked: int) -> bool:
        """Whether this many bytes are too many to come from that few."""
        return unpacked > self.total or (unpacked > self.ratio_from and unpacked > self.ratio * packed)


@frozen(kw_only=True)
class PlainText:
    """A file of UTF-8 text, with or without a byte order mark, and how it came to be.

    :param path: the extract itself, or a file in the working folder.
    :param encoding: in which encoding the extract is, as Python calls it.
    """

    path: Path
    file: ExtractFile
    encoding: str = field(default="utf-8")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's bytes as they are stored, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def encoding_named(name: str | None, where: Location) -> str:
    """The encoding that a mapping declares, as Python calls it; UTF-8 if it declares none.

    :raises SourceError: if it is none of those that are read.
    """
    encoding = _ENCODINGS.get((name or "utf-8").strip().lower().replace("_", "-").replace("utf8", "utf-8"))
    if encoding is None:
        raise SourceError(
            where,
            "the mapping's Encoding is not known",
            value=name,
            advice="Say utf-8, utf-16 or windows-1252.",
        )
    return encoding


def unpacked(file: ExtractFile, encoding: str, workplace: Path, limits: UnpackLimits) -> PlainText:
    """The text of an extract as a UTF-8 file: itself where it is one, else a copy in `workplace`.

    Bytes that are to be UTF-8 are not checked here. A byte order mark outranks what the mapping declares.

    :raises SourceError: if the file is of another kind, damaged, cut off, a decompression bomb, or has bytes
        that the encoding does not know.
    """
    packing = _PACKED.get(file.ending)
    head = _head(file)
    check_signature(file, head, packing[0] if packing else b"", packing[1] if packing else "CSV text")
    path = file.path
    if packing:
        path = workplace / "unpacked.csv"
        _write(path, _decompressed(file, limits))
        with path.open("rb") as stream:
            head = stream.read(8)
        check_signature(file, head, b"", "CSV text")
    encoding = _marked(head) or encoding
    if encoding == "utf-8" and not any(char in str(path) for char in "*?[]{}"):  # DuckDB would expand these
        return PlainText(path=path, file=file)
    with path.open("rb") as stream:
        decoded = workplace / "decoded.csv"
        chunks = iter(lambda: stream.read(CHUNK), b"")
        _write(decoded, chunks if encoding == "utf-8" else _decoded(chunks, encoding, file))
    return PlainText(path=decoded, file=file, encoding=encoding)


def _head(file: ExtractFile) -> bytes:
    head = file.stream.read(16)
    file.stream.seek(0)
    return head


def _marked(head: bytes) -> str | None:
    return next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), None)


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("wb") as target:
        for chunk in chunks:
            target.write(chunk)


def _decompressed(file: ExtractFile, limits: UnpackLimits) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in _opened(file):
            size += len(chunk)
            if limits.exceeded(file.size, size):
                raise SourceError(
                    file.where,
                    f"{file.size:,} bytes unpack to more than {size:,}: this looks like a decompression bomb",
                    advice="Unpack the file yourself if it is what it should be.",
                )
            yield chunk
    except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise SourceError(
            file.where,
            "the compressed file is cut off" if cut else f"the compressed file is damaged ({error})",
            advice="Copy or export it again.",
        ) from error
    if size == 0:
        raise SourceError(file.where, "the compressed file holds nothing (0 bytes)")


def _opened(file: ExtractFile) -> Iterator[bytes]:
    if file.ending == ".csv.gz":
        with gzip.GzipFile(fileobj=file.stream, mode="rb") as packed:
            yield from iter(lambda: packed.read(CHUNK), b"")
    else:
        with pa.CompressedInputStream(pa.PythonFile(file.stream, mode="r"), "zstd") as packed:
            yield from iter(lambda: packed.read(CHUNK), b"")


def _decoded(chunks: Iterator[bytes], encoding: str, file: ExtractFile) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines = 0
    try:
        for chunk in chunks:
            text = decoder.decode(chunk)
            lines += text.count("\n")
            yield text.encode("utf-8")
        yield decoder.decode(b"", final=True).encode("utf-8")
    except UnicodeDecodeError as error:
        before = bytes(error.object[: error.start]).decode(encoding, "ignore")
        raise SourceError(
            file.at(lines + before.count("\n") + 1),
            f"there are bytes that {_SHOWN[encoding]} does not know",
            advice="State the file's Encoding on the mapping, or export it as UTF-8.",
        ) from error
