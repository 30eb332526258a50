"""The library's cases for recorders and subscriptions, on the recorder of a log.

They insert events, which a log refuses: these recorders insert beside it, and read through it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any
from unittest import TestCase

import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.tests import persistence

from deltamark.bootstrap import utc_now
from deltamark.eventsourcing.recorder import LogRecorder
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from tests.store.recorders import InsertingPostgreSQLRecorder, InsertingSQLiteRecorder

TOPICS = ("topic1", "topic2", "topic3")


class InsertingLogRecorder(LogRecorder):
    returns_positions = True

    def __init__(self, store: Any, inserting: Any) -> None:
        super().__init__(store, poll_s=0.01, known_topics=TOPICS)
        self._inserting = inserting

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        positions = self._inserting.insert_events(stored_events, **kwargs)
        return positions if self.returns_positions else None


class OfStreams(InsertingLogRecorder):
    """Returns no positions, as the cases expect of a recorder of streams alone."""

    returns_positions = False


class OnAFile(TestCase):
    """Creates the recorder of a new file, which is deleted after the case."""

    recorder_class = InsertingLogRecorder
    numbers = count(1)

    def create_recorder(self) -> InsertingLogRecorder:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        store = SQLiteStore(Path(folder.name) / "store.db", utc_now)
        self.addCleanup(store.close)
        return self.recorder_class(store, InsertingSQLiteRecorder(store._datastore))

    def new_originator_id(self) -> str:
        return str(next(self.numbers))


class OnAServer(OnAFile):
    """Creates the recorder of a new schema."""

    url: str

    @pytest.fixture(autouse=True)
    def _store(self, postgresql_url: str) -> None:
        self.url = postgresql_url

    def create_recorder(self) -> InsertingLogRecorder:
        store = PostgreSQLStore(self.url, utc_now)
        self.addCleanup(store.close)
        return self.recorder_class(store, InsertingPostgreSQLRecorder(store._datastore))


class LogCases(persistence.ApplicationRecorderTestCase[InsertingLogRecorder]):
    """Without the cases that measure how quickly a recorder inserts."""

    test_performance = test_concurrent_throughput = None  # type: ignore[assignment]

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestStreamsInAFile(OnAFile, persistence.AggregateRecorderTestCase):
    recorder_class = OfStreams
    test_performance = None  # type: ignore[assignment]


class TestStreamsOnAServer(OnAServer, persistence.AggregateRecorderTestCase):
    recorder_class = OfStreams
    test_performance = None  # type: ignore[assignment]


class TestLogInAFile(OnAFile, LogCases):
    pass


class TestLogOnAServer(OnAServer, LogCases):
    pass


del LogCases
