"""Run-now requests: taken once, beside the schedule, each with an end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.entries.codec import encode_meta
from redbeat_core.operations import OperationError, Operations, TooManyRequestsError
from redbeat_core.storage.leader_store import Claim
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
TRIGGERS = "redbeat::triggers"


def make_older(client: redis.Redis, seconds: float) -> None:
    """Let the requests that wait have come earlier, by Redis's clock."""
    waiting: Any = client.xrange(TRIGGERS)
    client.delete(TRIGGERS)
    for stream_id, fields in waiting:
        moment, _, number = stream_id.partition("-")
        client.xadd(TRIGGERS, fields, id=f"{int(moment) - int(seconds * 1000)}-{number}")


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
    assert client.xlen(TRIGGERS) == 0
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
    trigger = Operations(store_for(app), app=app).trigger("orders")
    make_older(client, 7200)
    run(make_scheduler())
    assert queued(client) == []
    (missed,) = log(app, events.RUN_MISSED)
    assert missed.data["trigger"] == trigger
    assert client.xlen(TRIGGERS) == 0


def test_a_trigger_of_what_is_gone_or_broken_fails_and_is_taken(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    for name in ("gone", "broken"):
        RedBeatSchedulerEntry(name, "shop.record", 3600.0, app=app).save()
        Operations(store_for(app), app=app).trigger(name)
    store_for(app).delete("gone")
    client.hset("redbeat:broken", "definition", "{oops")
    client.xadd(TRIGGERS, {"request": "no json"})
    client.xadd(TRIGGERS, {"other": "field"})
    run(make_scheduler())
    assert queued(client) == []
    assert client.xlen(TRIGGERS) == 0
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
        '{"id": ["x"], "name": "orders", "at": 1}',
        '{"id": "x", "name": "orders", "at": 1, "args": "no list"}',
        '{"id": "x", "name": "orders", "at": 1, "args": ["\\ud800"]}',
        '{"id": "x", "name": "orders", "at": 1, "args": [NaN]}',
        '{"id": "x", "name": "orders", "at": 1, "args": [{"__type__": "datetime"}]}',
        '{"id": "x", "name": "orders", "at": 1, "kwargs": [1]}',
        '{"id": "x", "name": "orders", "at": 1, "queue": 5}',
        '{"id": "x", "name": "orders", "at": 1, "expires": "soon"}',
        '{"id": "x", "name": "orders", "at": 1, "expires": -1}',
        '{"id": "x", "name": "orders", "at": 1, "count_run": "yes"}',
        "[" * 100_000,
        "1" * 10_000,
        "[]",
        "",
    ],
)
def test_an_odd_request_is_taken_and_harms_nobody(
    app: Celery, client: redis.Redis, make_scheduler: Make, request_text: str
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    client.xadd(TRIGGERS, {"request": request_text})
    Operations(store_for(app), app=app).trigger("orders")
    run(make_scheduler())
    assert len(queued(client)) == 1
    assert client.xlen(TRIGGERS) == 0
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
    Operations(store_for(app), app=app).trigger("orders")
    make_older(client, 60)
    run(make_scheduler(redbeat_trigger_expires=30))
    assert queued(client) == []
    assert len(log(app, events.RUN_MISSED)) == 1


def test_a_clock_that_differs_makes_no_request_too_old(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    Operations(store_for(app), app=app, clock=lambda: 1000.0).trigger("orders")
    run(make_scheduler())
    (message,) = queued(client)
    now = store_for(app).server_time()
    assert now - 60 < message["headers"]["redbeat"]["nominal"] <= now


def test_an_old_request_is_missed_with_its_own_expiry(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    operations = Operations(store_for(app), app=app)
    short = operations.trigger("orders", expires=30)
    operations.trigger("orders", expires=86400)
    make_older(client, 7200)
    run(make_scheduler())
    assert len(queued(client)) == 1
    (missed,) = log(app, events.RUN_MISSED)
    assert missed.data["trigger"] == short
    assert missed.data["count"] == 1
    assert missed.data["nominal"] == missed.data["last"]
    assert "within 30 s" in missed.data["reason"]


def test_a_request_goes_ahead_of_ten_thousand_that_are_due(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("urgent", "shop.record", 3600.0, app=app).save()
    scheduler = make_scheduler()
    for number in range(5):
        # So that what follows is filled.
        due_entry(app, f"first {number}", args=[number])
    run(scheduler)
    client.delete("shop")
    definition = client.hget("redbeat:urgent", "definition")
    meta = encode_meta({"last_run_at": datetime.now(UTC), "total_run_count": 1})
    at = repr(round(time.time(), 1) - 1)
    pipe = client.pipeline(transaction=False)
    for number in range(10_000):
        name = f"entry {number}"
        text = str(definition).replace('"urgent"', json.dumps(name), 1)
        fields: Any = {"definition": text, "due": at, "meta": meta}
        pipe.hset(f"redbeat:{name}", mapping=fields)
        pipe.zadd("redbeat::schedule", {f"redbeat:{name}": float(at)})
    pipe.execute()
    scheduler._step()
    begun = client.llen("shop")
    assert 0 < begun < 10_000
    Operations(store_for(app), app=app).trigger("urgent")
    scheduler._step()
    following = queued(client)[::-1][begun]
    assert following["headers"]["redbeat"]["entry"] == "urgent"


def test_a_request_goes_ahead_of_what_is_due_and_filled(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("urgent", "shop.record", 3600.0, app=app).save()
    scheduler = make_scheduler()
    for _ in range(3):
        client.delete("shop")
        for number in range(5):
            due_entry(app, f"e{number}", args=[number])
        Operations(store_for(app), app=app).trigger("urgent")
        run(scheduler)
        sent = [message["headers"]["redbeat"]["entry"] for message in queued(client)[::-1]]
        assert sent == ["urgent", "e0", "e1", "e2", "e3", "e4"]


def test_a_thousand_requests_are_taken_in_batches_and_each_once(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    operations = Operations(store_for(app), app=app)
    asked = [operations.trigger("orders", args=[number]) for number in range(1000)]
    scheduler = make_scheduler(redbeat_batch_size=300)
    taken = []
    while client.xlen(TRIGGERS):
        before = client.xlen(TRIGGERS)
        scheduler._step()
        taken.append(before - client.xlen(TRIGGERS))
    assert sum(taken) == 1000
    assert max(taken) == 300
    assert len(taken) < 10
    # The oldest first; workers take from the other end of the list.
    done = [message["headers"]["redbeat"]["trigger"] for message in queued(client)[::-1]]
    assert done == asked


@pytest.mark.parametrize("lock", ["redbeat::lock", None])
def test_a_request_that_two_schedulers_claimed_is_made_once(
    app: Celery, client: redis.Redis, make_scheduler: Make, lock: str | None
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    Operations(store_for(app), app=app).trigger("orders")
    slow, quick = make_scheduler(redbeat_lock_key=lock), make_scheduler(redbeat_lock_key=lock)
    slow._step()
    client.delete("shop")
    Operations(store_for(app), app=app).trigger("orders")
    commit = slow.store.commit

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        if lock:
            client.delete(lock)
        run(quick)
        return commit(*args, **kwargs)

    slow.store.commit = meanwhile  # type: ignore[method-assign]
    slow._step()
    assert len(queued(client)) == 1


def test_an_entry_that_changed_while_its_request_was_taken_runs_as_it_is_now(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, args=["old"], app=app).save()
    scheduler = make_scheduler()
    run(scheduler)
    Operations(store_for(app), app=app).trigger("orders")
    commit = scheduler.store.commit

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        del scheduler.store.commit
        RedBeatSchedulerEntry("orders", "shop.record", 3600.0, args=["new"], app=app).save()
        return commit(*args, **kwargs)

    scheduler.store.commit = meanwhile  # type: ignore[method-assign]
    run(scheduler)
    (message,) = queued(client)
    assert message["headers"]["argsrepr"] == "['new']"


def test_requests_that_cannot_be_read_at_all_stop_nothing_and_are_reported_once(
    app: Celery, client: redis.Redis, make_scheduler: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client.set(TRIGGERS, "no stream")
    due_entry(app)
    scheduler = make_scheduler()
    run(scheduler)
    run(scheduler)
    assert len(queued(client)) == 1
    told = [record for record in caplog.records if "cannot be read" in record.message]
    assert len(told) == 1
    with pytest.raises(OperationError, match="WRONGTYPE"):
        Operations(store_for(app), app=app).trigger("orders")


def test_a_request_among_other_fields_is_found(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    request = json.dumps({"name": "orders", "at": 1})
    client.xadd(TRIGGERS, {"by": "redis-cli", "request": request})
    run(make_scheduler())
    assert len(queued(client)) == 1


def test_no_more_requests_are_taken_than_can_wait(
    app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redbeat_core.storage.schedule_store.MOST_REQUESTS", 2)
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    operations = Operations(store_for(app), app=app)
    operations.trigger("orders")
    operations.trigger("orders")
    with pytest.raises(TooManyRequestsError, match="does a beat of this project lead"):
        operations.trigger("orders")
    assert client.xlen(TRIGGERS) == 2


def test_a_request_that_expires_while_it_cannot_be_published_is_missed(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    options = {"serializer": "no-such-serializer"}
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, options=options, app=app).save()
    Operations(store_for(app), app=app).trigger("orders", expires=60)
    scheduler = make_scheduler()
    run(scheduler)
    assert len(log(app, events.RUN_FAILED)) == 1
    # The same request, as if it had been there for long.
    claim = scheduler.store.claim
    scheduler.store.claim = lambda *args, **kwargs: older(  # type: ignore[method-assign]
        claim(*args, **kwargs), 90
    )
    run(scheduler)
    (missed,) = log(app, events.RUN_MISSED)
    assert "could not be published" in missed.data["reason"]
    assert client.xlen(TRIGGERS) == 0


def older(claim: Claim, seconds: float) -> Claim:
    """*claim*, made that much later."""
    aged = tuple(replace(request, age=request.age + seconds) for request in claim.requests)
    return replace(claim, requests=aged)


def test_the_log_of_beat_tells_a_run_on_request_from_one_that_is_due(
    app: Celery, make_scheduler: Make, caplog: pytest.LogCaptureFixture
) -> None:
    due_entry(app)
    trigger = Operations(store_for(app), app=app).trigger("orders")
    with caplog.at_level(logging.INFO):
        run(make_scheduler())
    sent = [record.getMessage() for record in caplog.records if "Sending" in record.msg]
    assert sent == [
        f"Scheduler: Sending requested task orders (shop.record), trigger {trigger}",
        "Scheduler: Sending due task orders (shop.record)",
    ]
