"""Defects that a review found: each of these fails until it is mended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from kombu.entity import Exchange, Queue

from redbeat_core import RedBeatScheduler
from tests.support.server import Server
from tests.support.stepping import due_entry, run

Make = Callable[..., RedBeatScheduler]
# kombu has no types.
new_queue: Any = Queue
new_exchange: Any = Exchange


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
