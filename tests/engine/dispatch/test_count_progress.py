"""How far a rule with COUNT was counted is stored with each run, and the next scheduler goes on
from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis
from celery import Celery
from redbeat.schedulers import RedBeatSchedulerEntry as TheirEntry

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.entries.view import decode_record
from redbeat_core.schedules import rrule
from redbeat_core.storage.schedule_store import store_for
from tests.support.counting import counted_from
from tests.support.stepping import due_entry, queued, run
from tests.unit.cold import forget_everything

NOW = datetime.now(UTC).replace(microsecond=0)
#: Even seconds of all minutes but one, for some years: it runs at this time, too.
RULE = rrule(
    "SECONDLY",
    dtstart=NOW - timedelta(days=1000),
    byminute=[minute for minute in range(60) if minute != (NOW.minute + 30) % 60],
    count=100_000_000,
)


def stored(client: redis.Redis) -> str | None:
    text = client.hget("redbeat:orders", "progress")
    return None if text is None else str(text)


def version_of_it(app: Celery) -> str:
    record = store_for(app).get("orders")
    assert record is not None
    return record.version


def step(app: Celery, client: redis.Redis, scheduler: RedBeatScheduler) -> None:
    """Make the entry due, and run it."""
    key = "redbeat:orders"
    at = repr((datetime.now(UTC) - timedelta(seconds=1)).replace(microsecond=0).timestamp())
    client.hset(key, "due", at)
    client.zadd("redbeat::schedule", {key: float(at)})
    before = len(queued(client))
    run(scheduler)
    assert len(queued(client)) > before


def test_the_next_scheduler_goes_on_from_what_the_last_one_counted(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Callable[..., RedBeatScheduler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    due_entry(app, every=RULE)
    first = make_scheduler()
    version = version_of_it(app)
    step(app, client, first)
    text = stored(client)
    assert text is not None
    ((_, number, _),) = json.loads(text)
    assert number > 80_000_000
    assert version_of_it(app) == version
    first.close()
    # Another process knows nothing but what is stored.
    forget_everything()
    begins = counted_from(monkeypatch)
    second = make_scheduler()
    before = len(queued(client))
    while len(queued(client)) == before:
        # It runs every second.
        run(second)
    assert begins
    assert min(begins) >= NOW.replace(tzinfo=None) - timedelta(minutes=1)
    ((_, later, _),) = json.loads(stored(client) or "")
    assert number <= later < number + 1000


@pytest.mark.parametrize("text", ["", "{", "[[1]]", '[["2026-01-01", 5, "no"]]', "of another rule"])
def test_what_does_not_fit_is_replaced(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Callable[..., RedBeatScheduler],
    text: str,
) -> None:
    due_entry(app, every=RULE)
    scheduler = make_scheduler()
    if text == "of another rule":
        step(app, client, scheduler)
        text = stored(client) or ""
        daily = rrule("DAILY", dtstart=NOW - timedelta(days=9, seconds=3), count=11)
        RedBeatSchedulerEntry("orders", "shop.record", daily, app=app).save()
        wanted = range(8, 12)
    else:
        client.hset("redbeat:orders", "progress", text)
        wanted = range(80_000_000, 90_000_000)
    forget_everything()
    step(app, client, scheduler)
    ((_, number, _),) = json.loads(stored(client) or "")
    assert number in wanted or text == ""
    assert stored(client) != text


def test_celery_redbeat_leaves_it_alone_and_reads_the_entry(
    app: Celery, client: redis.Redis, make_scheduler: Callable[..., RedBeatScheduler]
) -> None:
    # They walk from DTSTART.
    due_entry(app, every=rrule("MINUTELY", dtstart=NOW - timedelta(days=1), count=5000))
    step(app, client, make_scheduler())
    text = stored(client)
    assert text is not None
    theirs = TheirEntry.from_key("redbeat:orders", app=app)
    assert theirs.schedule.count == 5000
    theirs.save()
    assert stored(client) == text
    RedBeatSchedulerEntry.from_key("redbeat:orders", app=app).save()
    assert stored(client) == text


def test_the_last_of_the_count_is_the_last_run(
    app: Celery, client: redis.Redis, make_scheduler: Callable[..., RedBeatScheduler]
) -> None:
    start = NOW - timedelta(days=2, seconds=2)
    due_entry(app, every=rrule("DAILY", dtstart=start, count=3), last_run_at=start)
    for _ in range(3):
        forget_everything()
        run(make_scheduler())
    record = store_for(app).get("orders")
    assert record is not None
    assert decode_record(record, app).finished
    assert 1 <= len(queued(client)) <= 2
