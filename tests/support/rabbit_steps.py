"""A scheduler on RabbitMQ that is stepped by hand: what is done to it, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery

from redbeat_core import RedBeatScheduler, events
from redbeat_core.broker import rabbitmq
from redbeat_core.entries.view import decode_record
from redbeat_core.storage.schedule_store import store_for

from .rabbit import Rabbit
from .stepping import log


@contextmanager
def frozen(rabbit: Rabbit, scheduler: RedBeatScheduler) -> Iterator[None]:
    """The broker hangs, and the scheduler finds out sooner than it does in earnest."""
    conf = scheduler.app.conf
    patience = conf.broker_connection_timeout
    rabbit.freeze()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rabbitmq, "CONFIRM_TIMEOUT", 0.3)
            conf.broker_connection_timeout = 0.3
            yield
    finally:
        conf.broker_connection_timeout = patience
        rabbit.thaw()


def later(scheduler: RedBeatScheduler, seconds: float = 100) -> None:
    """Let what waits for its next attempt come to it."""
    scheduler.batch.backoff._clock = lambda: time.time() + seconds
    scheduler.batch.backoff.broker_until = 0.0


def failures(app: Celery) -> dict[str, str]:
    """The last reason of each entry whose run failed."""
    return {event.subject: event.data["reason"] for event in log(app, events.RUN_FAILED)}


def runs_of(app: Celery, name: str) -> int:
    record = store_for(app).get(name)
    assert record is not None
    return int(decode_record(record, app).total_run_count)


def ids_by_entry(messages: list[dict[str, Any]]) -> dict[str, set[str]]:
    """The task ids of each entry's messages."""
    ids: dict[str, set[str]] = {}
    for message in messages:
        ids.setdefault(message["redbeat"]["entry"], set()).add(message["id"])
    return ids
