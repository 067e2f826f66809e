"""What an entry's policy says about being late is what happens, on a real server."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import crontab

from redbeat_core import Policy, RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, log, queued

Make = Callable[..., RedBeatScheduler]
DAY = 86400
KEY = "redbeat:orders"
SCHEDULE = "redbeat::schedule"


def rest(scheduler: RedBeatScheduler, steps: int = 500) -> None:
    """Ticks of the loop without the waiting, until nothing is left to do at once."""
    for _ in range(steps):
        if scheduler._step() > 0:
            return
    raise AssertionError("the scheduler does not come to rest")


def left_alone(app: Celery, since: float, name: str = "orders", **more: Any) -> None:
    """An entry as a scheduler left it that was switched off before *since* (Unix seconds)."""
    due_entry(app, name, **more)
    store = store_for(app)
    score = repr(float(since))
    store.client.zadd(SCHEDULE, {f"redbeat:{name}": score})
    store.client.hset(f"redbeat:{name}", "due", score)


def field(client: redis.Redis, name: str) -> str:
    value = client.hget(KEY, name)
    assert isinstance(value, str)
    return value


def nominals(client: redis.Redis) -> list[float]:
    return sorted(message["headers"]["redbeat"]["nominal"] for message in queued(client))


def ended(app: Celery, every: float) -> Counter[float]:
    """How often the log tells the end of each nominal time of an interval."""
    found: Counter[float] = Counter()
    for event in log(app, events.RUN_DISPATCHED, events.RUN_MISSED, events.RUN_SKIPPED):
        data = event.data
        if event.type == events.RUN_DISPATCHED:
            found[data["nominal"]] += 1
            continue
        assert data["reason"]
        assert data["trigger"] is None
        times = [data["nominal"] + n * every for n in range(data["count"])]
        assert times[-1] == data["last"]
        found.update(times)
    return found


@pytest.mark.parametrize(
    ("policy", "runs", "missed", "skipped"),
    [
        ({}, [0], 144, 0),
        ({"grace": 3601}, [139], 144, 0),
        ({"grace": 60}, [], 145, 0),
        ({"catchup": "all"}, list(range(45, 145)), 45, 0),
        ({"catchup": "all", "catchup_limit": 3}, [142, 143, 144], 142, 0),
        ({"catchup": "all", "grace": 1000}, [143, 144], 143, 0),
        ({"catchup": "skip"}, [], 145, 0),
        ({"catchup": "skip", "grace": 400}, [144], 144, 0),
        ({"catchup": "skip", "grace": 2 * DAY}, [144], 0, 144),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_a_day_without_a_scheduler_is_made_up_for_as_the_policy_says(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Make,
    policy: dict[str, Any],
    runs: list[int],
    missed: int,
    skipped: int,
) -> None:
    first = float(int(time.time()) - DAY - 300)
    left_alone(app, first, every=600.0, policy=policy)
    before = store_for(app).records(["orders"])[0]
    scheduler = make_scheduler()
    rest(scheduler)
    scheduler.close()
    every = [first + 600 * number for number in range(145)]
    assert nominals(client) == [every[number] for number in runs]
    assert len({message["headers"]["id"] for message in queued(client)}) == len(runs)
    # Each nominal time ended once, as one thing or another.
    assert ended(app, 600) == dict.fromkeys(every, 1)
    # The chain goes on where it was.
    assert client.zscore(SCHEDULE, KEY) == first + 145 * 600
    after = store_for(app).records(["orders"])[0]
    counts = json.loads(after.counts or "{}")
    assert counts.get("missed", 0) == missed
    assert counts.get("skipped", 0) == skipped
    assert after.version == before.version
    # Somebody else takes over: nothing comes twice.
    another = make_scheduler()
    rest(another)
    assert another.lock is not None
    assert len(queued(client)) == len(runs)


def test_the_settings_say_it_for_entries_that_do_not(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    first = float(int(time.time()) - 1000)
    for name, policy in (("as set", None), ("its own", {"catchup": "one"})):
        left_alone(app, first, name, every=100.0, policy=policy)
    rest(make_scheduler(redbeat_catchup="all", redbeat_catchup_limit=4))
    names = Counter(message["headers"]["redbeat"]["entry"] for message in queued(client))
    assert names == {"as set": 4, "its own": 1}


def test_a_crontab_is_made_up_for_with_its_own_nominal_times(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    left_alone(
        app, (now - timedelta(minutes=5)).timestamp(), every=crontab(), policy={"catchup": "all"}
    )
    rest(make_scheduler())
    expected = [(now - timedelta(minutes=5 - n)).timestamp() for n in range(6)]
    assert nominals(client)[:6] == expected


def test_nobody_waits_for_an_entry_that_catches_up(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    long_ago = float(int(time.time()) - 5000)
    for name in ("far behind", "as far"):
        left_alone(app, long_ago, name, every=50.0, policy=Policy(catchup="all"))
    for number in range(4):
        left_alone(app, long_ago + 4900, f"late {number}", every=DAY)
    rest(make_scheduler(redbeat_batch_size=2))
    # From the oldest message on.
    order = [message["headers"]["redbeat"]["entry"] for message in queued(client)][::-1]
    assert len(order) == 204
    assert set(order[:6]) == {"far behind", "as far", *(f"late {number}" for number in range(4))}
    # The two that catch up take turns.
    turns = order[6:]
    assert all(abs(turns[:n].count("as far") - n / 2) <= 1 for n in range(len(turns)))


def test_jitter_puts_the_run_off_and_leaves_its_nominal_time(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    nominal = float(int(time.time()) - 5)
    left_alone(app, nominal, every=DAY, policy={"jitter": 80000})
    scheduler = make_scheduler()
    rest(scheduler)
    assert queued(client) == []
    put_off = client.zscore(SCHEDULE, KEY)
    assert put_off is not None
    assert nominal < put_off < nominal + 80000
    assert client.hget(KEY, "due") == f"{put_off!r} {nominal!r}"
    # As if that time had come.
    came = time.time() - 1
    client.zadd(SCHEDULE, {KEY: came})
    client.hset(KEY, "due", f"{came!r} {nominal - 80000!r}")
    rest(scheduler)
    (message,) = queued(client)
    assert message["headers"]["redbeat"]["nominal"] == nominal - 80000
    (told,) = log(app, events.RUN_DISPATCHED)
    assert told.data["nominal"] == nominal - 80000


def test_a_score_of_celery_redbeat_is_put_off_too(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    last = datetime.now(UTC) - timedelta(seconds=3605)
    due_entry(app, every=3600.0, last_run_at=last, policy={"jitter": 3000})
    client.zadd(SCHEDULE, {KEY: int(last.timestamp()) + 3600})
    client.hdel(KEY, "due")
    rest(make_scheduler())
    put_off = client.zscore(SCHEDULE, KEY)
    nominal = last.timestamp() + 3600
    if queued(client):
        pytest.skip("the hash of this very time gives next to no delay")
    assert put_off is not None
    assert nominal < put_off < nominal + 3000


def test_an_entry_does_not_run_before_its_start(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    start = time.time() + 1000
    nominal = float(int(time.time()) - 10)
    left_alone(app, nominal, every=60.0, policy={"start": start})
    rest(make_scheduler())
    assert queued(client) == []
    assert log(app, events.RUN_MISSED) == []
    score = client.zscore(SCHEDULE, KEY)
    assert score is not None
    assert start <= score < start + 60
    assert (score - nominal) % 60 == 0


@pytest.mark.parametrize("policy", [{"end": "now"}, {"max_runs": 3}], ids=["end", "max_runs"])
def test_the_last_run_that_the_policy_allows_finishes_the_entry(
    app: Celery, client: redis.Redis, make_scheduler: Make, policy: dict[str, Any]
) -> None:
    if "end" in policy:
        policy = {"end": time.time()}
    left_alone(app, float(int(time.time()) - 3), every=60.0, policy=policy)
    client.hset(KEY, "meta", '{"last_run_at": null, "total_run_count": 2}')
    scheduler = make_scheduler()
    rest(scheduler)
    assert len(queued(client)) == 1
    assert client.zscore(SCHEDULE, KEY) == -1
    assert [event.subject for event in log(app, events.ENTRY_FINISHED)] == ["orders"]
    assert field(client, "due").startswith("-1.0 ")
    # It stays, and stays finished.
    scheduler._auditor.forget()
    scheduler._auditor._next = 0
    rest(scheduler)
    assert client.exists(KEY)
    assert client.zscore(SCHEDULE, KEY) == -1
    assert len(log(app)) == len({event.id for event in log(app)})


def test_an_entry_that_another_program_schedules_past_its_end_is_finished_again(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, every=60.0, policy={"max_runs": 1}, last_run_at=datetime.now(UTC))
    client.hset(KEY, "meta", '{"last_run_at": null, "total_run_count": 1}')
    client.zadd(SCHEDULE, {KEY: int(time.time()) - 5})
    client.hdel(KEY, "due")
    rest(make_scheduler())
    assert queued(client) == []
    assert client.zscore(SCHEDULE, KEY) == -1


def look(scheduler: RedBeatScheduler) -> None:
    """The leader's slow look at all entries, now."""
    scheduler._auditor.forget()
    scheduler._auditor._next = 0
    rest(scheduler)


def test_a_finished_entry_is_deleted_when_its_time_is_over(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    policy = {"max_runs": 1, "keep_finished": 0}
    names = [f"once {number}" for number in range(40)]
    for name in names:
        left_alone(app, time.time() - 1, name, every=60.0, policy=policy)
    left_alone(app, time.time() - 1, "kept", policy={"max_runs": 1, "keep_finished": 1000})
    left_alone(app, time.time() - 1, "static", policy=policy)
    store_for(app).add_statics(["static"])
    scheduler = make_scheduler(
        beat_schedule={
            "static": {"task": "shop.record", "schedule": 3600.0, "policy": policy},
        }
    )
    rest(scheduler)
    assert len(queued(client)) == 42
    scheduler._auditor.forget()
    for _ in range(4):
        scheduler._auditor._next = 0
        rest(scheduler)
    deleted = log(app, events.ENTRY_DELETED)
    assert {event.subject for event in deleted} == set(names)
    assert deleted[0].data == {"actor": "beat", "note": "it was finished"}
    left = set(store_for(app).scores())
    assert {"kept", "static"} <= left
    assert not left & set(names)
    assert client.keys("redbeat:once*") == []


def test_a_finished_entry_that_was_given_another_run_is_not_deleted(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    left_alone(app, time.time() - 1, every=60.0, policy={"max_runs": 1, "keep_finished": 9})
    scheduler = make_scheduler()
    rest(scheduler)
    finished = store_for(app).records(["orders"])
    client.zadd(SCHEDULE, {KEY: time.time() + 50})
    scheduler.store.delete_unchanged(finished, {})
    assert client.exists(KEY)
    client.zadd(SCHEDULE, {KEY: -1})
    scheduler.store.delete_unchanged(finished, {})
    assert not client.exists(KEY)


def test_an_entry_with_a_broken_policy_is_reported_and_harms_no_other(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    left_alone(app, time.time() - 1)
    left_alone(app, time.time() - 1, "good")
    client.hset(KEY, "policy", '{"catchup": "sometimes"}')
    scheduler = make_scheduler()
    rest(scheduler)
    look(scheduler)
    assert [message["headers"]["redbeat"]["entry"] for message in queued(client)] == ["good"]
    (invalid,) = log(app, events.ENTRY_INVALID)
    assert "'catchup' is 'sometimes': it must be 'one', 'all' or 'skip'" in invalid.data["reason"]
    # Repaired, it runs.
    client.hset(KEY, "policy", '{"catchup": "all"}')
    rest(scheduler)
    assert len(queued(client)) == 2


def test_the_policy_of_an_entry_is_kept_beside_its_definition(
    app: Celery, client: redis.Redis
) -> None:
    entry = due_entry(app, policy={"catchup": "all", "grace": 60})
    assert json.loads(field(client, "policy")) == {"catchup": "all", "grace": 60}
    assert "policy" not in json.loads(field(client, "definition"))
    loaded = RedBeatSchedulerEntry.from_key(KEY, app=app)
    assert loaded.policy == {"catchup": "all", "grace": 60}
    assert next(entry).policy == entry.policy
    # What is saved without one leaves it.
    due_entry(app)
    assert client.hget(KEY, "policy") == '{"catchup": "all", "grace": 60}'
    due_entry(app, policy=Policy(catchup="skip"))
    assert json.loads(field(client, "policy"))["jitter"] == 0.0


def test_a_policy_that_cannot_be_is_not_saved(app: Celery, client: redis.Redis) -> None:
    with pytest.raises(ValueError, match="did you mean 'jitter'"):
        due_entry(app, policy={"jiter": 5})
    assert not client.exists(KEY)
