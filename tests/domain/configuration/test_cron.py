"""Firings of cron expressions, compared with those of `cronsim` alone and of `croniter`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.configuration.cron import cron_problem, next_firing

BERLIN = ZoneInfo("Europe/Berlin")  # forward 2026-03-29 02:00 -> 03:00, back 2026-10-25 03:00 -> 02:00
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # half an hour: forward 2026-10-04 02:00, back 2026-04-05 02:00 -> 01:30
BEIRUT = ZoneInfo("Asia/Beirut")  # at midnight: forward 2026-03-29 00:00 -> 01:00
APIA = ZoneInfo("Pacific/Apia")  # had no 2011-12-30 at all


def firings(expression, after, zone=UTC):
    """Yields the firings after a time."""
    while (after := next_firing(expression, after, zone)) is not None:
        yield after


def shown(expression, zone, begin, count):
    """The next firings after a time, as a clock of the zone shows them, with its offset."""
    after = datetime.fromisoformat(begin).replace(tzinfo=zone)
    return [f"{at.astimezone(zone):%d %H:%M %z}" for at in islice(firings(expression, after, zone), count)]


@pytest.mark.parametrize(
    ("expression", "zone", "begin", "expected"),
    [
        # a time of day in the gap: once, right after it
        ("30 2 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("0 30 2 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("0 0,20,40 2 * * *", BERLIN, "2026-03-29T01:00", ["29 03:00 +0200", "30 02:00 +0200"]),
        ("0 0 2,3 * * *", BERLIN, "2026-03-29T01:00", ["29 03:00 +0200", "30 02:00 +0200"]),
        # a time of day that exists twice: at the first
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("0 30 2 * * *", BERLIN, "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        # by elapsed time: nothing in the gap, and both hours
        ("0 */30 * * * *", BERLIN, "2026-03-29T01:15", ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]),
        ("0 15 * * * *", BERLIN, "2026-10-25T01:30",
         ["25 02:15 +0200", "25 02:15 +0100", "25 03:15 +0100", "25 04:15 +0100"]),
        ("*/30 2 * * *", BERLIN, "2026-10-25T01:30",
         ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "26 02:00 +0100"]),
        # a change of half an hour, at midnight, of a whole day
        ("0 45 1 * * *", LORD_HOWE, "2026-04-04T12:00", ["05 01:45 +1100", "06 01:45 +1030"]),
        ("0 30 0 * * *", BEIRUT, "2026-03-28T12:00", ["29 01:00 +0300", "30 00:30 +0300"]),
        ("0 0 12 * * *", APIA, "2011-12-29T10:00", ["29 12:00 -1000", "31 00:00 +1400", "31 12:00 +1400"]),
    ],
)  # fmt: skip
def test_firings_around_changes_of_the_clock(expression, zone, begin, expected):
    assert shown(expression, zone, begin, len(expected)) == expected


def numbers(lowest, highest):
    """The text of a field: `*`, steps, numbers, ranges."""
    number = st.integers(lowest, highest)
    pair = st.lists(number, min_size=2, max_size=2, unique=True).map(sorted)
    return st.one_of(
        st.just("*"),
        st.integers(2, 20).filter(lambda step: step <= highest).map(lambda step: f"*/{step}"),
        st.lists(number, min_size=1, max_size=4, unique=True).map(lambda values: ",".join(map(str, values))),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}/2"),
    )


def fields_of(*, with_seconds):
    """Cron expressions of five or six fields."""
    parts = [numbers(0, 59), numbers(0, 23), numbers(1, 31), numbers(1, 12), numbers(0, 6)]
    if with_seconds:
        parts.insert(0, numbers(0, 59))
    return st.tuples(*parts).map(" ".join)


INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@pytest.mark.law
@given(fields_of(with_seconds=True).filter(lambda expression: cron_problem(expression) is None), INSTANTS)
def test_the_next_firings_agree_with_another_library(expression, after):
    """Weekday and day must both match (croniter: `day_or=False`); seconds come first."""
    other = croniter(expression, after, day_or=False, second_at_beginning=True, max_years_between_matches=60)

    computed = list(islice(firings(expression, after), 20))

    assert computed == [other.get_next(datetime) for _ in computed]


@pytest.mark.parametrize(
    "expression",
    ["0 0 6 * * MON-FRI", "*/7 * * * * *", "0 */15 8-18 * * 1-5", "30 4 1,15 * *", "0 0 0 L * *", "0 0 12 * * 5#2",
     "0 30 2 29 2 *", "0 0 0 13 * FRI", "15 10 * jan,JUL 0", "0 0 3 * * 7"],
)  # fmt: skip
def test_the_next_thousand_firings_agree_with_another_library(expression):
    after = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    other = croniter(expression, after, day_or=False, second_at_beginning=True, max_years_between_matches=60)

    computed = list(islice(firings(expression, after), 1_000))

    assert computed == [other.get_next(datetime) for _ in computed]
    assert len(computed) == 1_000


def test_a_range_of_one_weekday_is_that_weekday():
    after = datetime(2026, 1, 1, tzinfo=UTC)

    assert list(islice(firings("0 0 * * 0-0", after), 3)) == list(islice(firings("0 0 * * 0", after), 3))
    assert croniter("0 0 * * 0-0", after).get_next(datetime) == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.law
@given(
    fields_of(with_seconds=False).filter(lambda expression: cron_problem(expression) is None),
    st.sampled_from([BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")]),
    st.sampled_from([datetime(2026, 3, 7), datetime(2026, 3, 28), datetime(2026, 10, 24), datetime(2026, 10, 31)]),
)
def test_five_fields_follow_the_cron_of_debian_around_changes_of_the_clock(expression, zone, day):
    """`cronsim` follows Debian's cron only for expressions with five fields."""
    library = CronSim(expression, day.replace(tzinfo=zone))
    library.day_and = True
    begin = day.replace(tzinfo=zone).astimezone(UTC)

    computed = list(islice(firings(expression, begin, zone), 60))

    expected = dict.fromkeys(at.astimezone(UTC) for at in islice(library, len(computed) + 60))
    assert computed == list(expected)[: len(computed)]


@pytest.mark.law
@given(
    fields_of(with_seconds=True).filter(lambda expression: cron_problem(expression) is None),
    st.sampled_from([BERLIN, LORD_HOWE, BEIRUT, APIA, ZoneInfo("America/New_York"), UTC]),
    st.datetimes(datetime(2011, 12, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(0), timedelta(hours=3)),
)
def test_the_next_firing_does_not_depend_on_when_it_is_computed(expression, zone, after, later):
    due = next_firing(expression, after, zone)
    if due is not None and after + later < due:
        assert next_firing(expression, after + later, zone) == due


@given(st.text("0123456789*/,-?L#MONFRI ", max_size=24))
def test_every_valid_expression_fires(text):
    for expression in (text, f"0 0 0 {text} * *", f"0 0 0 * * {text}"):
        if cron_problem(expression) is None:
            assert next_firing(expression, datetime(2026, 1, 1, tzinfo=UTC), UTC) is not None


def test_the_last_days_and_last_weekdays_of_months():
    after = datetime(2026, 1, 1, tzinfo=UTC)

    assert [f"{at:%m-%d}" for at in islice(firings("0 0 0 LW * ?", after), 3)] == ["01-30", "02-27", "03-31"]
    assert [f"{at:%m-%d}" for at in islice(firings("0 0 0 ? * 5L", after), 3)] == ["01-30", "02-27", "03-27"]
