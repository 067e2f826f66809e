"""Run-now requests that differ from their entry, or count as its last run."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.entity import Exchange, Queue

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.entries.codec import decode_meta
from redbeat_core.operations import InvalidRequestError, Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
# kombu has no types.
new_queue: Any = Queue
new_exchange: Any = Exchange


def body(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The args and kwargs of a message."""
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    return args, kwargs


def saved(app: Celery, **more: Any) -> Operations:
    """The operations of an app whose schedule has the entry ``orders``."""
    RedBeatSchedulerEntry(
        "orders", "shop.record", 3600.0, args=[1], kwargs={"dry": True}, app=app, **more
    ).save()
    return Operations(store_for(app), app=app)


def counts(client: redis.Redis) -> dict[str, Any]:
    return decode_meta(client.hget("redbeat:orders", "meta"))  # type: ignore[arg-type]


def test_a_run_on_request_has_the_arguments_that_were_asked_for(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    operations = saved(app)
    operations.trigger("orders", args=["ü", [2, {"a": None}]])
    operations.trigger("orders", kwargs={"dry": False})
    operations.trigger("orders", args=[], kwargs={})
    operations.trigger("orders")
    run(make_scheduler())
    assert [body(message) for message in queued(client)[::-1]] == [
        (["ü", [2, {"a": None}]], {"dry": True}),
        ([1], {"dry": False}),
        ([], {}),
        ([1], {"dry": True}),
    ]


def test_what_was_asked_for_once_is_not_asked_for_again(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    operations = saved(app, options={"priority": 3})
    before = client.hget("redbeat:orders", "definition")
    operations.trigger("orders", args=[2], queue="elsewhere")
    scheduler = make_scheduler()
    run(scheduler)
    assert client.hget("redbeat:orders", "definition") == before
    client.hset("redbeat:orders", "due", "1000.0")
    client.zadd("redbeat::schedule", {"redbeat:orders": 1000.0})
    run(scheduler)
    messages = [
        json.loads(text) for key in client.keys("shop*") for text in client.lrange(key, 0, -1)
    ]
    assert [body(message) for message in messages] == [([1], {"dry": True})]


def test_a_run_on_request_goes_to_the_queue_that_was_asked_for(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    options = {"exchange": "other", "routing_key": "other", "priority": 0}
    saved(app, options=options).trigger("orders", queue="elsewhere")
    run(make_scheduler())
    (message,) = queued(client, "elsewhere")
    assert message["properties"]["delivery_info"]["routing_key"] == "elsewhere"


@pytest.mark.parametrize("attributes", [False, True])
def test_a_request_for_a_queue_goes_there_whatever_routes_or_task_say(
    app: Celery, client: redis.Redis, make_scheduler: Make, attributes: bool
) -> None:
    there = {"exchange": "things", "exchange_type": "topic", "routing_key": "thing.one"}
    topics = new_exchange("topics", type="topic")
    queues = [
        new_queue("bound", new_exchange("things"), routing_key="thing.one"),
        new_queue("elsewhere"),
        new_queue("by topic", topics, routing_key="things.#"),
    ]
    conf: dict[str, Any] = {"task_queues": [*queues, new_queue("shop")]}
    if not attributes:
        conf["task_routes"] = {"shop.special": there}
    RedBeatSchedulerEntry("orders", "shop.special", 3600.0, app=app).save()
    operations = Operations(store_for(app), app=app)
    for queue in ("elsewhere", "by topic"):
        operations.trigger("orders", queue=queue)
    scheduler = make_scheduler(**conf)

    @scheduler.app.task(name="shop.special", shared=False, **(there if attributes else {}))
    def special() -> None: ...

    run(scheduler)
    assert len(queued(client, "elsewhere")) == len(queued(client, "by topic")) == 1
    assert not client.exists("bound", "shop")
    assert len(log(app, events.RUN_DISPATCHED)) == 2


def test_a_queue_that_the_app_does_not_know_is_a_failure_with_its_reason(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    trigger = saved(app).trigger("orders", queue="typo")
    run(make_scheduler(task_create_missing_queues=False))
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.data["trigger"] == trigger
    assert "typo" in failed.data["reason"]


def test_a_time_among_the_arguments_stays_one(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    saved(app).trigger("orders", args=[moment])
    run(make_scheduler())
    (message,) = queued(client)
    assert "2026-01-02T03:04:05" in json.dumps(body(message))


def test_the_event_of_a_request_tells_what_was_asked_for(app: Celery) -> None:
    operations = saved(app)
    trigger = operations.trigger(
        "orders",
        note="again",
        args=[2],
        kwargs={"text": "x" * 5000},
        queue="q",
        expires=60,
        count_run=True,
    )
    (event,) = log(app, events.RUN_REQUESTED)
    assert event.data == {
        "trigger": trigger,
        "actor": operations.actor,
        "note": "again",
        "args": [2],
        "kwargs": "(5012 characters)",
        "queue": "q",
        "expires": 60,
        "count_run": True,
    }


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"args": "text"}, "args must be a list"),
        ({"args": {1, 2}}, "args must be a list"),
        ({"args": [object()]}, "args cannot be written as JSON"),
        ({"args": [float("nan")]}, "args cannot be written as JSON"),
        ({"args": ["\ud800"]}, "half a character"),
        ({"args": ["x" * 300_000]}, "262144 at most"),
        ({"kwargs": [1]}, "kwargs must be an object"),
        ({"kwargs": {1: 2}}, "texts as keys"),
        ({"kwargs": {"a": {1: 2}}}, "texts as keys"),
        ({"queue": ""}, "queue must be a text"),
        ({"queue": 5}, "queue must be a text"),
        ({"expires": 0}, "expires must be a number of seconds"),
        ({"expires": "60"}, "expires must be a number of seconds"),
        ({"expires": float("inf")}, "expires must be a number of seconds"),
        ({"expires": True}, "expires must be a number of seconds"),
        ({"count_run": 1}, "count_run must be true or false"),
    ],
)
def test_a_request_that_cannot_be_is_refused_with_its_reason(
    app: Celery, client: redis.Redis, asked: dict[str, Any], reason: str
) -> None:
    operations = saved(app)
    with pytest.raises(InvalidRequestError, match=reason) as refused:
        operations.trigger("orders", **asked)
    assert "nothing is requested" in str(refused.value)
    assert client.xlen("redbeat::triggers") == 0
    assert log(app, events.RUN_REQUESTED) == []


# What a run on request counts as


@pytest.mark.parametrize("mode", ["auto", "at-least-once", "at-most-once"])
def test_a_run_that_is_to_count_is_the_last_run_and_leaves_the_next_where_it_is(
    app: Celery, client: redis.Redis, make_scheduler: Make, mode: str
) -> None:
    operations = saved(app, total_run_count=0)
    next_run = client.zscore("redbeat::schedule", "redbeat:orders")
    before = datetime.now(UTC)
    operations.trigger("orders")
    operations.trigger("orders", count_run=True)
    run(make_scheduler(redbeat_delivery=mode))
    assert len(queued(client)) == 2
    meta = counts(client)
    assert meta["total_run_count"] == 1
    assert before <= meta["last_run_at"] <= datetime.now(UTC)
    assert client.zscore("redbeat::schedule", "redbeat:orders") == next_run
    counted = [event for event in log(app, events.RUN_DISPATCHED) if "fields" in event.data]
    (event,) = counted
    assert event.data["fields"] == {"meta": client.hget("redbeat:orders", "meta")}
    assert event.data["score"] == next_run


def test_runs_that_count_do_so_each(app: Celery, client: redis.Redis, make_scheduler: Make) -> None:
    operations = saved(app)
    for _ in range(5):
        operations.trigger("orders", count_run=True)
    due_entry(app)
    run(make_scheduler())
    assert len(queued(client)) == 6
    assert counts(client)["total_run_count"] == 6
    assert client.xlen("redbeat::triggers") == 0


def test_a_run_that_counts_does_not_move_what_another_program_scheduled(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    operations = saved(app, last_run_at=datetime.now(UTC) - timedelta(minutes=30))
    next_run = client.zscore("redbeat::schedule", "redbeat:orders")
    assert next_run is not None
    # celery-redbeat's own: it knows no `due`, and writes whole seconds.
    client.hdel("redbeat:orders", "due")
    client.zadd("redbeat::schedule", {"redbeat:orders": int(next_run)})
    operations.trigger("orders", count_run=True)
    run(make_scheduler())
    after = client.zscore("redbeat::schedule", "redbeat:orders")
    assert after == pytest.approx(next_run, abs=0.001)
    assert client.hget("redbeat:orders", "due") == repr(after)


def test_a_count_that_another_run_made_stale_is_taken_anew(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    operations = saved(app)
    scheduler = make_scheduler()
    run(scheduler)
    operations.trigger("orders", count_run=True)
    commit = scheduler.store.commit

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        del scheduler.store.commit
        entry = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
        entry.next()
        return commit(*args, **kwargs)

    scheduler.store.commit = meanwhile  # type: ignore[method-assign]
    run(scheduler)
    assert counts(client)["total_run_count"] == 2
    assert len(queued(client)) == 1
