"""Tests a RabbitMQ that freezes on an open connection: a tick waits for it only once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.broker import rabbitmq
from redbeat_core.storage.schedule_store import store_for
from tests.support.processes import Processes
from tests.support.rabbit import Rabbit
from tests.support.rabbit_steps import failures, frozen, ids_by_entry, later, runs_of
from tests.support.stepping import due_entry, run
from tests.support.waiting import wait_for

Steps = Callable[..., RedBeatScheduler]


def test_a_frozen_broker_does_not_hang_the_tick(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str
) -> None:
    due_entry(app, "before")
    scheduler = make_on_rabbit()
    run(scheduler)
    with frozen(rabbit, scheduler):
        due_entry(app, "orders")
        started = time.monotonic()
        run(scheduler)
        assert "did not answer" in failures(app)["orders"]
        # The kernel accepts a new connection, on which the broker does not answer either.
        later(scheduler)
        run(scheduler)
        # Far more than the two waits, and far less than a wait without end.
        assert time.monotonic() - started < 10
        assert runs_of(app, "orders") == 0
    later(scheduler)
    run(scheduler)
    assert runs_of(app, "orders") == 1
    ids = ids_by_entry(rabbit.take(queue))
    # It may be there twice, since the result of the first was unknown: with the same task id.
    assert {name: len(found) for name, found in ids.items()} == {"before": 1, "orders": 1}


def test_a_broker_that_freezes_with_messages_on_their_way_costs_one_wait(
    app: Celery, make_on_rabbit: Steps, rabbit: Rabbit, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_on_rabbit()
    due_entry(app, "before")
    run(scheduler)
    for number in range(20):
        due_entry(app, f"e{number}")
    monkeypatch.setattr(rabbitmq, "CONFIRM_TIMEOUT", 3.0)
    rabbit.freeze()
    try:
        started = time.monotonic()
        scheduler._step()
        waited = time.monotonic() - started
    finally:
        rabbit.thaw()
    assert 2.9 < waited < 4.5
    assert len(failures(app)) == 20
    assert scheduler.lease.held
    later(scheduler)
    run(scheduler)
    assert {f"e{number}" for number in range(20)} < ids_by_entry(rabbit.take(queue)).keys()


def test_a_queue_that_hangs_is_waited_for_as_long_and_the_connection_stays(
    app: Celery, make_on_rabbit: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_on_rabbit()
    due_entry(app, "before")
    run(scheduler)
    monkeypatch.setattr(rabbitmq, "CONFIRM_TIMEOUT", 1.0)
    channel = scheduler.publisher._producer.channel
    # As if the broker had not yet confirmed the accepted message.
    monkeypatch.setattr(channel, "_closed", lambda tag, multiple: iter(()))
    due_entry(app, "orders")
    started = time.monotonic()
    scheduler._step()
    assert 0.9 < time.monotonic() - started < 2.5
    assert "did not confirm" in failures(app)["orders"]
    assert scheduler.publisher._producer.channel is channel


def test_a_beat_that_is_told_to_end_does_not_wait_for_a_frozen_broker(
    app: Celery, rabbit: Rabbit, queue: str, processes: Processes
) -> None:
    RedBeatSchedulerEntry("orders", "shop.record", 0.2, app=app).save()
    beat = processes.beat(conf={"broker_url": rabbit.url(), "task_default_queue": queue})
    wait_for(lambda: runs_of(app, "orders") > 1, what="the first runs")
    rabbit.freeze()
    try:
        # By then it waits for a confirmation, or is about to.
        time.sleep(0.5)
        started = time.monotonic()
        assert beat.terminate() == 0
        assert time.monotonic() - started < rabbitmq.CONFIRM_TIMEOUT / 2
        assert store_for(app).client.get("redbeat::lock") is None
    finally:
        rabbit.thaw()
