"""The feed of changes: one thread watches the store, and any number of readers are told by an event of the loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from time import monotonic

import orjson
from attrs import field, frozen
from litestar.exceptions import HTTPException

from deltamark.domain.history.changes import LoggedChange, Position
from deltamark.domain.history.pages import ChangePage
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.secrets import masked
from deltamark.engine import Engine
from deltamark.interfaces.documents import change_document

HEARTBEAT_S = 15.0
STREAM_AGE_S = 3_600.0
"""After so long a stream ends: its reader opens it again, and shows again who they are."""

MOST_STREAMS = 500
_KEPT = 5_000
_PAGE = 500
_WAIT_S = 0.5
"""The watch looks so often whether it is to end."""

_RETRY_S = 1.0
_LOG = logging.getLogger("deltamark.http")


class TooManyStreams(HTTPException):
    """As many streams as may be are open."""

    status_code = 503


@frozen
class Frame:
    """A change as it is sent, and what filters ask for."""

    position: Position
    text: bytes
    change: LoggedChange


def frame_of(change: LoggedChange) -> Frame:
    """A change as a message of a stream of events."""
    data = orjson.dumps(change_document(change))
    return Frame(change.position, b"id: %d\nevent: change\ndata: %s\n\n" % (change.position, data), change)


def subject_of(change: LoggedChange) -> str:
    """The entity type or association of a change."""
    ref = change.event.ref
    return ref.entity_type if isinstance(ref, ResourceRef) else ref.association


Admits = Callable[[LoggedChange], bool]
ReadPage = Callable[[Position], ChangePage]


@frozen(kw_only=True)
class Following:
    """What a reader of the feed asks for.

    :param admits: whether a change is one of it.
    :param read: the changes beyond a position that are asked for, from the store, as the reader may see them.
    :param mask: a change as the reader may see it; None where that is all of it.
    """

    after: Position
    admits: Admits
    read: ReadPage = field(repr=False)
    mask: Callable[[LoggedChange], LoggedChange] | None = field(default=None, repr=False)


def _text(frame: Frame, following: Following) -> bytes:
    return frame.text if following.mask is None else frame_of(following.mask(frame.change)).text


class Hub:
    """Watches the store in one thread, keeps the newest changes as they are sent, and wakes readers."""

    def __init__(self, engine: Engine, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._engine = engine
        self._heartbeat_s = heartbeat_s
        self._frames: deque[Frame] = deque(maxlen=_KEPT)
        self._whole_after: Position = 0
        self._head: Position = 0
        self._changed = asyncio.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.streams = 0
        self.counts: Counter[tuple[str, str]] = Counter()

    @property
    def head(self) -> Position:
        """The newest position that was seen."""
        return self._head

    async def open(self) -> None:
        """Begins to watch."""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, name="deltamark-feed", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Ends watching, and every stream."""
        self._stop.set()
        self._changed.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def wait(self, after: Position, timeout_s: float) -> Position:
        """Waits until the log goes beyond a position, at most for a time, and returns the newest position."""
        until = monotonic() + timeout_s
        while self._head <= after and not self._stop.is_set():
            remaining_s = until - monotonic()
            if remaining_s <= 0:
                break
            await self._woken(remaining_s)
        return self._head

    async def messages(self, following: Following) -> AsyncIterator[bytes]:
        """The messages of a stream: each change beyond a position once, in order, and what keeps it open."""
        self.streams += 1
        try:
            async for message in self._messages(following):
                yield message
        finally:
            self.streams -= 1

    async def _messages(self, following: Following) -> AsyncIterator[bytes]:
        after, ends_at = following.after, monotonic() + STREAM_AGE_S
        yield b"retry: 2000\n\n"
        while not self._stop.is_set() and monotonic() < ends_at:
            if after >= self._head:
                if await self._woken(self._heartbeat_s):
                    continue
                yield b": still here\n\n"
                continue
            if after >= self._whole_after:
                frames, after = self._kept(after)
                sent = [_text(frame, following) for frame in frames if following.admits(frame.change)]
            else:
                page = await asyncio.to_thread(following.read, after)
                if page.horizon is not None and page.horizon.position > after:
                    data = orjson.dumps({"horizon": page.horizon.position, "run": page.horizon.run})
                    yield b"event: discarded\ndata: %s\n\n" % data
                    return
                sent = [frame_of(change).text for change in page.changes if following.admits(change)]
                after = page.scanned_to
            if sent:
                yield b"".join(sent)

    def _kept(self, after: Position) -> tuple[list[Frame], Position]:
        """The newest changes beyond a position, as they are kept, and how far they reach."""
        frames: list[Frame] = []
        for frame in reversed(self._frames):
            if frame.position <= after:
                break
            frames.append(frame)
        return frames[::-1], self._head

    async def _woken(self, timeout_s: float) -> bool:
        """Waits until the log grows, at most for a time, and returns whether it did."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _watch(self) -> None:
        seen: Position | None = None
        while not self._stop.is_set():
            try:
                if seen is None:
                    seen = self._engine.position()
                    self._tell([], seen, whole_after=seen)
                if self._engine.wait(seen, _WAIT_S) > seen:
                    page = self._engine.changes_page(after=seen, limit=_PAGE)
                    frames = [frame_of(change) for change in page.changes]
                    seen = max(seen, page.scanned_to)
                    self._tell(frames, seen)
            except Exception as e:  # whatever it is, readers wait for this thread
                _LOG.warning(
                    "the store cannot be watched, and is tried again: %s: %s", type(e).__name__, masked(str(e))
                )
                self._stop.wait(_RETRY_S)

    def _tell(self, frames: list[Frame], head: Position, *, whole_after: Position | None = None) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, frames, head, whole_after)

    def _take(self, frames: list[Frame], head: Position, whole_after: Position | None) -> None:
        """Keeps new changes, in the loop: readers there see all of them or none."""
        if whole_after is not None:
            self._whole_after = whole_after
        for frame in frames:
            if len(self._frames) == _KEPT:
                self._whole_after = self._frames[0].position
            self._frames.append(frame)
            self.counts[(subject_of(frame.change), frame.change.kind)] += 1
        self._head = head
        self._changed.set()
        self._changed = asyncio.Event()
