"""How much is claimed at a time, and when the schedule is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.dispatch.batch_work import FIRST_BATCH
from tests.support.stepping import due_entry, queued, run

Make = Callable[..., RedBeatScheduler]


def claims_of(scheduler: RedBeatScheduler, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each claim finds, from now on."""
    found: list[int] = []
    real = scheduler.store.claimed

    def noted(*args: Any, **kwargs: Any) -> Any:
        claim = real(*args, **kwargs)
        found.append(len(claim.due))
        return claim

    monkeypatch.setattr(scheduler.store, "claimed", noted)
    return found


def make_forms(app: Celery, client: redis.Redis, scheduler: RedBeatScheduler) -> None:
    """Let the scheduler make messages of the kind that the tests make, until it fills forms."""
    for number in range(4):
        due_entry(app, f"teacher {number}")
        run(scheduler)
    client.delete("shop")


def test_nothing_of_a_small_batch_waits_for_the_rest_of_a_large_one(
    app: Celery, make_scheduler: Make, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A row of batches that ends early, on a slow machine, would be followed by a small one.
    monkeypatch.setattr("redbeat_core.dispatch.runner.PIPELINE_SECONDS", 60.0)
    scheduler = make_scheduler(redbeat_batch_size=100)
    make_forms(app, client, scheduler)
    for number in range(300):
        due_entry(app, f"entry {number}")
    claims = claims_of(scheduler, monkeypatch)
    run(scheduler)
    assert [size for size in claims if size] == [FIRST_BATCH, 2 * FIRST_BATCH, 100, 100, 4]
    assert len(queued(client)) == 300
    claims.clear()
    for number in range(40):
        due_entry(app, f"entry {number}")
    run(scheduler)
    assert claims[:2] == [FIRST_BATCH, 8]


def test_after_a_usual_batch_the_schedule_is_not_asked_what_comes_next(
    app: Celery, make_scheduler: Make, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler()
    make_forms(app, client, scheduler)
    later = RedBeatSchedulerEntry("later", "shop.record", 3600.0, app=app).save()
    client.zadd("redbeat::schedule", {later.key: time.time() + 0.6})
    due_entry(app)
    claims = claims_of(scheduler, monkeypatch)
    pause = scheduler._step()
    assert claims == [1]
    assert 0 < pause < 0.6


def test_the_next_run_of_what_was_just_dispatched_is_waited_for(
    app: Celery, make_scheduler: Make, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler()
    make_forms(app, client, scheduler)
    monkeypatch.setattr("redbeat_core.schedulers.CLAIM_EVERY", 30.0)
    due_entry(app, every=20.0, last_run_at=datetime.now(UTC) - timedelta(seconds=20))
    claims = claims_of(scheduler, monkeypatch)
    scheduler.max_interval = 60
    assert 0 < scheduler._step() <= 20
    assert claims == [1]


def test_an_entry_that_changed_meanwhile_is_looked_at_anew_at_once(
    app: Celery, make_scheduler: Make, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler()
    make_forms(app, client, scheduler)
    due_entry(app)
    real = scheduler.store.commit

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(scheduler.store, "commit", real)
        due_entry(app, args=["new"])
        return real(*args, **kwargs)

    monkeypatch.setattr(scheduler.store, "commit", overtaken)
    assert scheduler._step() == 0
    assert queued(client) == []
    run(scheduler)
    assert len(queued(client)) == 1
