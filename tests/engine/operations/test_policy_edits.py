"""Tests policies edited by operators, and policies from the code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab

from redbeat_core import RedBeatScheduler, events
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import decode_record
from redbeat_core.operations import (
    ConflictError,
    InvalidEntryError,
    NotFoundError,
    Operations,
    ReadOnlyError,
)
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
KEY = "redbeat:orders"
SCHEDULE = "redbeat::schedule"


@pytest.fixture
def operations(app: Celery) -> Operations:
    return Operations(store_for(app), app=app, actor="ann@desk")


def record(app: Celery, name: str = "orders") -> EntryRecord:
    found = store_for(app).get(name)
    assert found is not None
    return found


def waiting(app: Celery, every: Any = 3600.0, **more: Any) -> float:
    """Create an entry that is due later; return its score."""
    due_entry(app, every=every, last_run_at=datetime.now(UTC), **more)
    score = record(app).score
    assert score is not None
    assert score > time.time()
    return score


def test_an_operator_changes_one_member_and_the_others_stay(
    app: Celery, operations: Operations
) -> None:
    score = waiting(app, policy={"catchup": "all"})
    seen = record(app)
    changed = operations.edit_policy("orders", {"grace": 60}, version=seen.version, note="late")
    assert json.loads(changed.policy or "") == {"catchup": "all", "grace": 60}
    assert changed.score == score
    assert changed.version != seen.version
    told = log(app, events.ENTRY_UPDATED)[-1].data
    assert (told["actor"], told["note"]) == ("ann@desk", "late")
    assert told["fields"]["policy"] == changed.policy
    again = operations.edit_policy("orders", {}, reset=["catchup"])
    assert json.loads(again.policy or "") == {"grace": 60}
    assert operations.edit_policy("orders", {}, reset=None).policy is None


def test_a_policy_that_cannot_be_is_refused_with_its_reason(
    app: Celery, operations: Operations
) -> None:
    waiting(app)
    with pytest.raises(InvalidEntryError, match=r"'grace' is 'long'.*nothing was written"):
        operations.edit_policy("orders", {"grace": "long"})
    with pytest.raises(InvalidEntryError, match="did you mean 'jitter'"):
        operations.edit_policy("orders", {}, reset=["jiter"])
    operations.edit_policy("orders", {"start": 100})
    with pytest.raises(InvalidEntryError, match=r"'end' .* is before its 'start'"):
        operations.edit_policy("orders", {"end": 50})
    with pytest.raises(NotFoundError):
        operations.edit_policy("no such", {"grace": 1})
    with pytest.raises(ReadOnlyError):
        Operations(store_for(app), app=app, read_only=True).edit_policy("orders", {"grace": 1})
    assert record(app).policy == '{"start": 100}'


def test_a_policy_that_somebody_else_changed_is_not_overwritten(
    app: Celery, operations: Operations
) -> None:
    waiting(app)
    seen = record(app)
    operations.edit_policy("orders", {"grace": 1})
    with pytest.raises(ConflictError) as refused:
        operations.edit_policy("orders", {"grace": 2}, version=seen.version)
    assert refused.value.current is not None
    assert refused.value.current.policy == '{"grace": 1}'


def test_a_broken_policy_is_repaired_by_a_reset(
    app: Celery, client: redis.Redis, operations: Operations
) -> None:
    waiting(app)
    client.hset(KEY, "policy", "nonsense")
    assert "not JSON" in (decode_record(record(app), app).error or "")
    with pytest.raises(InvalidEntryError, match="not JSON"):
        operations.edit_policy("orders", {"grace": 5})
    # Operations that do not need the policy still work.
    operations.pause("orders")
    with pytest.raises(InvalidEntryError, match="set the policy again, or reset it"):
        operations.resume("orders")
    assert operations.edit_policy("orders", {"grace": 5}, reset=None).policy == '{"grace": 5}'
    operations.resume("orders")
    assert decode_record(record(app), app).error is None


def test_a_new_limit_moves_the_next_run_at_once(app: Celery, operations: Operations) -> None:
    score = waiting(app)
    start = score + 10 * 3600 - 5
    assert operations.edit_policy("orders", {"start": start}).score == score + 10 * 3600
    # An earlier start schedules it again.
    back = operations.edit_policy("orders", {"start": None}).score
    assert back == pytest.approx(score, abs=1e-3)
    put_off = operations.edit_policy("orders", {"jitter": 3000})
    assert put_off.score is not None
    assert back is not None
    assert back < put_off.score < back + 3000
    assert put_off.due == f"{put_off.score!r} {back!r}"
    assert operations.edit_policy("orders", {"jitter": 0}).score == back
    finished = operations.edit_policy("orders", {"end": time.time() - 5})
    assert finished.score == -1
    assert decode_record(finished, app).finished
    lives = operations.edit_policy("orders", {"end": None})
    assert lives.score == pytest.approx(score, abs=1e-3)


def test_an_overdue_entry_stays_so_for_the_new_policy_to_decide(
    app: Celery, client: redis.Redis, operations: Operations, make_scheduler: Make
) -> None:
    waiting(app, every=60.0)
    since = float(int(time.time()) - 200)
    client.zadd(SCHEDULE, {KEY: since})
    client.hset(KEY, "due", repr(since))
    assert operations.edit_policy("orders", {"catchup": "all"}).score == since
    beat(make_scheduler())
    nominals = [message["headers"]["redbeat"]["nominal"] for message in queued(client)]
    assert sorted(nominals) == [since, since + 60, since + 120, since + 180]


def test_a_paused_entry_stays_paused(app: Celery, operations: Operations) -> None:
    waiting(app)
    operations.pause("orders")
    assert operations.edit_policy("orders", {"jitter": 5, "start": 5}).score == -1
    resumed = operations.resume("orders")
    assert resumed.score is not None
    assert resumed.due == f"{resumed.score!r} {(resumed.due or '').split()[1]}"


def test_a_run_made_meanwhile_is_not_made_again(
    app: Celery, client: redis.Redis, operations: Operations
) -> None:
    score = waiting(app)
    store = store_for(app)
    change = store.change

    def faster(*args: Any, **kwargs: Any) -> Any:
        # Once, between the read and the write, the leader makes the run.
        store.change = change  # type: ignore[method-assign]
        client.zadd(SCHEDULE, {KEY: score + 3600})
        client.hset(KEY, "due", repr(score + 3600))
        return change(*args, **kwargs)

    store.change = faster  # type: ignore[method-assign]
    done = operations.edit_policy("orders", {"jitter": 10}, version=record(app).version)
    assert (done.due or "").endswith(f" {score + 3600!r}")


def test_a_schedule_without_a_run_within_the_policy_is_refused(
    app: Celery, operations: Operations
) -> None:
    waiting(app, policy={"end": time.time() + 7200})
    with pytest.raises(InvalidEntryError, match="no run to come that the entry's policy allows"):
        operations.edit_schedule("orders", crontab(minute=0, hour=0, day_of_month=31, app=app))


def beat(scheduler: RedBeatScheduler) -> None:
    """Start a beat, run its due work, and stop it."""
    run(scheduler)
    scheduler.close()


def statics(**policy: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"task": "shop.record", "schedule": 3600.0}
    return {"beat_schedule": {"orders": {**item, **policy}}}


def test_a_policy_from_the_code_is_installed_and_goes_with_it(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    beat(make_scheduler(**statics(policy={"catchup": "all"})))
    assert record(app).policy == '{"catchup": "all"}'
    assert "policy" not in json.loads(record(app).definition or "")
    beat(make_scheduler(**statics(policy={"catchup": "skip"})))
    assert record(app).policy == '{"catchup": "skip"}'
    beat(make_scheduler(**statics()))
    assert record(app).policy is None
    # None of these changes made a run.
    assert client.llen("shop") == 0


def test_a_wrong_policy_in_the_code_leaves_its_entry_out_and_no_other(
    app: Celery, make_scheduler: Make, caplog: pytest.LogCaptureFixture
) -> None:
    conf = statics(policy={"grace": "long"})
    conf["beat_schedule"]["good"] = {"task": "shop.record", "schedule": 3600.0}
    beat(make_scheduler(**conf))
    assert store_for(app).get("orders") is None
    assert store_for(app).get("good") is not None
    assert "'grace' is 'long'" in caplog.text


def test_an_operators_policy_outlives_a_restart_until_the_code_changes(
    app: Celery, make_scheduler: Make, operations: Operations
) -> None:
    code = {"policy": {"grace": 100}}
    beat(make_scheduler(**statics(**code)))
    operations.edit_policy("orders", {"grace": 5}, note="for now")
    operations.edit_policy("orders", {"jitter": 1})
    beat(make_scheduler(**statics(**code)))
    assert json.loads(record(app).policy or "") == {"grace": 5, "jitter": 1}
    state = json.loads(record(app).state or "")
    assert state["policy_override"]["replaced"] == '{"grace": 100}'
    beat(make_scheduler(**statics(policy={"grace": 200})))
    assert record(app).policy == '{"grace": 200}'
    assert record(app).state is None


def test_an_operators_policy_for_an_entry_without_one_in_the_code_stays(
    app: Celery, make_scheduler: Make, operations: Operations
) -> None:
    beat(make_scheduler(**statics()))
    operations.edit_policy("orders", {"grace": 5})
    beat(make_scheduler(**statics()))
    assert record(app).policy == '{"grace": 5}'


def test_what_came_due_before_a_new_policy_in_the_code_is_decided_by_it(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    beat(make_scheduler(**statics()))
    since = float(int(time.time()) - 2 * 3600 - 10)
    client.zadd(SCHEDULE, {KEY: since})
    client.hset(KEY, "due", repr(since))
    beat(make_scheduler(**statics(policy={"catchup": "all"})))
    nominals = [message["headers"]["redbeat"]["nominal"] for message in queued(client)]
    assert sorted(nominals) == [since, since + 3600, since + 7200]
