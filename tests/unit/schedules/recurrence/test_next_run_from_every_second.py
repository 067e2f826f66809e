"""``next(t)`` is the same for every second t between two neighbouring runs.

Of a short gap every second is tried. Of a long one, which may be years: every second near both
ends, the seconds about some of the midnights, ends of months and of years in it and about changes
of the clock (also an hour and a day from them), and a random sample of the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from redbeat_core.schedules import DstPolicy, next_occurrence, rrule, rrule_set
from redbeat_core.schedules.recurrence.zones import next_change
from tests.support.effort import cases, examples, seed_for
from tests.unit.strategies import moments, rules, sets

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
#: Seconds: up to here every one is tried; of longer gaps so many at either end.
SHORT, NEAR = 2000, 100
policies = st.builds(
    DstPolicy, st.sampled_from(("shift", "skip")), st.sampled_from(("first", "last", "both"))
)


def boundaries(made: rrule | rrule_set, before: datetime, after: datetime) -> Iterator[datetime]:
    """Where a search may go wrong between two runs."""
    zone = made.dtstart.tzinfo or UTC
    at = before
    for _ in range(20):
        change = next_change(zone, at, after)
        if change is None:
            break
        yield from (change, change - HOUR, change + HOUR, change - DAY, change + DAY)
        at = change
    here, end = before.astimezone(zone), after.astimezone(zone)
    for midnight in range(1, min((end - here).days + 2, 12)):
        day = (here + midnight * DAY).replace(hour=0, minute=0, second=0)
        yield day
        yield day.astimezone(UTC).replace(hour=0, minute=0, second=0)
    for year in range(here.year, min(end.year, here.year + 8) + 1):
        yield here.replace(year=year, month=1, day=1, hour=0, minute=0, second=0)
        yield here.replace(year=year, month=3, day=1, hour=0, minute=0, second=0)
        for month in (here.month, here.month % 12 + 1):
            yield here.replace(year=year, month=month, day=1, hour=0, minute=0, second=0)


def seconds_between(
    made: rrule | rrule_set, before: datetime, after: datetime, dice: random.Random
) -> list[int]:
    """The seconds to try, counted from *before*."""
    between = int((after - before).total_seconds())
    if between <= SHORT:
        return list(range(between))
    near = {*range(NEAR), *range(between - NEAR, between)}
    for boundary in boundaries(made, before, after):
        at = int((boundary - before).total_seconds())
        near.update(range(at - 2, at + 3))
    near.update(dice.randrange(between) for _ in range(100))
    return sorted(second for second in near if 0 <= second < between)


def check_gaps(made: rrule | rrule_set, at: datetime, dst: DstPolicy, dice: random.Random) -> int:
    """How many gaps after *at* were found right."""
    runs = list(islice(made.runs_after(at, dst), 3))
    for before, after in pairwise(runs):
        seconds = seconds_between(made, before, after, dice)
        for second in seconds:
            assert next_occurrence(made, before + second * SECOND, dst) == after
        # In another order as well: what was asked before must not matter.
        for second in dice.sample(seconds, min(len(seconds), 50)):
            assert next_occurrence(made, before + second * SECOND, dst) == after
        assert next_occurrence(made, after - timedelta(microseconds=1), dst) == after
    return max(len(runs) - 1, 0)


@examples(25)
@given(rules(), policies, st.integers(0, 10**8))
def test_the_next_run_is_the_same_from_every_second_before_it(
    made: rrule, dst: DstPolicy, passed: int
) -> None:
    check_gaps(made, made.earliest + passed * SECOND, dst, random.Random(passed))
    check_gaps(made, made.earliest - SECOND, dst, random.Random(passed))


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(4))
def test_it_is_so_for_many_rules_and_sets(shard: int) -> None:
    checked = 0

    @seed(seed_for(shard))
    @examples(60, enough=20)
    @given(rules() | rules() | sets(), policies, moments(2015, 2035), st.integers(0, 10**6))
    def check(made: rrule | rrule_set, dst: DstPolicy, at: datetime, dice: int) -> None:
        nonlocal checked
        checked += check_gaps(made, at, dst, random.Random(dice))

    check()
    assert checked > cases(60, enough=20) // 3
