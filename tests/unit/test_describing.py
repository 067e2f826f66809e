"""Schedules in words that an operator understands at a glance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from celery.schedules import BaseSchedule, crontab, schedule
from hypothesis import given, settings
from hypothesis import strategies as st
from redbeat.schedules import rrule as their_rrule

from redbeat_core.schedules import describe, parse_schedule

from .strategies import crontabs, intervals, rules

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
        (
            "*/5 9-17 * * monday-friday",
            "every 5 minutes, between 09:00 and 17:59, Monday through Friday",
        ),
        ("0 9 * * *", "daily at 09:00"),
        ("0 9 * * mon-fri", "at 09:00, Monday through Friday"),
        ("0 0 1 * *", "at 00:00, on day 1 of the month"),
        ("30 4 1,15 * 5", "at 04:30, on day 1 and 15 of the month, if it is a Friday"),
        (
            "30 4 1-7 * 1,0",
            "at 04:30, between day 1 and 7 of the month, if it is a Monday or Sunday",
        ),
        ("FREQ=DAILY;BYHOUR=9", "daily at 09:00 UTC"),
        ("FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9", "weekly on Mon, Wed at 09:00 UTC"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", "every 2 weeks on Fri at 05:17 UTC"),
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
        ("FREQ=MONTHLY;BYMONTHDAY=1,15;BYHOUR=8", "monthly on day 1, 15 at 08:00 UTC"),
        ("FREQ=MINUTELY;INTERVAL=7", "every 7 minutes"),
        ("FREQ=HOURLY;BYMINUTE=0,30", "every hour at minutes 0, 30 UTC"),
        (
            "FREQ=DAILY;BYHOUR=9,10,11,12,13;BYMINUTE=0",
            "daily at hours 9-13, minute 0 UTC",
        ),
        ("FREQ=DAILY;COUNT=3;BYHOUR=9", "daily at 09:00 UTC 3 times"),
        (
            "DTSTART;TZID=+0530:20260101T090000 FREQ=DAILY;UNTIL=20301231T120000",
            "daily at 09:00 +0530 until 2030-12-31 12:00",
        ),
    ],
)
def test_words(text: str, words: str) -> None:
    assert describe(parse_schedule(text, now=NOW)) == words


def test_a_crontab_that_the_package_does_not_know_is_shown_as_it_is() -> None:
    assert describe(crontab(minute="*/90", hour=[1, 2])) != ""


def test_celery_redbeats_own_rule_is_described() -> None:
    assert (
        describe(their_rrule("DAILY", dtstart=NOW, byhour=9, byminute=0)) == "daily at 09:00:42 UTC"
    )


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


@settings(max_examples=300, deadline=None)
@given(st.one_of(intervals, crontabs, rules()))
def test_every_schedule_has_words_on_one_line(made: BaseSchedule) -> None:
    words = describe(made)
    assert words.strip() == words != ""
    assert "\n" not in words
    assert "<" not in words
