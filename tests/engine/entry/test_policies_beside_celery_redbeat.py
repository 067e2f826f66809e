"""Tests that celery-redbeat reads entries with a policy, and keeps the policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import redis
from celery import Celery
from redbeat.schedulers import RedBeatSchedulerEntry as TheirEntry

from redbeat_core import RedBeatScheduler
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, queued, run

Make = Callable[..., RedBeatScheduler]
KEY = "redbeat:orders"
SCHEDULE = "redbeat::schedule"


def test_the_original_runs_an_entry_with_a_policy_and_leaves_it_there(
    app: Celery, url: str, client: redis.Redis, make_scheduler: Make
) -> None:
    policy = {"catchup": "all", "jitter": 3000, "max_runs": 2}
    due_entry(app, every=3600.0, last_run_at=datetime.now(UTC), policy=policy)
    text = client.hget(KEY, "policy")
    Operations(store_for(app), app=app).edit_policy("orders", {"jitter": 2000})
    put_off = client.zscore(SCHEDULE, KEY)
    theirs = Celery("theirs", broker=url, set_as_current=False)
    theirs.conf.update(redbeat_redis_url=url, timezone="UTC")
    entry = TheirEntry.from_key(KEY, app=theirs)
    assert entry.task == "shop.record"
    assert not entry.is_due().is_due
    # A run as celery-redbeat's scheduler makes it, which ignores jitter.
    entry.next()
    assert client.hget(KEY, "policy") != text
    assert client.hget(KEY, "policy") == '{"catchup": "all", "jitter": 2000, "max_runs": 2}'
    assert client.zscore(SCHEDULE, KEY) != put_off
    # Its run is counted: the next run is the last one.
    came = int(time.time()) - 5
    client.zadd(SCHEDULE, {KEY: came})
    long_ago = '{"last_run_at": {"__type__": "datetime", "year": 2026, "month": 1, "day": 1, '
    long_ago += '"hour": 0, "minute": 0, "second": 0, "microsecond": 0, "timezone": "UTC"}, '
    client.hset(KEY, "meta", long_ago + '"total_run_count": 1}')
    Operations(store_for(app), app=app).edit_policy("orders", {"catchup": "one", "jitter": 0})
    run(make_scheduler())
    (message,) = queued(client)
    assert message["headers"]["redbeat"]["entry"] == "orders"
    assert client.zscore(SCHEDULE, KEY) == -1
