"""Tests outcomes: the reports of a real worker about its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import Ignore, Reject

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events, worker
from redbeat_core.entries.view import decode_record
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.processes import Processes
from tests.support.server import Server
from tests.support.shop import make_app
from tests.support.waiting import wait_for

TASKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "fine": ("shop.record", {}, "succeeded"),
    "broken": ("shop.fail", {"args": ["no \x1b[31mpaper"]}, "errored"),
    "slow": ("shop.slow", {"args": [0.01]}, "succeeded"),
    "again": ("shop.retry", {}, "succeeded"),
    "expired": ("shop.record", {"options": {"expires": -5}}, "revoked"),
}


def test_a_worker_reports_how_each_run_ended(app: Celery, url: str, processes: Processes) -> None:
    store = store_for(app)
    operations = Operations(store, app=app)
    scheduler = RedBeatScheduler(make_app(url))
    triggers: dict[str, str] = {}
    for name, (task, more, _) in TASKS.items():
        RedBeatSchedulerEntry(name, task, 3600.0, app=app, **more).save()
        triggers[name] = operations.trigger(name)
    while scheduler._step() == 0:
        continue
    scheduler.close()
    processes.worker()

    def outcome(name: str) -> Any:
        record = store.get(name)
        return decode_record(record, app).outcome if record else None

    def ended() -> bool:
        found = {name: outcome(name) for name in TASKS}
        return all(found[n] and found[n].status == TASKS[n][2] for n in TASKS)

    wait_for(ended)
    for name in TASKS:
        found = outcome(name)
        assert found.task_id
        assert found.at is not None
    assert outcome("broken").error == "ValueError: no \x1b[31mpaper"
    assert outcome("slow").runtime >= 0.01
    assert outcome("slow").worker.startswith("worker@")

    log = [
        e for e in store.log_after(0) if e.subject == "again" and e.type.startswith("redbeat.run")
    ]
    # The report of the second attempt may arrive before that of the first.
    assert sorted(event.type for event in log) == sorted(
        [
            events.RUN_REQUESTED,
            events.RUN_DISPATCHED,
            events.RUN_STARTED,
            events.RUN_RETRIED,
            events.RUN_STARTED,
            events.RUN_SUCCEEDED,
        ]
    )
    assert {event.data["trigger"] for event in log} == {triggers["again"]}


@pytest.fixture
def reporter(app: Celery) -> Iterator[worker.Reporter]:
    """The reporter for tasks that this process executes itself."""
    worker.install(app)
    made: worker.Reporter = app.redbeat_outcomes
    yield made
    made.disconnect()


@pytest.mark.parametrize("end", [None, Ignore(), Reject(), ValueError("no")])
def test_nothing_is_kept_of_a_run_however_it_ends(
    app: Celery, reporter: worker.Reporter, end: Exception | None
) -> None:
    @app.task(name="shop.ends", bind=True, shared=False)
    def ends(self: Any) -> None:
        assert len(reporter._starts) == 1
        if end is not None:
            raise end

    RedBeatSchedulerEntry("orders", "shop.ends", 60.0, app=app).save()
    ends.apply(headers={"redbeat": {"entry": "orders", "nominal": 1.0}})
    assert [event.type for event in store_for(app).log_after(0)][1] == events.RUN_STARTED
    assert reporter._starts == {}


def test_two_apps_in_one_process_have_a_reporter_each(app: Celery, server: Server) -> None:
    other = make_app(server.url(db=1))
    worker.install(other)
    worker.install(app)
    try:

        @app.task(name="shop.here", shared=False)
        def here() -> None: ...

        RedBeatSchedulerEntry("orders", "shop.here", 60.0, app=app).save()
        here.apply(headers={"redbeat": {"entry": "orders", "nominal": 1.0}})
    finally:
        app.redbeat_outcomes.disconnect()
        other.redbeat_outcomes.disconnect()
    types = [event.type for event in store_for(app).log_after(1)]
    assert types == [events.RUN_STARTED, events.RUN_SUCCEEDED]
    assert store_for(other).log_after(0) == []
    here.apply(headers={"redbeat": {"entry": "orders", "nominal": 2.0}})
    assert len(store_for(app).log_after(0)) == 3
    other.close()


@pytest.mark.parametrize("newest", [True, False])
def test_an_older_run_does_not_cover_a_newer_outcome(
    app: Celery, client: redis.Redis, newest: bool
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 60.0, app=app).save()
    store = store_for(app)
    old = {"status": "errored", "task_id": "old", "run_at": 100.0, "at": 300.0}
    new = {"status": "succeeded", "task_id": "new", "run_at": 200.0, "at": 250.0}
    for outcome in (old, new) if newest else (new, old):
        store.record_outcome("orders", events.RUN_SUCCEEDED, outcome, {"task_id": "x"})
    text = client.hget("redbeat:orders", "outcome") or ""
    assert json.loads(text)["task_id"] == "new"


@pytest.mark.parametrize("overtaken", [True, False])
def test_a_later_attempt_of_a_run_is_its_outcome(
    app: Celery, client: redis.Redis, overtaken: bool
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 60.0, app=app).save()
    store = store_for(app)
    first = {"status": "retried", "task_id": "x", "run_at": 1.0, "attempt": 0}
    second = {"status": "succeeded", "task_id": "x", "run_at": 1.0, "attempt": 1}
    for outcome in (second, first) if overtaken else (first, second):
        store.record_outcome("orders", events.RUN_SUCCEEDED, outcome, {"task_id": "x"})
    text = client.hget("redbeat:orders", "outcome") or ""
    assert json.loads(text)["status"] == "succeeded"
    assert len(store.log_after(1)) == 2


def test_an_outcome_does_not_bring_a_deleted_entry_back(app: Celery, client: redis.Redis) -> None:
    store = store_for(app)
    outcome = {"status": "succeeded", "task_id": "x", "run_at": 1.0}
    assert not store.record_outcome("gone", events.RUN_SUCCEEDED, outcome, {"task_id": "x"})
    assert client.keys("*") == []
