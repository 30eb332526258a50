"""A view that follows the log day by day holds the state of the store, whatever was discarded or erased meanwhile."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from deltamark import Engine
from deltamark.eventsourcing import (
    Link,
    LinkEvent,
    LinkSnapshot,
    LogApplication,
    Resource,
    ResourceErased,
    ResourceEvent,
    ResourceSnapshot,
    application,
)
from tests.eventsourcing.conftest import seconds
from tests.store.company import Company, configuration
from tests.stores import NewStore

TYPES = ("Person", "Department", "Account")


class View:
    """Resources and links by stream, and how far the log was read."""

    def __init__(self) -> None:
        self.position = 0
        self._held: dict[str, Resource | Link] = {}

    def follow(self, log: LogApplication, size: int) -> None:
        while page := log.recorder.select_notifications(self.position, size, inclusive_of_start=False):
            for notification in page:
                event = log.mapper.to_domain_event(notification)
                match event:
                    case ResourceErased():
                        for stream in event.streams:
                            self._held.pop(str(stream), None)
                    case ResourceEvent() | ResourceSnapshot() | LinkEvent() | LinkSnapshot():
                        before = self._held.get(event.originator_id)
                        self._held[event.originator_id] = event.apply(before)  # type: ignore[arg-type]
            self.position = page[-1].id

    def live(self) -> dict[str, Resource | Link]:
        return {stream: one for stream, one in self._held.items() if one.live}

    def streams(self) -> list[str]:
        return list(self._held)


def of_the_store(engine: Engine, log: LogApplication) -> dict[str, Resource | Link]:
    """What exists, by stream, as the engine says."""
    refs = [(kind, row.key) for kind in TYPES for row in engine.export_resources(kind)]
    resources = [engine.resource(*ref) for ref in refs]
    links = {link for ref in refs for link in engine.links(*ref)}
    found: dict[str, Resource | Link] = {resource.id: resource for resource in resources if resource is not None}
    return found | {log.link_id(link): log.repository.get(log.link_id(link)) for link in links}


@pytest.mark.law
@pytest.mark.parametrize(
    ("seed", "keep"), [(0, False), pytest.param(1, True, marks=pytest.mark.slow)], ids=["discarded", "kept"]
)  # seconds each
def test_a_view_that_follows_day_by_day_holds_what_the_store_does(
    new_store: NewStore, tmp_path: Path, seed: int, keep: bool
) -> None:
    company, chance, clock = Company(tmp_path / "exports", seed), Random(seed), seconds()
    url, view = new_store(), View()
    with Engine.open(
        url, configuration=configuration(keep=keep), export_output=tmp_path / "exports", clock=clock
    ) as engine:
        for day in range(3):
            incremental = day > 0 and chance.random() < 0.5
            (company.incremental_day if incremental else company.complete_day)()
            engine.run_job("Incremental" if incremental else "Complete", force=True)
            if chance.random() < 0.4:
                connector = chance.choice(engine.configuration.connectors).identifier
                engine.retain(connector, keep=chance.choice([0, 10]), even_unread=True)
            if chance.random() < 0.5:
                people = [row.key for row in engine.export_resources("Person")]
                engine.erase("Person", chance.choice(people), reason="asked for")

            with application(url, snapshots=True) as log:
                if chance.random() < 0.7:
                    view.follow(log, chance.choice([7, 1_000]))
                    assert view.live() == of_the_store(engine, log), f"day {day}"
                    assert {stream: log.repository.get(stream) for stream in view.streams()}.items() >= (
                        view.live().items()
                    )
                late = View()
                late.follow(log, 500)
                assert late.live() == of_the_store(engine, log), f"day {day}, from the beginning"
