"""Tests that a refused commit is retried in smaller parts, each committed as a whole or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, events
from redbeat_core.dispatch import failures
from tests.support.faulty import UNHEARD, UNSENT, FaultProxy
from tests.support.server import REDIS, VALKEY, Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]


@pytest.mark.parametrize("kind", [VALKEY, REDIS])
def test_a_batch_that_is_too_large_for_the_server_is_made_in_smaller_ones(
    kind: str, new_server: Callable[..., Server]
) -> None:
    # The lowest value that Redis accepts.
    server = new_server(kind, options={"proto-max-bulk-len": "1mb"})
    app = make_app(server.url())
    scheduler = RedBeatScheduler(app)
    names = [f"e{number}" for number in range(30)]
    for name in names:
        due_entry(app, name, kwargs={"k": "x" * 60_000})
    client = server.client()
    for _ in range(60):
        scheduler._step()
    sent = [message["headers"]["redbeat"]["entry"] for message in queued(client)]
    assert sorted(sent) == sorted(names)
    scheduler.close()
    app.close()


@pytest.mark.parametrize("kind", [VALKEY, REDIS])
@pytest.mark.parametrize("setting", ["proto-max-bulk-len", "client-query-buffer-limit"])
def test_a_run_that_is_too_large_by_itself_is_said_to_be_and_delays_no_other(
    setting: str,
    kind: str,
    new_server: Callable[..., Server],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "RETRY_FIRST", 30.0)
    server = new_server(kind)
    app = make_app(server.url())
    scheduler = RedBeatScheduler(app)
    names, large = [f"e{number:02}" for number in range(40)], {"e07", "e31"}
    for name in names:
        due_entry(app, name, kwargs={"k": "x" * 900_000} if name in large else None)
    client = server.client()
    client.config_set(setting, "1mb")
    # No wait among them: the server never counted as unreachable.
    for _ in range(60):
        if scheduler._step() > 0:
            break
    assert "cannot be reached" not in caplog.text
    sent = [message["headers"]["redbeat"]["entry"] for message in queued(client)]
    assert sorted(sent) == sorted({*names} - large)
    failed = log(app, events.RUN_FAILED)
    assert {event.subject for event in failed} == large
    assert len(failed) == 2
    for event in failed:
        assert "bytes, the server takes 1,048,576" in event.data["reason"]
        assert event.data["retry_in"] == 30
    # Each wait is longer than the one before.
    run(scheduler)
    waits = scheduler.batch.backoff
    clock = waits._clock
    waits._clock = lambda: clock() + 31
    run(scheduler)
    assert [event.data["retry_in"] for event in log(app, events.RUN_FAILED)] == [30, 30, 60, 60]
    client.config_set(setting, "512mb")
    waits._clock = lambda: clock() + 92
    run(scheduler)
    assert len(queued(client)) == 40
    scheduler.close()
    app.close()


@pytest.mark.parametrize("kind", [VALKEY, REDIS])
@pytest.mark.parametrize("limit", ["of one command, not told", "of all clients"])
def test_a_run_that_may_be_too_large_delays_no_other(
    limit: str, kind: str, new_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRY_FIRST", 30.0)
    server = new_server(kind)
    client = server.client()
    client.acl_setuser(
        "beat", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"]
    )
    app = make_app(server.url().replace("://", "://beat:any@"))
    scheduler = RedBeatScheduler(app)
    run(scheduler)
    for name in ("large", "small"):
        due_entry(app, name, kwargs={"k": "x" * 2_000_000} if name == "large" else None)
    if limit == "of all clients":
        client.config_set("maxmemory-clients", "3mb")
    else:
        client.config_set("proto-max-bulk-len", "1mb")
        client.acl_setuser("beat", enabled=True, commands=["-config"])
    for _ in range(20):
        scheduler._step()
    assert [message["headers"]["redbeat"]["entry"] for message in queued(client)] == ["small"]
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.subject == "large"
    assert "the server did not take the message, which has" in failed.data["reason"]
    scheduler.close()
    app.close()


@pytest.mark.parametrize("how", [UNHEARD, UNSENT])
def test_a_large_run_whose_connection_is_lost_is_made_once_and_not_said_to_be_too_large(
    how: str, app: Celery, server: Server, client: redis.Redis, make_scheduler: Make
) -> None:
    proxy = FaultProxy(server.port)
    scheduler = make_scheduler(broker_url=proxy.url(), redbeat_redis_url=proxy.url())
    run(scheduler)
    due_entry(app, "large", kwargs={"k": "x" * 600_000})
    fault = proxy.inject("commit", how)
    assert scheduler._step() > 0
    assert fault.happened.is_set()
    run(scheduler)
    (message,) = queued(client)
    (told,) = log(app, events.RUN_DISPATCHED, events.RUN_FAILED)
    assert told.type == events.RUN_DISPATCHED
    assert told.data["task_id"] == message["headers"]["id"]
    scheduler.close()
    proxy.close()


def test_a_log_that_is_none_stops_a_commit_before_anything_is_done(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler()
    run(scheduler)
    due_entry(app)
    client.delete("redbeat::log")
    client.set("redbeat::log", "no stream")
    before = client.zscore("redbeat::schedule", "redbeat:orders")
    assert scheduler._step() > 0
    assert queued(client) == []
    assert client.zscore("redbeat::schedule", "redbeat:orders") == before
    client.delete("redbeat::log")
    run(scheduler)
    assert len(queued(client)) == len(log(app, events.RUN_DISPATCHED)) == 1


@pytest.mark.parametrize("trouble", ["a log that is none", "no replicas"])
def test_closing_does_not_fail_for_what_the_server_answers(
    trouble: str, new_server: Callable[..., Server]
) -> None:
    server = new_server()
    app = make_app(server.url())
    scheduler = RedBeatScheduler(app)
    run(scheduler)
    client = server.client()
    if trouble == "no replicas":
        client.config_set("min-replicas-to-write", 1)
    else:
        client.delete("redbeat::log")
        client.set("redbeat::log", "no stream")
    scheduler.close()
    app.close()
