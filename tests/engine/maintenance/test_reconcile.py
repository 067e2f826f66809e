"""Tests the reconciliation: it detects changes without events, and reads only changed pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.maintenance.reconcile import (
    PASS_OVER,
    QUIET_EVERY,
    SCAN_EVERY,
    SCAN_SIZE,
    Reconciler,
)
from redbeat_core.storage.leader_store import Page
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
#: More than a sorted set stores as one listpack, so that there are many pages.
MANY = 400


@pytest.fixture
def scheduler(app: Celery, make_scheduler: Make) -> RedBeatScheduler:
    for number in range(MANY):
        RedBeatSchedulerEntry(f"entry {number}", "shop.record", 3600.0, app=app).save()
    made = make_scheduler()
    run(made)
    return made


@pytest.fixture
def pages(scheduler: RedBeatScheduler, monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """Collect the pages that each check reads."""
    store = scheduler._auditor._store
    found: list[Page] = []
    real = store.changed_page

    def noted(*args: Any) -> Page:
        found.append(real(*args))
        return found[-1]

    monkeypatch.setattr(store, "changed_page", noted)
    return found


def round_(auditor: Reconciler) -> int:
    """Run a whole round; return its number of checks."""
    for looks in range(1, MANY):
        auditor._next = 0.0
        auditor.look()
        if auditor._cursor == "0":
            return looks
    raise AssertionError("the round never ends")


def names(pages: list[Page]) -> set[str]:
    return {record.name for page in pages for record in page.records}


def test_a_round_reads_every_entry_once(scheduler: RedBeatScheduler, pages: list[Page]) -> None:
    scheduler._auditor.forget()
    looks = round_(scheduler._auditor)
    everything = scheduler.store.scores().keys()
    assert names(pages) == everything
    assert sum(len(page.records) for page in pages) == len(everything)
    assert max(len(page.records) for page in pages) < 3 * SCAN_SIZE
    assert looks > MANY / SCAN_SIZE / 3


def test_what_has_not_changed_is_not_read_again(
    scheduler: RedBeatScheduler, pages: list[Page]
) -> None:
    round_(scheduler._auditor)
    pages.clear()
    assert round_(scheduler._auditor) <= 2 * MANY / PASS_OVER + 1
    assert names(pages) == set()


@pytest.mark.parametrize("entries", [1, 200])
def test_a_schedule_that_one_look_takes_is_not_read_again(
    entries: int, app: Celery, make_scheduler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(entries):
        RedBeatSchedulerEntry(f"entry {number}", "shop.record", 3600.0, app=app).save()
    scheduler = make_scheduler()
    run(scheduler)
    round_(scheduler._auditor)
    store = scheduler._auditor._store
    read: list[set[str]] = []
    real = store.changed_page

    def noted(*args: Any) -> Page:
        page = real(*args)
        read.append(names([page]))
        return page

    monkeypatch.setattr(store, "changed_page", noted)
    for _ in range(4):
        round_(scheduler._auditor)
    assert read == [set()] * 4


def test_looks_are_rare_while_nothing_changes_and_as_often_as_ever_when_something_does(
    app: Celery, scheduler: RedBeatScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditor = scheduler._auditor
    monkeypatch.setattr("redbeat_core.maintenance.reconcile.time.monotonic", lambda: 1000.0)

    def pace() -> float:
        """Run a round; return the interval after its last check."""
        round_(auditor)
        return auditor._next - 1000.0

    auditor.forget()
    assert [pace(), pace(), pace()] == [SCAN_EVERY, SCAN_EVERY, QUIET_EVERY]
    RedBeatSchedulerEntry("entry 7", "shop.other", 3600.0, app=app).save()
    pace()
    assert [pace(), pace(), pace()] == [SCAN_EVERY, QUIET_EVERY, QUIET_EVERY]


def test_a_run_is_no_change(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler, pages: list[Page]
) -> None:
    due_entry(app, "entry 7")
    run(scheduler)
    round_(scheduler._auditor)
    round_(scheduler._auditor)
    client.zadd("redbeat::schedule", {"redbeat:entry 7": 10})
    client.hset("redbeat:entry 7", "due", "10.0")
    run(scheduler)
    assert len(queued(client)) == 2
    pages.clear()
    round_(scheduler._auditor)
    assert names(pages) == set()


@pytest.mark.parametrize("field", ["definition", "meta"])
def test_an_entry_that_was_broken_is_found(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler, pages: list[Page], field: str
) -> None:
    round_(scheduler._auditor)
    client.hset("redbeat:entry 123", field, "{oops")
    pages.clear()
    round_(scheduler._auditor)
    assert "entry 123" in names(pages)
    assert [event.subject for event in log(app, events.ENTRY_INVALID)] == ["entry 123"]
    # It is neither read nor reported a second time.
    pages.clear()
    round_(scheduler._auditor)
    assert names(pages) == set()
    assert "entry 123" in scheduler.batch.loader.invalid


def test_an_entry_whose_key_is_no_hash_any_more_is_found(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler
) -> None:
    round_(scheduler._auditor)
    client.delete("redbeat:entry 5")
    client.set("redbeat:entry 5", "text")
    round_(scheduler._auditor)
    assert [event.subject for event in log(app, events.ENTRY_INVALID)] == ["entry 5"]


def test_an_entry_that_another_program_enabled_is_found(
    app: Celery, client: redis.Redis, scheduler: RedBeatScheduler
) -> None:
    key = "redbeat:entry 50"
    definition = json.loads(client.hget(key, "definition") or "")
    client.hset(key, "definition", json.dumps({**definition, "enabled": False}))
    client.hdel(key, "due")
    client.zadd("redbeat::schedule", {key: -1})
    round_(scheduler._auditor)
    client.hset(key, "definition", json.dumps(definition))
    round_(scheduler._auditor)
    assert (client.zscore("redbeat::schedule", key) or 0) > 0


def test_an_entry_that_another_program_takes_off_the_schedule_is_found(
    client: redis.Redis, scheduler: RedBeatScheduler
) -> None:
    round_(scheduler._auditor)
    client.zadd("redbeat::schedule", {"redbeat:entry 60": -1})
    round_(scheduler._auditor)
    assert (client.zscore("redbeat::schedule", "redbeat:entry 60") or 0) > 0


def test_pages_of_a_schedule_that_has_shrunk_are_forgotten(
    client: redis.Redis, scheduler: RedBeatScheduler
) -> None:
    auditor = scheduler._auditor
    round_(auditor)
    before = len(auditor._pages)
    client.zremrangebyrank("redbeat::schedule", 10, -1)
    for _ in range(3):
        round_(auditor)
    assert len(auditor._pages) <= before
