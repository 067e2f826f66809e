"""Whatever its options, an entry's message is the one that Celery's own beat sends.

Each case is sent six times by this project's scheduler, so that a message that may be filled is
made by Celery, compared, and filled, and once by Celery's own scheduler with its own producer.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
import redis
from celery import Celery, Task, beat, signals
from kombu import serialization
from kombu.entity import Exchange, Queue

from redbeat_core import RedBeatScheduler
from redbeat_core.dispatch.messages.calls import CallCache
from tests.support.stepping import due_entry, run

Make = Callable[..., RedBeatScheduler]
NAME = "orders é"
ROUNDS = 6
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+\d\d:\d\d|Z)?")


@contextmanager
def before(receive: Callable[..., None]) -> Iterator[None]:
    signals.before_task_publish.connect(receive, weak=False)
    try:
        yield
    finally:
        signals.before_task_publish.disconnect(receive)


@contextmanager
def after(receive: Callable[..., None]) -> Iterator[None]:
    signals.after_task_publish.connect(receive, weak=False)
    try:
        yield
    finally:
        signals.after_task_publish.disconnect(receive)


@contextmanager
def a_serializer() -> Iterator[None]:
    register: Any = serialization.register
    register("reversed", lambda data: json.dumps(data)[::-1], None, "application/x-rev", "utf-8")
    try:
        yield
    finally:
        unregister: Any = serialization.unregister
        unregister("reversed")


def mark_headers(headers: Any = None, properties: Any = None, **_: Any) -> None:
    headers["marked"] = {"by": "receiver"}
    properties["priority"] = 6


def mark_body(body: Any = None, **_: Any) -> None:
    body[1]["marked"] = True


class Marked(Task):
    """A task class with its own way to be called."""

    def apply_async(self, *args: Any, **options: Any) -> Any:
        options["headers"] = {**(options.get("headers") or {}), "marked": True}
        return super().apply_async(*args, **options)


class Shadowed(Task):
    """A task class that names itself."""

    def shadow_name(self, args: Any, kwargs: Any, options: Any) -> str:
        return f"shadow of {args!r}"


def with_task(**attributes: Any) -> Callable[[Celery], None]:
    def prepare(app: Celery) -> None:
        @app.task(name="shop.special", shared=False, **attributes)
        def special(*args: Any, **kwargs: Any) -> str:
            return "done"

    return prepare


def with_typed_task(app: Celery) -> None:
    @app.task(name="shop.special", shared=False)
    def special(one: int, two: int = 2) -> None: ...


def own_message(app: Celery) -> None:
    """As projects do that put something of theirs into each message."""
    made = app.amqp.as_task_v2

    def as_task(task_id: str, name: str, args: Any = None, *more: Any, **options: Any) -> Any:
        message = made(task_id, name, args, *more, **options)
        message.headers["length"] = len(args or ())
        return message

    app.amqp.task_protocols[2] = as_task


def declared(app: Celery) -> None:
    with app.connection_for_write() as connection:
        BOUND(connection.channel()).declare()


def routed(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
    return {"queue": "other", "priority": len(args or ())}


@dataclass(frozen=True)
class Case:
    """What differs from the plainest message.

    :ivar around: what holds while the messages are sent.
    :ivar sent: how many messages a run comes to.
    :ivar fills: whether the later ones are to be filled.
    :ivar static: the entry is one of ``beat_schedule``.
    """

    options: dict[str, Any] = field(default_factory=dict)
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    conf: dict[str, Any] = field(default_factory=dict)
    task: str = "shop.unknown"
    prepare: Callable[[Celery], None] | None = None
    around: Callable[[], Any] | None = None
    sent: int = 1
    fills: bool = False
    static: bool = False


SPECIAL = "shop.special"
LINK: dict[str, Any] = {"task": "shop.other", "args": [], "kwargs": {}, "options": {}}
LINK |= {"subtask_type": None, "immutable": False}
CHORD = {"options": {"task_id": "x"}, "task": "shop.other", "args": [], "kwargs": {}}
TEXT = "quote \" ' back \\ slash / tab \t \x1b é ☀ \U0001f600"
# kombu has no types.
new_queue: Any = Queue
new_exchange: Any = Exchange
THINGS = new_exchange("things")
BOUND = new_queue("bound", THINGS, routing_key="thing.one")
CASES: dict[str, Case] = {
    "plain": Case(fills=True),
    "no arguments": Case(args=[], kwargs={}, fills=True),
    "arguments": Case(args=[1, None, 2.5, True, TEXT], kwargs={"text": TEXT}, fills=True),
    "nested": Case(args=[[1, {"a": [[[["deep"]]]]}]], kwargs={"k": {"k": {}}}, fills=True),
    "lazy arguments": Case(args=[1, beat.BeatLazyFunc(int, "12")], static=True),
    "lazy keyword arguments": Case(args=[[1]], kwargs={
        "day": beat.BeatLazyFunc(datetime, 2026, 1, 5), "n": 2}, static=True),
    "long": Case(args=["x" * 3000, *range(500)], fills=True),
    "half a character": Case(kwargs={"text": "\ud83d"}, fills=True),
    "queue": Case({"queue": "other"}, fills=True),
    "queue and routing key": Case({"queue": "other", "routing_key": "there"}, fills=True),
    "exchange": Case({"exchange": "things", "routing_key": "thing.one"}, conf={
        "task_queues": [BOUND, new_queue("shop")]
    }, prepare=declared),
    "priority": Case({"priority": 7}, fills=True),
    "priority of the broker's steps": Case({"priority": 5}, conf={
        "broker_transport_options": {"priority_steps": [0, 5], "sep": ":"}
    }, fills=True),
    "headers": Case({"headers": {"mine": {"a": 1}, "redbeat": "taken"}}, fills=True),
    "expires": Case({"expires": 60}, fills=True),
    "expires at": Case({"expires": "2099-01-01T00:00:00+00:00"}),
    "countdown": Case({"countdown": 5.5}, fills=True),
    "both": Case({"countdown": 2, "expires": 60.25}, fills=True),
    "expired": Case({"expires": -1}),
    "an odd countdown": Case({"countdown": True}),
    "eta": Case({"eta": "2099-01-01T00:00:00+00:00"}),
    "countdown in a zone": Case({"countdown": 5}, conf={"timezone": "Europe/Paris"}, fills=True),
    "local time": Case({"countdown": 5}, conf={"enable_utc": False, "timezone": "Asia/Tokyo"},
                       fills=True),
    "in a zone": Case(conf={"timezone": "America/New_York"}, fills=True),
    "pickle": Case({"serializer": "pickle"}, args=[1, "a"], fills=True),
    "another serializer": Case({"serializer": "reversed"}, args=[1], around=a_serializer),
    "the app's serializer": Case(conf={"task_serializer": "pickle"}, args=[1], fills=True),
    "compression": Case({"compression": "gzip"}, args=["x" * 500]),
    "the app's compression": Case(conf={"task_compression": "bzip2"}, args=["x" * 500]),
    "link": Case({"link": [LINK], "link_error": [LINK]}),
    "chord": Case({"chord": CHORD}),
    "group": Case({"group_id": "g", "group_index": 2}),
    "ignored result": Case({"ignore_result": True}, fills=True),
    "time limits": Case({"time_limit": 5, "soft_time_limit": 3.5}, fills=True),
    "shadow": Case({"shadow": "other"}),
    "reply to": Case({"reply_to": "me"}),
    "any property": Case({"app_id": "mine", "message_id": "one"}),
    "retry policy": Case({"retry": True, "retry_policy": {"max_retries": 1}}, fills=True),
    "delivery mode": Case({"delivery_mode": 1}),
    "protocol 1": Case(args=[1], conf={"task_protocol": 1}),
    "sent events": Case(conf={"task_send_sent_event": True}),
    "key prefix": Case(conf={"broker_transport_options": {"global_keyprefix": "pre:"}}, fills=True),
    "another database": Case(conf={"broker": 7}, fills=True),
    "routes": Case(conf={"task_routes": {"shop.unknown": {"queue": "other"}}}, fills=True),
    "glob routes": Case(conf={"task_routes": {"shop.*": {"queue": "other", "priority": 3}}},
                        fills=True),
    "regex routes": Case(conf={"task_routes": [[(re.compile("shop.*"), {"queue": "other"})]]},
                         fills=True),
    "a route of its own": Case(conf={"task_routes": [routed]}, args=[1, 2, 3]),
    "a default priority": Case(conf={"task_default_priority": 4}, fills=True),
    "short texts of arguments": Case(args=["x" * 100], prepare=lambda app: setattr(
        app.amqp, "argsrepr_maxsize", 20), fills=True),
    "registered": Case(task=SPECIAL, args=[1], prepare=with_task(), fills=True),
    "ignoring task": Case(task=SPECIAL, prepare=with_task(ignore_result=False), fills=True),
    "attributes": Case(task=SPECIAL, prepare=with_task(
        serializer="pickle", priority=3, queue="other", time_limit=9), fills=True),
    "a task that expires": Case(task=SPECIAL, prepare=with_task(expires=90)),
    "its own apply_async": Case(task=SPECIAL, prepare=with_task(base=Marked)),
    "its own shadow": Case(task=SPECIAL, args=[5], prepare=with_task(base=Shadowed)),
    "typed": Case(task=SPECIAL, args=[1], kwargs={"two": 3}, prepare=with_typed_task, fills=True),
    "wrong arguments": Case(task=SPECIAL, args=[1, 2, 3], prepare=with_typed_task, sent=0),
    "eager": Case(task=SPECIAL, conf={"task_always_eager": True}, prepare=with_task(), sent=0),
    "eager elsewhere": Case(conf={"task_always_eager": True}),
    "its own messages": Case(prepare=own_message, args=[1, 2]),
    "a task that compresses": Case(task=SPECIAL, args=["x" * 500], prepare=with_task(
        compression="gzip")),
    "compression for a task": Case({"compression": "bzip2"}, task=SPECIAL, args=["x" * 500],
                                   prepare=with_task(compression="gzip")),
    "a task's delivery mode": Case(task=SPECIAL, prepare=with_task(delivery_mode=1), fills=True),
    "receiver": Case(around=lambda: before(lambda **_: None)),
    "receiver of headers": Case(around=lambda: before(mark_headers)),
    "receiver of the body": Case(args=[1], kwargs={"a": 1}, around=lambda: before(mark_body)),
    "receiver after": Case(around=lambda: after(lambda **_: None)),
}  # fmt: skip


def take(url: str) -> list[tuple[str, dict[str, Any]]]:
    """The messages in the broker's lists, each with its list; they are gone then."""
    found: list[tuple[str, dict[str, Any]]] = []
    with redis.Redis.from_url(url, decode_responses=True) as client:
        for key in sorted(client.keys("*")):
            if client.type(key) == "list":
                found += [(key, json.loads(text)) for text in client.lrange(key, 0, -1)]
                client.delete(key)
    return found


def timeless(message: tuple[str, dict[str, Any]]) -> tuple[str, Any]:
    """*message* without what is random or the time; its body as it is read."""
    key, content = message
    if int(content["properties"].get("expiration") or 0) > 10**9:
        # Until a time that is given.
        content["properties"]["expiration"] = "long"
    content["properties"].pop("delivery_tag")
    body = base64.b64decode(content.pop("body"))
    headers = json.loads(_TIME.sub("TIME", json.dumps(content)))
    return key, (headers, _TIME.sub("TIME", body.decode("latin-1")))


def assert_close(headers: dict[str, Any], others: dict[str, Any]) -> None:
    """The times are those of messages that are sent within half a minute, in the same zone."""
    for name in ("eta", "expires"):
        one, other = headers.get(name), others.get(name)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            there, here = datetime.fromisoformat(one), datetime.fromisoformat(other)
            assert there.utcoffset() == here.utcoffset()
            assert abs((there - here).total_seconds()) < 30


def from_celery(app: Celery, case: Case, header: dict[str, Any], task_id: str) -> None:
    """Let Celery's own scheduler send the entry, with what this project adds to its options."""
    options = {**case.options, "task_id": task_id}
    options["headers"] = {**(options.get("headers") or {}), "redbeat": header}
    entry = beat.ScheduleEntry(
        name=NAME,
        task=case.task,
        schedule=60.0,
        args=case.args,
        kwargs=case.kwargs,
        options=json.loads(json.dumps(options)),
        app=app,
    )
    beat.Scheduler(app, lazy=True).apply_async(entry, advance=False)


@pytest.mark.parametrize("name", CASES)
def test_the_message_is_the_one_that_celery_sends(
    url: str, client: redis.Redis, make_scheduler: Make, filled: list[str], name: str
) -> None:
    compare(CASES[name], url, client, make_scheduler)
    assert (len(filled) == ROUNDS - 2) is CASES[name].fills


def mark_all(
    body: Any = None, headers: Any = None, properties: Any = None, declare: Any = None, **_: Any
) -> None:
    """As tracing does, and whatever else receivers may take a hand in."""
    headers["marked"] = headers["id"]
    headers["timelimit"].append("more") if "timelimit" in headers else None
    properties["marked"] = "é"
    if isinstance(body, tuple):
        body[0].append("appended")
        body[1]["marked"] = True
        body[2]["marked"] = [len(body[0])]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.around])
def test_with_a_receiver_it_is_so_too(
    url: str,
    client: redis.Redis,
    make_scheduler: Make,
    filled: list[str],
    prepared: list[str],
    name: str,
) -> None:
    compare(replace(CASES[name], around=lambda: before(mark_all)), url, client, make_scheduler)
    assert filled == []
    case = CASES[name]
    timed = {"countdown", "expires"} & case.options.keys()
    assert (len(prepared) == ROUNDS - 2) is ((case.fills and not timed) or name in ALSO_PREPARED)
    assert prepared == prepared[:1] * len(prepared)


#: What no form is made of, but for other reasons than that a time or another's hand is in it.
ALSO_PREPARED = {"exchange", "the app's compression", "a task that compresses"}


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the entries whose messages were handed to Celery's last step."""
    names: list[str] = []
    real = CallCache.call

    def noting(self: CallCache, run: Any, header: Any) -> Any:
        call = real(self, run, header)
        if call is not None:
            names.append(header["entry"])
        return call

    monkeypatch.setattr(CallCache, "call", noting)
    return names


def compare(case: Case, url: str, client: redis.Redis, make_scheduler: Make) -> None:
    """Send it both ways, and see that it is the same."""
    conf = dict(case.conf)
    if case.static:
        content = {"args": case.args, "kwargs": case.kwargs, "options": case.options}
        conf["beat_schedule"] = {NAME: {"task": case.task, "schedule": 3600.0, **content}}
    broker = url.replace("/0", f"/{conf.pop('broker', 0)}")
    scheduler = make_scheduler(broker_url=broker, redbeat_redis_options={}, **conf)
    app = scheduler.app
    if case.prepare is not None:
        case.prepare(app)
    nominal = round(time.time(), 3) - 1
    with case.around() if case.around is not None else before(lambda **_: None):
        if case.around is None:
            # That one was only there so that there is something to leave.
            signals.before_task_publish.receivers.clear()
            signals.before_task_publish.sender_receivers_cache.clear()
        ours = []
        for _ in range(ROUNDS):
            if case.static:
                run(scheduler)
            else:
                due_entry(app, NAME, args=case.args, kwargs=case.kwargs, options=case.options)
            key = f"redbeat:{NAME}"
            text = str(client.hget(key, "definition"))
            client.hset(key, "definition", text.replace("shop.record", case.task))
            client.zadd("redbeat::schedule", {key: nominal})
            client.hset(key, "due", f"{nominal!r}")
            run(scheduler)
            scheduler.batch.postponed.clear()
            ours.append(take(broker))
        assert {len(messages) for messages in ours} == {case.sent}
        header = {"entry": NAME, "nominal": nominal, "trigger": None}
        ids = {m["properties"]["correlation_id"] for messages in ours for _, m in messages}
        try:
            from_celery(app, case, header, ids.pop() if ids else "x")
        except beat.SchedulingError:
            assert case.sent == 0
    assert not ids
    sent = take(broker)
    for messages in ours:
        for (_, message), (_, other) in zip(messages, sent, strict=True):
            assert_close(message["headers"], other["headers"])
    theirs = [timeless(message) for message in sent]
    for messages in ours:
        assert [timeless(message) for message in messages] == theirs
