"""Tests RedBeatSchedulerEntry: celery-redbeat's API on a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab
from celery.schedules import schedule as interval

from redbeat_core import RedBeatSchedulerEntry, rrule
from redbeat_core.entries.codec import DecodeError
from redbeat_core.entries.names import InvalidNameError
from redbeat_core.storage.schedule_store import store_for


def entry(app: Celery, name: str = "orders", every: Any = 60.0, **more: Any) -> Any:
    return RedBeatSchedulerEntry(name, "shop.record", every, app=app, **more)


def score(client: redis.Redis, name: str = "orders") -> Any:
    return client.zscore("redbeat::schedule", f"redbeat:{name}")


def test_a_saved_entry_is_loaded_as_it_was(app: Celery) -> None:
    made = entry(app, args=[1, "é"], kwargs={"a": {"b": 2}}, options={"queue": "q"}).save()
    loaded = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    for name in ("name", "task", "args", "kwargs", "options", "schedule", "enabled"):
        assert getattr(loaded, name) == getattr(made, name)
    assert loaded.last_run_at == made.last_run_at
    assert loaded.key == made.key == "redbeat:orders"
    assert loaded.rank == 0


def test_saving_writes_the_keys_of_celery_redbeat(app: Celery, client: redis.Redis) -> None:
    entry(app).save()
    definition = json.loads(client.hget("redbeat:orders", "definition") or "")
    assert list(definition) == ["name", "task", "args", "kwargs", "options", "schedule", "enabled"]
    assert list(json.loads(client.hget("redbeat:orders", "meta") or "")) == ["last_run_at"]
    assert score(client) == pytest.approx(datetime.now(UTC).timestamp() + 60, abs=5)


def test_saving_again_keeps_what_is_known_of_its_runs(app: Celery, client: redis.Redis) -> None:
    entry(app).save()
    ran = next(RedBeatSchedulerEntry.from_key("redbeat:orders", app=app))
    before = client.hget("redbeat:orders", "meta")
    entry(app, every=30.0).save()
    assert client.hget("redbeat:orders", "meta") == before
    loaded = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    assert (loaded.total_run_count, loaded.last_run_at) == (1, ran.last_run_at)


def test_deleting_removes_it_from_everywhere(app: Celery, client: redis.Redis) -> None:
    made = entry(app).save()
    made.delete()
    assert client.exists("redbeat:orders") == 0
    assert score(client) is None
    with pytest.raises(KeyError):
        RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)


def test_loading_what_is_not_there_is_a_key_error(app: Celery) -> None:
    for load in (
        RedBeatSchedulerEntry.from_key,
        RedBeatSchedulerEntry.load_definition,
    ):
        with pytest.raises(KeyError):
            load("redbeat:nothing", app=app)
    assert RedBeatSchedulerEntry.load_meta("redbeat:nothing", app=app)["last_run_at"] is None


def test_loading_what_is_scheduled_and_has_no_hash_is_a_key_error(
    app: Celery, client: redis.Redis
) -> None:
    client.zadd("redbeat::schedule", {"redbeat:nothing": 5, "redbeat:empty": 5, "redbeat:bare": 5})
    client.hset("redbeat:empty", "definition", "")
    client.hset("redbeat:bare", "meta", "{}")
    for name in ("nothing", "empty", "bare"):
        with pytest.raises(KeyError):
            RedBeatSchedulerEntry.from_key(f"redbeat:{name}", app=app)
        with pytest.raises(KeyError):
            RedBeatSchedulerEntry.load_definition(f"redbeat:{name}", app=app)


def test_loading_a_key_that_is_no_hash_says_why(app: Celery, client: redis.Redis) -> None:
    client.set("redbeat:orders", "precious")
    with pytest.raises(DecodeError, match="no hash"):
        RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)


def test_a_broken_definition_says_why(app: Celery, client: redis.Redis) -> None:
    client.hset("redbeat:orders", "definition", "{oops")
    with pytest.raises(DecodeError, match="not JSON"):
        RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)


def test_changing_a_loaded_entry_does_not_leak_into_others(app: Celery) -> None:
    entry(app, kwargs={"a": 1}, options={"headers": {"x": 1}}).save()
    first = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    first.kwargs["a"] = 2
    first.options["headers"]["x"] = 2
    second = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    assert second.kwargs == {"a": 1}
    assert second.options == {"headers": {"x": 1}}


def test_due_at_counts_from_the_last_run_and_not_from_now(app: Celery) -> None:
    last = datetime.now(UTC) - timedelta(seconds=20)
    made = entry(app, last_run_at=last)
    assert made.due_at == last + timedelta(seconds=60)


def test_an_overdue_entry_is_due_now(app: Celery) -> None:
    made = entry(app, last_run_at=datetime.now(UTC) - timedelta(hours=2))
    assert abs(made.due_at - datetime.now(UTC)) < timedelta(seconds=5)


def test_an_entry_that_never_ran_is_due_now(app: Celery, client: redis.Redis) -> None:
    entry(app).save()
    client.hdel("redbeat:orders", "meta")
    loaded = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    assert loaded.last_run_at is None
    assert loaded.due_at is not None
    assert abs(loaded.due_at - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_rule_that_is_over_has_a_negative_score(app: Celery) -> None:
    over = rrule("DAILY", dtstart=datetime(2020, 1, 1, tzinfo=UTC), count=3)
    made = entry(app, every=over)
    assert made.due_at is None
    assert made.score == -1


def test_a_rule_made_for_one_run_now_has_it(app: Celery) -> None:
    made = entry(app, every=rrule("DAILY", count=1, app=app))
    assert made.score == pytest.approx(datetime.now(UTC).timestamp(), abs=5)


def test_a_disabled_entry_is_not_scheduled(app: Celery, client: redis.Redis) -> None:
    made = entry(app, enabled=False).save()
    assert score(client) == -1
    assert made.is_due() == (False, 5.0)
    loaded = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    assert loaded.enabled is False
    loaded.enabled = True
    loaded.save()
    assert score(client) > 0


def test_reschedule_keeps_the_run_count(app: Celery, client: redis.Redis) -> None:
    entry(app).save()
    ran = next(RedBeatSchedulerEntry.from_key("redbeat:orders", app=app))
    moment = datetime.now(UTC) + timedelta(hours=1)
    ran.reschedule(last_run_at=moment)
    loaded = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    assert loaded.total_run_count == 1
    assert loaded.last_run_at == moment
    assert score(client) == pytest.approx(moment.timestamp() + 60)


def test_a_deleted_entry_does_not_come_back_by_its_next_run(
    app: Celery, client: redis.Redis
) -> None:
    made = entry(app).save()
    made.delete()
    next(made)
    made.reschedule()
    assert client.exists("redbeat:orders") == 0
    assert score(client) is None


def test_next_counts_the_run_unless_told_otherwise(app: Celery) -> None:
    made = entry(app).save()
    assert next(made).total_run_count == 1
    assert made._next_instance(only_update_last_run_at=True).total_run_count == 0


@pytest.mark.parametrize("name", ["", ":lock", ":schedule"])
def test_a_name_that_would_collide_is_refused(app: Celery, name: str) -> None:
    with pytest.raises(InvalidNameError):
        entry(app, name=name).save()


@pytest.mark.parametrize(
    "name", ["two words", "a:b", "a/b", 'it\'s "quoted"', "día ☀ 終", "{x}", "\\", "-n", "a\nb"]
)
def test_any_other_name_works(app: Celery, client: redis.Redis, name: str) -> None:
    made = entry(app, name=name).save()
    assert RedBeatSchedulerEntry.from_key(made.key, app=app).name == name
    assert client.hexists(f"redbeat:{name}", "definition")
    assert store_for(app).get(name) is not None
    made.delete()
    assert client.exists(f"redbeat:{name}") == 0


def test_what_has_no_json_form_is_refused_and_nothing_is_written(
    app: Celery, client: redis.Redis
) -> None:
    with pytest.raises((DecodeError, TypeError)):
        entry(app, kwargs={"when": object()}).save()
    assert client.keys("redbeat:orders") == []


def test_seconds_timedeltas_crontabs_and_rules_are_schedules(app: Celery) -> None:
    for every, kind in [
        (5, interval),
        (0.25, interval),
        (timedelta(minutes=1), interval),
        (crontab(minute="*/5"), crontab),
        (rrule("HOURLY"), rrule),
    ]:
        made = entry(app, every=every).save()
        loaded = RedBeatSchedulerEntry.from_key(made.key, app=app)
        assert isinstance(loaded.schedule, kind)
        assert loaded.schedule == made.schedule


def test_generate_key_uses_the_prefix(app: Celery) -> None:
    app.conf.redbeat_key_prefix = "shop:"
    assert RedBeatSchedulerEntry.generate_key(app, "x") == "shop:x"
