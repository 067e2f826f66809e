"""Defects that a review found: each of these fails until it is mended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from kombu.entity import Exchange, Queue

from redbeat_core import RedBeatScheduler
from tests.support.server import REDIS, Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, run

Make = Callable[..., RedBeatScheduler]
# kombu has no types.
new_queue: Any = Queue
new_exchange: Any = Exchange


def test_a_user_that_may_not_ask_the_server_about_itself_can_run_a_schedule(
    new_server: Callable[..., Server],
) -> None:
    """celery-redbeat needs no command of the category @dangerous, such as INFO and CONFIG."""
    server = new_server(REDIS)
    may = ["~redbeat:*", "~shop*", "~_kombu*", "&redbeat:*", "+@all", "-@admin", "-@dangerous"]
    client: Any = server.client()
    client.execute_command("ACL", "SETUSER", "beat", "on", ">pw", *may)
    app = make_app(server.url().replace("redis://", "redis://beat:pw@"))
    due_entry(app)
    scheduler = RedBeatScheduler(app)
    run(scheduler)
    scheduler.close()
    assert server.client().llen("shop") == 1


def test_a_clock_that_is_set_back_does_not_lengthen_the_wait_for_the_broker(
    app: Celery,
    make_scheduler: Make,
    new_server: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = new_server()
    scheduler = make_scheduler(broker_url=broker.url())
    run(scheduler)
    right = scheduler.clock.local
    monkeypatch.setattr(scheduler.clock, "local", lambda: right() + 3600)
    broker.stop()
    due_entry(app)
    scheduler._step()
    broker.start()
    monkeypatch.setattr(scheduler.clock, "local", right)
    due_entry(app)
    until = time.monotonic() + 5
    while time.monotonic() < until and not broker.client().llen("shop"):
        scheduler._step()
        time.sleep(0.1)
    assert broker.client().llen("shop")
