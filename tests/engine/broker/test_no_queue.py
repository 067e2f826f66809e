"""Tests messages that no Redis queue would get: the failure is reported and retried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.entity import Exchange, Queue

from redbeat_core import RedBeatScheduler, events
from tests.support.server import Server
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
# kombu has no types.
new_queue: Any = Queue
new_exchange: Any = Exchange
TOPICS = new_queue("topics", new_exchange("things", type="topic"), routing_key="thing.#")


def lists(client: redis.Redis) -> set[Any]:
    keys: Any = client.keys("*")
    return {key for key in keys if client.type(key) == "list"}


def again(scheduler: RedBeatScheduler) -> None:
    """Run the scheduler again after all backoff is over."""
    scheduler.batch.backoff.clear()
    run(scheduler)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_is_told_as_failed_and_the_entry_stays_where_it_is(
    app: Celery,
    client: redis.Redis,
    make_scheduler: Make,
    new_server: Callable[..., Server],
    elsewhere: bool,
) -> None:
    broker = new_server() if elsewhere else None
    due_entry(app, options={"exchange": "things", "routing_key": "nobody"})
    due_entry(app, "other")
    before = client.zscore("redbeat::schedule", "redbeat:orders")
    run(make_scheduler(broker_url=broker.url()) if broker else make_scheduler())
    on_broker = broker.client() if broker else client
    assert lists(on_broker) == {"shop"}
    assert [event.subject for event in log(app, events.RUN_DISPATCHED)] == ["other"]
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.subject == "orders"
    assert failed.data["reason"].endswith(
        "no queue gets the message: exchange 'things', routing key 'nobody'"
    )
    assert client.zscore("redbeat::schedule", "redbeat:orders") == before


def test_a_topic_that_nobody_listens_to_does_not_reach_the_dead_letters(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    """kombu does not use its dead-letter queue for topic exchanges."""
    due_entry(app, options={"queue": "topics", "exchange": "things", "routing_key": "other"})
    run(
        make_scheduler(
            task_queues=[new_queue("shop"), TOPICS],
            broker_transport_options={"deadletter_queue": "dead"},
            redbeat_redis_options={},
        )
    )
    assert not lists(client)
    assert log(app, events.RUN_FAILED)
    assert not log(app, events.RUN_DISPATCHED)


def test_a_queue_that_lost_its_binding_gets_it_again_with_the_next_attempt(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    """A FLUSHALL of the broker, for example, deletes declared bindings."""
    scheduler = make_scheduler(task_queues=[new_queue("shop"), TOPICS])
    options = {"queue": "topics", "exchange": "things", "routing_key": "thing.one"}
    due_entry(app, options=options)
    run(scheduler)
    assert len(queued(client, "topics")) == 1
    client.delete("_kombu.binding.things")
    due_entry(app, options=options)
    run(scheduler)
    assert len(log(app, events.RUN_FAILED)) == 1
    again(scheduler)
    assert len(queued(client, "topics")) == 2
    assert len(log(app, events.RUN_DISPATCHED)) == 2


def test_a_fanout_may_have_nobody_that_listens(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    everybody = new_queue("everybody", new_exchange("news", type="fanout"))
    due_entry(app, options={"queue": "everybody"})
    run(make_scheduler(task_queues=[new_queue("shop"), everybody]))
    assert log(app, events.RUN_DISPATCHED)
    assert not log(app, events.RUN_FAILED)
