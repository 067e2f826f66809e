"""Tests delivery to another Redis: a batch is one round trip, each message is confirmed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery, signals

from redbeat_core import RedBeatScheduler, events
from redbeat_core.broker import publisher
from redbeat_core.broker.delivery import AT_LEAST_ONCE, PublishResult
from redbeat_core.dispatch import failures
from tests.support.faulty import (
    CONNECTION_FAULTS,
    LATE,
    REFUSALS,
    UNHEARD,
    UNSENT,
    FaultProxy,
)
from tests.support.server import REDIS, VALKEY, Server
from tests.support.stepping import due_entry, log, queued, run
from tests.support.waiting import wait_for

Make = Callable[..., RedBeatScheduler]
NAMES = [f"e{number:02}" for number in range(30)]


@pytest.fixture
def broker(new_server: Callable[..., Server]) -> Server:
    return new_server(persistent=True)


@pytest.fixture
def proxy(broker: Server) -> Iterator[FaultProxy]:
    proxy = FaultProxy(broker.port)
    yield proxy
    proxy.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT", 0.5)


def entries_in(messages: list[dict[str, Any]]) -> list[str]:
    return sorted(message["headers"]["redbeat"]["entry"] for message in messages)


def again(scheduler: RedBeatScheduler) -> None:
    """Run the scheduler again after all backoff is over."""
    scheduler.batch.backoff.clear()
    scheduler.batch.backoff.broker_until = 0.0
    run(scheduler)


def test_many_messages_are_one_round_trip(
    app: Celery, broker: Server, make_scheduler: Make, filled: list[str]
) -> None:
    scheduler = make_scheduler(broker_url=broker.url())
    run(scheduler)
    assert scheduler.publisher.mode == AT_LEAST_ONCE
    for number in range(200):
        due_entry(app, f"entry {number}", args=[number])
    client = broker.client()
    before = int(client.info("stats")["total_reads_processed"])
    run(scheduler)
    asked = int(client.info("stats")["total_reads_processed"]) - before
    assert len(queued(client)) == 200
    assert asked < 40
    run_events = log(app, events.RUN_DISPATCHED)
    ids = {message["headers"]["id"] for message in queued(client)}
    assert {event.data["task_id"] for event in run_events} == ids
    # Bulk commits with templates are only for a broker on the schedule's own server.
    assert filled == []


@pytest.mark.parametrize("nth", [1, 15, 30])
@pytest.mark.parametrize("how", CONNECTION_FAULTS)
def test_a_connection_that_is_lost_among_the_messages_loses_none_of_them(
    how: str, nth: int, app: Celery, broker: Server, proxy: FaultProxy, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(broker_url=proxy.url())
    run(scheduler)
    for name in NAMES:
        due_entry(app, name)
    fault = proxy.inject("LPUSH", how, nth=nth)
    run(scheduler)
    assert fault.happened.is_set()
    told = log(app, events.RUN_DISPATCHED)
    # Only the messages that were confirmed before count.
    assert len(told) == nth - 1
    failed = log(app, events.RUN_FAILED)
    assert len(failed) == 30 - (nth - 1)
    assert all(event.data["reason"] for event in failed)
    again(scheduler)
    if how == LATE:
        proxy.deliver_late()
    messages = queued(broker.client())
    assert set(entries_in(messages)) == set(NAMES)
    ids = Counter(message["headers"]["id"] for message in messages)
    assert len(ids) == 30
    # Only the message whose reply was lost can be there twice, with the same task id.
    assert sum(ids.values()) <= 31
    if how == UNSENT:
        assert sum(ids.values()) == 30
    assert len(log(app, events.RUN_DISPATCHED)) == 30


def test_a_broker_that_is_killed_among_the_messages_loses_none_of_them(
    app: Celery, broker: Server, proxy: FaultProxy, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(broker_url=proxy.url())
    run(scheduler)
    for name in NAMES:
        due_entry(app, name)
    fault = proxy.inject("LPUSH", "", nth=12, after=broker.kill)
    run(scheduler)
    assert fault.happened.is_set()
    assert 11 <= len(log(app, events.RUN_DISPATCHED)) <= 12
    broker.start()
    again(scheduler)
    messages = queued(broker.client())
    assert set(entries_in(messages)) == set(NAMES)
    assert len({message["headers"]["id"] for message in messages}) == 30
    assert len(log(app, events.RUN_DISPATCHED)) == 30


@pytest.mark.parametrize("queue", ["shop", "new"])
def test_a_broker_that_became_a_replica_and_keeps_its_connections_is_left(
    queue: str,
    app: Celery,
    broker: Server,
    proxy: FaultProxy,
    new_server: Callable[..., Server],
    make_scheduler: Make,
) -> None:
    other = new_server(persistent=True)
    scheduler = make_scheduler(broker_url=proxy.url())
    due_entry(app, "before")
    run(scheduler)
    # The open connections stay at the old server.
    proxy.target = other.port
    broker.client().replicaof("127.0.0.1", str(other.port))
    wait_for(lambda: broker.client().info("replication")["master_link_status"] == "up")
    for name in NAMES:
        due_entry(app, name, options={"queue": queue})
    run(scheduler)
    again(scheduler)
    assert entries_in(queued(other.client(), queue)) == NAMES
    assert len(log(app, events.RUN_DISPATCHED)) == 1 + len(NAMES)
    failed = log(app, events.RUN_FAILED)
    assert all("read only replica" in event.data["reason"] for event in failed)


@pytest.mark.parametrize("how", [UNHEARD, UNSENT])
def test_a_large_message_whose_connection_is_lost_is_not_said_to_be_too_large(
    how: str, app: Celery, broker: Server, proxy: FaultProxy, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(broker_url=proxy.url())
    run(scheduler)
    due_entry(app, "large", kwargs={"k": "x" * 600_000})
    fault = proxy.inject("LPUSH", how)
    run(scheduler)
    assert fault.happened.is_set()
    (failed,) = log(app, events.RUN_FAILED)
    assert "the connection to the broker was lost" in failed.data["reason"]
    again(scheduler)
    messages = queued(broker.client())
    assert len(messages) == (2 if how == UNHEARD else 1)
    assert len({message["headers"]["id"] for message in messages}) == 1
    assert len(log(app, events.RUN_DISPATCHED)) == len(log(app, events.RUN_FAILED)) == 1


@pytest.mark.parametrize("how", ["out of memory", "busy", "disk full"])
def test_a_message_that_is_refused_is_tried_again_and_the_others_are_sent(
    how: str, app: Celery, broker: Server, proxy: FaultProxy, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(broker_url=proxy.url())
    run(scheduler)
    for name in NAMES:
        due_entry(app, name)
    proxy.inject("LPUSH", how, nth=7)
    run(scheduler)
    messages = queued(broker.client())
    assert len(entries_in(messages)) == 29
    (failed,) = log(app, events.RUN_FAILED)
    assert {*entries_in(messages), failed.subject} == set(NAMES)
    assert failed.data["reason"].split()[0] in REFUSALS[how]
    assert failed.data["retry_in"] == 1
    again(scheduler)
    assert entries_in(queued(broker.client())) == NAMES


def test_a_queue_that_is_none_keeps_its_own_messages_back_only(
    app: Celery, broker: Server, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(broker_url=broker.url())
    run(scheduler)
    broker.client().set("odd", "no list")
    due_entry(app, "first", options={"queue": "odd"})
    due_entry(app, "second")
    run(scheduler)
    assert entries_in(queued(broker.client())) == ["second"]
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.subject == "first"
    assert "WRONGTYPE" in failed.data["reason"]


@pytest.mark.parametrize("kind", [VALKEY, REDIS])
@pytest.mark.parametrize("setting", ["proto-max-bulk-len", "client-query-buffer-limit"])
def test_a_message_that_is_too_large_for_the_broker_is_said_to_be_and_delays_no_other(
    setting: str,
    kind: str,
    app: Celery,
    new_server: Callable[..., Server],
    make_scheduler: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "RETRY_FIRST", 30.0)
    broker = new_server(kind, options={setting: "1mb"})
    scheduler = make_scheduler(broker_url=broker.url())
    run(scheduler)
    large = {"e03", "e20"}
    for name in NAMES:
        due_entry(app, name, kwargs={"k": "x" * 2_000_000} if name in large else None)
    run(scheduler)
    assert entries_in(queued(broker.client())) == sorted({*NAMES} - large)
    failed = log(app, events.RUN_FAILED)
    assert {event.subject for event in failed} == large
    assert len(failed) == 2
    for event in failed:
        assert "bytes, the server takes 1,048,576" in event.data["reason"]
        assert event.data["retry_in"] == 30
    # It waits for its backoff.
    run(scheduler)
    assert len(log(app, events.RUN_FAILED)) == 2
    client = broker.client()
    client.config_set(setting, "512mb")
    again(scheduler)
    assert entries_in(queued(client)) == NAMES


def test_a_beat_that_has_lost_the_lease_sends_nothing_that_it_has_made(
    app: Celery, client: redis.Redis, broker: Server, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(broker_url=broker.url())
    run(scheduler)
    for name in NAMES:
        due_entry(app, name)
    made: list[str] = []

    def stopped_for_long(**_: object) -> None:
        made.append("message")
        if len(made) == 30:
            scheduler.lease.lose()

    signals.before_task_publish.connect(stopped_for_long, weak=False)
    try:
        scheduler._step()
    finally:
        signals.before_task_publish.disconnect(stopped_for_long)
    assert len(made) == 30
    assert queued(broker.client()) == []
    assert log(app, events.RUN_DISPATCHED) == []


def test_a_message_that_is_filled_is_the_one_that_celery_makes(
    app: Celery, broker: Server, make_scheduler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler(broker_url=broker.url())
    sent_by_celery: list[str] = []
    publish = scheduler.publisher.publish

    def noted(task_id: str, *args: Any, **more: Any) -> PublishResult:
        sent_by_celery.append(task_id)
        return publish(task_id, *args, **more)

    monkeypatch.setattr(scheduler.publisher, "publish", noted)
    run(scheduler)
    for _ in range(4):
        due_entry(app, args=[1, "é"], options={"priority": 3, "countdown": 5})
        run(scheduler)
    messages = queued(broker.client(), "shop\x06\x163")
    assert len(messages) == 4
    assert len(sent_by_celery) == 2

    def alike(message: dict[str, Any]) -> dict[str, Any]:
        task_id = message["headers"]["id"]
        assert message["properties"].pop("delivery_tag")
        message["headers"].pop("eta")
        message["headers"]["redbeat"].pop("nominal")
        found: dict[str, Any] = json.loads(json.dumps(message).replace(task_id, "ID"))
        return found

    first, *others = map(alike, messages)
    assert others == [first] * 3
