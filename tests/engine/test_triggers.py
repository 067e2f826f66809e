"""Run-now requests: taken once, beside the schedule, each with an end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.operations import Operations
from redbeat_core.store import store_for
from tests.support.stepping import log, queued, run

Make = Callable[..., RedBeatScheduler]


def test_a_trigger_is_sent_once_and_leaves_the_schedule_alone(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    before = client.hgetall("redbeat:orders"), client.zscore("redbeat::schedule", "redbeat:orders")
    trigger = Operations(store_for(app), app=app).trigger("orders")
    scheduler = make_scheduler()
    run(scheduler)
    run(scheduler)
    (message,) = queued(client)
    assert message["headers"]["redbeat"]["trigger"] == trigger
    (event,) = log(app, events.RUN_DISPATCHED)
    assert event.data["trigger"] == trigger
    assert event.data["task_id"] == message["headers"]["id"]
    assert client.xlen("redbeat::triggers") == 0
    after = client.hgetall("redbeat:orders"), client.zscore("redbeat::schedule", "redbeat:orders")
    assert after == before


def test_a_paused_entry_can_be_triggered(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    operations = Operations(store_for(app), app=app)
    operations.pause("orders")
    operations.trigger("orders")
    run(make_scheduler())
    assert len(queued(client)) == 1


def test_a_trigger_that_came_too_late_is_missed(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    long_ago = Operations(store_for(app), app=app, clock=lambda: time.time() - 7200)
    trigger = long_ago.trigger("orders")
    run(make_scheduler())
    assert queued(client) == []
    (missed,) = log(app, events.RUN_MISSED)
    assert missed.data["trigger"] == trigger
    assert client.xlen("redbeat::triggers") == 0


def test_a_trigger_of_what_is_gone_or_broken_fails_and_is_taken(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    for name in ("gone", "broken"):
        RedBeatSchedulerEntry(name, "shop.record", 3600.0, app=app).save()
        Operations(store_for(app), app=app).trigger(name)
    store_for(app).delete("gone")
    client.hset("redbeat:broken", "definition", "{oops")
    client.xadd("redbeat::triggers", {"request": "no json"})
    client.xadd("redbeat::triggers", {"other": "field"})
    run(make_scheduler())
    assert queued(client) == []
    assert client.xlen("redbeat::triggers") == 0
    reasons = {event.subject: event.data["reason"] for event in log(app, events.RUN_FAILED)}
    assert "gone" in reasons["gone"]
    assert "not JSON" in reasons["broken"]


@pytest.mark.parametrize(
    "request_text",
    [
        '{"id": "x", "name": "orders", "at": 1' + "0" * 400 + "}",
        '{"id": "x", "name": "\\ud800", "at": 1}',
        '{"id": "\\ud800", "name": "orders", "at": 1}',
        '{"id": "x", "name": "orders", "at": NaN}',
        '{"id": "x", "name": "orders", "at": 1e999}',
        '{"id": "x", "name": "orders", "at": true}',
        '{"id": "x", "name": "orders"}',
        '{"id": "x", "name": ["orders"], "at": 1}',
        "[]",
        "",
    ],
)
def test_an_odd_request_is_taken_and_harms_nobody(
    app: Celery, client: redis.Redis, make_scheduler: Make, request_text: str
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    client.xadd("redbeat::triggers", {"request": request_text})
    Operations(store_for(app), app=app).trigger("orders")
    run(make_scheduler())
    assert len(queued(client)) == 1
    assert client.xlen("redbeat::triggers") == 0
    for event in store_for(app).client.xrange("redbeat::log"):
        json.loads(event[1]["event"], parse_constant=pytest.fail)


def test_requests_that_fail_do_not_keep_others_waiting(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    operations = Operations(store_for(app), app=app)
    for name in ("bad1", "bad2", "bad3", "good"):
        options = {"serializer": "no-such-serializer"} if name != "good" else {}
        RedBeatSchedulerEntry(name, "shop.record", 3600.0, options=options, app=app).save()
        operations.trigger(name)
    run(make_scheduler(redbeat_batch_size=2))
    assert [message["headers"]["redbeat"]["entry"] for message in queued(client)] == ["good"]


def test_the_scheduler_says_when_a_request_is_too_old(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    earlier = Operations(store_for(app), app=app, clock=lambda: time.time() - 60)
    earlier.trigger("orders")
    run(make_scheduler(redbeat_trigger_expires=30))
    assert queued(client) == []
    assert len(log(app, events.RUN_MISSED)) == 1
