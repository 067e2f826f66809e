"""Arguments that are worked out at each run: by the leading beat's own code alone."""

from __future__ import annotations

import base64
import functools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from celery import Celery
from celery.beat import BeatLazyFunc

from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry, events
from redbeat_core.dispatch.lazy_args import LazyArguments, is_lazy
from redbeat_core.entries.view import decode_record
from redbeat_core.operations import Operations
from redbeat_core.schedules import parse_schedule
from redbeat_core.storage.schedule_store import store_for
from tests.support.shop import make_app
from tests.support.stepping import due_entry, log, queued, run

Make = Callable[..., RedBeatScheduler]
KEY, SCHEDULE = "redbeat:orders", "redbeat::schedule"
calls: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def number(name: str = "a") -> int:
    calls.append(name)
    return len(calls)


def out_of_stock() -> str:
    calls.append("raised")
    # As a look-up elsewhere may: it is no word about the broker.
    raise redis.exceptions.TimeoutError("the warehouse is closed")


def static(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"task": "shop.record", "schedule": 3600.0, "args": args, "kwargs": kwargs}


def body(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    return args, kwargs


def make_due(client: redis.Redis, name: str = "orders") -> None:
    # Not rounded: a time rounded up is not due yet when the beat looks at once.
    now = time.time()
    client.zadd(SCHEDULE, {f"redbeat:{name}": now})
    client.hset(f"redbeat:{name}", "due", repr(now))


def stored(client: redis.Redis) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(str(client.hget(KEY, "definition")))
    return found


def test_each_run_has_its_own_value(client: redis.Redis, make_scheduler: Make) -> None:
    lazy = BeatLazyFunc(number, "b")
    scheduler = make_scheduler(beat_schedule={"orders": static("x", lazy, when=lazy)})
    run(scheduler)
    for _ in range(3):
        make_due(client)
        run(scheduler)
    assert [body(message) for message in queued(client)[::-1]] == [
        (["x", 1], {"when": 2}),
        (["x", 3], {"when": 4}),
        (["x", 5], {"when": 6}),
    ]


def test_what_is_stored_names_the_call_and_says_nothing_that_differs_at_a_restart() -> None:
    def text(lazy: BeatLazyFunc) -> str:
        entry = RedBeatSchedulerEntry("orders", "shop.record", 60.0, args=[lazy], app=APP)
        (stored,) = LazyArguments().taken_from(entry).args
        assert is_lazy(stored)
        return str(stored["call"])

    assert text(BeatLazyFunc(datetime.now, UTC)) == "datetime.datetime.now(datetime.timezone.utc)"
    assert text(BeatLazyFunc(number, "b")) == f"{__name__}.number('b')"
    assert text(BeatLazyFunc(functools.partial(number, name="b"))) == f"{__name__}.number(name='b')"
    assert text(BeatLazyFunc(sorted, {"a", "b"}, key=len)) == (
        "builtins.sorted(set(...), key=builtins.len)"
    )
    assert text(BeatLazyFunc(number, object())) == f"{__name__}.number(<object object>)"
    assert text(BeatLazyFunc(str, "x" * 5000)).endswith("x…")


APP = make_app("redis://127.0.0.1:1/0")


def test_a_restart_does_not_change_it(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    for _ in range(2):
        entry = static(BeatLazyFunc(number), day=BeatLazyFunc(datetime.now, UTC))
        scheduler = make_scheduler(beat_schedule={"orders": entry})
        run(scheduler)
        scheduler.close()
    assert [event.type for event in log(app) if event.subject == "orders"] == [events.ENTRY_CREATED]


def test_it_is_not_filled_into_the_form_of_others_of_its_task(
    app: Celery, client: redis.Redis, make_scheduler: Make, filled: list[str]
) -> None:
    scheduler = make_scheduler(beat_schedule={"orders": static(BeatLazyFunc(number))})
    run(scheduler)
    for count in range(4):
        due_entry(app, f"plain {count}", args=[count])
        run(scheduler)
    assert filled
    make_due(client)
    run(scheduler)
    assert "orders" not in filled
    assert body(queued(client)[0]) == ([1], {})


def test_a_function_that_raises_is_a_failed_run_that_is_tried_again_and_holds_up_nothing(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(beat_schedule={"orders": static(at=BeatLazyFunc(out_of_stock))})
    run(scheduler)
    make_due(client)
    due = client.zscore(SCHEDULE, KEY)
    due_entry(app, "plain")
    run(scheduler)
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.subject == "orders"
    assert "'at'" in failed.data["reason"]
    assert "TimeoutError: the warehouse is closed" in failed.data["reason"]
    assert failed.data["retry_in"] == 1
    assert [message["headers"]["redbeat"]["entry"] for message in queued(client)] == ["plain"]
    assert calls == ["raised"]
    scheduler.batch.backoff.clear()
    run(scheduler)
    assert calls == ["raised", "raised"]
    assert client.zscore(SCHEDULE, KEY) == due


class NoTextError(Exception):
    """As somebody's own error may be."""

    def __str__(self) -> str:
        raise ValueError("no text")


def says_nothing() -> str:
    raise NoTextError


def says_too_much() -> str:
    raise ValueError("x" * 3_000_000)


@pytest.mark.parametrize(
    ("function", "reason"), [(says_nothing, "NoTextError"), (says_too_much, "(3000000 characters)")]
)
def test_whatever_its_error_says_the_run_fails_with_a_reason_that_can_be_read(
    function: Callable[[], str],
    reason: str,
    app: Celery,
    client: redis.Redis,
    make_scheduler: Make,
) -> None:
    scheduler = make_scheduler(beat_schedule={"orders": static(at=BeatLazyFunc(function))})
    run(scheduler)
    make_due(client)
    due_entry(app, "plain")
    run(scheduler)
    (failed,) = log(app, events.RUN_FAILED)
    assert reason in failed.data["reason"]
    assert len(failed.data["reason"]) < 2000
    assert [message["headers"]["redbeat"]["entry"] for message in queued(client)] == ["plain"]


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"orders": static("x", BeatLazyFunc(number))},
        {"orders": static(BeatLazyFunc(number, "other"))},
        {"orders": static(1)},
        {"orders": static(name=BeatLazyFunc(number))},
    ],
    ids=["no entry", "another place", "another call", "a plain argument", "a keyword"],
)
def test_a_beat_calls_nothing_that_its_own_code_does_not_have_there(
    other: dict[str, Any], app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    first = make_scheduler(beat_schedule={"orders": static(BeatLazyFunc(number))})
    run(first)
    definition = str(client.hget(KEY, "definition"))
    first.close()
    scheduler = make_scheduler(beat_schedule=other)
    run(scheduler)
    # As if a beat with the first one's code had the lead in between.
    client.hset(KEY, mapping={"definition": definition})
    make_due(client)
    due_entry(app, "plain")
    run(scheduler)
    assert calls == []
    (failed,) = log(app, events.RUN_FAILED)
    assert failed.subject == "orders"
    assert f"{__name__}.number('a')"[:-5] in failed.data["reason"]
    assert "does it run other code?" in failed.data["reason"]
    assert [message["headers"]["redbeat"]["entry"] for message in queued(client)] == ["plain"]


def test_redis_cannot_name_what_is_called(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(beat_schedule={"orders": static(BeatLazyFunc(number))})
    run(scheduler)
    due_entry(app, "planted", args=[{"__type__": "lazy", "call": f"{__name__}.number()"}])
    due_entry(app, "by name", args=[{"__type__": "lazy", "call": "os.getcwd()"}])
    run(scheduler)
    assert calls == []
    assert queued(client) == []
    assert {failed.subject for failed in log(app, events.RUN_FAILED)} == {"planted", "by name"}


def test_an_operator_pauses_edits_and_resumes_it(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    entry = static(BeatLazyFunc(number), day=BeatLazyFunc(datetime.now, UTC))
    scheduler = make_scheduler(beat_schedule={"orders": entry})
    run(scheduler)
    before = stored(client)
    operations = Operations(store_for(app), app=app)
    operations.pause("orders")
    operations.edit_schedule("orders", parse_schedule("every 90s"))
    operations.resume("orders")
    after = stored(client)
    assert (after["args"], after["kwargs"]) == (before["args"], before["kwargs"])
    scheduler.close()
    scheduler = make_scheduler(beat_schedule={"orders": entry})
    run(scheduler)
    assert stored(client) == after
    record = store_for(app).get("orders")
    assert record is not None
    view = decode_record(record, app)
    assert view.error is None
    assert view.args == [{"__type__": "lazy", "call": f"{__name__}.number()"}]
    make_due(client)
    run(scheduler)
    assert body(queued(client)[0])[0] == [1]


def test_a_run_on_request_works_it_out_too(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler(beat_schedule={"orders": static("x", BeatLazyFunc(number))})
    run(scheduler)
    operations = Operations(store_for(app), app=app)
    operations.trigger("orders")
    # What the console offers to be typed on.
    operations.trigger("orders", args=["y", stored(client)["args"][1]])
    operations.trigger("orders", args=["z"])
    run(scheduler)
    assert [body(message)[0] for message in queued(client)[::-1]] == [["x", 1], ["y", 2], ["z"]]


def test_one_that_is_saved_by_hand_is_refused(app: Celery) -> None:
    # Nobody would have it but the process that saves it.
    entry = RedBeatSchedulerEntry("orders", "shop.record", 60.0, [BeatLazyFunc(number)], app=app)
    with pytest.raises(TypeError, match="BeatLazyFunc"):
        entry.save()
    assert store_for(app).get("orders") is None


def test_one_within_an_argument_is_refused_with_its_reason(
    app: Celery, make_scheduler: Make, caplog: pytest.LogCaptureFixture
) -> None:
    # Celery does not call it, either.
    run(make_scheduler(beat_schedule={"orders": static([BeatLazyFunc(number)])}))
    assert "'orders' of beat_schedule is left out" in caplog.text
    assert "BeatLazyFunc is not JSON" in caplog.text
    assert store_for(app).get("orders") is None
