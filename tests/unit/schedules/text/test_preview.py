"""What is to come of a schedule, within a time bound, and what changes of the clock do to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery

from redbeat_core.schedules import (
    BaseSchedule,
    DstPolicy,
    clock_effects,
    outlook,
    parse_schedule,
)

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)


def effects(text: str, start: datetime, **policy: Any) -> list[tuple[str, str, bool]]:
    app = Celery(set_as_current=False)
    app.conf.timezone = "Europe/Berlin"
    made = parse_schedule(text, BERLIN, now=start)
    made.app = app
    dst = DstPolicy(**policy)
    runs = outlook(made, start, 30, 10, anchor=start, dst=dst).times
    return [
        (effect.at.astimezone(BERLIN).strftime("%d %H:%M"), effect.text, effect.runs)
        for effect in clock_effects(made, BERLIN, start, runs, dst)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "30 2 * * *",
        "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
        "DTSTART:20260101T023000 RRULE:FREQ=DAILY EXDATE:20260401T023000",
    ],
)
def test_what_goes_by_the_wall_is_told_what_was_done(text: str) -> None:
    shifted = "02:30 does not exist: shifted by 1 h"
    assert effects(text, SPRING) == [("29 03:30", shifted, True)]
    skipped = "02:30 does not exist: skipped"
    assert effects(text, SPRING, nonexistent="skip") == [("29 03:30", skipped, False)]
    first = "02:30 comes twice: runs once, the first time"
    assert effects(text, AUTUMN) == [("25 02:30", first, True)]
    assert effects(text, AUTUMN, ambiguous="both") == [
        ("25 02:30", "02:30 comes twice: run 1 of 2", True),
        ("25 02:30", "02:30 comes twice: run 2 of 2", True),
    ]


@pytest.mark.parametrize("text", ["0 * * * *", "every 1h", "FREQ=HOURLY;BYMINUTE=0"])
def test_what_runs_on_elapsed_time_goes_on_evenly(text: str) -> None:
    ((_, spring, _),) = effects(text, SPRING)
    assert spring == "the clock went forward by 1 h before this: elapsed time goes on evenly"
    ((_, autumn, _),) = effects(text, AUTUMN)
    assert "went back by 1 h" in autumn


@pytest.mark.parametrize("text", ["at 2026-12-24 18:00", "sunset 52.5 13.4", "0 9 * * *"])
def test_what_no_change_touches_is_not_marked(text: str) -> None:
    assert effects(text, AUTUMN) == []


def test_the_average_gap_is_between_the_runs_shown() -> None:
    made = parse_schedule("0 0,6 * * * UTC", now=SPRING)
    found = outlook(made, SPRING, 5, 10)
    assert found.average_gap == timedelta(hours=12)
    assert found.complete


def test_a_schedule_that_ends_is_complete() -> None:
    made = parse_schedule("FREQ=DAILY;COUNT=3", now=SPRING)
    found = outlook(made, SPRING, 5, 10)
    assert (len(found.times), found.complete) == (3, True)
    once = outlook(parse_schedule("at 2026-12-24 18:00", now=SPRING), SPRING, 5, 10)
    assert (len(once.times), once.average_gap, once.complete) == (1, None, True)
    over = outlook(parse_schedule("at 2026-12-24 18:00", now=SPRING), once.times[0], 5, 10)
    assert (over.times, over.complete) == ((), True)


def test_one_search_that_takes_long_does_not_exceed_the_bound() -> None:
    asked: list[datetime] = []
    go_on = Event()

    class Slow(BaseSchedule):
        """A schedule of a user's own that thinks for long about its third run."""

        def remaining_estimate(self, last_run_at: datetime) -> timedelta:
            asked.append(last_run_at)
            if len(asked) == 3:
                go_on.wait(60)
            now: datetime = self.now()
            return last_run_at + timedelta(minutes=1) - now

    started = time.monotonic()
    found = outlook(Slow(), datetime.now(UTC), 10, 0.5)
    took = time.monotonic() - started
    assert (len(found.times), found.complete) == (2, False)
    assert found.average_gap is not None
    assert took < 10
    # When it has come to its end no other follows.
    threads = [thread for thread in enumerate_threads() if thread.name == "redbeat-outlook"]
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(asked) == 3


def test_what_a_schedule_raises_is_not_swallowed() -> None:
    class Faulty(BaseSchedule):
        def remaining_estimate(self, last_run_at: datetime) -> timedelta:
            raise RuntimeError("no tide tables")

    with pytest.raises(RuntimeError, match="no tide tables"):
        outlook(Faulty(), SPRING, 5, 10)


def test_it_says_what_the_schedule_is_in_words() -> None:
    assert outlook(parse_schedule("0 9 * * mon-fri"), SPRING, 5, 10).words == (
        "on weekdays at 09:00"
    )


@pytest.mark.parametrize(
    "excluded",
    ["EXDATE;TZID=Europe/Berlin:20260329T023000", "EXRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"],
)
def test_a_skipped_time_that_is_excluded_anyway_is_not_told(excluded: str) -> None:
    start = "DTSTART;TZID=Europe/Berlin:20260101T023000 RRULE:FREQ=DAILY"
    (skipped,) = effects(start, SPRING, nonexistent="skip")
    assert skipped[1] == "02:30 does not exist: skipped"
    assert effects(f"{start} {excluded}", SPRING, nonexistent="skip") == []
    assert effects(f"{start} {excluded}", SPRING) == []
