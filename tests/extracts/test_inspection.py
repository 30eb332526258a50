"""What a text is, found by searching its bytes in bulk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.infrastructure.extracts.csv import inspection
from tests.tiers import law

PIECES = [
    b"a", b"\n", b"\r", b"\r\n", b'"', b"\0", "é".encode(), "€".encode(), "😀".encode(), b"\xef\xbb\xbf",
    b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\x80",
    b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\xaf",
]  # fmt: skip


def inspected(path: Path, text: bytes) -> Any:
    path.write_bytes(text)
    where: Any = SimpleNamespace(path=path, file=SimpleNamespace(at=lambda line, column=None: Location("f", line)))
    return inspection.inspect_text(where)


@law(40)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12), size=st.integers(3, 9))
def test_a_text_read_in_chunks_is_what_its_bytes_are(
    pieces: list[bytes], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = b"".join(pieces) + b"\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspection, "CHUNK", size)
        path = tmp_path_factory.mktemp("text") / "f"
        try:
            decoded = text.decode()
            wrong = "\0" in decoded
        except UnicodeDecodeError:
            wrong = True
        if wrong:
            with pytest.raises(SourceError):
                inspected(path, text)
            return
        shape = inspected(path, text)
    assert shape.line_feeds == text.count(b"\n")
    assert (shape.returns, shape.pairs) == (text.count(b"\r"), text.count(b"\r\n"))
    assert shape.has_quotes == ('"' in decoded)
    assert shape.has_marks == ("\ufeff" in decoded[1:])


def test_the_line_with_bytes_that_are_not_utf_8_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "CHUNK", 3)
    with pytest.raises(SourceError, match="f:3: there are bytes that are not UTF-8"):
        inspected(tmp_path / "f", b"a\n\xe2\x82\xac\nb\xe9b\n")
