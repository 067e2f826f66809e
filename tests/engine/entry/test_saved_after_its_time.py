"""Tests entries saved after their only time: they are reported as finished, and deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.entries.due_field import finished_since
from redbeat_core.entries.record import EntryRecord
from redbeat_core.schedules import once, rrule, rrule_set
from redbeat_core.storage.schedule_store import store_for

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
OVER = {
    "once": once(LONG_AGO),
    "count": rrule("DAILY", dtstart=LONG_AGO, count=2),
    "until": rrule("DAILY", dtstart=LONG_AGO, until=LONG_AGO + timedelta(days=2)),
    "set": rrule_set(rdates=[LONG_AGO]),
}


def told(app: Celery) -> list[tuple[str, str]]:
    return [(event.type, event.subject) for event in store_for(app).log_after(0)]


def stored(app: Celery, name: str = "late") -> EntryRecord:
    record = store_for(app).get(name)
    assert record is not None
    return record


@pytest.mark.parametrize("kind", OVER)
def test_what_is_saved_too_late_is_finished_and_says_so(app: Celery, kind: str) -> None:
    RedBeatSchedulerEntry("late", "shop.record", OVER[kind], app=app).save()
    now = store_for(app).server_time()
    assert finished_since(stored(app)) == pytest.approx(now, abs=60)
    assert told(app) == [(events.ENTRY_FINISHED, "late")]


def test_what_is_saved_too_late_is_deleted_when_its_time_to_be_kept_is_over(
    app: Celery, make_scheduler: Callable[..., RedBeatScheduler]
) -> None:
    policy: dict[str, Any] = {"keep_finished": 0}
    RedBeatSchedulerEntry("late", "shop.record", OVER["once"], app=app, policy=policy).save()
    scheduler = make_scheduler()
    for _ in range(4):
        scheduler._step()
        scheduler._auditor._next = 0
    assert store_for(app).get("late") is None


def test_a_static_entry_whose_time_has_passed_is_finished_too(
    app: Celery, make_scheduler: Callable[..., RedBeatScheduler]
) -> None:
    known = {"late": {"task": "shop.record", "schedule": OVER["once"]}}
    scheduler = make_scheduler(beat_schedule=known)
    scheduler._step()
    assert (events.ENTRY_FINISHED, "late") in told(app)
    assert finished_since(stored(app)) is not None


def test_what_is_disabled_is_not_finished(app: Celery) -> None:
    late = RedBeatSchedulerEntry("late", "shop.record", OVER["once"], app=app, enabled=False)
    late.save()
    assert finished_since(stored(app)) is None
    assert told(app) == [(events.ENTRY_CREATED, "late")]
