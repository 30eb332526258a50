"""A log whose older part was retained or discarded, in whole or in portions, is whole: it verifies and replays."""

from __future__ import annotations

import pytest

from tests.application.retention.test_retain import calendar, chunked, everything, four_days, house
from tests.store.tables import LOG, PROJECTIONS, alter, tables
from tests.stores import NewStore

__all__ = ["calendar", "four_days", "house"]


@pytest.mark.many
@pytest.mark.parametrize("keep", [0, 1, 2, 3, 5, 8])
def test_what_a_retention_leaves_is_whole_and_can_be_replayed_and_moved(four_days, new_store: NewStore, keep: int):
    chunked(four_days, keep, even_unread=True)
    before, present = tables(four_days.url, {**LOG, **PROJECTIONS}), everything(four_days)
    target = new_store()

    found = four_days.engine.verify()
    four_days.engine.replay(into=target)
    alter(four_days.url, "DELETE FROM links", "DELETE FROM resources")
    four_days.engine.replay()

    assert found.discrepancies == ()
    assert tables(target, {**LOG, **PROJECTIONS}) == before
    assert tables(four_days.url, {**LOG, **PROJECTIONS}) == before
    assert everything(four_days)[:2] == present[:2]
