"""Pages of the log: newest first or oldest first, each change once, with how far the log was searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deltamark import ChangePage, Engine, LoggedChange, UsageError
from deltamark.application.history import pages
from tests.application.history.test_change_filters import ASKED, lived
from tests.scenarios.staff import Staff

NewStaff = Callable[..., Staff]
KINDS = ("created", "updated", "computed", "deleted", "linked", "unlinked")


def walked(engine: Engine, **asked: Any) -> list[LoggedChange]:
    """All pages of a question, one after the other."""
    is_newest_first = "after" not in asked
    found: list[LoggedChange] = []
    for _ in range(200):
        page: ChangePage = engine.changes_page(**asked)
        found += page.changes
        if not page.more:
            return found
        asked["before" if is_newest_first else "after"] = page.scanned_to
    raise AssertionError("the pages have no end")


@pytest.mark.on_every_store
@pytest.mark.parametrize("is_long", [False, True], ids=["short log", "long log"])
def test_pages_give_each_change_once_in_both_directions_with_every_filter(
    new_staff: NewStaff, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_long:  # in which the changes of few resources are found by their streams
        monkeypatch.setattr(pages, "_LARGEST", 0)
        monkeypatch.setattr(pages, "_PORTION", 2)
    engine = lived(new_staff).engine
    questions: list[dict[str, Any]] = [{}, {"entity_type": "Person", "key": "2"}]
    questions += [asked for name, (asked, _) in ASKED.items() if name != "after"]
    questions += [{"kind": kind} for kind in KINDS]
    for asked in questions:
        expected = [change.position for change in engine.changes(**asked)]
        assert expected, asked
        assert [change.position for change in engine.changes(**asked, newest_first=True)] == expected[::-1], asked
        for limit, budget_s in ((1, None), (3, 0.0), (100, None)):
            options = {**asked, "limit": limit, "budget_s": budget_s}
            assert [change.position for change in walked(engine, **options)] == expected[::-1], options
            assert [change.position for change in walked(engine, **options, after=0)] == expected, options


def test_a_page_names_how_far_it_searched(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    newest = [change.position for change in engine.changes(newest_first=True, limit=3)]

    page = engine.changes_page(limit=2)
    assert ([change.position for change in page.changes], page.scanned_to, page.more) == (newest[:2], newest[1], True)
    rest = engine.changes_page(before=newest[1], limit=1_000)
    assert (rest.changes[0].position, rest.scanned_to, rest.more) == (newest[2], 1, False)
    oldest_first = engine.changes_page(after=newest[1], limit=1_000)
    assert (oldest_first.scanned_to, oldest_first.more) == (engine.position(), False)
    nothing = engine.changes_page(before=1)
    assert (nothing.changes, nothing.more) == ((), False)


def test_a_search_that_ran_out_of_time_says_how_far_it_came(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    engine.retain("HR", keep=1)
    page = engine.changes_page(kind="deleted", budget_s=0)
    assert page.scanned_to >= 1
    assert page.horizon is not None


def test_the_newest_changes_of_a_resource_come_first(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    whole = [change.position for change in engine.history("Person", "2")]

    newest = engine.history("Person", "2", limit=2)
    assert [change.position for change in newest] == whole[:-3:-1]
    rest = engine.history("Person", "2", before=newest[-1].position, limit=100)
    assert [change.position for change in rest] == whole[-3::-1]
    with pytest.raises(UsageError, match="leave out after and until"):
        engine.history("Person", "2", limit=2, until=engine.position())
    with pytest.raises(UsageError, match="never was a Person"):
        engine.history("Person", "nobody", limit=2)


def test_what_cannot_be_meant_is_refused(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    with pytest.raises(UsageError, match="two directions"):
        engine.changes_page(after=1, before=2)
    with pytest.raises(UsageError, match="from 1 to"):
        engine.changes_page(limit=0)
    with pytest.raises(UsageError, match="the kind of a change"):
        engine.changes(kind="gone")
    with pytest.raises(UsageError, match="Give one of them"):
        engine.changes(before=3, until=2)
