"""A scheduler stepped by hand, and what came of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.storage.schedule_store import store_for


def due_entry(app: Celery, name: str = "orders", every: Any = 3600.0, **more: Any) -> Any:
    """An entry whose time has just come, anchored a moment ago."""
    more.setdefault("last_run_at", datetime.now(UTC) - timedelta(seconds=3600))
    return RedBeatSchedulerEntry(name, "shop.record", every, app=app, **more).save()


def run(scheduler: RedBeatScheduler) -> None:
    """Ticks of the loop without the waiting, until nothing is left to do at once."""
    for _ in range(20):
        if scheduler._step() > 0:
            return
    raise AssertionError("the scheduler does not come to rest")


def queued(client: redis.Redis, queue: str = "shop") -> list[dict[str, Any]]:
    return [json.loads(text) for text in client.lrange(queue, 0, -1)]


def log(app: Celery, *types: str) -> list[events.Event]:
    found = store_for(app).log_after(0)
    return [event for event in found if event.type in types] if types else found
