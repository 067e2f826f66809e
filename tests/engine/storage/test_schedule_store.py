"""Tests the store: each change is atomic and emits one event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatSchedulerEntry, events
from redbeat_core.entries.view import decode_record
from redbeat_core.storage.schedule_store import MISSING, ScheduleStore, VersionConflict, store_for


@pytest.fixture
def store(app: Celery) -> ScheduleStore:
    return store_for(app)


def save(app: Celery, name: str = "orders", every: float = 60.0, **more: Any) -> None:
    RedBeatSchedulerEntry(name, "shop.record", every, app=app, **more).save()


def test_each_change_has_one_event_in_order(app: Celery, store: ScheduleStore) -> None:
    save(app)
    save(app, every=30.0)
    store.delete("orders")
    log = store.log_after(0)
    assert [event.type for event in log] == [
        events.ENTRY_CREATED,
        events.ENTRY_UPDATED,
        events.ENTRY_DELETED,
    ]
    assert [event.seq for event in log] == [1, 2, 3]
    assert {event.subject for event in log} == {"orders"}
    assert store.last_seq() == 3


def test_events_are_published_as_they_are_logged(app: Celery, store: ScheduleStore) -> None:
    pubsub = store.client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(store.keys.events)
    pubsub.ping()
    save(app)
    messages = [pubsub.get_message(timeout=5) for _ in range(3)]
    heard = [events.parse_event(m["data"]) for m in messages if m and m["type"] == "message"]
    assert heard == store.log_after(0)


def test_an_event_patches_a_copy_to_what_redis_holds(app: Celery, store: ScheduleStore) -> None:
    from redbeat_core.entries.record import EntryRecord

    save(app, kwargs={"text": 'quote " slash / back \\ é \x7f \ud800'})
    (event,) = store.log_after(0)
    patched = EntryRecord("orders").patched(event.data["fields"], event.data["score"])
    assert patched == store.get("orders")


def test_a_change_of_what_was_not_seen_is_refused(app: Celery, store: ScheduleStore) -> None:
    save(app)
    seen = store.get("orders")
    assert seen is not None
    save(app, every=30.0)
    with pytest.raises(VersionConflict) as refused:
        store.change("orders", [("set", "policy", "{}")], expect=seen.version)
    assert refused.value.current == store.get("orders")
    with pytest.raises(VersionConflict):
        store.delete("orders", expect=seen.version)
    with pytest.raises(VersionConflict):
        store.change("orders", [], expect="new")
    with pytest.raises(VersionConflict):
        store.change("nothing", [("set", "meta", "{}")], expect="known")
    assert len(store.log_after(0)) == 2
    assert store.client.exists("redbeat:nothing") == 0


def test_a_run_does_not_change_the_version(app: Celery, store: ScheduleStore) -> None:
    save(app)
    before = store.get("orders")
    next(RedBeatSchedulerEntry.from_key("redbeat:orders", app=app))
    after = store.get("orders")
    assert before is not None
    assert after is not None
    assert before.meta != after.meta
    assert before.version == after.version


@pytest.mark.parametrize("kind", ["string", "list", "set", "zset", "stream", "missing"])
def test_a_key_that_is_no_hash_is_listed_with_the_reason(
    app: Celery, store: ScheduleStore, client: redis.Redis, kind: str
) -> None:
    save(app)
    key = "redbeat:odd"
    writes: dict[str, Callable[[], object]] = {
        "string": lambda: client.set(key, "x"),
        "list": lambda: client.rpush(key, "x"),
        "set": lambda: client.sadd(key, "x"),
        "zset": lambda: client.zadd(key, {"x": 1}),
        "stream": lambda: client.xadd(key, {"x": "1"}),
        "missing": lambda: None,
    }
    writes[kind]()
    client.zadd("redbeat::schedule", {key: 5})
    views = {record.name: decode_record(record, app) for record in store.snapshot().records}
    assert views["orders"].error is None
    reason = views["odd"].error or ""
    assert reason == MISSING if kind == "missing" else "another Redis type" in reason


def test_bytes_that_are_no_text_do_not_fail_their_neighbours(
    app: Celery, store: ScheduleStore, client: redis.Redis
) -> None:
    save(app)
    client.hset(b"redbeat:\xff", "definition", b'{"name": "\xfe"')
    client.zadd("redbeat::schedule", {b"redbeat:\xff": 5})
    views = [decode_record(record, app) for record in store.snapshot().records]
    assert sum(view.error is None for view in views) == 1
    (odd,) = (view for view in views if view.error is not None)
    assert odd.name == "\udcff"
    assert store.delete(odd.name)
    assert client.zcard("redbeat::schedule") == 1


def test_a_log_that_was_trimmed_to_nothing_goes_on(app: Celery, store: ScheduleStore) -> None:
    save(app)
    save(app)
    store.client.xtrim(store.keys.log, maxlen=0)
    save(app)
    assert [event.seq for event in store.log_after(0)] == [3]


def test_the_log_is_capped(app: Celery) -> None:
    app.conf.redbeat_log_length = 100
    store = store_for(app)
    for number in range(400):
        store.change("x", [("set", "policy", str(number))])
    # Redis trims streams by whole nodes of 100 items.
    assert 100 <= store.client.xlen(store.keys.log) <= 200
    assert store.last_seq() == 400


def test_a_score_of_infinity_is_no_trouble(app: Celery, store: ScheduleStore) -> None:
    save(app)
    store.client.zadd("redbeat::schedule", {"redbeat:orders": "+inf"})
    changed = store.change("orders", [("set", "policy", "{}")])
    assert changed is not None
    assert changed.score == float("inf")
    assert decode_record(changed, app).next_run_at is None
    assert store.log_after(1)[0].data["score"] is None


def test_an_empty_entry_cannot_be_got(store: ScheduleStore) -> None:
    assert store.get("nothing") is None


def test_many_changes_are_reported_one_by_one(app: Celery, store: ScheduleStore) -> None:
    store.client.set("redbeat:bad", "x")
    results = store.save_many(
        [
            {"name": "good", "steps": [("set", "policy", "{}")]},
            {"name": "bad", "steps": [("set", "policy", "{}")]},
            {"name": "stale", "steps": [("set", "policy", "{}")], "expect": "0" * 40},
        ]
    )
    problems = dict(results)
    assert problems["good"] is None
    assert isinstance(problems["bad"], redis.ResponseError)
    assert isinstance(problems["stale"], VersionConflict)
