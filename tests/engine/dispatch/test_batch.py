"""Claim and commit: what was changed between them wins, and nothing is enqueued twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis
from celery import Celery
from celery.schedules import crontab, schedule

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.operations import Operations
from redbeat_core.storage.commit_steps import ClaimedEntry, CommitStep
from redbeat_core.storage.leader_store import Claim, LeaderStore, ServerChangedError
from redbeat_core.storage.schedule_store import store_for
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]


def test_a_due_entry_is_enqueued_with_its_advance(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, args=[1], kwargs={"a": "é"})
    nominal = client.zscore("redbeat::schedule", "redbeat:orders")
    assert nominal is not None
    run(make_scheduler())
    (message,) = queued(client)
    headers = message["headers"]
    assert headers["task"] == "shop.record"
    assert headers["redbeat"] == {"entry": "orders", "nominal": nominal, "trigger": None}
    (event,) = log(app, events.RUN_DISPATCHED)
    assert event.data["task_id"] == headers["id"]
    assert event.data["nominal"] == nominal
    score = client.zscore("redbeat::schedule", "redbeat:orders")
    assert score == event.data["score"] == nominal + 3600
    loaded = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    assert loaded.total_run_count == 1
    assert datetime.now(UTC) - loaded.last_run_at < timedelta(seconds=10)


def test_a_message_in_another_database_with_a_prefix_is_kombus_own(
    url: str, client: redis.Redis, make_scheduler: Make
) -> None:
    broker = url.replace("/0", "/5")
    conf = {"broker_url": broker, "broker_transport_options": {"global_keyprefix": "pre:"}}
    conf |= {"redbeat_redis_options": {}}
    scheduler = make_scheduler(**conf)
    due_entry(scheduler.app, "plain")
    due_entry(scheduler.app, "fancy", options={"queue": "other", "priority": 6})
    run(scheduler)
    assert scheduler.publisher.mode == "exactly-once"
    with redis.Redis.from_url(broker, decode_responses=True) as broker_client:
        assert broker_client.llen("pre:shop") == 1
        assert broker_client.llen("pre:other\x06\x166") == 1
        # The same by Celery's own way ends in the same lists.
        scheduler.app.send_task("shop.record", queue="other", priority=6)
        assert broker_client.llen("pre:other\x06\x166") == 2
    assert client.llen("shop") == 0


CHANGES: dict[str, Callable[[Celery], object]] = {
    "deleted": lambda app: Operations(store_for(app), app=app).delete("orders"),
    "paused": lambda app: Operations(store_for(app), app=app).pause("orders"),
    "edited": lambda app: Operations(store_for(app), app=app).edit_schedule(
        "orders", schedule(77.0)
    ),
    "given other arguments": lambda app: due_entry(app, args=["new"]),
    "run by another beat": lambda app: next(
        RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    ),
    "removed by hand": lambda app: store_for(app).client.delete("redbeat:orders"),
    "unscheduled by hand": lambda app: store_for(app).client.zrem(
        "redbeat::schedule", "redbeat:orders"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_claim_and_commit_wins(
    app: Celery, client: redis.Redis, change: str
) -> None:
    due_entry(app)
    store = LeaderStore(client, store_for(app).keys)
    claim = store.claim("", 10, time.time() + 1, 10)
    (due,) = claim.due
    CHANGES[change](app)
    state = client.hgetall("redbeat:orders"), client.zscore("redbeat::schedule", "redbeat:orders")
    step = CommitStep(due=due, score=9e9, meta="{}", commands=[(0, ["LPUSH", "shop", "x"])])
    assert store.commit("", [step]) == ["stale"]
    assert client.llen("shop") == 0
    assert state == (
        client.hgetall("redbeat:orders"),
        client.zscore("redbeat::schedule", "redbeat:orders"),
    )


def test_two_who_claim_the_same_enqueue_it_once(app: Celery, client: redis.Redis) -> None:
    due_entry(app)
    store = LeaderStore(client, store_for(app).keys)
    claims = [store.claim("", 10, time.time() + 1, 10) for _ in range(2)]
    results = []
    for claim in claims:
        step = CommitStep(due=claim.due[0], score=9e9, commands=[(0, ["LPUSH", "shop", "x"])])
        results.append(store.commit("", [step]))
    assert results == [["ok"], ["stale"]]
    assert client.llen("shop") == 1


def test_a_commit_without_the_lease_does_nothing(app: Celery, client: redis.Redis) -> None:
    due_entry(app)
    store = LeaderStore(client, store_for(app).keys)
    client.set("redbeat::lock", "mine")
    claim = store.claim("mine", 10, time.time() + 1, 10, lock="redbeat::lock")
    assert len(claim.due) == 1
    client.set("redbeat::lock", "another's")
    step = CommitStep(due=claim.due[0], score=9e9, commands=[(0, ["LPUSH", "shop", "x"])])
    assert store.commit("mine", [step], lock="redbeat::lock") is None
    assert client.llen("shop") == 0
    lost = store.claim("mine", 10, time.time() + 1, 10, lock="redbeat::lock")
    assert lost == Claim(held=False, holder="another's")


def test_a_broker_command_that_fails_leaves_its_entry_and_not_the_others(
    app: Celery, client: redis.Redis
) -> None:
    for name in ("a", "b", "c"):
        due_entry(app, name)
    client.set("odd", "no list")
    store = LeaderStore(client, store_for(app).keys)
    claim = store.claim("", 10, time.time() + 1, 10)
    steps = [
        CommitStep(due=due, score=9e9, commands=[(0, ["LPUSH", queue, "x"])])
        for due, queue in zip(claim.due, ("shop", "odd", "shop"), strict=True)
    ]
    results = store.commit("", steps)
    assert results is not None
    assert results[0] == results[2] == "ok"
    assert "WRONGTYPE" in results[1]
    assert client.llen("shop") == 2
    assert client.zscore("redbeat::schedule", "redbeat:b") == claim.due[1].record.score


def test_a_commit_for_another_server_does_nothing(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app)
    store = LeaderStore(client, store_for(app).keys)
    claim = store.claim("", 10, time.time() + 1, 10)
    step = CommitStep(due=claim.due[0], score=9e9, commands=[(0, ["LPUSH", "shop", "x"])])
    with pytest.raises(ServerChangedError):
        store.commit("", [step], server="0123456789")
    assert client.llen("shop") == 0
    scheduler = make_scheduler()
    scheduler._step()
    client.delete("shop")
    due_entry(app)
    scheduler.publisher.server = "0123456789"
    run(scheduler)
    assert scheduler.publisher.mode == "exactly-once"
    assert len(queued(client)) == 1


def test_many_due_at_once_all_go_out(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    for number in range(60):
        due_entry(app, f"e{number}")
    run(make_scheduler(redbeat_batch_size=7))
    assert len({m["headers"]["id"] for m in queued(client)}) == 60
    assert len(log(app, events.RUN_DISPATCHED)) == 60


def test_three_schedulers_without_a_lock_enqueue_each_time_once(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    schedulers = [make_scheduler(redbeat_lock_key=None, redbeat_batch_size=5) for _ in range(3)]
    for number in range(40):
        due_entry(app, f"e{number}")
    for _ in range(30):
        for scheduler in schedulers:
            scheduler._step()
    ids = [message["headers"]["id"] for message in queued(client)]
    assert len(ids) == len(set(ids)) == 40


def test_a_run_late_by_many_stands_for_all_and_says_so(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, every=60.0, last_run_at=datetime.now(UTC) - timedelta(seconds=630))
    # As our own scheduler left it: the score is the first nominal time that was not run.
    nominal = datetime.now(UTC).timestamp() - 570
    client.zadd("redbeat::schedule", {"redbeat:orders": nominal})
    client.hset("redbeat:orders", "due", repr(nominal))
    run(make_scheduler())
    assert len(queued(client)) == 1
    (dispatched,) = log(app, events.RUN_DISPATCHED)
    assert dispatched.data["missed"] == 9
    (missed,) = log(app, events.RUN_MISSED)
    assert missed.data["count"] == 9
    # The chain goes on where it was, without drift.
    assert dispatched.data["score"] == pytest.approx(nominal + 600, abs=1e-3)


def test_a_score_that_celery_redbeat_wrote_too_early_is_corrected(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    last = datetime.now(UTC) - timedelta(seconds=100)
    due_entry(app, every=3600.0, last_run_at=last)
    client.zadd("redbeat::schedule", {"redbeat:orders": int(time.time()) - 1})
    client.hdel("redbeat:orders", "due")
    run(make_scheduler())
    assert queued(client) == []
    score = client.zscore("redbeat::schedule", "redbeat:orders")
    assert score == pytest.approx(last.timestamp() + 3600, abs=1e-3)


def test_an_overdue_entry_that_is_disabled_costs_nothing_more(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, enabled=False)
    client.zadd("redbeat::schedule", {"redbeat:orders": 5})
    scheduler = make_scheduler()
    run(scheduler)
    assert queued(client) == []
    assert client.zscore("redbeat::schedule", "redbeat:orders") == -1


def test_a_finished_rule_is_said_to_be_finished(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    from redbeat_core import rrule

    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    last = start - timedelta(seconds=5)
    due_entry(app, every=rrule("DAILY", dtstart=start, count=1), last_run_at=last)
    run(make_scheduler())
    assert len(queued(client)) == 1
    assert client.zscore("redbeat::schedule", "redbeat:orders") == -1
    assert len(log(app, events.ENTRY_FINISHED)) == 1


def test_a_crontab_past_its_starting_deadline_is_missed(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(beat_cron_starting_deadline=60)
    now = datetime.now(UTC)
    hourly = crontab(minute=(now - timedelta(minutes=20)).minute)
    due_entry(app, every=hourly, last_run_at=now - timedelta(hours=2))
    run(scheduler)
    assert queued(client) == []
    (missed,) = log(app, events.RUN_MISSED)
    assert "beat_cron_starting_deadline" in missed.data["reason"]
    score = client.zscore("redbeat::schedule", "redbeat:orders")
    assert score is not None
    assert score > now.timestamp()


def test_an_entry_that_cannot_be_published_is_reported_and_not_in_the_way(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, "bad", options={"serializer": "no-such-serializer"})
    due_entry(app, "good")
    scheduler = make_scheduler()
    run(scheduler)
    assert [message["headers"]["redbeat"]["entry"] for message in queued(client)] == ["good"]
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.subject == "bad"
    assert "no-such-serializer" in failed.data["reason"]
    # Its time has not been lost: as soon as it can be published, it is.
    assert (client.zscore("redbeat::schedule", "redbeat:bad") or 0) <= time.time()
    due_entry(app, "bad")
    run(scheduler)
    assert len(queued(client)) == 2


def test_an_interval_beyond_the_calendar_runs_once_and_is_finished(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, "huge", every=60.0)
    definition = str(client.hget("redbeat:huge", "definition"))
    client.hset("redbeat:huge", "definition", definition.replace("60.0", "86399999913600.0"))
    run(make_scheduler())
    assert len(queued(client)) == 1
    (finished,) = log(app, events.ENTRY_FINISHED)
    assert finished.subject == "huge"


def test_the_options_of_an_entry_are_not_changed_by_sending_it(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, options={"headers": {"mine": 1}, "queue": "shop"})
    before = client.hget("redbeat:orders", "definition")
    run(make_scheduler())
    (message,) = queued(client)
    assert message["headers"]["mine"] == 1
    assert client.hget("redbeat:orders", "definition") == before
    loaded = RedBeatSchedulerEntry.from_key("redbeat:orders", app=app)
    assert loaded.options == {"headers": {"mine": 1}, "queue": "shop"}


def test_an_unchanged_bad_entry_is_reported_once(
    app: Celery, client: redis.Redis, make_scheduler: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client.hset("redbeat:bad", "definition", "{oops")
    client.zadd("redbeat::schedule", {"redbeat:bad": 5})
    scheduler = make_scheduler()
    for _ in range(5):
        run(scheduler)
    assert len(log(app, events.ENTRY_INVALID)) == 1
    assert caplog.text.count("cannot run") == 1
    client.hset("redbeat:bad", "definition", "{oops again")
    run(scheduler)
    assert len(log(app, events.ENTRY_INVALID)) == 2


def test_a_due_is_what_redis_said_to_the_last_digit(app: Celery, client: redis.Redis) -> None:
    due_entry(app)
    client.zadd("redbeat::schedule", {"redbeat:orders": 0.1 + 0.2})
    (due,) = LeaderStore(client, store_for(app).keys).claim("", 10, time.time(), 10).due
    assert isinstance(due, ClaimedEntry)
    assert float(due.score) == due.record.score == 0.1 + 0.2


def test_what_failed_and_is_gone_leaves_nothing_to_do(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app, "bad", options={"serializer": "no-such-serializer"})
    scheduler = make_scheduler()
    run(scheduler)
    store_for(app).delete("bad")
    postponed = scheduler.batch.backoff
    assert postponed.next_at() is not None
    postponed._clock = lambda: time.time() + 5
    assert scheduler._step() > 0
    assert postponed.next_at() is None


def test_a_bad_entry_that_is_gone_is_forgotten(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    client.hset("redbeat:bad", "definition", "{oops")
    client.zadd("redbeat::schedule", {"redbeat:bad": 5})
    scheduler = make_scheduler()
    run(scheduler)
    assert "bad" in scheduler.batch.loader.invalid
    store_for(app).delete("bad")
    scheduler._auditor._next = 0.0
    run(scheduler)
    assert "bad" not in scheduler.batch.loader.invalid


def test_runs_that_wait_for_the_broker_are_reported_once(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    due_entry(app)
    scheduler = make_scheduler(broker_url="redis://127.0.0.1:1/0")
    for _ in range(3):
        scheduler.batch.backoff.broker_until = 0.0
        assert scheduler._step() > 0
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.subject == "orders"
    assert "cannot be reached" in failed.data["reason"]
    assert (client.zscore("redbeat::schedule", "redbeat:orders") or 0) <= time.time()
