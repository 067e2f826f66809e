"""Tests delivery: exactly once on the schedule's own server, at least once on others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatSchedulerEntry, events
from redbeat_core.entries.view import decode_record
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import store_for
from tests.support.journal import Journal, runs_twice
from tests.support.processes import Processes
from tests.support.server import Server
from tests.support.shop import ran
from tests.support.waiting import wait_for

LEASE = {"redbeat_lock_timeout": 1}
PRIORITIES = {"priority_steps": [0, 3, 6, 9], "queue_order_strategy": "priority"}


@pytest.fixture
def journal(client: redis.Redis) -> Journal:
    return Journal(client)


def executed(client: redis.Redis) -> Counter[str]:
    """Return how often each task id was executed."""
    return Counter(run.id for run in ran(client))


def all_dispatched_are_executed(client: redis.Redis, journal: Journal) -> Counter[str]:
    ids = {run.data["task_id"] for run in journal.dispatched()}
    wait_for(
        lambda: not ids - set(executed(client)),
        what=f"the execution of all of {len(ids)} dispatched runs",
    )
    assert set(executed(client)) == ids
    return executed(client)


@pytest.mark.parametrize(
    ("database", "options"),
    [(0, {}), (3, {}), (3, {"global_keyprefix": "shop-", **PRIORITIES})],
    ids=["same database", "another database", "with a key prefix and priorities"],
)
def test_on_the_schedules_own_server_every_run_is_executed_exactly_once(
    database: int,
    options: dict[str, Any],
    app: Celery,
    server: Server,
    client: redis.Redis,
    journal: Journal,
    processes: Processes,
) -> None:
    conf = {
        **LEASE,
        "broker_url": server.url(database),
        "broker_transport_options": options,
        "task_create_missing_queues": True,
    }
    entries: dict[str, dict[str, Any]] = {
        "plain": {},
        "express": {"queue": "express"},
        "urgent": {"priority": 9},
        "urgent-express": {"queue": "express", "priority": 4},
        "expires": {"expires": 60},
    }
    for name, message in entries.items():
        RedBeatSchedulerEntry(
            name, "shop.record", 0.5, [name], {"name": name}, options=message, app=app
        ).save()
    beat = processes.beat(conf=conf)
    beat.wait_for_log("Delivery is exactly-once")
    for name in entries:
        journal.wait_for_runs(name)
    processes.worker(conf=conf, words=["-Q", "shop,express"])
    for name in entries:
        journal.wait_for_runs(name, 4)
    assert beat.terminate() == 0
    assert set(all_dispatched_are_executed(client, journal).values()) == {1}
    assert runs_twice(journal.dispatched()) == []
    for run in ran(client):
        assert run.args == [run.kwargs["name"]]
        assert run.headers["redbeat"]["entry"] == run.args[0]
    assert {run.args[0] for run in ran(client)} == set(entries)


def test_a_trigger_is_dispatched_once_with_its_id_in_the_header(
    app: Celery, client: redis.Redis, journal: Journal, processes: Processes
) -> None:
    RedBeatSchedulerEntry("yearly", "shop.record", 365 * 86400, app=app).save()
    operations = Operations(store_for(app), app=app, actor="somebody@here")
    # One request is made before any beat runs.
    triggers = [operations.trigger("yearly", note="early")]
    processes.worker()
    processes.beat(conf=LEASE)
    journal.wait_for_runs("yearly")
    triggers += [operations.trigger("yearly") for _ in range(3)]
    journal.wait_for_runs("yearly", 4)
    all_dispatched_are_executed(client, journal)
    assert sorted(run.headers["redbeat"]["trigger"] for run in ran(client)) == sorted(triggers)
    assert [run.data["trigger"] for run in journal.dispatched("yearly")] == triggers
    record = store_for(app).get("yearly")
    assert record is not None
    assert decode_record(record, app).total_run_count == 0


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("redis", "the broker is another Redis server"),
        ("rabbit", r"the broker is no Redis \(amqp\)"),
    ],
)
def test_with_a_broker_elsewhere_runs_are_executed_and_an_absent_broker_is_waited_for(
    kind: str,
    told: str,
    app: Celery,
    client: redis.Redis,
    journal: Journal,
    processes: Processes,
    request: pytest.FixtureRequest,
) -> None:
    if kind == "redis":
        broker = request.getfixturevalue("new_server")(persistent=True)
    else:
        broker = request.getfixturevalue("rabbit")
    queue = request.getfixturevalue("queue")
    conf = {**LEASE, "broker_url": broker.url(), "task_default_queue": queue}
    names = ["milk", "bread"]
    for name in names:
        RedBeatSchedulerEntry(name, "shop.record", 0.5, [name], app=app).save()
    beat = processes.beat(conf=conf)
    beat.wait_for_log(f"Delivery is at-least-once: {told}")
    worker = processes.worker(conf=conf)
    for name in names:
        journal.wait_for_runs(name, 2)

    # It may not recover by itself from an unreachable broker.
    worker.kill()
    broker.stop()
    failed = journal.wait(events.RUN_FAILED)
    assert failed.subject in names
    assert failed.data["reason"]
    # The leader keeps its lease for longer than that.
    leader = client.get("redbeat::lock")
    lost_at = journal.seq
    for _ in range(3):
        wait_for(lambda: 0 < client.pttl("redbeat::lock") < 800, every=0.001)
        wait_for(lambda: client.pttl("redbeat::lock") > 800, every=0.001)
    assert client.get("redbeat::lock") == leader
    assert journal.dispatched(after=lost_at) == []

    broker.start()
    for name in names:
        journal.wait_for_runs(name, 3, after=lost_at)
    assert len(journal.events(events.LEADER_CHANGED)) == 1
    assert runs_twice(journal.dispatched()) == []
    # The retry of the failed run has the same task id.
    made = journal.dispatched(failed.subject, after=failed.seq)[0]
    assert made.data["nominal"] == failed.data["nominal"]
    assert beat.terminate() == 0
    processes.worker("another", conf=conf)
    ids = {run.data["task_id"] for run in journal.dispatched(after=lost_at)}
    wait_for(lambda: not ids - set(executed(client)), what=f"the execution of {len(ids)} runs")


def test_an_entry_that_cannot_be_published_is_reported_and_delays_no_other(
    app: Celery, client: redis.Redis, journal: Journal, processes: Processes
) -> None:
    RedBeatSchedulerEntry(
        "odd", "shop.record", 0.5, options={"serializer": "no-such-thing"}, app=app
    ).save()
    RedBeatSchedulerEntry("plain", "shop.record", 0.5, app=app).save()
    processes.beat(conf=LEASE)
    for _ in range(2):
        failed = journal.wait(events.RUN_FAILED, after=journal.seq)
        assert failed.subject == "odd"
        assert "no-such-thing" in failed.data["reason"]
    journal.wait_for_runs("plain", 4)
    assert journal.dispatched("odd") == []
    assert [e for e in journal.events(events.RUN_FAILED) if e.subject == "plain"] == []
    # It runs as soon as it is repaired.
    RedBeatSchedulerEntry("odd", "shop.record", 0.5, app=app).save()
    journal.wait_for_runs("odd", 2)


def test_at_most_once_on_request(
    app: Celery, client: redis.Redis, journal: Journal, processes: Processes
) -> None:
    for name in ("milk", "bread"):
        RedBeatSchedulerEntry(name, "shop.record", 0.5, [name], app=app).save()
    conf = {**LEASE, "redbeat_delivery": "at-most-once"}
    beat = processes.beat(conf=conf)
    beat.wait_for_log("Delivery is at-most-once")
    processes.worker()
    for name in ("milk", "bread"):
        journal.wait_for_runs(name, 4)
    assert beat.terminate() == 0
    assert set(all_dispatched_are_executed(client, journal).values()) == {1}
