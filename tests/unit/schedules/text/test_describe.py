"""Schedules in words that an operator understands at a glance."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule
from hypothesis import given
from redbeat.schedules import rrule as their_rrule

from redbeat_core.schedules import ScheduleError, describe, occurrences, parse_schedule
from redbeat_core.schedules.types.next_run import runs_after
from tests.support.effort import cases, examples, random_numbers
from tests.unit.strategies import schedules

NOW = datetime(2026, 5, 5, 5, 17, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("every 30s", "every 30 seconds"),
        ("every 1s", "every second"),
        ("every 5m", "every 5 minutes"),
        ("every 1h30m", "every 1 hour 30 minutes"),
        ("every 0.5s", "every 0.5 seconds"),
        ("every day", "every day"),
        ("every 5m relative", "every 5 minutes, on the clock"),
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("*/5 9-17 * * monday-friday", "every 5 minutes on weekdays 09-17"),
        ("*/5 9,13 * * *", "every 5 minutes in hours 09, 13"),
        ("*/5 9 * * *", "every 5 minutes in hour 09"),
        ("0 9 * * *", "daily at 09:00"),
        ("0 9,17 * * *", "daily at 09:00 and 17:00"),
        ("0 9 * * mon-fri", "on weekdays at 09:00"),
        ("0 9 * * 1", "on Monday at 09:00"),
        ("0 9 * * 1,3-5", "on Mon, Wed-Fri at 09:00"),
        ("0 9 * * sat,sun", "on weekends at 09:00"),
        ("0 0 1 * *", "on day 1 of the month at 00:00"),
        ("0 0 24 12 *", "on 24 Dec at 00:00"),
        ("0 9 * 6-8 *", "daily in Jun-Aug at 09:00"),
        ("0 * * * *", "every hour"),
        ("15 * * * *", "every hour at :15"),
        ("0,30 * * * *", "every 30 minutes"),
        ("5,35 9-17 * * *", "every hour 09-17 at :05 and :35"),
        ("0 */2 * * *", "every 2 hours"),
        ("10 */6 * * sun", "every 6 hours on Sunday at :10"),
        ("1-10 3,4 * * *", "daily at minutes 1-10 of hours 03, 04"),
        ("30 4 1,15 * 5", "on days 1, 15 of the month if it is a Friday at 04:30"),
        ("30 4 1-7 * 1,0", "on days 1-7 of the month if it is a Monday or Sunday at 04:30"),
        ("0 9 * * * Europe/Berlin", "daily at 09:00 Europe/Berlin"),
        ("*/5 9-17 * * mon-fri Asia/Tokyo", "every 5 minutes on weekdays 09-17 Asia/Tokyo"),
        ("every 5m from 2026-01-01 00:00", "every 5 minutes from 1 Jan 2026 at 00:00 UTC"),
        (
            "at 2026-12-24 18:00 Europe/Berlin",
            "once, on 24 Dec 2026 at 18:00 Europe/Berlin",
        ),
        ("at 2026-12-24 18:00:30+01:00", "once, on 24 Dec 2026 at 18:00:30 +0100"),
        ("sunrise 52.52 13.40", "sunrise at 52.52 N 13.40 E"),
        ("dusk_civil -33.8688 -70.1", "civil dusk at 33.8688 S 70.10 W"),
        ("solar_noon 0 0", "solar noon at 0.00 N 0.00 E"),
        (
            (
                "DTSTART;TZID=Europe/Berlin:20260101T090000 RRULE:FREQ=DAILY "
                "RRULE:FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=12 EXRULE:FREQ=WEEKLY;BYDAY=SA,SU "
                "EXDATE;TZID=Europe/Berlin:20261224T090000"
            ),
            (
                "daily at 09:00 Europe/Berlin; and monthly on day 1 at 12:00 Europe/Berlin; "
                "but not weekly on weekends at 09:00 Europe/Berlin, nor on 24 Dec 2026 at 09:00 "
                "Europe/Berlin"
            ),
        ),
        (
            "RDATE:20260601T090000Z,20260602T090000Z,20260603T090000Z",
            "on 3 dates",
        ),
        ("FREQ=DAILY;COUNT=1;BYHOUR=8", "once, on 5 May 2026 at 08:00 UTC"),
        ("FREQ=DAILY;BYHOUR=9", "daily at 09:00 UTC"),
        ("FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9", "weekly on Mon, Wed at 09:00 UTC"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", "every 2 weeks on Friday at 05:17 UTC"),
        (
            "DTSTART;TZID=Europe/Berlin:20260101T090000 FREQ=MONTHLY;BYDAY=-1FR",
            "last Friday of each month at 09:00 Europe/Berlin",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=9",
            "last weekday of each month at 09:00 UTC",
        ),
        (
            "FREQ=MONTHLY;INTERVAL=3;BYDAY=2TU;BYHOUR=9",
            "second Tuesday of every 3 months at 09:00 UTC",
        ),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=1", "last Sunday of Mar at 01:00 UTC"),
        ("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=25;BYHOUR=8", "yearly on 25 Dec at 08:00 UTC"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=8", "monthly on the last day at 08:00 UTC"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15;BYHOUR=8", "monthly on days 1, 15 at 08:00 UTC"),
        ("FREQ=MINUTELY;INTERVAL=7", "every 7 minutes"),
        ("FREQ=HOURLY;BYMINUTE=0,30", "every hour at :00 and :30 UTC"),
        (
            "FREQ=DAILY;BYHOUR=9,10,11,12,13;BYMINUTE=0",
            "daily at :00 of hours 09-13 UTC",
        ),
        ("FREQ=DAILY;COUNT=3;BYHOUR=9", "daily at 09:00 UTC, 3 times"),
        (
            "DTSTART;TZID=+0530:20260101T090000 FREQ=DAILY;UNTIL=20301231T120000",
            "daily at 09:00 +0530, until 2030-12-31 12:00",
        ),
        ("0 9,12,15,18,21 * * *", "daily at :00 of hours 09, 12, 15, 18, 21"),
        ("5 9,12,15,18,21 * * *", "daily at :05 of hours 09, 12, 15, 18, 21"),
        ("*/20 * * * *", "every 20 minutes"),
        ("*/25 * * * mon", "every hour on Monday at :00, :25 and :50"),
        ("*/9 * * * *", "at minutes 0, 9, 18, 27, 36, 45, 54 of every hour"),
        ("every 90m relative", "every hour, on the clock (1 hour 30 minutes rounded down)"),
        ("every 36h relative", "every day, on the clock (1 day 12 hours rounded down)"),
        (
            "FREQ=YEARLY;BYDAY=MO;BYSETPOS=1;BYMONTH=1,6;BYHOUR=9",
            "every Monday in Jan, Jun at 09:00 UTC, only the first of each year",
        ),
        (
            "FREQ=YEARLY;BYDAY=MO;BYSETPOS=1;BYMONTH=1;BYHOUR=9",
            "first Monday of Jan at 09:00 UTC",
        ),
        (
            "FREQ=MONTHLY;BYDAY=FR;BYSETPOS=-1;BYHOUR=9;BYSECOND=0,30",
            "every Friday at 09:00:00 and 09:00:30 UTC, only the last of each month",
        ),
        ("FREQ=MONTHLY;BYDAY=MO;BYHOUR=9", "every Monday at 09:00 UTC"),
        ("FREQ=YEARLY;BYDAY=MO,WE;BYHOUR=9", "on Mon, Wed at 09:00 UTC"),
        ("FREQ=DAILY;BYDAY=FR;BYHOUR=9", "every Friday at 09:00 UTC"),
        ("FREQ=DAILY;INTERVAL=2;BYDAY=FR;BYHOUR=9", "every 2 days, only on Friday at 09:00 UTC"),
        (
            "FREQ=MONTHLY;INTERVAL=2;BYDAY=MO;BYHOUR=9",
            "in every second month, every Monday at 09:00 UTC",
        ),
        ("FREQ=YEARLY;BYMONTHDAY=1;BYHOUR=9", "on day 1 of every month at 09:00 UTC"),
        (
            "FREQ=YEARLY;BYMONTHDAY=1,-1;BYMONTH=2,3;BYHOUR=9",
            "yearly on day 1 and the last day of Feb, Mar at 09:00 UTC",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR;BYHOUR=9",
            "monthly on day 13 if it is a Friday at 09:00 UTC",
        ),
        ("FREQ=YEARLY;BYWEEKNO=20;BYHOUR=9", "every day in week 20 at 09:00 UTC"),
        (
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO;BYHOUR=9",
            "yearly on Monday in week 20 at 09:00 UTC",
        ),
        ("FREQ=YEARLY;BYEASTER=-2;BYHOUR=9", "yearly 2 days before Easter at 09:00 UTC"),
        (
            "FREQ=YEARLY;BYEASTER=0,1;BYHOUR=9",
            "yearly 1 day after Easter and on Easter Sunday at 09:00 UTC",
        ),
        (
            "FREQ=YEARLY;BYYEARDAY=1,-1;BYHOUR=9",
            "yearly on day 1 and the last day of the year at 09:00 UTC",
        ),
        ("FREQ=SECONDLY;BYSECOND=0,30", "every minute at seconds 0, 30 UTC"),
        ("FREQ=MINUTELY;BYMINUTE=0,30", "every hour at :00 and :30 UTC"),
        (
            "FREQ=HOURLY;BYHOUR=9,10,11;BYDAY=MO,TU,WE,TH,FR",
            "every hour on weekdays in hours 09-11 at :00 UTC",
        ),
        ("FREQ=MONTHLY;BYDAY=1MO,3MO;BYHOUR=8", "monthly on the first Mon and the third Mon at "),
        ("FREQ=MONTHLY;BYDAY=MO,-1FR;BYHOUR=8", "monthly on every Mon and the last Fri at "),
        (
            "FREQ=MONTHLY;BYDAY=MO,WE;BYSETPOS=1,-1;BYHOUR=8",
            "on Mon, Wed at 08:00 UTC, only the first and last of each month",
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=-2;BYHOUR=8", "monthly on the second last day at "),
        ("FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO;BYHOUR=8", "yearly on Monday in weeks 1, 53 at "),
        ("FREQ=DAILY;BYHOUR=8,20", "daily at 08:00 and 20:00 UTC"),
        ("0 9 */2 * *", "on days 1, 3, 5 ... 31 of the month at 09:00"),
        ("*/2 */2 * * *", "every 2 minutes in hours 00, 02, 04 ... 22"),
        ("1,2,3,4,5,6 8 * * *", "daily at minutes 1-6 of hour 08"),
    ],
)
def test_words(text: str, words: str) -> None:
    found = describe(parse_schedule(text, now=NOW))
    assert found == (f"{words}08:00 UTC" if words.endswith(" ") else words)


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def days_told(words: str) -> set[int]:
    """The weekdays, from Monday 0, that a description names; all where it names none."""
    if "weekdays" in words:
        return set(range(5))
    if "weekends" in words:
        return {5, 6}
    found: set[int] = set()
    for first, last in re.findall(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\w*(?:-(\w{3}))?", words):
        low = DAYS.index(first)
        found |= set(range(low, DAYS.index(last or first) + 1))
    return found or set(range(7))


def numbers_told(text: str) -> set[int]:
    """``1-5, 8`` as numbers."""
    found: set[int] = set()
    for low, high in re.findall(r"(\d+)(?:-(\d+))?", text):
        found |= set(range(int(low), int(high or low) + 1))
    return found


def times_told(words: str) -> set[tuple[int, int]]:
    """The times of day that a description names, in any of its forms."""
    if found := re.findall(r"\b(\d\d):(\d\d)\b", words):
        return {(int(hour), int(minute)) for hour, minute in found}
    hours = set(range(24))
    # After the days or the frequency, where nothing stands between.
    bare = r"(?:every (?:hour|minute|\d+ minutes)|day|days|ends|Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
    if told := re.search(rf"(?:(?:in|of) hours? |{bare})(\d\d[-\d, ]*)", words):
        hours = numbers_told(told[1])
    if step := re.search(r"every (\d+) hours", words):
        hours = set(range(0, 24, int(step[1])))
    minutes = {0}
    if told := re.search(r"at minutes ([\d, -]+)", words):
        minutes = numbers_told(told[1])
    elif found := re.findall(r" :(\d\d)", words):
        minutes = {int(minute) for minute in found}
    elif step := re.search(r"every (\d+) minutes", words):
        minutes = set(range(0, 60, int(step[1])))
    elif "every minute" in words:
        minutes = set(range(60))
    return {(hour, minute) for hour in hours for minute in minutes}


def some(dice: random.Random, size: int, most: int) -> str:
    """Numbers as a field of a crontab: a few, a range or a step."""
    kind = dice.randrange(4)
    if kind == 0:
        low = dice.randrange(size - 1)
        return f"{low}-{dice.randrange(low + 1, size)}"
    if kind == 1:
        return f"*/{dice.choice([n for n in (2, 3, 4, 6, 12, 15, 20, 30) if n < size])}"
    return ",".join(map(str, sorted(dice.sample(range(size), dice.randrange(1, most)))))


def check_against_the_runs(made: BaseSchedule, days: set[int], runs: list[datetime]) -> None:
    words = describe(made)
    if " ... " in words:
        return
    assert {run.weekday() for run in runs} == days_told(words) == days, words
    assert {(run.hour, run.minute) for run in runs} == times_told(words), words


def within_weeks(made: BaseSchedule) -> list[datetime]:
    end = NOW + timedelta(days=15)
    found = []
    for run in runs_after(made, NOW):
        if run > end:
            break
        found.append(run)
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(cases(60)))
def test_the_days_and_times_in_the_words_of_a_crontab_are_those_of_its_runs(seed: int) -> None:
    dice = random_numbers(seed)
    days = dice.choice([{*range(7)}, {*range(5)}, {5, 6}, {*dice.sample(range(7), 2)}, {seed % 7}])
    field = ",".join(str((day + 1) % 7) for day in days) if len(days) < 7 else "*"
    minute = dice.choice(["0", "30", some(dice, 60, 7)])
    made = parse_schedule(f"{minute} {dice.choice(['*', some(dice, 24, 7)])} * * {field}", now=NOW)
    made.app = Celery(set_as_current=False)
    check_against_the_runs(made, days, within_weeks(made))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(cases(60)))
def test_the_days_and_times_in_the_words_of_a_rule_are_those_of_its_runs(seed: int) -> None:
    dice = random_numbers(seed)
    days = {*dice.sample(range(7), dice.randrange(1, 6))}
    named = ",".join(("MO", "TU", "WE", "TH", "FR", "SA", "SU")[day] for day in days)
    hours = ",".join(map(str, dice.sample(range(24), dice.randrange(1, 6))))
    minutes = ",".join(map(str, dice.sample(range(60), dice.randrange(1, 6))))
    freq = dice.choice(("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"))
    text = f"FREQ={freq};BYDAY={named};BYHOUR={hours};BYMINUTE={minutes}"
    made = parse_schedule(text, now=NOW)
    check_against_the_runs(made, days, within_weeks(made))


def test_a_crontab_of_lists_has_words() -> None:
    assert describe(crontab(minute="*/90", hour=[1, 2])) != ""


def test_celery_redbeats_own_rule_is_described() -> None:
    assert (
        describe(their_rrule("DAILY", dtstart=NOW, byhour=9, byminute=0)) == "daily at 09:00:42 UTC"
    )


def test_what_is_said_of_the_sun_can_be_typed() -> None:
    for text in ("sunrise 52.52 13.4", "dusk_civil -33.87 -70.25"):
        made = parse_schedule(text, now=NOW)
        event = text.split()[0]
        assert parse_schedule(f"{event} at {describe(made).partition(' at ')[2]}") == made


class Broken(BaseSchedule):
    """A user's own schedule with a fault."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Tides(BaseSchedule):
    """A user's own schedule."""

    def __repr__(self) -> str:
        return "<tides: at 0x7f00 in Brest>"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Broken(), "Broken"),
        (Tides(), "tides:  in Brest"),
        (schedule(0), "every 0 seconds"),
        (None, "None"),
    ],
)
def test_anything_is_described_without_an_error(made: Any, words: str) -> None:
    assert describe(made) == words


@examples(300)
@given(schedules())
def test_every_schedule_has_words_on_one_line(made: BaseSchedule) -> None:
    words = describe(made)
    assert words.strip() == words != ""
    assert "\n" not in words
    assert "<" not in words


@pytest.mark.thorough
def test_rules_in_the_same_words_occur_at_the_same_times() -> None:
    """Thousands of rules of few parts, so that many have their words in common."""
    dice = random_numbers()
    runs: dict[str, tuple[str, list[datetime]]] = {}
    shared = 0
    choices = {
        "FREQ": ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"),
        "INTERVAL": ("2",),
        "BYMONTH": ("5", "1,6"),
        "BYMONTHDAY": ("5", "1,-1"),
        "BYDAY": ("MO", "FR", "MO,WE", "MO,TU,WE,TH,FR"),
        "BYSETPOS": ("1", "-1", "1,2"),
        "BYWEEKNO": ("20",),
        "BYEASTER": ("-2", "0"),
        "BYSECOND": ("0,30",),
    }
    for _ in range(cases(2000, enough=2000)):
        names = ["FREQ", *dice.sample(list(choices)[1:], dice.randrange(5))]
        text = ";".join(f"{name}={dice.choice(choices[name])}" for name in names)
        try:
            made = parse_schedule(text, now=NOW)
        except ScheduleError:
            continue
        times = occurrences(made, anchor=None, now=NOW, count=12)
        words, (other, others) = describe(made), runs.setdefault(describe(made), (text, times))
        shared += other != text
        assert others == times, f"{words!r}: {other} and {text}"
    assert shared > 100


@pytest.mark.parametrize(("text", "hours"), [("every 90m relative", 1), ("every 36h relative", 24)])
def test_an_interval_on_the_clock_is_as_long_as_its_words_say(text: str, hours: int) -> None:
    times = occurrences(parse_schedule(text, now=NOW), anchor=NOW, now=NOW, count=3)
    assert times[2] - times[1] == timedelta(hours=hours)
