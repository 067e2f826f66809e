"""A commit does each of its items as a whole or not at all, whatever the server refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import entity

from redbeat_core import RedBeatScheduler, events
from redbeat_core.maintenance.reconcile import Reconciler
from redbeat_core.operations import Operations
from redbeat_core.storage.commit_steps import CommitStep
from redbeat_core.storage.leader_store import LeaderStore, Page
from redbeat_core.storage.schedule_store import store_for
from tests.support.server import REDIS, VALKEY, Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
WRITES = ("lpush", "zadd", "hset", "xdel")


@pytest.fixture(params=[VALKEY, REDIS])
def either(
    request: pytest.FixtureRequest, new_server: Callable[..., Server]
) -> Iterator[tuple[Server, Celery]]:
    """A server of the test's own, whose settings it may change."""
    server = new_server(request.param)
    app = make_app(server.url())
    yield server, app
    app.close()


def content(client: redis.Redis, *names: str) -> list[Any]:
    """All that a commit may change of these entries."""
    return [
        (client.hgetall(f"redbeat:{name}"), client.zscore("redbeat::schedule", f"redbeat:{name}"))
        for name in names
    ]


def claimed(store: LeaderStore) -> list[CommitStep]:
    """What is due, ready to be committed with a message each."""
    claim = store.claim("", 10, time.time() + 1, 100)
    message = [(0, ["LPUSH", "shop", "x"])]
    return [CommitStep(due=due, score=9e9, meta="{}", commands=message) for due in claim.due]


def test_a_run_for_two_queues_of_which_one_refuses_is_in_neither(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    kombu: Any = entity
    news = kombu.Exchange("news", type="direct")
    bindings = [kombu.binding(news, "now")]
    queues = [kombu.Queue(name, bindings=bindings) for name in ("left", "right")]
    scheduler = make_scheduler(
        task_queues=[kombu.Queue("shop"), *queues], task_create_missing_queues=False
    )
    with app.connection_for_write() as connection:
        for queue in queues:
            queue(connection.default_channel).declare()
    client.set("right", "no list")
    due_entry(app, "both", options={"exchange": "news", "routing_key": "now"})
    due_entry(app, "other")
    for _ in range(3):
        run(scheduler)
        scheduler.batch.backoff.clear()
    assert client.llen("left") == 0
    assert len(queued(client)) == 1
    assert {event.subject for event in log(app, events.RUN_FAILED)} == {"both"}
    client.delete("right")
    run(scheduler)
    assert client.llen("left") == client.llen("right") == 1


@pytest.mark.parametrize("forbidden", WRITES)
def test_what_an_acl_forbids_half_way_leaves_nothing_half_done(
    either: tuple[Server, Celery], forbidden: str
) -> None:
    server, app = either
    client = server.client()
    for name in ("a", "b"):
        due_entry(app, name)
    asked = Operations(store_for(app), app=app)
    asked.trigger("a")
    before = content(client, "a", "b")
    rules = ("on", "nopass", "~*", "&*", "+@all", f"-{forbidden}")
    administer: Any = client.execute_command
    administer("ACL", "SETUSER", "beat", *rules)
    allowed = server.client(username="beat", password="any")
    store = LeaderStore(allowed, store_for(app).keys)
    (request,) = store.claim("", 10, time.time() + 1, 10).requests
    record = store.get("a")
    steps = claimed(store)
    steps.append(CommitStep(request=request, seen=record, commands=[(0, ["LPUSH", "shop", "x"])]))
    results = store.commit("", steps)
    assert results is not None
    done = [result == "ok" for result in results]
    assert done == [forbidden == "xdel"] * 2 + [forbidden in ("zadd", "hset")]
    assert client.llen("shop") == sum(done)
    assert (content(client, "a", "b") == before) is not (forbidden == "xdel")
    assert client.xlen("redbeat::triggers") == (0 if done[2] else 1)


@pytest.mark.parametrize("meta", [None, '{"last_run_at": null, "total_run_count": 4}'])
def test_a_requested_run_that_cannot_be_taken_is_not_counted_either(
    either: tuple[Server, Celery], meta: str | None
) -> None:
    server, app = either
    client = server.client()
    due_entry(app)
    client.hdel("redbeat:orders", "meta")
    if meta is not None:
        client.hset("redbeat:orders", "meta", meta)
    Operations(store_for(app), app=app).trigger("orders", count_run=True)
    before = content(client, "orders")
    administer: Any = client.execute_command
    administer("ACL", "SETUSER", "beat", "on", "nopass", "~*", "&*", "+@all", "-xdel")
    allowed = server.client(username="beat", password="any")
    store = LeaderStore(allowed, store_for(app).keys)
    (request,) = store.claim("", 10, time.time() - 60, 10).requests
    seen = store.get("orders")
    step = CommitStep(request=request, seen=seen, meta="{}", commands=[(0, ["LPUSH", "shop", "x"])])
    (result,) = store.commit("", [step]) or []
    assert result not in ("ok", "stale")
    assert content(client, "orders") == before
    assert client.llen("shop") == 0
    assert client.xlen("redbeat::triggers") == 1


@pytest.mark.parametrize("published", [False, True])
def test_a_full_server_takes_all_of_a_commit_or_nothing(
    either: tuple[Server, Celery], published: bool
) -> None:
    server, app = either
    client = server.client()
    for number in range(5):
        due_entry(app, f"e{number}")
    names = [f"e{number}" for number in range(5)]
    store = LeaderStore(client, store_for(app).keys)
    steps = claimed(store)
    if published:
        # By a broker elsewhere: nothing is put into a list here.
        steps = [CommitStep(due=step.due, score=step.score, meta=step.meta) for step in steps]
    before = content(client, *names)
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match=r"maxmemory|OOM"):
        store.commit("", steps)
    assert content(client, *names) == before
    assert client.llen("shop") == 0
    client.config_set("maxmemory", 0)
    assert store.commit("", steps) == ["ok"] * 5
    assert client.llen("shop") == (0 if published else 5)


def test_memory_that_ends_within_a_commit_does_not_cut_it_in_two(
    either: tuple[Server, Celery],
) -> None:
    server, app = either
    client = server.client()
    for number in range(50):
        due_entry(app, f"e{number}")
    store = LeaderStore(client, store_for(app).keys)
    steps = claimed(store)
    big = "x" * 100_000
    steps = [
        CommitStep(due=step.due, score=9e9, commands=[(0, ["LPUSH", "shop", big])])
        for step in steps
    ]
    # Room for a few of these, not for all.
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", used + 30 * len(big))
    try:
        results: list[str] | None = store.commit("", steps)
    except redis.ResponseError:
        results = ["refused"] * 50
    client.config_set("maxmemory", 0)
    assert results is not None
    advanced = [score for score in store.scores().values() if score == 9e9]
    assert client.llen("shop") == len(advanced) == results.count("ok")
    assert len(set(results)) == 1


def test_a_full_server_is_waited_for_as_one_that_is_away(
    either: tuple[Server, Celery], caplog: pytest.LogCaptureFixture
) -> None:
    server, app = either
    client = server.client()
    due_entry(app)
    scheduler = RedBeatScheduler(app)
    scheduler._step()
    client.delete("shop")
    due_entry(app, "late")
    client.config_set("maxmemory", 1)
    for _ in range(5):
        assert 0 < scheduler._step() <= 2
    assert client.llen("shop") == 0
    assert "Redis is back" not in caplog.text
    client.config_set("maxmemory", 0)
    # It is no fault of the entry, which therefore does not wait for its next attempt.
    run(scheduler)
    assert len(queued(client)) == 1
    assert log(app, events.RUN_FAILED) == []
    scheduler.close()


REQUESTED: dict[str, Callable[[Celery], object]] = {
    "deleted": lambda app: Operations(store_for(app), app=app).delete("orders"),
    "edited": lambda app: due_entry(app, args=["new"]),
    "removed by hand": lambda app: store_for(app).client.delete("redbeat:orders"),
}


@pytest.mark.parametrize("change", REQUESTED)
def test_what_changes_before_a_requested_run_is_committed_wins(
    app: Celery, client: redis.Redis, change: str
) -> None:
    due_entry(app, args=["old"])
    Operations(store_for(app), app=app).trigger("orders")
    store = LeaderStore(client, store_for(app).keys)
    (request,) = store.claim("", 10, time.time() - 60, 10).requests
    step = CommitStep(
        request=request, seen=store.get("orders"), commands=[(0, ["LPUSH", "shop", "x"])]
    )
    REQUESTED[change](app)
    assert store.commit("", [step]) == ["stale"]
    assert client.llen("shop") == 0
    assert client.xlen("redbeat::triggers") == 1


def test_an_auditor_that_was_overtaken_does_not_schedule_the_same_time_again(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    slow, fast = (make_scheduler(redbeat_lock_key=None) for _ in range(2))
    due_entry(app, every=3600.0)
    # As if enabled by hand: an enabled entry that nothing has scheduled.
    client.zadd("redbeat::schedule", {"redbeat:orders": -1})
    auditor: Reconciler = slow._auditor
    look = auditor._store.changed_page

    def overtaken(cursor: str, count: int, pass_over: int, digests: Mapping[str, str]) -> Page:
        seen = look(cursor, count, pass_over, digests)
        for _ in range(3):
            fast._auditor._next = 0.0
            fast._step()
        return seen

    auditor._store.changed_page = overtaken  # type: ignore[method-assign]
    slow._step()
    auditor._store.changed_page = look  # type: ignore[method-assign]
    for _ in range(3):
        slow._step()
    assert len(queued(client)) == 1


def test_a_run_whose_next_comes_at_the_same_moment_is_not_taken_for_it(
    app: Celery, client: redis.Redis
) -> None:
    """An entry that catches up is due 'now' again: its score need not change, its nominal time
    does."""
    due_entry(app)
    store = LeaderStore(client, store_for(app).keys)
    (due,), (late,) = (store.claim("", 10, time.time() + 1, 10).due for _ in range(2))
    assert due.record.score is not None
    message = [(0, ["LPUSH", "shop", "x"])]
    mark = f"{due.record.score!r} {due.record.score + 3600!r}"
    first = CommitStep(due=due, score=due.record.score, due_field=mark, commands=message)
    again = CommitStep(due=late, score=due.record.score, due_field=mark, commands=message)
    assert store.commit("", [first]) == ["ok"]
    assert store.commit("", [again]) == ["stale"]
    assert client.llen("shop") == 1
