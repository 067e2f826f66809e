"""Days in seconds: a scheduler whose clock is set by hand, on a real server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from celery import Celery
from celery.schedules import crontab

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.storage.schedule_store import store_for

Make = Callable[..., RedBeatScheduler]
FIVE_MINUTES = timedelta(minutes=5)
BERLIN = ZoneInfo("Europe/Berlin")


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now.timestamp()


def scheduled(app: Celery, timing: Any, first: datetime, **more: Any) -> None:
    """An entry that runs first at *first*."""
    RedBeatSchedulerEntry("orders", "shop.record", timing, app=app, **more).save()
    client, score = store_for(app).client, repr(first.timestamp())
    client.zadd("redbeat::schedule", {"redbeat:orders": score})
    client.hset("redbeat:orders", "due", score)


def at_clock(scheduler: RedBeatScheduler, now: datetime) -> Clock:
    clock = Clock(now)
    scheduler.clock.local = clock
    return clock


def step(scheduler: RedBeatScheduler) -> None:
    while scheduler.runner.run().more:
        pass


def told(app: Celery, *types: str) -> list[events.Event]:
    return [event for event in store_for(app).log_after(0, 10_000) if event.type in types]


def runs(app: Celery) -> list[datetime]:
    found = (event.data["nominal"] for event in told(app, events.RUN_DISPATCHED))
    return [datetime.fromtimestamp(nominal, UTC) for nominal in found]


CHANGES = {
    # Policy: the UTC times of 02:30 in Berlin around the changes of spring and autumn 2026.
    "default": ({}, ["03-29T01:30"], ["10-25T00:30"]),
    "skip": ({"nonexistent": "skip"}, [], ["10-25T00:30"]),
    "last": ({"ambiguous": "last"}, ["03-29T01:30"], ["10-25T01:30"]),
    "both": ({"ambiguous": "both"}, ["03-29T01:30"], ["10-25T00:30", "10-25T01:30"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_clock_changes_are_passed_as_the_policy_of_the_entry_says(
    app: Celery, client: redis.Redis, make_scheduler: Make, case: str
) -> None:
    policy, spring, autumn = CHANGES[case]
    for around, expected in ((datetime(2026, 3, 29), spring), (datetime(2026, 10, 25), autumn)):
        client.flushdb()
        scheduler = make_scheduler(timezone="Europe/Berlin")
        noon = around.replace(hour=12, tzinfo=BERLIN).astimezone(UTC)
        first = around.replace(hour=2, minute=30, tzinfo=BERLIN) - timedelta(days=1)
        scheduled(app, crontab(minute=30, hour=2), first.astimezone(UTC), policy=policy)
        scheduler.lease.acquire()
        clock = at_clock(scheduler, noon - timedelta(days=2))
        while clock.now < noon:
            clock.now += timedelta(minutes=15)
            step(scheduler)
        made = [f"{run:%m-%dT%H:%M}" for run in runs(app)]
        assert made[1:] == expected
        assert told(app, events.RUN_MISSED, events.RUN_SKIPPED) == []


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, {"made": 48, "missed": 288}),
        ({"catchup": "all", "catchup_limit": 2000}, {"made": 336, "missed": 0}),
        ({"catchup": "skip"}, {"made": 48, "missed": 288}),
    ],
    ids=["one", "all", "skip"],
)
def test_a_scheduler_is_off_for_a_day_and_comes_back(
    app: Celery,
    make_scheduler: Make,
    policy: dict[str, Any],
    expected: dict[str, int],
) -> None:
    start = datetime(2026, 5, 5, 12, 0, tzinfo=UTC)
    scheduled(app, crontab(minute="*/5"), start, policy=policy)
    scheduler = make_scheduler(redbeat_log_length=100_000)
    scheduler.lease.acquire()
    clock = at_clock(scheduler, start)
    for turn in range(48):
        # For a day nobody looks, after two hours.
        away = timedelta(days=1 if turn >= 24 else 0)
        clock.now = start + away + turn * FIVE_MINUTES + timedelta(seconds=0.2)
        step(scheduler)
    made = runs(app)
    assert len(made) == len(set(made)) == expected["made"]
    gaps = told(app, events.RUN_MISSED, events.RUN_SKIPPED)
    assert sum(event.data["count"] for event in gaps) == expected["missed"]
    ended = set(made)
    for gap in gaps:
        first = datetime.fromtimestamp(gap.data["nominal"], UTC)
        ended |= {first + number * FIVE_MINUTES for number in range(gap.data["count"])}
        assert gap.data["reason"]
    assert ended == {start + number * FIVE_MINUTES for number in range(28 * 12)}
