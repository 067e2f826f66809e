"""At-least-once: what changes between a message and its commit loses no run and repeats none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from celery import Celery, signals

from redbeat_core import RedBeatScheduler, events
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]


@contextmanager
def while_published(change: Callable[[], object]) -> Iterator[None]:
    """Let *change* happen once, while the first message is published."""
    done: list[bool] = []

    def once(**_: object) -> None:
        if not done:
            done.append(True)
            change()

    signals.before_task_publish.connect(once)
    try:
        yield
    finally:
        signals.before_task_publish.disconnect(once)
    assert done


def edit(app: Celery) -> None:
    store = store_for(app)
    record = store.get("orders")
    assert record is not None
    definition = {**json.loads(record.definition or ""), "kwargs": {"new": 1}}
    store.change("orders", [("set", "definition", json.dumps(definition))])


CHANGES: dict[str, Callable[[Celery], object]] = {
    "pause": lambda app: Operations(store_for(app), app=app).pause("orders"),
    "delete": lambda app: Operations(store_for(app), app=app).delete("orders"),
    "edit": edit,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_whose_entry_changes_while_it_is_published_is_told_once_and_sent_once(
    change: str, app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(redbeat_delivery="at-least-once")
    due_entry(app)
    with while_published(lambda: CHANGES[change](app)):
        run(scheduler)
    (message,) = queued(client)
    (told,) = log(app, events.RUN_DISPATCHED)
    assert told.data["task_id"] == message["headers"]["id"]
    assert told.data.get("changed", False) is (change != "edit")
    # What comes after is the entry as it is now.
    client.zadd("redbeat::schedule", {"redbeat:orders": 1}, xx=True)
    client.hset("redbeat:orders", "due", "1") if change == "edit" else None
    for _ in range(2):
        run(scheduler)
    assert len(queued(client)) == len(log(app, events.RUN_DISPATCHED))


def test_a_run_that_was_published_is_told_also_if_the_beat_ends_then(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(redbeat_delivery="at-least-once")
    due_entry(app)

    def pause_and_end() -> None:
        CHANGES["pause"](app)
        scheduler._interrupts = (15,)

    with while_published(pause_and_end):
        scheduler._step()
    assert len(queued(client)) == len(log(app, events.RUN_DISPATCHED)) == 1


def test_a_request_whose_entry_changes_while_it_is_published_is_answered_once(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(redbeat_delivery="at-least-once")
    due_entry(app, last_run_at=None)
    client.zadd("redbeat::schedule", {"redbeat:orders": 9e9})
    Operations(store_for(app), app=app).trigger("orders")
    with while_published(lambda: edit(app)):
        run(scheduler)
    assert len(queued(client)) == len(log(app, events.RUN_DISPATCHED)) == 1


def test_what_was_published_when_the_lease_ended_amid_a_batch_is_not_sent_again(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(redbeat_delivery="at-least-once")
    names = ["a", "b", "c"]
    for name in names:
        due_entry(app, name)
    with while_published(lambda: scheduler.lease.lose()):
        run(scheduler)
    run(scheduler)
    sent = [message["headers"]["redbeat"]["entry"] for message in queued(client)]
    assert sorted(sent) == names
    assert sorted(str(one.subject) for one in log(app, events.RUN_DISPATCHED)) == names


def test_who_loses_the_lease_amid_a_batch_publishes_no_more_of_it(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(redbeat_delivery="at-least-once")
    for name in ("a", "b", "c"):
        due_entry(app, name)
    with while_published(lambda: scheduler.lease.lose()):
        scheduler._step()
    assert queued(client) == []
