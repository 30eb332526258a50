"""Decompresses and decodes a text extract into a plain UTF-8 file, in chunks and strictly."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from attrs import field, frozen

from deltamark.domain.configuration.text_files import ENCODINGS, codec
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.infrastructure.extracts.copies import Copies
from deltamark.infrastructure.extracts.files import ExtractFile, check_signature

CHUNK = 8 << 20
"""Bytes read at a time."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_ENCODING_NAMES = {"cp1252": "windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_COMPRESSED = (".gz", ".zst")


@frozen(kw_only=True)
class UnpackLimits:
    """How far a compressed extract may grow.

    The defaults are far above what real extracts need.

    :param ratio: unpacked bytes for each packed byte.
    :param ratio_from: unpacked bytes from which on the ratio counts.
    :param total: unpacked bytes.
    """

    ratio: int = 200
    ratio_from: int = 1 << 30
    total: int = 64 << 30

    def exceeded(self, packed: int, unpacked: int) -> bool:
        """Whether so many unpacked bytes are too many for so few packed ones."""
        return unpacked > self.total or (unpacked > self.ratio_from and unpacked > self.ratio * packed)


@frozen(kw_only=True)
class PlainText:
    """A file of UTF-8 text, with or without a byte order mark.

    :param path: the extract itself, or a copy.
    :param file: the extract.
    :param encoding: of the extract, as Python names it.
    """

    path: Path
    file: ExtractFile
    encoding: str = field(default="utf-8")


def file_digest(path: Path) -> str:
    """The SHA-256 of the bytes of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def declared_encoding(name: str | None, where: Location) -> str:
    """The encoding that a mapping declares, as Python names it.

    UTF-8 if it declares none.

    :param where: the mapping.
    :raises SourceError: if the encoding is not supported.
    """
    encoding = codec(name)
    if encoding is None:
        raise SourceError(where, "the mapping's Encoding is not known", value=name, advice=f"Say {ENCODINGS}.")
    return encoding


def utf8_text(file: ExtractFile, encoding: str, copies: Copies, limits: UnpackLimits, described: str) -> PlainText:
    """An extract as a UTF-8 file: the extract itself if it is one, else a copy.

    An ending in ``.gz`` or ``.zst`` says that the extract is compressed. Text declared as UTF-8 is not checked here. A
    byte order mark takes precedence over `encoding`.

    :param encoding: what the mapping declares.
    :param described: what a compressed file must hold, such as "CSV text", for a message.
    :raises SourceError: if the file is damaged, cut off, a decompression bomb, holds another kind of file, or has bytes
        that are invalid in the encoding.
    """
    head, path = file.head(), file.path
    if file.ending.endswith(_COMPRESSED):
        path = copies.new()
        _write(path, _decompressed(file, limits))
        with path.open("rb") as stream:
            head = stream.read(8)
        check_signature(file, head, b"", described)
    encoding = _encoding_of_mark(head) or encoding
    if encoding == "utf-8":
        return PlainText(path=path, file=file)
    with path.open("rb") as stream:
        decoded = copies.new()
        _write(decoded, _decoded(iter(lambda: stream.read(CHUNK), b""), encoding, file))
    return PlainText(path=decoded, file=file, encoding=encoding)


def _encoding_of_mark(head: bytes) -> str | None:
    return next((encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("wb") as target:
        for chunk in chunks:
            target.write(chunk)


def _decompressed(file: ExtractFile, limits: UnpackLimits) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in _unpacked_chunks(file):
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


def _unpacked_chunks(file: ExtractFile) -> Iterator[bytes]:
    if file.ending.endswith(".gz"):
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
            f"there are bytes that are not {_ENCODING_NAMES[encoding]}",
            advice="State the file's Encoding on the mapping, or export it as UTF-8.",
        ) from error
