"""The feed: every change once, in order, whoever is cut off and however many read."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from deltamark.engine import Engine
from deltamark.infrastructure.sample_company import write_workspace
from deltamark.interfaces.http.feed import Following, Hub
from tests.tiers import REST

CUTS = 100 if REST else 20


@pytest.fixture
def company(tmp_path: Path) -> Path:
    write_workspace(tmp_path / "company", people=60)
    return tmp_path / "company"


def opened(folder: Path) -> Engine:
    return Engine.open(
        f"sqlite:///{folder}/deltamark.db", configuration=folder / "configuration", export_output=folder / "exports"
    )


def following(engine: Engine, after: int) -> Following:
    return Following(
        after=after, admits=lambda change: True, read=lambda place: engine.changes_page(after=place, limit=50)
    )


def positions(message: bytes) -> list[int]:
    return [int(line[4:]) for line in message.split(b"\n") if line.startswith(b"id: ")]


async def followed(hub: Hub, engine: Engine, last: int, cuts: int) -> list[int]:
    """What a reader gets that is cut off after a random number of messages, and begins again where it was."""
    draws, place = random.Random(1), 0
    got: list[int] = []
    while not got or got[-1] < last:
        reader = hub.messages(following(engine, place))
        remaining = draws.randrange(1, 4) if cuts > 0 else 10**9
        cuts -= 1
        async for message in reader:
            got += positions(message)
            place = got[-1] if got else place
            remaining -= 1
            if remaining <= 0 or (got and got[-1] >= last):
                break
        await reader.aclose()
    return got


def test_a_reader_that_is_cut_off_gets_every_change_once_while_a_job_writes(company: Path) -> None:
    async def work() -> tuple[list[int], list[int]]:
        with opened(company) as engine, opened(company) as writer:
            hub = Hub(engine, heartbeat_s=0.05)
            await hub.open()
            job = threading.Thread(target=lambda: writer.run_job("Complete"))
            job.start()
            while engine.position() < 100:
                await asyncio.sleep(0.01)
            task = asyncio.create_task(asyncio.to_thread(job.join))
            readers = [followed(hub, engine, 100, CUTS)]
            await asyncio.gather(*readers)
            await task
            expected = [change.position for change in engine.changes()]
            got = await followed(hub, engine, expected[-1], CUTS)
            await hub.close()
            return got, expected

    got, expected = asyncio.run(work())

    assert got == expected


@pytest.mark.slow  # runs a job beside them
def test_many_readers_need_no_thread_each_and_all_get_everything(company: Path) -> None:
    readers = 200

    async def work() -> tuple[list[list[int]], list[int], int]:
        with opened(company) as engine, opened(company) as writer:
            hub = Hub(engine, heartbeat_s=5)
            await hub.open()
            tasks = [asyncio.create_task(collected(hub, engine)) for _ in range(readers)]
            await asyncio.sleep(0.1)
            threads = threading.active_count()
            await asyncio.to_thread(writer.run_job, "Complete")
            more = threading.active_count() - threads
            await asyncio.sleep(0.5)
            await hub.close()
            got = await asyncio.gather(*tasks)
            return got, [change.position for change in engine.changes()], more

    async def collected(hub: Hub, engine: Engine) -> list[int]:
        got: list[int] = []
        async for message in hub.messages(following(engine, 0)):
            got += positions(message)
        return got

    got, expected, more = asyncio.run(work())

    assert all(positions == expected for positions in got)
    assert more <= 4


def test_what_was_discarded_is_said_and_ends_the_stream() -> None:
    class Discarded:
        position, run = 50, 3

    class Page:
        changes, scanned_to, more, horizon = (), 60, False, Discarded()

    class Log:
        def position(self) -> int:
            return 60

        def wait(self, after: int, timeout: float) -> int:
            time.sleep(0.01)
            return 60

    async def work() -> list[bytes]:
        engine: Any = Log()
        hub = Hub(engine)
        await hub.open()
        got = [
            message
            async for message in hub.messages(
                Following(after=10, admits=lambda change: True, read=lambda place: Page())  # type: ignore[arg-type,return-value]
            )
        ]
        await hub.close()
        return got

    assert asyncio.run(work())[1:] == [b'event: discarded\ndata: {"horizon":50,"run":3}\n\n']


def test_a_quiet_stream_is_kept_open_by_comments_that_are_no_messages() -> None:
    class Log:
        def position(self) -> int:
            return 5

        def wait(self, after: int, timeout: float) -> int:
            time.sleep(0.01)
            return 5

    async def work() -> bytes:
        engine: Any = Log()
        hub = Hub(engine, heartbeat_s=0.02)
        await hub.open()
        reader = hub.messages(Following(after=5, admits=lambda change: True, read=lambda place: None))  # type: ignore[arg-type,return-value]
        got = b"".join([await anext(reader) for _ in range(3)])
        await reader.aclose()
        await hub.close()
        return got

    got = asyncio.run(work())

    assert got.endswith(b": still here\n\n")
    assert b"data:" not in got
