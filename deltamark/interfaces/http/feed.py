"""The feed of changes: one thread watches the store, and any number of readers are told by an event of the loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from bisect import bisect_right
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import accumulate
from time import monotonic

import orjson
from attrs import field, frozen
from litestar.exceptions import HTTPException

from deltamark.domain.history.changes import Horizon, LoggedChange, Position, subject_of
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
"""So many of the newest changes are kept in memory."""

_BLOCK = 250
"""Positions that are read from the store and sent at once: what 500 slow readers have not yet taken stays small."""

_BLOCKS_READ = 16
"""Blocks from the store that are kept for the other readers who are as far behind."""

_NEAR = 100_000
"""Who asks for some changes and is so many positions behind lets the store search for them."""

_WAIT_S = 0.5
"""The watch looks so often whether it is to end."""

_RETRY_S = 1.0
_LOG = logging.getLogger("deltamark.http")


class TooManyStreams(HTTPException):
    """As many streams as may be are open."""

    status_code = 503


def message_of(change: LoggedChange) -> bytes:
    """A change as a message of a stream of events."""
    return b"id: %d\nevent: change\ndata: %s\n\n" % (change.position, orjson.dumps(change_document(change)))


@frozen(kw_only=True)
class Block:
    """Consecutive changes as they are sent to those who ask for all: encoded once, for any number of readers.

    :param reached: all changes beyond the first position up to this one are in it.
    :param ends: of each change, where its message ends in `text`.
    :param by_type: the changes that each entity type has a part in, also as an end of a link, as places in `changes`.
    :param horizon: what was discarded beyond the first position.
    """

    reached: Position
    changes: Sequence[LoggedChange] = field(repr=False)
    positions: list[Position] = field(repr=False)
    ends: list[int] = field(repr=False)
    text: bytes = field(repr=False)
    by_type: dict[str, list[int]] = field(repr=False)
    horizon: Horizon | None = None

    @classmethod
    def of(cls, changes: Iterable[LoggedChange], reached: Position, *, horizon: Horizon | None = None) -> Block:
        """The changes up to a position."""
        given = [change for change in changes if change.position <= reached]
        messages = [message_of(change) for change in given]
        by_type: defaultdict[str, list[int]] = defaultdict(list)
        for place, change in enumerate(given):
            ref = change.event.ref
            ends = [ref] if isinstance(ref, ResourceRef) else [ref.source, ref.target]
            for entity_type in {end.entity_type for end in ends}:
                by_type[entity_type].append(place)
        return cls(
            reached=reached, changes=given, positions=[change.position for change in given],
            ends=list(accumulate(map(len, messages))), text=b"".join(messages), by_type=dict(by_type), horizon=horizon,
        )  # fmt: skip

    def messages(self, after: Position, following: Following) -> bytes:
        """The messages beyond a position that a reader gets."""
        first = bisect_right(self.positions, after)
        if following.admits is None and following.mask is None:
            return self.text[self.ends[first - 1] :] if first else self.text
        places: Iterable[int] = range(first, len(self.changes))
        if following.entity_type is not None:
            places = (place for place in self.by_type.get(following.entity_type, ()) if place >= first)
        chosen: Iterable[LoggedChange] = map(self.changes.__getitem__, places)
        if following.admits is not None:
            chosen = filter(following.admits, chosen)
        if following.mask is not None:
            chosen = map(following.mask, chosen)
        return b"".join(map(message_of, chosen))


Admits = Callable[[LoggedChange], bool]
ReadPage = Callable[[Position], ChangePage]


@frozen(kw_only=True)
class Following:
    """What a reader of the feed asks for.

    :param admits: whether a change is one of it; None: all are, as everybody sees them.
    :param entity_type: the one that all of it has a part in, where there is one.
    :param read: the changes beyond a position that are asked for, from the store, as the reader may see them.
    :param mask: a change as the reader may see it; None where that is all of it.
    """

    after: Position
    admits: Admits | None
    read: ReadPage = field(repr=False)
    mask: Callable[[LoggedChange], LoggedChange] | None = field(default=None, repr=False)
    entity_type: str | None = None


class Hub:
    """Watches the store in one thread, keeps the newest changes as they are sent, and wakes readers."""

    def __init__(self, engine: Engine, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._engine = engine
        self._heartbeat_s = heartbeat_s
        self._newest: deque[Block] = deque()
        self._kept = 0
        self._whole_after: Position = 0
        self._read: OrderedDict[Position, asyncio.Future[Block]] = OrderedDict()
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
                sent, after = self._newest_beyond(after, following)
            else:
                is_search = following.admits is not None and self._head - after > _NEAR
                read = self._own if is_search else self._shared
                sent, reached, horizon = await read(after, following)
                if horizon is not None and horizon.position > after:
                    data = orjson.dumps({"horizon": horizon.position, "run": horizon.run})
                    yield b"id: %d\nevent: discarded\ndata: %s\n\n" % (horizon.position, data)
                    return
                after = reached
            if sent:
                yield sent

    def _newest_beyond(self, after: Position, following: Following) -> tuple[bytes, Position]:
        """Messages of the newest changes beyond a position, about a block of them, and how far they reach."""
        blocks: list[Block] = []
        for block in reversed(self._newest):
            if block.reached <= after:
                break
            blocks.append(block)
        sent: list[bytes] = []
        count, reached = 0, after
        for block in reversed(blocks):
            if count and count + len(block.positions) > _BLOCK:
                return b"".join(sent), reached
            count, reached = count + len(block.positions), block.reached
            sent.append(block.messages(after, following))
        return b"".join(sent), self._head

    async def _own(self, after: Position, following: Following) -> tuple[bytes, Position, Horizon | None]:
        """Messages of changes that the store finds for one reader."""
        page = await asyncio.to_thread(following.read, after)
        # What is read from the store is masked there.
        text = b"".join(map(message_of, filter(following.admits, page.changes)))
        return text, page.scanned_to, page.horizon

    async def _shared(self, after: Position, following: Following) -> tuple[bytes, Position, Horizon | None]:
        """Messages of changes from the store, read once for all readers who are as far behind.

        Blocks begin at multiples of their size, wherever a reader began.
        """
        start = after - after % _BLOCK
        found = self._read.get(start)
        if found is None:
            found = self._read[start] = asyncio.ensure_future(asyncio.to_thread(self._block, start))
            found.add_done_callback(lambda done: self._keep(start, done))
        block = await asyncio.shield(found)
        if following.admits is not None and block.horizon is not None and block.horizon.position > after:
            return await self._own(after, following)  # which knows whether it is of what is asked for
        return block.messages(after, following), block.reached, block.horizon

    def _block(self, start: Position) -> Block:
        # At most one change has each position: a page of so many reaches the end of the block, or of the log.
        page = self._engine.changes_page(after=start, limit=_BLOCK)
        return Block.of(page.changes, min(page.scanned_to, start + _BLOCK), horizon=page.horizon)

    def _keep(self, start: Position, done: asyncio.Future[Block]) -> None:
        """Keeps a block that is whole for others, as long as nothing was taken out of the log meanwhile."""
        if self._read.get(start) is not done:
            return
        if done.cancelled() or done.exception() is not None or done.result().reached < start + _BLOCK:
            del self._read[start]
        while len(self._read) > _BLOCKS_READ:
            self._read.popitem(last=False)

    async def _woken(self, timeout_s: float) -> bool:
        """Waits until the log grows, at most for a time, and returns whether it did."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _watch(self) -> None:
        seen: Position | None = None
        taken_out: object = None
        while not self._stop.is_set():
            try:
                if seen is None:
                    taken_out = self._taken_out()
                    seen = self._engine.position()
                    self._tell(None, seen, anew=True)
                if self._engine.wait(seen, _WAIT_S) > seen:
                    page = self._engine.changes_page(after=seen, limit=_BLOCK)
                    seen = max(seen, page.scanned_to)
                    before, taken_out = taken_out, self._taken_out()
                    self._tell(Block.of(page.changes, seen), seen, anew=taken_out != before)
            except Exception as e:  # whatever it is, readers wait for this thread
                _LOG.warning(
                    "the store cannot be watched, and is tried again: %s: %s", type(e).__name__, masked(str(e))
                )
                self._stop.wait(_RETRY_S)

    def _taken_out(self) -> object:
        """What discards and erasures took out of the log: where it changes, nothing in memory is true any more."""
        return self._engine.erased_changes(), self._engine.horizons()

    def _tell(self, block: Block | None, head: Position, *, anew: bool) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, block, head, anew)

    def _take(self, block: Block | None, head: Position, anew: bool) -> None:
        """Takes over new changes, in the loop: readers there see all of them or none.

        :param anew: whether all is to be read from the store again.
        """
        if block is not None:
            self.counts.update((subject_of(change.event), change.kind) for change in block.changes)
        if anew:
            self._newest.clear()
            self._read.clear()
            self._kept, self._whole_after = 0, head
        elif block is not None and block.positions:
            self._newest.append(block)
            self._kept += len(block.positions)
            while self._kept > _KEPT:
                oldest = self._newest.popleft()
                self._kept -= len(oldest.positions)
                self._whole_after = oldest.reached
        self._head = head
        self._changed.set()
        self._changed = asyncio.Event()
