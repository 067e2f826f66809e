"""Random rules in UTC, thousands: the next run is the one that dateutil comes to by walking.

dateutil walks from DTSTART, so it is only asked about rules that started not long before, and
its calendar is made to end some years later: it would look for a rule that never runs until the
year 9999.
"""

from __future__ import annotations

import datetime as datetime_module
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from types import SimpleNamespace
from typing import Any

import dateutil.rrule
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from redbeat_core.schedules import next_occurrence, rrule
from tests.support.effort import examples, seed_for
from tests.unit.strategies import moments, rule_arguments, some

SHARDS = 20
#: Years that dateutil walks after DTSTART, by FREQ (YEARLY to SECONDLY).
YEARS = (40, 20, 8, 8, 3, 1, 0)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _calendar_that_ends() -> Iterator[SimpleNamespace]:
    """Lets dateutil believe that there are only so many years."""
    bounded = SimpleNamespace(**vars(datetime_module))
    before, dateutil.rrule.datetime = dateutil.rrule.datetime, bounded
    yield bounded
    dateutil.rrule.datetime = before


def walk(arguments: dict[str, Any], start: datetime, last_year: int) -> Iterator[datetime]:
    """What dateutil finds until the end of that year; nothing when it refuses the rule."""
    dateutil.rrule.datetime.MAXYEAR = last_year
    try:
        yield from dateutil.rrule.rrule(dtstart=start, **arguments)
    except ValueError:
        # It finds out about some rules that never run.
        return


@st.composite
def random_rules(draw: st.DrawFn) -> tuple[dict[str, Any], datetime]:
    """The arguments of a rule, and its start."""
    arguments, start = draw(rule_arguments()), draw(moments(2000, 2030))
    # Also what RFC 5545 leaves undefined and dateutil reads: every BY part with every FREQ, and
    # days that several parts name.
    if not draw(st.integers(0, 5)):
        arguments["byweekno"] = draw(st.lists(st.integers(1, 51), min_size=1, max_size=20))
    for part, last in (("byyearday", 366), ("bymonthday", 31)):
        if not draw(st.integers(0, 9)):
            days = st.integers(1, last).flatmap(lambda day: st.sampled_from((day, -day)))
            arguments[part] = draw(st.lists(days, min_size=1, max_size=20, unique=True))
    # dateutil gives some years one week too many: it takes the first of January 2011, which is
    # in week 52 of 2010, for a day of a week 53. Weeks 52 and 53 have a test of their own.
    weeks = {*arguments.pop("byweekno", ())} - {52, 53}
    if weeks:
        arguments["byweekno"] = sorted(weeks)
    freq = arguments["freq"]
    if freq <= 3:
        return arguments, start
    # How many runs the set of one period has: a position beyond it never comes.
    size = 1
    for unit, part in ((4, "byminute"), (5, "bysecond")):
        size *= len(arguments.get(part) or [0]) if freq <= unit else 1
    if found := draw(some(1, min(size, 3), signed=True)):
        arguments["bysetpos"] = found
    # dateutil walks every second until the first run. Nine of ten start shortly before it, and by
    # the second none so long before it, or before the end of a year without one.
    first = next_occurrence(rrule(dtstart=start, **arguments), start)
    if draw(st.integers(0, 9)) and first is not None and first.year < 2040:
        start = max(start, first - timedelta(seconds=draw(st.integers(0, 5000))))
    if freq == 6:
        end = datetime(start.year + 1, 1, 1, tzinfo=UTC)
        start = max(start, min(first or end, end) - timedelta(days=30))
    return arguments, start


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(SHARDS))
def test_the_next_run_is_the_one_that_a_walk_from_the_start_comes_to(shard: int) -> None:
    @seed(seed_for(shard))
    @examples(1000)
    @given(random_rules(), st.integers(0, 60), st.integers(0, 10**6))
    def check(made: tuple[dict[str, Any], datetime], skipped: int, number: int) -> None:
        dice = random.Random(number)
        arguments, start = made
        last_year = start.year + YEARS[arguments["freq"]]
        rule = rrule(dtstart=start, **arguments)
        found = list(islice(walk(arguments, start, last_year), skipped + 4))
        # Ours may find one after dateutil's calendar has ended, or none.
        first = next_occurrence(rule, start - SECOND)
        expected = found[0] if found else None
        assert first == expected or (expected is None and first and first.year > last_year)
        found = found[-4:]
        for before, after in pairwise(found):
            between = int((after - before).total_seconds())
            near = {0, 1, between - 1, between // 2}
            for second in near | {dice.randrange(between) for _ in range(4)}:
                if 0 <= second < between:
                    assert next_occurrence(rule, before + second * SECOND) == after

    check()


@pytest.mark.parametrize("number", [1, 2, 51, 52, 53])
def test_the_weeks_of_a_year_are_those_of_iso_8601(number: int) -> None:
    start = datetime(1990, 1, 1, 9, tzinfo=UTC)
    rule = rrule("YEARLY", dtstart=start, byweekno=number)
    days = [start + timedelta(days=day) for day in range(60 * 366)]
    expected = [day for day in days if day.isocalendar().week == number]
    assert list(islice(rule.runs_after(start - SECOND), len(expected))) == expected


def test_the_walk_says_when_a_run_is_wrong() -> None:
    start = datetime(2020, 1, 1, 9, tzinfo=UTC)
    theirs = list(islice(walk({"freq": 3, "interval": 2}, start, 2021), 3))
    assert theirs == [start + timedelta(days=2 * day) for day in range(3)]
    assert next_occurrence(rrule("DAILY", dtstart=start), theirs[0]) != theirs[1]
