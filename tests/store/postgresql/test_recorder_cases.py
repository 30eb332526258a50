"""The recorder cases of the event-sourcing library, on the recorder of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any
from unittest import TestCase

import pytest
from eventsourcing.persistence import IntegrityError, ProgrammingError, StoredEvent
from eventsourcing.tests import persistence

from deltamark.bootstrap import utc_now
from deltamark.infrastructure.store.postgresql.address import address_of
from deltamark.infrastructure.store.postgresql.connection import ChangeDatastore
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from tests.store.recorders import InsertingPostgreSQLRecorder


class OnASchema(TestCase):
    """Creates the recorder of a new store. Streams are numbers, written as text."""

    recorder_class = InsertingPostgreSQLRecorder
    numbers = count(1)
    url: str

    @pytest.fixture(autouse=True)
    def _store(self, postgresql_url: str) -> None:
        self.url = postgresql_url

    def create_recorder(self) -> InsertingPostgreSQLRecorder:
        PostgreSQLStore(self.url, utc_now).close()
        datastore = ChangeDatastore(address_of(self.url))
        self.addCleanup(datastore.close)
        return self.recorder_class(datastore)

    def new_originator_id(self) -> str:
        return str(next(self.numbers))


class StreamRecorder(InsertingPostgreSQLRecorder):
    """Returns no positions, as the cases expect of a recorder of streams alone."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class TestStreams(OnASchema, persistence.AggregateRecorderTestCase):
    recorder_class = StreamRecorder


class TestLog(OnASchema, persistence.ApplicationRecorderTestCase):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestTracking(OnASchema, persistence.TrackingRecorderTestCase):
    pass


class TestLogWithTracking(OnASchema, persistence.ProcessRecorderTestCase):
    pass


class TestPositionsOfOneInsertion(OnASchema, persistence.NonInterleavingNotificationIDsBaseCase):
    insert_num = 1_000


class TestOurOwn(OnASchema):
    """Cases that the library does not have."""

    def test_events_beyond_the_librarys_limit_of_a_megabyte_are_inserted_at_once(self) -> None:
        recorder = self.create_recorder()
        stream, state = self.new_originator_id(), b"x" * 1_000
        events = [StoredEvent(stream, version, "t", state) for version in range(1, 10_001)]

        assert recorder.insert_events(events) == list(range(1, 10_001))
        assert recorder.max_notification_id() == 10_000
        assert recorder.select_notifications(10_000, 1)[0].state == state

    def test_a_refused_insertion_leaves_no_tracking(self) -> None:
        recorder = self.create_recorder()
        event = StoredEvent(self.new_originator_id(), 1, "t", b"")
        recorder.insert_events([event])

        with pytest.raises(IntegrityError):
            recorder.insert_events([event], tracking=persistence.Tracking("source", 5))

        assert recorder.max_tracking_id("source") is None

    def test_a_stream_that_is_no_number_is_refused(self) -> None:
        recorder = self.create_recorder()

        with pytest.raises(ProgrammingError, match="streams are numbers"):
            recorder.select_events("somebody's")
