"""What goes wrong inside a tick is over with the next one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat_core.broker.publisher import Publisher
from redbeat_core.maintenance.reconcile import Reconciler
from redbeat_core.settings.config import RedBeatConfig, ensure_conf
from redbeat_core.storage.connection import get_redis
from redbeat_core.storage.leader_store import Page
from redbeat_core.storage.schedule_store import store_for
from tests.support.server import Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, queued, run

Make = Callable[..., RedBeatScheduler]


def test_a_connection_lost_while_a_queue_is_declared_costs_one_attempt(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler()
    scheduler._step()
    due_entry(app, "first", options={"queue": "fresh"})
    due_entry(app, "second")
    assert scheduler.publisher.prepare() == ""
    channel = scheduler.publisher._producer.channel
    failures = [redis.ConnectionError("lost on the way")]

    def bind(*args: Any, **kwargs: Any) -> Any:
        if failures:
            raise failures.pop()
        return type(channel)._queue_bind(channel, *args, **kwargs)

    channel._queue_bind = bind
    for _ in range(10):
        scheduler.batch.backoff.broker_until = 0.0
        scheduler.batch.backoff.clear()
        scheduler._step()
    assert not failures
    assert len(queued(client, "fresh")) == 1
    assert len(queued(client)) == 1


@pytest.mark.parametrize("lost", ["closed", "replaced"])
def test_a_channel_that_went_away_is_made_anew(
    app: Celery, client: redis.Redis, make_scheduler: Make, lost: str
) -> None:
    scheduler = make_scheduler()
    scheduler._step()
    assert scheduler.publisher.prepare() == ""
    producer = scheduler.publisher._producer
    if lost == "closed":
        producer.channel.close()
    else:
        producer.revive(app.connection_for_write().channel())
    due_entry(app)
    for _ in range(4):
        scheduler.batch.backoff.broker_until = 0.0
        scheduler.batch.backoff.clear()
        scheduler._step()
    assert scheduler.publisher.mode == "exactly-once"
    assert len(queued(client)) == 1


def test_a_broker_that_comes_back_between_two_attempts_does_not_cost_the_better_mode(
    new_server: Callable[..., Server],
) -> None:
    server = new_server()
    app = make_app(server.url())
    dispatcher = Publisher(app, "auto", get_redis(app))
    choose = dispatcher.choose_mode
    server.kill()

    def choose_and_come_back() -> str:
        mode = choose()
        server.start()
        return mode

    dispatcher.choose_mode = choose_and_come_back  # type: ignore[method-assign]
    assert "cannot be reached" in dispatcher.prepare()
    assert dispatcher.prepare() == ""
    assert dispatcher.mode == "exactly-once"
    dispatcher.close()
    app.close()


def test_a_bad_entry_met_by_a_claim_is_not_reported_again_by_the_round(
    client: redis.Redis, make_scheduler: Make, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = make_scheduler()
    run(scheduler)
    auditor: Reconciler = scheduler._auditor
    # In the middle of a round a claim meets a bad entry behind the cursor.
    client.hset("redbeat:bad", "definition", "{oops")
    client.zadd("redbeat::schedule", {"redbeat:bad": 5})
    run(scheduler)
    real = auditor._store.changed_page
    auditor._store.changed_page = lambda *_: Page("0")  # type: ignore[method-assign]
    auditor._next = 0.0
    auditor.look()
    auditor._store.changed_page = real  # type: ignore[method-assign]
    auditor._next = 0.0
    run(scheduler)
    assert caplog.text.count("cannot run") == 1


def test_an_app_that_used_the_original_before_gets_our_scheduler(url: str) -> None:
    from redbeat import RedBeatSchedulerEntry as Original

    app = make_app(url)
    Original("theirs", "shop.record", 60.0, app=app).save()
    theirs = app.redbeat_conf
    assert isinstance(ensure_conf(app), RedBeatConfig)
    assert app.redbeat_conf is theirs
    their_client = app.redbeat_redis
    assert get_redis(app) is not their_client
    assert get_redis(app) is get_redis(app)
    assert app.redbeat_redis is their_client
    RedBeatSchedulerEntry("ours", "shop.record", 60.0, app=app).save()
    scheduler = RedBeatScheduler(app)
    scheduler._step()
    assert store_for(app).rank("ours") is not None
    assert store_for(app).rank("theirs") is not None
    assert Original.from_key("redbeat:ours", app=app).name == "ours"
    scheduler.close()
    app.close()


def test_hooks_that_are_not_called_are_pointed_out(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    class MyScheduler(RedBeatScheduler):
        def reserve(self, entry: Any) -> Any:
            return entry

    with caplog.at_level(logging.WARNING, "celery.beat"):
        MyScheduler(make_app(url)).close()
    assert "MyScheduler.reserve" in caplog.text
