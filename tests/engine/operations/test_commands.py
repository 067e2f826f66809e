"""Tests the operations: atomic, with an actor, and never over another's change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab, schedule

from redbeat_core import RedBeatSchedulerEntry, events, rrule
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import decode_record
from redbeat_core.operations import (
    ConflictError,
    InvalidEntryError,
    NotFoundError,
    OperationError,
    Operations,
    ReadOnlyError,
    default_actor,
)
from redbeat_core.schedules import occurrences
from redbeat_core.storage.schedule_store import ScheduleStore, store_for


@pytest.fixture
def store(app: Celery) -> ScheduleStore:
    return store_for(app)


@pytest.fixture
def operations(app: Celery, store: ScheduleStore) -> Operations:
    return Operations(store, app=app, actor="ann@ops")


def save(app: Celery, name: str = "orders", every: Any = 60.0, **more: Any) -> None:
    RedBeatSchedulerEntry(name, "shop.record", every, app=app, **more).save()


def get(store: ScheduleStore, name: str = "orders") -> EntryRecord:
    record = store.get(name)
    assert record is not None
    return record


VERBS: list[Callable[[Operations, str | None], object]] = [
    lambda ops, version: ops.pause("orders", version=version),
    lambda ops, version: ops.resume("orders", version=version),
    lambda ops, version: ops.trigger("orders", version=version),
    lambda ops, version: ops.edit_schedule("orders", schedule(5.0), version=version),
    lambda ops, version: ops.delete("orders", version=version),
]


def test_a_pause_says_who_when_and_why(
    app: Celery, store: ScheduleStore, operations: Operations
) -> None:
    save(app)
    paused = operations.pause("orders", note="the printer is on fire")
    view = decode_record(paused, app)
    assert view.enabled is False
    assert view.next_run_at is None
    assert view.pause is not None
    assert (view.pause.by, view.pause.note) == ("ann@ops", "the printer is on fire")
    assert paused == get(store)
    event = store.log_after(1)[0]
    assert event.type == events.ENTRY_PAUSED
    assert event.data["actor"] == "ann@ops"
    assert event.data["note"] == "the printer is on fire"


def test_celery_redbeat_sees_a_paused_entry_as_disabled(
    app: Celery, client: redis.Redis, operations: Operations
) -> None:
    from redbeat.decoder import RedBeatJSONDecoder

    save(app)
    operations.pause("orders")
    text = client.hget("redbeat:orders", "definition") or ""
    assert json.loads(text, cls=RedBeatJSONDecoder)["enabled"] is False


def test_resuming_does_not_make_up_for_the_pause(
    app: Celery, store: ScheduleStore, operations: Operations
) -> None:
    save(app, last_run_at=datetime.now(UTC) - timedelta(seconds=150))
    operations.pause("orders")
    view = decode_record(operations.resume("orders"), app)
    assert view.enabled is True
    assert view.pause is None
    assert view.next_run_at is not None
    assert view.last_run_at is not None
    # The interval continues: 180 s after the last run.
    assert view.next_run_at - view.last_run_at == timedelta(seconds=180)
    assert store.log_after(2)[0].type == events.ENTRY_RESUMED


def test_an_edit_makes_the_runs_that_the_preview_showed(
    app: Celery, store: ScheduleStore, operations: Operations
) -> None:
    now = time.time()
    operations = Operations(store, app=app, clock=lambda: now)
    last = datetime.fromtimestamp(now - 100, UTC)
    for new in (schedule(30.0, app=app), crontab(minute="*/5", app=app)):
        save(app, last_run_at=last)
        moment = datetime.fromtimestamp(now, UTC)
        shown = occurrences(new, anchor=last, now=moment, count=5)
        view = decode_record(operations.edit_schedule("orders", new), app)
        assert view.schedule == new
        assert view.next_run_at == shown[0]
        assert view.next_run_at > moment
        store.delete("orders")


def test_an_edit_keeps_everything_else_byte_for_byte(
    app: Celery, store: ScheduleStore, operations: Operations
) -> None:
    save(app, args=[1], kwargs={"é": "☀"}, options={"queue": "q", "priority": 3})
    before = get(store)
    after = operations.edit_schedule("orders", schedule(5.0))
    assert after.definition is not None
    assert before.definition is not None
    assert after.definition == before.definition.replace('"every": 60.0', '"every": 5.0')
    assert after.meta == before.meta


def test_an_edit_of_a_paused_entry_leaves_it_paused(app: Celery, operations: Operations) -> None:
    save(app)
    operations.pause("orders", note="wait")
    view = decode_record(operations.edit_schedule("orders", schedule(5.0)), app)
    assert view.enabled is False
    assert view.pause is not None
    assert view.next_run_at is None


def test_a_trigger_asks_and_changes_nothing(
    app: Celery, store: ScheduleStore, operations: Operations
) -> None:
    save(app)
    before = get(store)
    trigger = operations.trigger("orders", note="again")
    assert get(store) == before
    event = store.log_after(1)[0]
    assert event.type == events.RUN_REQUESTED
    assert event.data == {"trigger": trigger, "actor": "ann@ops", "note": "again"}
    (_, request) = store.client.xrange(store.keys.triggers)[0]
    assert json.loads(request["request"])["id"] == trigger


def test_a_deleted_entry_is_gone(app: Celery, store: ScheduleStore, operations: Operations) -> None:
    save(app)
    operations.delete("orders", note="obsolete")
    assert store.get("orders") is None
    assert store.log_after(1)[0].data == {"actor": "ann@ops", "note": "obsolete"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_change_that_was_not_seen_refuses_the_verb(
    app: Celery,
    store: ScheduleStore,
    operations: Operations,
    verb: Callable[[Operations, str | None], object],
) -> None:
    save(app)
    seen = get(store).version
    save(app, every=30.0)
    with pytest.raises(ConflictError) as refused:
        verb(operations, seen)
    assert refused.value.seen_version == seen
    assert refused.value.current == get(store)
    assert len(store.log_after(0)) == 2
    assert "somebody else" in str(refused.value)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_with_the_right_version_works(
    app: Celery,
    store: ScheduleStore,
    operations: Operations,
    verb: Callable[[Operations, str | None], object],
) -> None:
    save(app)
    verb(operations, get(store).version)
    assert len(store.log_after(0)) == 2


@pytest.mark.parametrize("verb", VERBS)
def test_read_only_refuses_every_verb(
    app: Celery, store: ScheduleStore, verb: Callable[[Operations, str | None], object]
) -> None:
    save(app)
    before = get(store)
    with pytest.raises(ReadOnlyError, match="--read-only"):
        verb(Operations(store, app=app, read_only=True), None)
    assert get(store) == before
    assert len(store.log_after(0)) == 1


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_name_is_said_to_be_unknown(
    operations: Operations, verb: Callable[[Operations, str | None], object]
) -> None:
    with pytest.raises(NotFoundError, match="no entry 'orders'"):
        verb(operations, None)


def test_a_name_that_starts_with_a_colon_is_refused(operations: Operations) -> None:
    with pytest.raises(OperationError, match="starts with ':'"):
        operations.delete(":schedule")


@pytest.mark.parametrize("verb", VERBS[:4])
def test_an_entry_that_cannot_run_is_not_touched(
    client: redis.Redis,
    operations: Operations,
    verb: Callable[[Operations, str | None], object],
) -> None:
    client.hset("redbeat:orders", "definition", "{oops")
    client.zadd("redbeat::schedule", {"redbeat:orders": 5})
    with pytest.raises(InvalidEntryError, match="repair its definition"):
        verb(operations, None)
    assert client.hgetall("redbeat:orders") == {"definition": "{oops"}


def test_an_edit_repairs_an_entry_whose_schedule_alone_is_broken(
    app: Celery, client: redis.Redis, operations: Operations
) -> None:
    save(app, args=[1], options={"queue": "q"})
    text = str(client.hget("redbeat:orders", "definition"))
    client.hset("redbeat:orders", "definition", text.replace('"interval"', '"intervall"'))
    operations.edit_schedule("orders", schedule(60.0))
    assert client.hget("redbeat:orders", "definition") == text


def test_an_entry_that_cannot_run_can_be_deleted(
    client: redis.Redis, store: ScheduleStore, operations: Operations
) -> None:
    client.rpush("redbeat:orders", "no hash")
    client.zadd("redbeat::schedule", {"redbeat:orders": 5})
    operations.delete("orders")
    assert store.get("orders") is None
    assert client.exists("redbeat:orders") == 0


def test_what_has_no_json_form_is_refused(app: Celery, operations: Operations) -> None:
    class Odd:
        pass

    save(app)
    with pytest.raises(OperationError):
        operations.edit_schedule("orders", Odd())


def test_a_schedule_with_no_run_to_come_is_refused(app: Celery, operations: Operations) -> None:
    save(app)
    over = rrule("DAILY", dtstart=datetime(2020, 1, 1, tzinfo=UTC), count=2)
    with pytest.raises(InvalidEntryError, match="no run to come"):
        operations.edit_schedule("orders", over)


def test_the_default_actor_names_user_and_host() -> None:
    user, at, host = default_actor().partition("@")
    assert user
    assert at
    assert host
