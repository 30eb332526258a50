"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deltamark.domain.errors import UsageError


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file when the block ends without error.

    Otherwise the old file stays.

    :raises UsageError: if the file cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-", delete=False) as stream:
            try:
                yield stream  # type: ignore[misc]
                stream.flush()
                os.fsync(stream.fileno())
            except BaseException:
                Path(stream.name).unlink(missing_ok=True)
                raise
        os.chmod(stream.name, 0o666 & ~_umask())
        os.replace(stream.name, file)
    except OSError as e:
        raise UsageError(f"{file} cannot be written: {e.strerror}. Name a file in a folder that you may write.") from e


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
