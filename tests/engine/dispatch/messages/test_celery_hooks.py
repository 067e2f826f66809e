"""Whatever a project or its instrumentation puts in the way of messages is asked for each one."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import celery
import pytest
import redis
from celery import Celery, Task, beat
from celery.app.amqp import AMQP
from celery.backends.base import DisabledBackend
from kombu.messaging import Producer

from redbeat_core import RedBeatScheduler, events
from redbeat_core.dispatch import bulk
from redbeat_core.dispatch.bulk import BulkDispatch
from redbeat_core.dispatch.messages import learned
from tests.support.stepping import due_entry, log, queued, run

Patch = Callable[[pytest.MonkeyPatch, Celery], None]
#: By entry, the one whose message is marked: three of them alike come first.
TENANTS = {"a0": "one", "a1": "one", "a2": "one", "b0": "two", "b1": "two"}


def marked(options: dict[str, Any], kwargs: Any) -> dict[str, Any]:
    headers = {**(options.get("headers") or {}), "tenant": (kwargs or {}).get("tenant")}
    return {**options, "headers": headers}


def call_of_one_task(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    task = app.tasks["shop.record"]
    call = task.apply_async

    def calling(args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        return call(args, kwargs, **marked(options, kwargs))

    monkeypatch.setattr(task, "apply_async", calling)


def call_of_all_tasks(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    call: Any = Task.apply_async

    def calling(self: Any, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        return call(self, args, kwargs, *more, **marked(options, kwargs))

    monkeypatch.setattr(celery.Task, "apply_async", calling)


def sending_of_all_apps(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    send: Any = Celery.send_task

    def sending(self: Any, name: str, args: Any = None, kwargs: Any = None, *more: Any,
                **options: Any) -> Any:  # fmt: skip
        return send(self, name, args, kwargs, *more, **marked(options, kwargs))

    monkeypatch.setattr(Celery, "send_task", sending)


def call_of_all_schedulers(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    call: Any = beat.Scheduler.apply_async

    def calling(self: Any, entry: Any, *more: Any, **options: Any) -> Any:
        entry.options = marked(entry.options, entry.kwargs)
        return call(self, entry, *more, **options)

    monkeypatch.setattr(beat.Scheduler, "apply_async", calling)


class OwnMessages(AMQP):
    """As a project has them that marks its messages."""

    def as_task_v2(
        self,
        task_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        message: Any = super().as_task_v2(task_id, name, args, kwargs, *more, **named)
        message.headers["tenant"] = (kwargs or {}).get("tenant")
        return message


def messages_of_the_app(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    monkeypatch.setattr(app, "amqp", OwnMessages(app))


def protocol_of_the_app(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    make: Any = app.amqp.as_task_v2

    def making(
        task_id: str, name: str, args: Any = None, kwargs: Any = None, *more: Any, **named: Any
    ) -> Any:
        message = make(task_id, name, args, kwargs, *more, **named)
        message.headers["tenant"] = (kwargs or {}).get("tenant")
        return message

    protocols: Any = app.amqp.task_protocols
    monkeypatch.setitem(protocols, 2, making)


def publishing_of_all_producers(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    """As instrumentation wraps it: sentry-sdk, ddtrace."""
    publish: Any = Producer.publish

    def publishing(self: Any, body: Any, *more: Any, **options: Any) -> Any:
        return publish(self, body, *more, **marked(options, body[1]))

    monkeypatch.setattr(Producer, "publish", publishing)


def preparing_of_all_producers(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    prepare: Any = Producer._prepare

    def preparing(self: Any, body: Any, *more: Any) -> Any:
        more[-1]["tenant"] = body[1].get("tenant")
        return prepare(self, body, *more)

    monkeypatch.setattr(Producer, "_prepare", preparing)


class OwnProducer(Producer):
    """As a project has it that marks its messages."""

    def publish(self, body: Any, *more: Any, **options: Any) -> Any:
        publish: Any = super().publish
        return publish(body, *more, **marked(options, body[1]))


def producer_of_the_app(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    monkeypatch.setattr(app.amqp, "Producer", OwnProducer)


PATCHES = [
    call_of_one_task,
    call_of_all_tasks,
    sending_of_all_apps,
    call_of_all_schedulers,
    messages_of_the_app,
    protocol_of_the_app,
    publishing_of_all_producers,
    preparing_of_all_producers,
    producer_of_the_app,
]


def tenants(client: redis.Redis, scheduler: RedBeatScheduler) -> Counter[tuple[str, Any]]:
    """Entry and mark of the messages of three rounds."""
    for _ in range(3):
        for name, tenant in TENANTS.items():
            due_entry(scheduler.app, name, kwargs={"tenant": tenant})
        run(scheduler)
    headers = [message["headers"] for message in queued(client)]
    return Counter((one["redbeat"]["entry"], one.get("tenant")) for one in headers)


@pytest.mark.parametrize("patch", PATCHES)
def test_it_marks_every_message_by_its_own_arguments(
    app: Celery,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    filled: list[str],
    patch: Patch,
) -> None:
    patch(monkeypatch, app)
    scheduler = RedBeatScheduler(app)
    found = tenants(client, scheduler)
    scheduler.close()
    assert found == dict.fromkeys(TENANTS.items(), 3)
    assert not filled


def test_a_backend_is_told_of_every_call(
    app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, filled: list[str]
) -> None:
    told: list[str] = []

    class Mine(DisabledBackend):
        def on_task_call(self, producer: Any, task_id: str) -> None:
            told.append(task_id)

    monkeypatch.setattr(app, "_backend_cache", Mine(app))
    monkeypatch.setattr(app.tasks["shop.record"], "ignore_result", False)
    app.conf.task_ignore_result = False
    scheduler = RedBeatScheduler(app)
    tenants(client, scheduler)
    scheduler.close()
    assert len(told) == len(queued(client)) == 3 * len(TENANTS)
    assert not filled


def test_equal_arguments_say_nothing_of_others(
    app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, filled: list[str]
) -> None:
    monkeypatch.setattr(
        "redbeat_core.dispatch.messages.learned.sends_as_celery", lambda scheduler: True
    )
    protocol_of_the_app(monkeypatch, app)
    scheduler = RedBeatScheduler(app)
    found = tenants(client, scheduler)
    scheduler.close()
    assert found == dict.fromkeys(TENANTS.items(), 3)
    # With those that are as they were, until there are others.
    assert set(filled) <= {"a0", "a1", "a2"}


def test_entries_with_the_same_arguments_are_filled_and_so_are_others_beside_them(
    client: redis.Redis, make_scheduler: Callable[..., RedBeatScheduler], filled: list[str]
) -> None:
    scheduler = make_scheduler()
    for number in range(100):
        due_entry(scheduler.app, f"e{number:03}", args=["same"])
    run(scheduler)
    assert len(filled) == 98
    filled.clear()
    for number in range(100):
        due_entry(scheduler.app, f"e{number:03}", args=["same" if number % 2 else number])
    run(scheduler)
    assert len(queued(client)) == 200
    assert len(filled) == 99


def bodies(client: redis.Redis) -> dict[str, Any]:
    """By entry, the arguments of its messages that wait; they are gone then."""
    found = {
        message["headers"]["redbeat"]["entry"]: (
            json.loads(base64.b64decode(message["body"]))[0],
            message["headers"]["argsrepr"],
        )
        for message in queued(client)
    }
    client.delete("shop")
    return found


def after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all forms be a minute old, and what is made of now on be new."""
    later = time.monotonic() + 61
    clock = SimpleNamespace(monotonic=lambda: later)
    monkeypatch.setattr(learned, "time", clock)


def test_settings_that_change_hold_once_a_form_is_made_anew(
    client: redis.Redis,
    make_scheduler: Callable[..., RedBeatScheduler],
    filled: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = make_scheduler()

    def dispatch() -> dict[str, Any]:
        for number in range(5):
            due_entry(scheduler.app, f"e{number}", args=[number, "x" * 50])
        filled.clear()
        run(scheduler)
        return bodies(client)

    dispatch()
    assert max(len(text) for _, text in dispatch().values()) > 50
    scheduler.app.amqp.argsrepr_maxsize = 20
    after_a_minute(monkeypatch)
    for others in (3, 5):
        assert max(len(text) for _, text in dispatch().values()) <= 30
        assert len(filled) == others


def test_a_task_that_is_registered_late_has_its_arguments_checked(
    client: redis.Redis,
    make_scheduler: Callable[..., RedBeatScheduler],
    filled: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = make_scheduler()
    app = scheduler.app

    def dispatch() -> set[str]:
        for number in range(6):
            due_entry(app, f"e{number}", args=[number] * (1 + number // 3))
            text = str(client.hget(f"redbeat:e{number}", "definition"))
            text = text.replace("shop.record", "shop.late")
            client.hset(f"redbeat:e{number}", "definition", text)
        run(scheduler)
        scheduler.batch.postponed.clear()
        return set(bodies(client))

    assert len(dispatch()) == len(dispatch()) == 6

    @app.task(name="shop.late", shared=False)
    def late(one: int) -> None: ...

    after_a_minute(monkeypatch)
    filled.clear()
    for _ in range(3):
        assert dispatch() == {"e0", "e1", "e2"}
    assert set(filled) == {"e0", "e1", "e2"}
    assert {event.subject for event in log(app, events.RUN_FAILED)} == {"e3", "e4", "e5"}


def test_what_is_remembered_of_kinds_is_bounded_and_the_oldest_goes_first(
    client: redis.Redis,
    make_scheduler: Callable[..., RedBeatScheduler],
    monkeypatch: pytest.MonkeyPatch,
    filled: list[str],
) -> None:
    monkeypatch.setattr(learned, "FORMS", 3)
    monkeypatch.setattr(bulk, "_WAITED", 3)
    scheduler = make_scheduler()
    for number in range(4):
        for _ in range(3):
            due_entry(scheduler.app, f"e{number}", options={"headers": {"kind": number}})
            run(scheduler)
    assert filled == ["e0", "e1", "e2", "e3"]
    for number in (1, 2, 3):
        due_entry(scheduler.app, f"e{number}", options={"headers": {"kind": number}})
    run(scheduler)
    assert sorted(filled[4:]) == ["e1", "e2", "e3"]
    for number in range(10, 30):
        due_entry(scheduler.app, f"e{number}", options={"headers": {"kind": number}})
    run(scheduler)
    assert len(queued(client)) == 12 + 3 + 20
    assert len(scheduler.batch._filling._waited) <= 3


def test_what_is_remembered_of_entries_is_bounded_by_its_length(
    client: redis.Redis,
    make_scheduler: Callable[..., RedBeatScheduler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learned, "_CONTENTS", 20_000)
    monkeypatch.setattr(BulkDispatch, "begin_batch", lambda self, now: None)
    scheduler = make_scheduler()
    for number in range(30):
        due_entry(scheduler.app, f"e{number}", args=[number, "x" * 2000])
    run(scheduler)
    assert len(queued(client)) == 30
    kept = scheduler.batch._templates._contents
    assert 0 < sum(len(text) + content.size for text, (_, content) in kept.items()) < 40_000
