"""Tests Redis users that have only the permissions documented in docs/operating.md."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.schedules import schedule
from redis import exceptions

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.broker import delivery
from redbeat_core.leadership.health import read_health
from redbeat_core.operations import Operations
from redbeat_core.storage.connection import ConnectionProblem, check_eviction, get_redis
from redbeat_core.storage.event_stream import EventStream
from redbeat_core.storage.schedule_store import store_for
from tests.support.processes import Processes
from tests.support.server import REDIS, VALKEY, Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, log, queued, run
from tests.support.waiting import wait_for

DOCS = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")


def documented() -> list[str]:
    """Return the ACL rules of a documented user, with the queues of the tests' app."""
    (line,) = re.findall(r"ACL SETUSER beat (.*(?:\n     .*)*)", DOCS)
    return [word.replace("~celery*", "~shop*") for word in line.split()]


@pytest.fixture(params=[REDIS, VALKEY])
def server(request: pytest.FixtureRequest, new_server: Callable[..., Server]) -> Server:
    return new_server(request.param)


def app_of_user(server: Server, *more: str, **conf: Any) -> Celery:
    client: Any = server.client()
    client.execute_command("ACL", "SETUSER", "beat", "reset", *documented(), *more)
    return make_app(server.url().replace("redis://", "redis://beat:password@"), conf)


def test_a_user_with_the_documented_permissions_can_run_a_schedule(server: Server) -> None:
    app = app_of_user(server)
    with pytest.raises(exceptions.NoPermissionError):
        get_redis(app).info()
    scheduler = RedBeatScheduler(app)
    operations = Operations(store_for(app), app=app)
    for number in range(5):
        due_entry(app, f"e{number}", args=[number], options={"priority": 3 * (number % 2)})
        operations.trigger(f"e{number}", queue="shop-slow")
    scheduler._start()
    run(scheduler)
    client = server.client()
    assert scheduler.publisher.mode == delivery.EXACTLY_ONCE
    # kombu has one list for each step of priority.
    assert len(queued(client, "shop-slow")) == 3
    assert len(queued(client, "shop-slow\x06\x163")) == 2
    assert len(log(app, events.RUN_DISPATCHED)) == 10
    assert not log(app, events.RUN_FAILED)
    scheduler.close()
    # It could release the lease.
    assert not client.exists("redbeat::lock")
    app.close()


def test_so_can_an_operator_and_a_worker_can_report(server: Server) -> None:
    app = app_of_user(server)
    store = store_for(app)
    operations = Operations(store, app=app)
    RedBeatSchedulerEntry("orders", "shop.record", 3600.0, app=app).save()
    operations.pause("orders", note="late")
    operations.resume("orders")
    operations.edit_schedule("orders", schedule(300.0))
    operations.trigger("orders")
    outcome = {"task_id": "x", "attempt": 0, "run_at": 0.0}
    assert store.record_outcome("orders", events.RUN_SUCCEEDED, outcome, {})
    stop = threading.Event()
    snapshot = next(iter(EventStream(store).follow(stop)))
    stop.set()
    assert snapshot
    assert read_health(store).server.version == ""
    operations.delete("orders")
    assert store.get("orders") is None
    app.close()


def test_what_a_server_tells_may_be_granted_on_top(server: Server) -> None:
    client = get_redis(app_of_user(server, "+info", "+config|get"))
    assert client.info("server")["run_id"]
    assert client.config_get("maxmemory-policy")


def test_and_beat_as_a_process(server: Server, processes: Processes) -> None:
    app = app_of_user(server)
    RedBeatSchedulerEntry("orders", "shop.record", 0.3, app=app).save()
    beat = processes.beat(url=str(app.conf.broker_url))
    wait_for(lambda: len(queued(server.client())) >= 3, what="three runs")
    assert beat.terminate() == 0
    assert "may not do this" not in beat.log
    app.close()


def test_a_policy_of_the_server_that_is_hidden_is_refused_only_on_request(server: Server) -> None:
    client = get_redis(app_of_user(server))
    for action in ("ignore", "warn", "error"):
        check_eviction(client, action, "redis://there")
    with pytest.raises(ConnectionProblem, match="maxmemory-policy hidden"):
        check_eviction(client, "raise", "redis://there")
