"""The feed: every change once, in order, whoever is cut off and however many read."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltamark.domain.history.changes import Horizon, LoggedChange
from deltamark.domain.resources.resource import ResourceRef
from deltamark.engine import Engine
from deltamark.infrastructure.sample_company import write_workspace
from deltamark.interfaces.http import feed
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


def of_all(engine: Engine, after: int) -> Following:
    return Following(
        after=after, admits=None, read=lambda place: pytest.fail("the store was read for one reader alone")
    )


def following(engine: Engine, after: int) -> Following:
    return Following(
        after=after, admits=lambda change: True, read=lambda place: engine.changes_page(after=place, limit=50)
    )


@pytest.fixture(params=[True, False], ids=["shared", "searched"])
def is_near(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of some changes, near enough for what others read, and so far behind that the store searches."""
    if not request.param:
        monkeypatch.setattr(feed, "_NEAR", -1)


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


async def got_until(hub: Hub, asked: Following, last: int) -> bytes:
    got = b""
    reader = hub.messages(asked)
    async for message in reader:
        got += message
        if b"discarded" in message or max(positions(message), default=0) >= last:
            break
    await reader.aclose()
    return got


async def seen(hub: Hub, engine: Engine) -> None:
    """Waits until the feed has seen all of the log."""
    while hub.head < engine.position():
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("is_near")
@pytest.mark.parametrize("ask", [of_all, following])
def test_what_was_discarded_is_said_and_ends_the_stream_and_the_next_goes_on_beyond_it(
    company: Path, ask: Callable[[Engine, int], Following]
) -> None:
    async def work() -> tuple[bytes, bytes, list[int], int]:
        with opened(company) as engine:
            engine.run_job("Complete")
            hub = Hub(engine)
            await hub.open()
            engine.retain("HR", keep=5, even_unread=True)
            await seen(hub, engine)
            before = await got_until(hub, ask(engine, 10), engine.position())
            horizon = max(horizon.position for horizon in engine.horizons())
            kept = [change.position for change in engine.changes(horizon)]
            after = await got_until(hub, ask(engine, horizon), kept[-1])
            await hub.close()
            return before, after, kept, horizon

    before, after, kept, horizon = asyncio.run(work())

    assert f'id: {horizon}\nevent: discarded\ndata: {{"horizon":{horizon},'.encode() in before
    assert positions(before) == [horizon]
    assert positions(after) == kept


def test_what_others_discarded_does_not_end_the_stream_of_an_entity_type(company: Path) -> None:
    def is_of_accounts(change: LoggedChange) -> bool:
        ref = change.event.ref
        return isinstance(ref, ResourceRef) and ref.entity_type == "Directory_User"

    async def work() -> tuple[bytes, list[int]]:
        with opened(company) as engine:
            engine.run_job("Complete")
            engine.retain("HR", keep=5, even_unread=True)
            assert max(horizon.position for horizon in engine.horizons()) > 10
            hub = Hub(engine)
            await hub.open()
            await seen(hub, engine)
            expected = [c.position for c in engine.changes(10, kept_only=True) if is_of_accounts(c)]
            asked = Following(
                after=10, admits=is_of_accounts, entity_type="Directory_User",
                read=lambda place: engine.changes_page(after=place, entity_type="Directory_User"),
            )  # fmt: skip
            got = await got_until(hub, asked, expected[-1])
            await hub.close()
            return got, expected

    got, expected = asyncio.run(work())

    assert b"discarded" not in got
    assert positions(got) == expected


def test_many_readers_who_are_behind_read_the_store_once_for_all(
    company: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    async def work() -> tuple[list[bytes], list[int]]:
        with opened(company) as engine:
            engine.run_job("Complete")
            expected = [change.position for change in engine.changes()]
            hub = Hub(engine)
            await hub.open()
            await seen(hub, engine)
            page = engine.changes_page
            monkeypatch.setattr(engine, "changes_page", lambda **named: reads.append(1) or page(**named))
            begins = [0, 1, 3, 249, 250, 251] * 10
            got = await asyncio.gather(*(got_until(hub, of_all(engine, begin), expected[-1]) for begin in begins))
            await hub.close()
            for begin, text in zip(begins, got, strict=True):
                assert positions(text) == [position for position in expected if position > begin]
            return got, expected

    _, expected = asyncio.run(work())

    assert 2 <= len(reads) <= expected[-1] // 250 + 2


@pytest.mark.usefixtures("is_near")
def test_a_reader_of_an_entity_type_gets_its_changes_and_those_of_its_links(company: Path) -> None:
    def is_of_departments(change: LoggedChange) -> bool:
        ref = change.event.ref
        ends = [ref] if isinstance(ref, ResourceRef) else [ref.source, ref.target]
        return any(end.entity_type == "HR_Department" for end in ends)

    async def work() -> tuple[list[int], list[int]]:
        with opened(company) as engine:
            hub = Hub(engine)
            await hub.open()
            await seen(hub, engine)
            engine.run_job("Complete")
            await seen(hub, engine)
            expected = [change.position for change in engine.changes() if is_of_departments(change)]
            asked = Following(
                after=3, admits=is_of_departments, entity_type="HR_Department",
                read=lambda place: engine.changes_page(after=place, entity_type="HR_Department"),
            )  # fmt: skip
            got = positions(await got_until(hub, asked, expected[-1]))
            await hub.close()
            return got, [position for position in expected if position > 3]

    got, expected = asyncio.run(work())

    assert len(expected) > 20
    assert got == expected


def test_what_is_erased_is_no_longer_sent_from_memory(company: Path) -> None:
    async def work() -> tuple[bytes, bytes, str]:
        with opened(company) as engine:
            begin = engine.position()
            hub = Hub(engine)
            await hub.open()
            await seen(hub, engine)
            engine.run_job("Complete")
            await seen(hub, engine)
            change = next(engine.changes(begin, entity_type="HR_Person"))
            last = [change.position for change in engine.changes()][-1]
            mail = str(engine.resource("HR_Person", change.event.ref.key).values["Mail"])  # type: ignore[union-attr]
            before = [await got_until(hub, of_all(engine, after), last) for after in (0, begin + 1)]
            engine.erase("HR_Person", change.event.ref.key, reason="asked for")  # type: ignore[union-attr]
            await seen(hub, engine)
            after = [await got_until(hub, of_all(engine, after), last) for after in (0, begin + 1)]
            await hub.close()
            return b"".join(before), b"".join(after), mail

    before, after, mail = asyncio.run(work())

    assert mail.encode() in before
    assert mail.encode() not in after


class QuietLog:
    """A log to which nothing is added."""

    def position(self) -> int:
        return 5

    def wait(self, after: int, timeout: float) -> int:
        time.sleep(0.01)
        return 5

    def erased_changes(self) -> dict[int, int]:
        return {}

    def horizons(self) -> list[Horizon]:
        return []


def test_a_quiet_stream_is_kept_open_by_comments_that_are_no_messages() -> None:
    async def work() -> bytes:
        engine: Any = QuietLog()
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
