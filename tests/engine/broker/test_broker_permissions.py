"""Tests Redis permissions: `auto` must choose a mode that the server's users allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery import Celery

from redbeat_core import RedBeatScheduler, events
from redbeat_core.broker.delivery import AT_LEAST_ONCE, EXACTLY_ONCE, PublishResult
from tests.support.server import Server
from tests.support.shop import make_app
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]


@pytest.mark.parametrize("separate", [True, False])
def test_a_schedules_user_that_may_not_write_the_queues_keeps_no_run_from_its_queue(
    separate: bool, new_server: Callable[..., Server]
) -> None:
    server = new_server()
    client = server.client()
    keys = "~redbeat:*" if separate else "~*"
    client.execute_command("ACL", "SETUSER", "beat", "on", ">word", keys, "&*", "+@all")  # type: ignore[no-untyped-call, unused-ignore]
    url = server.url().replace("redis://", "redis://beat:word@")
    app = make_app(url, {"broker_url": server.url() if separate else url})
    scheduler = RedBeatScheduler(app)
    due_entry(app)
    run(scheduler)
    assert scheduler.publisher.mode == (AT_LEAST_ONCE if separate else EXACTLY_ONCE)
    assert ("another user" in scheduler.publisher.reason) is separate
    assert len(queued(client)) == 1
    scheduler.close()
    app.close()


def test_at_most_once_each_run_is_told_why_the_broker_did_not_take_it(
    app: Celery,
    make_scheduler: Make,
    new_server: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = new_server()
    scheduler = make_scheduler(broker_url=broker.url(), redbeat_delivery="at-most-once")
    due_entry(app, "before")
    run(scheduler)
    for name in ("a", "b", "c"):
        due_entry(app, name)
    real = scheduler.batch.sender.send

    def send(job: object) -> PublishResult:
        broker.kill()
        return real(job)  # type: ignore[arg-type]

    monkeypatch.setattr(scheduler.batch.sender, "send", send)
    run(scheduler)
    reasons = {str(one.subject): one.data["reason"] for one in log(app, events.RUN_FAILED)}
    assert set(reasons) == {"a", "b", "c"}
    assert len(set(reasons.values())) == 1
    assert "NoneType" not in reasons["a"]


def test_at_most_once_a_commit_that_is_refused_is_told(
    app: Celery, make_scheduler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler(redbeat_delivery="at-most-once")
    run(scheduler)
    due_entry(app, "refused")
    due_entry(app, "taken")
    real = scheduler.store.commit

    def commit(token: str, steps: list[object], *rest: object) -> object:
        results = real(token, steps, *rest)  # type: ignore[arg-type]
        if results and len(steps) == 2:
            results[0] = "ERR no"
        return results

    monkeypatch.setattr(scheduler.store, "commit", commit)
    scheduler._step()
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.data["reason"] == "ERR no"
