"""Tests that entries enabled directly in Redis are scheduled at their own time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events, rrule
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
SCHEDULE, KEY = "redbeat::schedule", "redbeat:orders"


def look(scheduler: RedBeatScheduler) -> None:
    """Run a whole round of the reconciliation, and the dispatch after it."""
    scheduler._auditor._next = 0.0
    run(scheduler)
    run(scheduler)


def enable(client: redis.Redis) -> None:
    """Enable the definition and change nothing else, as an editor of Redis does."""
    definition = json.loads(client.hget(KEY, "definition") or "")
    client.hset(KEY, "definition", json.dumps({**definition, "enabled": True}))


@pytest.fixture
def scheduler(make_scheduler: Make) -> RedBeatScheduler:
    made = make_scheduler()
    run(made)
    return made


def disabled(client: redis.Redis, app: Celery, schedule: Any, *, meta: bool = False) -> None:
    """Create a disabled entry as another program writes it."""
    RedBeatSchedulerEntry("orders", "shop.record", schedule, app=app, enabled=False).save()
    client.hdel(KEY, "due", *([] if meta else ["meta"]))
    client.zadd(SCHEDULE, {KEY: -1})


@pytest.mark.parametrize("decoded", ["first", "later"])
def test_a_rule_that_never_ran_waits_for_its_first_time(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler, decoded: str
) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=300)
    disabled(client, app, rrule("DAILY", dtstart=start))
    if decoded == "later":
        look(scheduler)
    enable(client)
    look(scheduler)
    assert client.zscore(SCHEDULE, KEY) == start.timestamp()
    assert queued(client) == []


def test_an_interval_that_never_ran_runs_now(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler
) -> None:
    disabled(client, app, 3600.0)
    enable(client)
    look(scheduler)
    assert len(queued(client)) == 1
    assert client.zscore(SCHEDULE, KEY) == pytest.approx(time.time() + 3600, abs=30)


def test_what_came_due_meanwhile_is_one_run_of_its_own_time(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler
) -> None:
    last = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=4000)
    due_entry(app, last_run_at=last, enabled=False)
    client.hdel(KEY, "due")
    enable(client)
    look(scheduler)
    (sent,) = log(app, events.RUN_DISPATCHED)
    assert sent.data["nominal"] == last.timestamp() + 3600
    assert client.zscore(SCHEDULE, KEY) == last.timestamp() + 7200


def test_a_rule_that_is_over_is_left_alone(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler
) -> None:
    disabled(client, app, rrule("DAILY", dtstart=datetime(2020, 1, 1, tzinfo=UTC), count=2))
    client.hset(
        KEY,
        "meta",
        '{"last_run_at": {"__type__": "datetime", "year": 2021, "month": 1, "day": 1}}',
    )
    enable(client)
    look(scheduler)
    assert client.zscore(SCHEDULE, KEY) == -1
    assert queued(client) == []
