"""No rule is slow, not even the first time: absurd but valid ones, with every cache empty.

The bound is of processor time, and what exceeds it is tried again, and held against how fast the
processor is just then: only work that is really done counts, not what else the machine does.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import weekday

from redbeat_core.schedules import OccurrenceSchedule, never_runs, next_occurrence, rrule, rrule_set
from redbeat_core.schedules.types.rrule_set import MAX_RULES
from tests.support.effort import EFFORT, SOAK, cases, random_numbers
from tests.unit.cold import first_time

NOW = datetime(2026, 5, 5, 5, 0, 0, tzinfo=UTC)
#: Seconds of processor time.
BOUND = 0.05
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
ZONES = [UTC, BERLIN, NEW_YORK]
ZONES += map(ZoneInfo, ("Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata"))
#: What is near a multiple of a day, a week or 400 years is where ticks drift slowly or never meet.
SPECIAL = [7, 14, 24, 25, 27, 97, 167, 168, 189, 365, 366, 400, 773, 1440, 1441, 1461, 3599, 3600]
SPECIAL += [10079, 10080, 43201, 86399, 86400, 86401, 146097, 302400, 604799, 604800, 604801]
RANGES = {
    "bymonth": (1, 12, False),
    "bymonthday": (1, 31, True),
    "byyearday": (1, 366, True),
    "byweekno": (1, 53, True),
    "byeaster": (0, 366, True),
    "byhour": (0, 23, False),
    "byminute": (0, 59, False),
    "bysecond": (0, 59, False),
    "bysetpos": (1, 366, True),
}


def is_quick(made: OccurrenceSchedule) -> bool:
    """Whether the first question about *made* is answered within the bound."""
    return first_time(lambda: next_occurrence(made, NOW), BOUND) < BOUND


def numbers(dice: random.Random, low: int, high: int, signed: bool) -> list[int]:
    chosen = dice.randrange(4)
    if chosen == 0:
        found = list(range(low, high + 1))
    elif chosen == 1:
        start = dice.randint(low, high)
        found = list(range(start, dice.randint(start, high) + 1))
    else:
        found = [dice.randint(low, high) for _ in range(dice.choice((1, 2, 5, 20, 100)))]
    return sorted({one * dice.choice((1, -1)) if signed else one for one in found})


def absurd_rule(dice: random.Random, start: datetime) -> rrule:
    freq = dice.randrange(7)
    arguments: dict[str, Any] = {"freq": freq, "wkst": dice.randrange(7)}
    arguments["interval"] = dice.choice(
        (1, 1, dice.randint(1, 100), dice.choice(SPECIAL), int(10 ** dice.uniform(0, 9)))
    )
    for name, (low, high, signed) in RANGES.items():
        if dice.random() < (0.5 if name in ("bymonth", "byhour", "byminute", "bysecond") else 0.2):
            arguments[name] = numbers(dice, low, high, signed)
    if dice.random() < 0.4:
        ns = (None, None, 1, -1, 5, 53) if freq < 2 else (None,)
        arguments["byweekday"] = [
            weekday(dice.randrange(7), dice.choice(ns)) for _ in range(dice.randint(1, 7))
        ]
    if dice.random() < 0.4:
        arguments["count"] = dice.choice((1, 100, 10**6, 10**9, 2**31 - 1))
    elif dice.random() < 0.2:
        arguments["until"] = NOW + timedelta(days=dice.choice((-1000, 1, 1000, 10**6)))
    return rrule(dtstart=start, **arguments)


def absurd_start(dice: random.Random) -> datetime:
    year = dice.choice((2, 1900, 1996, 2020, 2026, 2026, 2030))
    day = dice.randint(1, 12), dice.randint(3, 28)
    clock = (dice.randint(0, 23), dice.randint(0, 59), dice.randint(0, 59))
    return datetime(year, *day, *clock, tzinfo=dice.choice(ZONES))


@pytest.mark.thorough
@pytest.mark.parametrize("shard", range(5))
def test_the_next_run_of_an_absurd_rule_is_known_at_once(shard: int) -> None:
    # Some are near the bound, where a busy machine decides: a soak looks for slower ones, while the
    # usual run tries those that are known.
    dice = random_numbers(shard) if EFFORT == SOAK else random.Random(shard)
    for _ in range(cases(100)):
        made = absurd_rule(dice, absurd_start(dice))
        assert is_quick(made), made


def in_new_york(**arguments: Any) -> rrule:
    return rrule(dtstart=datetime(2, 6, 9, 6, 21, tzinfo=NEW_YORK), **arguments)


@pytest.mark.parametrize(
    "made",
    [
        # Comes to Friday by a second a week.
        rrule(
            "SECONDLY",
            dtstart=datetime(2026, 1, 1, 9, 0, 1, tzinfo=BERLIN),
            interval=604_801,
            byhour=4,
            byweekday=4,
        ),
        in_new_york(freq="SECONDLY", count=10**9, byhour=[9, 10]),
        in_new_york(freq="SECONDLY", interval=167, count=10**9, bymonth=6, byweekno=[22, 23]),
        in_new_york(freq="MINUTELY", interval=7, count=10**9, byweekday=[1, 2]),
        in_new_york(freq="HOURLY", count=10**9, byeaster=[-2, 1], byweekday=3, bymonth=4),
        in_new_york(freq="WEEKLY", interval=3, count=10**9, byweekday=[0, 2], bysetpos=-1),
        in_new_york(freq="DAILY", interval=97, count=10**9, bymonth=[2, 3]),
        in_new_york(freq="YEARLY", count=10**9, byweekno=53, byhour=list(range(24))),
        rrule(
            "WEEKLY",
            dtstart=datetime(2024, 1, 1, tzinfo=BERLIN),
            byyearday=[day for day in range(1, 366) if day % 7],
            bysetpos=[7],
            byhour=0,
        ),
    ],
)
def test_rules_that_were_slow_the_first_time_are_not(made: rrule) -> None:
    assert is_quick(made)


def test_a_set_of_as_many_counted_rules_as_it_may_have_is_not_slow() -> None:
    days = ({"byweekday": day % 7, "byhour": day} for day in range(MAX_RULES))
    rules = [in_new_york(freq="MINUTELY", count=10**9 + n, **d) for n, d in enumerate(days)]
    assert is_quick(rrule_set(rules))


@pytest.mark.parametrize("zone", ZONES)
def test_what_never_runs_is_found_out_in_time(zone: Any) -> None:
    start = datetime(2024, 1, 1, tzinfo=zone)
    for arguments in (
        {"freq": "DAILY", "bymonth": 2, "bymonthday": 30},
        {"freq": "SECONDLY", "bymonth": 2, "bymonthday": 30},
        {"freq": "YEARLY", "byeaster": 0, "bymonth": 12},
        {"freq": "WEEKLY", "bymonthday": 1, "bysetpos": 2},
        {"freq": "SECONDLY", "interval": 604_800, "byhour": list(range(2, 23))},
        {"freq": "SECONDLY", "interval": 86_399 * 7, "bymonth": 2, "bymonthday": 30},
        {"freq": "HOURLY", "interval": 12 * 7, "byweekday": 1},
    ):
        made = rrule(dtstart=start, **arguments)  # type: ignore[arg-type]
        assert never_runs(made, NOW), made
        assert is_quick(made), made
