"""Answers as JSON, JSON lines, CSV and Arrow: pages, and whole lists that are streamed."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from attrs import frozen
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.response import Stream

from deltamark.domain.messages import how_many
from deltamark.interfaces.cell_texts import without_formula

if TYPE_CHECKING:
    import pyarrow as pa

Document = Mapping[str, Any]
AT_ONCE = 4
"""How many lists are streamed at a time: each takes a core."""

_SLICE = 1_000


class Form(Enum):
    """A form of an answer, by its media type."""

    JSON = "application/json"
    JSONL = "application/jsonl"
    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"


FORMS = "forms"
"""What a route says in its `opt` when it answers in other forms than JSON, too."""

_SHORT = {form.name.lower(): form for form in Form}


@frozen(kw_only=True)
class Rows:
    """A whole list.

    :param documents: reads it, a little at a time.
    :param columns: of CSV.
    :param arrow: reads it as Arrow; None where there is no such form.
    """

    documents: Callable[[], Iterator[Document]]
    columns: Sequence[str]
    arrow: Callable[[], pa.RecordBatchReader] | None = None


class NotAcceptable(HTTPException):
    """None of the forms that are asked for is offered."""

    status_code = 406


class TooManyDownloads(HTTPException):
    """As many lists as may be are being streamed."""

    status_code = 429


def form_of(request: Request[Any, Any, Any], *, with_arrow: bool) -> Form:
    """The form that a request asks for: by `format` in its query, or by `Accept`.

    :raises NotAcceptable: if it is not offered.
    """
    offered = [form for form in Form if with_arrow or form is not Form.ARROW]
    named = request.query_params.get("format")
    if named is not None:
        form = _SHORT.get(named)
    else:
        best = request.accept.best_match([form.value for form in offered]) if "accept" in request.headers else None
        form = Form(best) if best else (None if "accept" in request.headers else Form.JSON)
    if form is None or form not in offered:
        raise NotAcceptable(f"this is answered as one of {', '.join(form.value for form in offered)}.")
    return form


class Downloads:
    """Streams whole lists, some at a time, in threads of their own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "deltamark-download")
        self._running = 0

    def answer(self, rows: Rows, form: Form, *, raw: bool = False) -> Stream:
        """Streams a list.

        :param raw: whether CSV has values as they are, also those that a spreadsheet takes for a formula.
        :raises TooManyDownloads: if too many are being streamed.
        """
        if self._running >= AT_ONCE:
            raise TooManyDownloads(
                f"{how_many(AT_ONCE, 'list')} are being sent already. Ask again when one has ended.",
                headers={"Retry-After": "5"},
            )
        match form:
            case Form.ARROW:
                chunks = _arrow_chunks(rows)
            case Form.CSV:
                chunks = _csv_chunks(rows, raw=raw)
            case _:
                chunks = _json_line_chunks(rows)
        return Stream(self._counted(chunks), media_type=form.value)

    async def _counted(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        self._running += 1
        try:
            while (chunk := await loop.run_in_executor(self._threads, next, chunks, None)) is not None:
                yield chunk
        finally:
            self._running -= 1
            close = getattr(chunks, "close", None)
            if close is not None:
                self._threads.submit(close)  # what it reads is closed by the thread that may still read it


def _slices(documents: Iterable[Document]) -> Iterator[list[Document]]:
    remaining = iter(documents)
    while chunk := list(islice(remaining, _SLICE)):
        yield chunk


def _json_line_chunks(rows: Rows) -> Iterator[bytes]:
    count = 0
    for chunk in _slices(rows.documents()):
        count += len(chunk)
        yield b"".join(orjson.dumps(document) + b"\n" for document in chunk)
    yield orjson.dumps({"end": True, "count": count}) + b"\n"


def _csv_chunks(rows: Rows, *, raw: bool) -> Iterator[bytes]:
    from deltamark.interfaces.cell_texts import plain

    text = plain if raw else without_formula
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_MINIMAL if raw else csv.QUOTE_ALL)
    writer.writerow([text(column) for column in rows.columns])
    for chunk in _slices(rows.documents()):
        writer.writerows([text(document.get(column)) for column in rows.columns] for document in chunk)
        yield buffer.getvalue().encode("utf-8", "backslashreplace")
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode("utf-8", "backslashreplace")


def _arrow_chunks(rows: Rows) -> Iterator[bytes]:
    import pyarrow as pa

    assert rows.arrow is not None
    reader = rows.arrow()
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
