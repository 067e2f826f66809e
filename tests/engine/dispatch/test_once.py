"""A one-off entry runs once, in a real scheduler, and is finished."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.entries.view import decode_record
from redbeat_core.schedules import once
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import log, queued, run


def test_a_one_off_runs_once_and_is_finished(
    app: Celery, client: redis.Redis, make_scheduler: Callable[..., RedBeatScheduler]
) -> None:
    at = datetime.now(UTC) - timedelta(seconds=1)
    made = once(at)
    RedBeatSchedulerEntry(
        "gift", "shop.record", made, app=app, last_run_at=at - timedelta(minutes=1)
    ).save()
    scheduler = make_scheduler()
    run(scheduler)
    assert len(queued(client)) == 1
    (dispatched,) = log(app, events.RUN_DISPATCHED)
    assert dispatched.data["nominal"] >= at.timestamp()
    record = store_for(app).get("gift")
    assert record is not None
    assert decode_record(record, app).finished
    run(scheduler)
    assert len(queued(client)) == 1
