"""Tests several beats without a lock at the same time: the guarantees of each delivery mode."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from redbeat_core import RedBeatScheduler, events
from redbeat_core.broker.delivery import AT_LEAST_ONCE, AT_MOST_ONCE, EXACTLY_ONCE
from tests.support.server import Server
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]


@pytest.mark.parametrize("mode", [EXACTLY_ONCE, AT_LEAST_ONCE, AT_MOST_ONCE])
def test_two_beats_that_claim_the_same_run(
    app: Celery,
    url: str,
    make_scheduler: Make,
    new_server: Callable[..., Server],
    caplog: pytest.LogCaptureFixture,
    mode: str,
) -> None:
    broker = new_server()
    conf: dict[str, Any] = {"redbeat_lock_key": None}
    conf["broker_url"] = url if mode == EXACTLY_ONCE else broker.url()
    if mode == AT_MOST_ONCE:
        conf["redbeat_delivery"] = mode
    with caplog.at_level(logging.WARNING):
        slow, fast = (make_scheduler(**conf) for _ in range(2))
        for one in (slow, fast):
            run(one)
            assert one.publisher.mode == mode
    assert ("may each enqueue a run" in caplog.text) is (mode == AT_LEAST_ONCE)
    due_entry(app)
    work_of = slow.batch.work_of

    def overtaken(claim: Any, now: float) -> Any:
        found = work_of(claim, now)
        run(fast)
        return found

    slow.batch.work_of = overtaken  # type: ignore[method-assign]
    slow._step()
    client = slow.store.client if mode == EXACTLY_ONCE else broker.client()
    ids = [message["headers"]["id"] for message in queued(client)]
    assert len(set(ids)) == 1
    assert len(ids) == (2 if mode == AT_LEAST_ONCE else 1)
    assert len(log(app, events.RUN_DISPATCHED)) == 1
