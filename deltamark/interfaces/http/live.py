"""Parts of pages that follow the store: sent whole whenever they changed, as server-sent events for htmx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

from litestar.response import Stream

from deltamark.domain.history.changes import Position
from deltamark.interfaces.http.feed import HEARTBEAT_S, MOST_STREAMS, STREAM_AGE_S, Hub, TooManyStreams

LOOK_S = 1.0
"""A part is made anew after so long at the latest: it says for how long something is at work."""

PAUSE_S = 0.2
"""The shortest time between two messages of a stream."""


def followed(hub: Hub, part: Callable[[], tuple[str, bool]], look_s: float = LOOK_S) -> Stream:
    """Sends a part of a page now, and again whenever it changed, until it is final.

    :param part: makes it, in a thread; it returns the part and whether it is final.
    :param look_s: makes it anew after so long at the latest, also where nothing was written.
    :raises TooManyStreams: if as many streams as may be are open.
    """

    async def messages() -> AsyncIterator[bytes]:
        sent, spoke_at, ends_at = "", monotonic(), monotonic() + STREAM_AGE_S
        while monotonic() < ends_at:
            head = hub.head
            text, is_final = await asyncio.to_thread(part)
            if text != sent:
                yield message(text)
                sent, spoke_at = text, monotonic()
            elif monotonic() - spoke_at > HEARTBEAT_S:
                yield b": still here\n\n"
                spoke_at = monotonic()
            if is_final:
                yield b"event: ended\ndata: ended\n\n"
                return
            await asyncio.sleep(PAUSE_S)
            await hub.wait(head, look_s)

    return _stream(hub, messages())


def appended(hub: Hub, after: Position, rows: Callable[[Position], tuple[str, Position]]) -> Stream:
    """Sends what follows a position, again and again.

    :param rows: makes it, in a thread, of what lies beyond a position; it returns that and how far it reaches.
    :raises TooManyStreams: if as many streams as may be are open.
    """

    async def messages() -> AsyncIterator[bytes]:
        place, spoke_at, ends_at = after, monotonic(), monotonic() + STREAM_AGE_S
        while monotonic() < ends_at:
            text, place = await asyncio.to_thread(rows, place)
            if text:
                yield message(text, place)
                spoke_at = monotonic()
            elif monotonic() - spoke_at > HEARTBEAT_S:
                yield b": still here\n\n"
                spoke_at = monotonic()
            await asyncio.sleep(LOOK_S)
            await hub.wait(place, HEARTBEAT_S)

    return _stream(hub, messages())


def message(text: str, position: Position | None = None) -> bytes:
    """A message of a stream. Without data there is none: htmx would empty the page."""
    lines = [f"data: {line}" for line in text.split("\n")]
    place = [] if position is None else [f"id: {position}"]
    return "\n".join([*place, *lines, "", ""]).encode()


def _stream(hub: Hub, messages: AsyncIterator[bytes]) -> Stream:
    if hub.streams >= MOST_STREAMS:
        raise TooManyStreams("too many streams are open.", headers={"Retry-After": "5"})

    async def counted() -> AsyncIterator[bytes]:
        hub.streams += 1
        try:
            async for each in messages:
                yield each
        finally:
            hub.streams -= 1

    return Stream(
        counted(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
