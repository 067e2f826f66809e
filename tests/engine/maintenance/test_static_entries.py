"""Tests the static entries: the leader writes them, and keeps an operator's changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab, schedule

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events, rrule
from redbeat_core.entries.view import decode_record
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.shop import make_app

Make = Callable[..., RedBeatScheduler]
ORDERS = {"task": "shop.record", "schedule": 60.0}


@pytest.fixture
def beat_with(url: str) -> Iterator[Make]:
    """Start a scheduler that leads with these static entries, after the end of the last one."""
    running: list[RedBeatScheduler] = []

    def start(**static: Any) -> RedBeatScheduler:
        while running:
            running.pop().close()
        app = make_app(url)
        app.conf.beat_schedule = static
        running.append(RedBeatScheduler(app))
        running[0]._step()
        assert running[0]._leading
        return running[0]

    yield start
    for scheduler in running:
        scheduler.close()


def view(app: Celery, name: str = "orders") -> Any:
    record = store_for(app).get(name)
    return record and decode_record(record, app)


def types(app: Celery, name: str = "orders") -> list[str]:
    return [event.type for event in store_for(app).log_after(0) if event.subject == name]


def test_nothing_is_written_before_the_beat_leads(app: Celery, url: str) -> None:
    scheduler = RedBeatScheduler(make_app(url, {"beat_schedule": {"orders": ORDERS}}))
    assert store_for(app).client.keys("*") == []
    scheduler.close()


def test_a_standby_leaves_the_leaders_entries_alone(app: Celery, url: str, beat_with: Make) -> None:
    beat_with(orders=ORDERS)
    other = {**ORDERS, "schedule": 5.0}
    standby = RedBeatScheduler(make_app(url, {"beat_schedule": {"orders": other}}))
    standby._step()
    assert not standby._leading
    assert view(app).schedule == schedule(60.0)
    standby.close()


def test_they_are_installed_and_remembered(
    app: Celery, client: redis.Redis, beat_with: Make
) -> None:
    beat_with(orders=ORDERS, nightly={"task": "shop.record", "schedule": crontab(hour=3)})
    assert client.smembers("redbeat::statics") == {"orders", "nightly"}
    assert view(app, "nightly").schedule == crontab(hour=3)


def test_a_restart_changes_nothing_that_is_the_same(
    app: Celery, client: redis.Redis, beat_with: Make
) -> None:
    beat_with(orders=ORDERS)
    before = client.hgetall("redbeat:orders"), client.zscore("redbeat::schedule", "redbeat:orders")
    beat_with(orders=ORDERS)
    after = client.hgetall("redbeat:orders"), client.zscore("redbeat::schedule", "redbeat:orders")
    assert before == after
    assert types(app) == [events.ENTRY_CREATED]


def test_what_is_gone_from_the_code_is_removed(
    app: Celery, client: redis.Redis, beat_with: Make
) -> None:
    RedBeatSchedulerEntry("dynamic", "shop.record", 60.0, app=app).save()
    beat_with(orders=ORDERS, other=ORDERS)
    beat_with(other=ORDERS)
    assert view(app) is None
    assert types(app) == [events.ENTRY_CREATED, events.ENTRY_DELETED]
    assert client.smembers("redbeat::statics") == {"other"}
    assert view(app, "dynamic") is not None


def test_a_change_in_the_code_is_taken_and_the_runs_are_kept(app: Celery, beat_with: Make) -> None:
    beat_with(orders=ORDERS)
    next(RedBeatSchedulerEntry.from_key("redbeat:orders", app=app))
    before = view(app)
    beat_with(orders={**ORDERS, "schedule": 90.0, "args": [1]})
    after = view(app)
    assert after.schedule == schedule(90.0)
    assert after.args == [1]
    assert (after.total_run_count, after.last_run_at) == (1, before.last_run_at)


def test_an_operators_pause_survives_a_restart(app: Celery, beat_with: Make) -> None:
    beat_with(orders=ORDERS)
    Operations(store_for(app), app=app, actor="ann@ops").pause("orders", note="wait")
    beat_with(orders={**ORDERS, "args": ["new"]})
    after = view(app)
    assert after.enabled is False
    assert after.pause.note == "wait"
    assert after.next_run_at is None
    assert after.args == ["new"]


def test_a_resume_after_the_restart_ends_the_pause(app: Celery, beat_with: Make) -> None:
    beat_with(orders=ORDERS)
    operations = Operations(store_for(app), app=app)
    operations.pause("orders")
    beat_with(orders=ORDERS)
    operations.resume("orders")
    beat_with(orders=ORDERS)
    assert view(app).enabled is True
    assert view(app).next_run_at is not None


def test_an_operators_edit_survives_a_restart(app: Celery, beat_with: Make) -> None:
    beat_with(orders=ORDERS)
    operations = Operations(store_for(app), app=app, actor="ann@ops")
    operations.edit_schedule("orders", schedule(5.0), note="catch up")
    operations.edit_schedule("orders", schedule(7.0), note="not that fast")
    beat_with(orders={**ORDERS, "args": ["new"]})
    after = view(app)
    assert after.schedule == schedule(7.0)
    assert after.override["by"] == "ann@ops"
    assert after.args == ["new"]


def test_a_new_schedule_in_the_code_ends_an_operators_edit(app: Celery, beat_with: Make) -> None:
    beat_with(orders=ORDERS)
    Operations(store_for(app), app=app).edit_schedule("orders", schedule(5.0))
    beat_with(orders={**ORDERS, "schedule": 120.0})
    assert view(app).schedule == schedule(120.0)
    assert view(app).override is None


def rule_made(hour: int, app: Celery | None = None, **parts: Any) -> dict[str, Any]:
    """Return a static entry with a rule without dtstart, from code loaded at that hour."""
    made = datetime(2026, 1, 5, hour, 30, 15, 999, tzinfo=UTC)
    if app is not None:
        made = made.astimezone(app.timezone)
    rule = rrule("DAILY", **{"byhour": 9, "byminute": 0, **parts}, nowfun=lambda: made)
    return {"task": "shop.record", "schedule": rule}


def test_a_rule_without_a_start_is_the_same_after_a_restart(
    app: Celery, client: redis.Redis, beat_with: Make
) -> None:
    beat_with(orders=rule_made(10))
    before = client.hget("redbeat:orders", "definition")
    beat_with(orders=rule_made(11))
    assert client.hget("redbeat:orders", "definition") == before
    assert events.ENTRY_UPDATED not in types(app)
    beat_with(orders={**rule_made(12), "args": ["new"]})
    assert view(app).args == ["new"]
    assert view(app).schedule.dtstart.hour == 10


def test_an_operators_edit_of_a_rule_without_a_start_survives_restarts(
    app: Celery, beat_with: Make
) -> None:
    beat_with(orders=rule_made(10))
    Operations(store_for(app), app=app).edit_schedule("orders", schedule(5.0))
    beat_with(orders=rule_made(11))
    beat_with(orders={**rule_made(12), "args": ["new"]})
    assert view(app).schedule == schedule(5.0)
    assert view(app).args == ["new"]
    beat_with(orders=rule_made(13, byhour=8))
    assert view(app).schedule == rule_made(13, byhour=8)["schedule"]
    assert view(app).override is None


def test_a_start_that_the_code_gives_counts(app: Celery, beat_with: Make) -> None:
    def since(hour: int) -> dict[str, Any]:
        start = datetime(2026, 1, 5, hour, tzinfo=UTC)
        return {"task": "shop.record", "schedule": rrule("DAILY", dtstart=start)}

    beat_with(orders=since(10))
    Operations(store_for(app), app=app).edit_schedule("orders", schedule(5.0))
    beat_with(orders=since(11))
    assert view(app).schedule == since(11)["schedule"]
    beat_with(orders=since(12))
    assert view(app).schedule == since(12)["schedule"]


def test_a_rule_without_a_start_moves_with_the_zone_of_the_app(
    app: Celery, beat_with: Make
) -> None:
    there = Celery(set_as_current=False)
    there.conf.timezone = "Europe/Paris"
    beat_with(orders=rule_made(10))
    beat_with(orders=rule_made(11, there))
    assert str(view(app).schedule.dtstart.tzinfo) == "Europe/Paris"
    beat_with(orders=rule_made(12, there))
    assert view(app).schedule.dtstart.hour == 12


def test_one_static_entry_that_cannot_be_harms_no_other(
    app: Celery, beat_with: Make, caplog: pytest.LogCaptureFixture
) -> None:
    beat_with(
        **{
            "orders": ORDERS,
            "objects": {**ORDERS, "kwargs": {"x": object()}},
            "nothing": {},
            ":colon": ORDERS,
            "unknown": {**ORDERS, "shedule": 5},
        }
    )
    assert view(app) is not None
    for name in ("objects", "nothing", ":colon", "unknown"):
        assert f"{name!r} of beat_schedule is left out" in caplog.text


def test_a_broken_static_entry_is_repaired_by_the_code(
    app: Celery, client: redis.Redis, beat_with: Make
) -> None:
    beat_with(orders=ORDERS)
    client.hset("redbeat:orders", "definition", "{oops")
    beat_with(orders=ORDERS)
    assert view(app).error is None


def test_a_static_entry_whose_key_is_no_hash_is_reported_and_left(
    client: redis.Redis, beat_with: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client.set("redbeat:orders", "precious")
    beat_with(orders=ORDERS, other=ORDERS)
    assert client.get("redbeat:orders") == "precious"
    assert "Could not write the static entry 'orders'" in caplog.text
    assert client.zscore("redbeat::schedule", "redbeat:other") is not None


def test_a_static_entry_that_fell_out_of_the_schedule_is_put_back(
    app: Celery, client: redis.Redis, beat_with: Make
) -> None:
    beat_with(orders=ORDERS)
    client.zrem("redbeat::schedule", "redbeat:orders")
    beat_with(orders=ORDERS)
    assert view(app).next_run_at is not None


def test_subclasses_may_set_their_own_entry(url: str, app: Celery) -> None:
    class MyEntry(RedBeatSchedulerEntry):
        pass

    class MyScheduler(RedBeatScheduler):
        Entry = MyEntry
        max_interval = 7

    scheduler = MyScheduler(make_app(url, {"beat_schedule": {"orders": ORDERS}}))
    scheduler._step()
    assert scheduler.max_interval == 7
    assert type(scheduler.schedule["orders"]) is MyEntry
    scheduler.close()


def test_many_that_are_gone_from_the_code_go_in_few_round_trips(
    app: Celery, client: redis.Redis, make_scheduler: Callable[..., RedBeatScheduler]
) -> None:
    entry = {"task": "shop.record", "schedule": 3600.0}
    many = {f"static {number}": entry for number in range(1200)}
    make_scheduler(beat_schedule=many).setup_schedule()
    assert client.zcard("redbeat::schedule") >= 1200
    scheduler = make_scheduler(beat_schedule={"static 0": entry})
    asked: list[str] = []

    def counting(name: str) -> None:
        known = getattr(scheduler.store.client, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            asked.append(name)
            return known(*args, **kwargs)

        setattr(scheduler.store.client, name, counted)

    counting("pipeline")
    counting("execute_command")
    scheduler.setup_schedule()
    assert len(asked) < 20
    names = [name for name in client.zrange("redbeat::schedule", 0, -1) if "static" in str(name)]
    assert names == ["redbeat:static 0"]
    assert client.smembers("redbeat::statics") >= {"static 0"}
    assert "static 1" not in client.smembers("redbeat::statics")
