"""The recorder cases of the event-sourcing library, on the recorder of an SQLite store."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any
from unittest import TestCase
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.tests import persistence

from deltamark.infrastructure.store.sqlite.connection import ChangeDatastore
from tests.store.recorders import InsertingSQLiteRecorder


class OnAFile(TestCase):
    """Creates the recorder of a new file, which is deleted after the case."""

    recorder_class = InsertingSQLiteRecorder

    def create_recorder(self) -> InsertingSQLiteRecorder:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        datastore = ChangeDatastore(Path(folder.name) / "store.db")
        self.addCleanup(datastore.close)
        recorder = self.recorder_class(datastore)
        recorder.create_table()
        return recorder

    def new_originator_id(self) -> str:
        return str(uuid4())


class OnNumberedStreams(OnAFile):
    """The streams of Deltamark: numbers written as text."""

    numbers = count(1)

    def new_originator_id(self) -> str:
        return str(next(self.numbers))


class StreamRecorder(InsertingSQLiteRecorder):
    """Returns no positions, as the cases expect of a recorder of streams alone."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class TestStreams(OnAFile, persistence.AggregateRecorderTestCase):
    recorder_class = StreamRecorder


class TestNumberedStreams(OnNumberedStreams, persistence.AggregateRecorderTestCase):
    recorder_class = StreamRecorder


class TestLog(OnAFile, persistence.ApplicationRecorderTestCase):
    pass


class TestLogOfNumberedStreams(OnNumberedStreams, persistence.ApplicationRecorderTestCase):
    pass


class TestTracking(OnAFile, persistence.TrackingRecorderTestCase):
    pass


class TestLogWithTracking(OnAFile, persistence.ProcessRecorderTestCase):
    pass


class TestPositionsOfTwoThreadsDoNotInterleave(OnNumberedStreams, persistence.NonInterleavingNotificationIDsBaseCase):
    pass
