"""Runs that are filled many at a time come to the same as those that are made one by one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
import redis
from celery.schedules import crontab, schedule
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events, rrule
from redbeat_core.dispatch.bulk import BulkDispatch
from redbeat_core.dispatch.runs import task_id_of
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]

HALF_A_YEAR_ON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=180)
#: Entries of every kind of schedule, and of what may be in their hash.
ENTRIES: list[dict[str, Any]] = [
    {"args": [1, "é"]},
    {"every": 86400.25},
    {"every": crontab(minute=0, hour=0, day_of_month=1, month_of_year=HALF_A_YEAR_ON.month)},
    {"every": rrule("YEARLY", dtstart=HALF_A_YEAR_ON - timedelta(days=366))},
    {"kwargs": {"text": '" \\ / \x1b ☀ \U0001f600'}},
    {"options": {"queue": "other"}},
    {"options": {"expires": 60}},
    {"options": {"compression": "gzip"}},
    {"enabled": False},
]


def commits(client: redis.Redis, scheduler: RedBeatScheduler, since: float) -> list[str]:
    """What is left in Redis and told after some rounds over :data:`ENTRIES`, without what is
    random or the time.

    :param since: the nominal time of the first round.
    """
    for number, entry in enumerate(ENTRIES):
        due_entry(scheduler.app, f"e{number} é", **entry)
    seen: list[Any] = []
    for at in (since, since + 0.25, since + 0.5, since + 1):
        for number in range(len(ENTRIES)):
            key = f"redbeat:e{number} é"
            client.zadd("redbeat::schedule", {key: at})
            client.hset(key, "due", repr(at))
        run(scheduler)
        seen += [client.hgetall(key) for key in sorted(client.keys("redbeat:e*"))]
        for queue in ("shop", "other"):
            for message in queued(client, queue):
                message["properties"].pop("delivery_tag")
                seen.append(f"{queue} {json.dumps(message, sort_keys=True)}")
            client.delete(queue)
    told = log(scheduler.app, *(getattr(events, name) for name in dir(events) if "RUN_" in name))
    seen += sorted(f"{event.subject} {event.type} {json.dumps(event.data)}" for event in told)
    return sorted(_timeless(one) for one in seen)


def _timeless(seen: Any) -> str:
    text = json.dumps(seen, ensure_ascii=False)
    text = re.sub(r'(\\*"(year|month|day|hour|minute|second|microsecond)\\*": )\d+', r"\1", text)
    text = re.sub(r'(\\*"(lateness)\\*": )[\d.]+', r"\1", text)
    return re.sub(r'\\*"(expires|expiration|origin|reply_to)\\*": \\*"[^"]*\\*"', "", text)


def test_they_leave_and_tell_the_same(
    client: redis.Redis, make_scheduler: Make, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_scheduler()
    since = time.time() - 5
    many = commits(client, first, since)
    first.close()
    assert len(set(filled)) == len(ENTRIES) - 2
    filled.clear()
    client.flushdb()
    monkeypatch.setattr(BulkDispatch, "begin_batch", lambda self, now: None)
    second = RedBeatScheduler(first.app)
    assert commits(client, second, since) == many
    second.close()
    assert not filled


def test_a_burst_is_filled_from_the_third_of_a_kind_on(
    client: redis.Redis, make_scheduler: Make, filled: list[str]
) -> None:
    scheduler = make_scheduler(redbeat_batch_size=50)
    for number in range(200):
        due_entry(scheduler.app, f"e{number}", args=[number])
    run(scheduler)
    assert len(queued(client)) == 200
    assert len(filled) == 198


def test_an_edit_between_claim_and_commit_wins_over_a_filled_run(
    client: redis.Redis, make_scheduler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler()
    for number in range(3):
        due_entry(scheduler.app, f"e{number}")
    run(scheduler)
    due_entry(scheduler.app, "e0")
    commit = scheduler.store.commit

    def edited_first(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(scheduler.store, "commit", commit)
        due_entry(scheduler.app, "e0", args=["new"])
        return commit(*args, **kwargs)

    client.delete("shop")
    monkeypatch.setattr(scheduler.store, "commit", edited_first)
    run(scheduler)
    (message,) = queued(client)
    assert "new" in message["headers"]["argsrepr"]


def test_a_filled_run_that_the_broker_refuses_is_kept_and_told(
    client: redis.Redis, make_scheduler: Make, filled: list[str]
) -> None:
    scheduler = make_scheduler()
    for number in range(3):
        due_entry(scheduler.app, f"e{number}")
    run(scheduler)
    client.delete("shop")
    client.set("shop", "no list")
    due_entry(scheduler.app, "e0")
    filled.clear()
    run(scheduler)
    assert filled == ["e0"]
    (failed,) = log(scheduler.app, events.RUN_FAILED)
    assert failed.subject == "e0"
    assert "WRONGTYPE" in failed.data["reason"]
    client.delete("shop")
    scheduler.batch.postponed.clear()
    run(scheduler)
    assert len(queued(client)) == 1


def test_a_count_of_any_size_is_counted_on(
    client: redis.Redis, make_scheduler: Make, filled: list[str]
) -> None:
    scheduler = make_scheduler()
    for number in range(3):
        due_entry(scheduler.app, f"e{number}")
    run(scheduler)
    meta = str(client.hget("redbeat:e0", "meta"))
    most = 10**17 - 2
    client.hset("redbeat:e0", "meta", re.sub(r'count": \d+', f'count": {most}', meta))
    for add in (1, 2):
        client.zadd("redbeat::schedule", {"redbeat:e0": 5})
        client.hset("redbeat:e0", "due", "5")
        run(scheduler)
        loaded = RedBeatSchedulerEntry.from_key("redbeat:e0", app=scheduler.app)
        assert loaded.total_run_count == most + add


def test_what_an_operator_did_to_an_entry_does_not_keep_its_runs_from_being_filled(
    client: redis.Redis, make_scheduler: Make, filled: list[str]
) -> None:
    scheduler = make_scheduler()
    operations = Operations(store_for(scheduler.app), app=scheduler.app)
    for number in range(3):
        due_entry(scheduler.app, f"e{number}")
    run(scheduler)
    store_for(scheduler.app).add_statics(["e0"])
    operations.edit_schedule("e0", schedule(7200.0))
    assert client.hget("redbeat:e0", "state")
    client.delete("shop")
    filled.clear()
    now = repr(time.time())
    client.zadd("redbeat::schedule", {"redbeat:e0": now})
    client.hset("redbeat:e0", "due", now)
    run(scheduler)
    assert len(queued(client)) == 1
    assert filled == ["e0"]


@pytest.mark.parametrize("due", ["on time", "late"])
def test_a_grace_for_all_holds_for_runs_that_could_be_filled(
    client: redis.Redis, make_scheduler: Make, filled: list[str], due: str
) -> None:
    scheduler = make_scheduler(redbeat_grace=300.0)
    for number in range(3):
        due_entry(scheduler.app, f"e{number}")
    run(scheduler)
    client.delete("shop")
    filled.clear()
    at = repr(time.time() - (600 if due == "late" else 0))
    client.zadd("redbeat::schedule", {"redbeat:e0": at})
    client.hset("redbeat:e0", "due", at)
    run(scheduler)
    assert len(queued(client)) == len(filled) == (0 if due == "late" else 1)
    missed = [event.subject for event in log(scheduler.app, events.RUN_MISSED)]
    assert missed == (["e0"] if due == "late" else [])


def test_a_scheduler_with_its_own_entries_makes_them_one_by_one(
    client: redis.Redis, make_scheduler: Make, filled: list[str]
) -> None:
    class MyEntry(RedBeatSchedulerEntry):
        pass

    scheduler = make_scheduler()
    scheduler.Entry = MyEntry
    for number in range(5):
        due_entry(scheduler.app, f"e{number}")
    run(scheduler)
    assert len(queued(client)) == 5
    assert not filled
    assert store_for(scheduler.app).get("e0") is not None


@given(st.text(), st.text())
def test_the_task_id_is_the_uuid5_of_the_run(key: str, moment: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in key + moment):
        return
    assert task_id_of(key, moment) == str(uuid5(NAMESPACE_URL, f"redbeat:{key}#{moment}"))
