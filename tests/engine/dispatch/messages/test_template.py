"""A filled form gives the very message that Celery's own path gives."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery, Task, signals
from celery.app.routes import MapRoute
from kombu.entity import Exchange, Queue

from redbeat_core import RedBeatScheduler
from redbeat_core.dispatch.bulk import BulkDispatch
from redbeat_core.dispatch.messages.learned import TemplateCache
from tests.support.stepping import due_entry, queued, run

Make = Callable[..., RedBeatScheduler]
# kombu has no types.
new_queue: Any = Queue
new_exchange: Any = Exchange

CONTENTS: list[dict[str, Any]] = [
    {},
    {"args": []},
    {"args": [1, "é", None, 2.5, True, [1, {"a": "b"}]]},
    {"args": ["x" * 3000]},
    {"kwargs": {"text": 'quote " back \\ slash / tab \t \x1b é ☀ \U0001f600 \ud83d'}},
    {"kwargs": {"@mark@": '"@id:0@"', "nested": {"deep": [[[[]]]]}}},
    {"args": [0] * 50, "kwargs": {str(i): i for i in range(50)}},
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"queue": "other"},
    {"priority": 7},
    {"queue": "other", "priority": 3},
    {"headers": {"mine": 1, "redbeat": "taken"}},
    {"time_limit": 5, "soft_time_limit": 3},
    {"ignore_result": True},
    {"routing_key": "shop"},
]
#: Options whose messages say something else each time: never filled.
VARYING: list[dict[str, Any]] = [
    {"countdown": "5"},
    {"expires": "2099-01-01T00:00:00+00:00"},
    {"eta": "2030-01-01T00:00:00+00:00"},
    {"serializer": "yaml"},
    {"compression": "zlib"},
    {"task_id": "mine"},
    {"shadow": "other name"},
    {"link": None},
]


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each message was filled, in order."""
    filled: list[bool] = []
    fill = TemplateCache.fill

    def counting(self: TemplateCache, run: Any) -> Any:
        sent = fill(self, run)
        filled.append(sent is not None)
        return sent

    monkeypatch.setattr(TemplateCache, "fill", counting)
    return filled


def comparable(message: dict[str, Any]) -> dict[str, Any]:
    """All of it but the one random thing."""
    message["properties"].pop("delivery_tag")
    message["body"] = base64.b64decode(message["body"])
    return message


def messages(
    client: redis.Redis,
    scheduler: RedBeatScheduler,
    entries: list[dict[str, Any]],
    at: float = 1000.5,
) -> dict[str, Any]:
    """What is enqueued for these entries: by entry, its list and its message.

    :param at: the nominal time of all of them, Unix seconds.
    """
    for number, entry in enumerate(entries):
        due_entry(scheduler.app, f"e{number:03}", **entry)
        # Nominal times and last runs are the same for all and at every time.
        client.zadd("redbeat::schedule", {f"redbeat:e{number:03}": at})
        client.hset(f"redbeat:e{number:03}", "due", repr(at))
    run(scheduler)
    found: dict[str, Any] = {}
    for key in ("shop", "other", "pre:shop", "pre:other"):
        for step in ("", *(f"\x06\x16{n}" for n in (3, 6, 9))):
            for message in queued(client, key + step):
                name = message["headers"]["redbeat"]["entry"]
                found[name] = (key + step, comparable(message))
    return found


def both_ways(
    client: redis.Redis,
    make_scheduler: Make,
    entries: list[dict[str, Any]],
    at: float = 1000.5,
    **conf: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    first = make_scheduler(**conf)
    filled = messages(client, first, entries, at)
    first.close()
    client.flushdb()
    # The same app: each has a reply queue of its own.
    other = RedBeatScheduler(first.app)
    other.batch._templates.begin_batch = lambda: None  # type: ignore[method-assign]
    found = messages(client, other, entries, at)
    other.close()
    return filled, found


def test_over_all_contents_and_options_both_ways_are_the_same(
    client: redis.Redis, make_scheduler: Make, fills: list[bool]
) -> None:
    entries = [{**content, "options": options} for options in OPTIONS for content in CONTENTS]
    ours, celerys = both_ways(client, make_scheduler, entries)
    assert ours == celerys
    assert len(ours) == len(entries)
    # Of each kind, the first message makes the form and the second is compared with it; so is
    # the third, as the arguments of those two are alike.
    assert fills.count(True) == len(entries) - 3 * len(OPTIONS)


def test_what_the_server_fills_is_the_same_over_all_contents_and_options(
    client: redis.Redis, make_scheduler: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[str] = []
    fill = BulkDispatch.fill

    def noting(self: BulkDispatch, due: Any) -> Any:
        made = fill(self, due)
        filled.extend([due.name] if made is not None else [])
        return made

    monkeypatch.setattr(BulkDispatch, "fill", noting)
    entries = [{**content, "options": options} for options in OPTIONS for content in CONTENTS]
    # On time: nothing but the usual is to be decided.
    ours, celerys = both_ways(client, make_scheduler, entries, round(time.time(), 1) - 1)
    assert ours == celerys
    assert len(ours) == len(entries)
    assert len(filled) == len(entries) - 3 * len(OPTIONS)


def test_what_varies_keeps_to_celerys_path(
    client: redis.Redis, make_scheduler: Make, fills: list[bool]
) -> None:
    for options in VARYING:
        messages(client, make_scheduler(), [{"options": options}] * 4)
        client.flushdb()
    assert not any(fills)


@pytest.mark.parametrize(
    "conf",
    [
        {"task_always_eager": True},
        {"task_send_sent_event": True},
        {"task_protocol": 1},
        {"task_routes": [lambda name, args, kwargs, options, task=None, **kw: None]},
    ],
)
def test_settings_that_rule_forms_out(
    client: redis.Redis, make_scheduler: Make, fills: list[bool], conf: dict[str, Any]
) -> None:
    messages(client, make_scheduler(**conf), [{}] * 4)
    assert not any(fills)


def test_static_routes_and_a_key_prefix_do_not(
    url: str, client: redis.Redis, make_scheduler: Make, fills: list[bool]
) -> None:
    conf: dict[str, Any] = {"task_routes": {"shop.*": {"queue": "other", "priority": 6}}}
    conf["broker_transport_options"] = {"global_keyprefix": "pre:"}
    conf["redbeat_redis_options"] = {}
    ours, celerys = both_ways(client, make_scheduler, [{"args": [n]} for n in range(5)], **conf)
    assert ours == celerys
    assert {key for key, _ in ours.values()} == {"pre:other\x06\x166"}
    assert fills.count(True) == 3


@pytest.mark.parametrize("name", ["before_task_publish", "after_task_publish"])
def test_signal_receivers_are_called_for_every_message(
    client: redis.Redis, make_scheduler: Make, fills: list[bool], name: str
) -> None:
    called: list[Any] = []
    signal = getattr(signals, name)

    def receiver(sender: Any = None, **_: Any) -> None:
        called.append(sender)

    signal.connect(receiver)
    try:
        messages(client, make_scheduler(), [{}] * 5)
    finally:
        signal.disconnect(receiver)
    assert len(called) == 5
    assert not any(fills)


def test_a_task_class_with_its_own_apply_async_is_asked(
    client: redis.Redis, make_scheduler: Make, fills: list[bool]
) -> None:
    class Marked(Task):
        def apply_async(self, *args: Any, **options: Any) -> Any:
            options["headers"] = {**(options.get("headers") or {}), "marked": True}
            return super().apply_async(*args, **options)

    scheduler = make_scheduler()

    @scheduler.app.task(name="shop.marked", base=Marked, shared=False)
    def marked() -> None: ...

    for number in range(4):
        due_entry(scheduler.app, f"e{number}")
        text = str(client.hget(f"redbeat:e{number}", "definition"))
        client.hset(f"redbeat:e{number}", "definition", text.replace("shop.record", "shop.marked"))
    run(scheduler)
    assert [message["headers"]["marked"] for message in queued(client)] == [True] * 4
    assert not any(fills)


def test_arguments_that_the_task_does_not_take_are_refused_as_by_celery(
    client: redis.Redis, make_scheduler: Make
) -> None:
    scheduler = make_scheduler()

    @scheduler.app.task(name="shop.one", shared=False)
    def one(only: int) -> None: ...

    for number, args in enumerate([[1], [2], [3], [1, 2]]):
        due_entry(scheduler.app, f"e{number}", args=args)
        text = str(client.hget(f"redbeat:e{number}", "definition"))
        client.hset(f"redbeat:e{number}", "definition", text.replace("shop.record", "shop.one"))
    run(scheduler)
    assert len(queued(client)) == 3


def test_a_scheduler_with_its_own_apply_async_is_asked(
    app: Celery, client: redis.Redis, fills: list[bool]
) -> None:
    class MyScheduler(RedBeatScheduler):
        def apply_async(self, entry: Any, **kwargs: Any) -> Any:
            entry.options = {**entry.options, "queue": "other"}
            return super().apply_async(entry, **kwargs)

    scheduler = MyScheduler(app)
    for number in range(4):
        due_entry(app, f"e{number}")
    run(scheduler)
    scheduler.close()
    assert len(queued(client, "other")) == 4
    assert not any(fills)


def test_a_form_that_turns_out_wrong_is_not_used(
    client: redis.Redis, make_scheduler: Make, fills: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "redbeat_core.dispatch.messages.learned.argument_text", lambda *args, **kwargs: "wrong"
    )
    scheduler = make_scheduler()
    messages(client, scheduler, [{"args": [n]} for n in range(5)])
    assert not any(fills)
    assert all("wrong" not in json.dumps(message) for message in queued(client))


def test_routes_are_what_this_code_takes_them_for() -> None:
    app = Celery(set_as_current=False)
    app.conf.task_routes = {"a": {"queue": "b"}}
    assert [type(route) for route in app.amqp.routes] == [MapRoute]


def test_a_queue_that_is_bound_while_beat_runs_gets_its_messages(
    app: Celery, client: redis.Redis, make_scheduler: Make
) -> None:
    """What a worker with another queue of the same exchange does when it starts."""
    options = {"exchange": "things", "routing_key": "thing.one"}
    one, two = (
        new_queue(name, new_exchange("things"), routing_key="thing.one") for name in ("one", "two")
    )

    def declare(queue: Any) -> None:
        with app.connection_for_write() as connection:
            queue(connection.channel()).declare()

    declare(one)
    scheduler = make_scheduler()
    for _ in range(3):
        due_entry(scheduler.app, options=options)
        run(scheduler)
    assert client.llen("one") == 3
    declare(two)
    due_entry(scheduler.app, options=options)
    run(scheduler)
    assert (client.llen("one"), client.llen("two")) == (4, 1)
