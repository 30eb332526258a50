"""One and the same second day of the company, as often as a test likes."""

from __future__ import annotations

import shutil
from pathlib import Path

from deltamark import Engine
from tests.crash.company import ENDED_WELL, JOB, Days, opened
from tests.stores import NewStore

SEED = 11


class Second:
    """Stores as they were after a first day, each for another second day."""

    def __init__(self, new_store: NewStore, folder: Path) -> None:
        self._new_store = new_store
        self._exports = folder / "exports"
        self._first: Path | None = None
        days = Days(self._exports, SEED)
        for day in ("first", "second"):
            days.next()
            shutil.copytree(self._exports, self._exports.with_name(day))

    def engine(self) -> Engine:
        """Over another store, and the extracts of the second day."""
        url = self._new_store()
        if self._first is not None:
            shutil.copy(self._first, url.removeprefix("sqlite:///"))
            return opened(url, self._exports.with_name("second"))
        with opened(url, self._exports.with_name("first")) as engine:
            assert engine.run_job(JOB).state in ENDED_WELL
        if url.startswith("sqlite"):
            self._first = Path(url.removeprefix("sqlite:///"))
            return self.engine()
        return opened(url, self._exports.with_name("second"))
