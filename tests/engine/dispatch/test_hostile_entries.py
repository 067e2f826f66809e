"""Whatever an entry holds, in whatever option or field: it is invalid or a failed run with its
reason, or it runs; and the entries beside it are dispatched."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from redbeat_core import RedBeatScheduler, events
from redbeat_core.dispatch.isolation import Isolation
from redbeat_core.entries.codec import encode_meta
from redbeat_core.entries.record import HASH_FIELDS, json_object
from redbeat_core.storage.schedule_store import store_for
from tests.support.effort import examples
from tests.support.json_values import TEXTS, VALUES, with_member
from tests.support.server import Server
from tests.support.stepping import run

Make = Callable[..., RedBeatScheduler]

DEFINITION = {
    "name": "bad",
    "task": "shop.record",
    "args": [],
    "kwargs": {},
    "options": {},
    "schedule": {"__type__": "interval", "every": 3600.0, "relative": False},
    "enabled": True,
}
#: What Celery's ``apply_async`` and kombu's ``publish`` know, and what they do not.
OPTIONS = (
    "add_to_parent",
    "chain",
    "chord",
    "compression",
    "connection",
    "content_encoding",
    "content_type",
    "correlation_id",
    "countdown",
    "declare",
    "delivery_mode",
    "eta",
    "exchange",
    "exchange_type",
    "expiration",
    "expires",
    "group_id",
    "group_index",
    "headers",
    "ignore_result",
    "immediate",
    "link",
    "link_error",
    "mandatory",
    "message_id",
    "origin",
    "parent_id",
    "priority",
    "producer",
    "publisher",
    "queue",
    "reply_to",
    "replaced_task_nesting",
    "retries",
    "retry",
    "retry_policy",
    "root_id",
    "route_name",
    "router",
    "routing_key",
    "serializer",
    "shadow",
    "soft_time_limit",
    "stamped_headers",
    "stamps",
    "task_id",
    "task_type",
    "time_limit",
    "timeout",
    "unknown",
    "user_id",
)
#: Fields of the hash that are texts as they are.
PLAIN_FIELDS = ("due", "zone")
#: And the members of those that are JSON.
MEMBERS: Mapping[str, tuple[str, ...]] = {
    "definition": (*DEFINITION, "unknown"),
    "meta": ("last_run_at", "total_run_count", "unknown"),
    "policy": (
        "catchup",
        "catchup_limit",
        "grace",
        "jitter",
        "start",
        "end",
        "max_runs",
        "nonexistent",
        "ambiguous",
        "keep_finished",
    ),
    "state": ("paused", "override", "policy_override"),
    "outcome": ("status", "at", "task_id", "runtime", "error", "worker"),
    "counts": ("missed", "skipped"),
}
#: How an event says what became of an entry.
ENDS = (
    events.RUN_DISPATCHED,
    events.RUN_FAILED,
    events.RUN_MISSED,
    events.RUN_SKIPPED,
    events.ENTRY_INVALID,
    events.ENTRY_FINISHED,
    events.ENTRY_UPDATED,
)
GOOD = ("good", "good too", "a last good one")


@pytest.fixture
def _no_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this is found only by making the batch again one by one."""

    def not_needed(_: Isolation, cause: Exception) -> Any:
        raise cause

    monkeypatch.setattr(Isolation, "one_by_one", not_needed)
    monkeypatch.setattr(RedBeatScheduler, "_unexpected", not_needed)


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Thousands of errors are expected, with texts in them that no report can hold."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def fields_of(name: str) -> dict[str, str]:
    """The hash of an entry that ran an hour ago and is due."""
    ran = datetime.now(UTC) - timedelta(hours=1)
    return {
        "definition": json.dumps({**DEFINITION, "name": name}),
        "meta": encode_meta({"last_run_at": ran, "total_run_count": 3}),
    }


def put(client: redis.Redis, entries: Mapping[str, Mapping[str, str]]) -> None:
    """These hashes, all due at once, the first of them first."""
    now = time.time()
    pipe = client.pipeline(transaction=False)
    for place, (name, fields) in enumerate(entries.items()):
        score = now - 5 + place / 1e5
        whole = {"due": repr(score), **fields}
        for field, value in whole.items():
            pipe.hset(f"redbeat:{name}", field, value.encode("utf-8", "surrogateescape"))
        pipe.zadd("redbeat::schedule", {f"redbeat:{name}": score})
    pipe.execute()


def ends(app: Celery) -> dict[str, list[events.Event]]:
    found: dict[str, list[events.Event]] = {}
    store, seq = store_for(app), 0
    while page := store.log_after(seq):
        seq = page[-1].seq
        for event in page:
            if event.type in ENDS:
                found.setdefault(event.subject, []).append(event)
    return found


def check(app: Celery, bad: Iterable[str]) -> None:
    """What became of each can be read, with a reason where it did not run; the good ones ran."""
    became = ends(app)
    for name in GOOD:
        assert [event.type for event in became[name]] == [events.RUN_DISPATCHED], name
    for name in bad:
        assert name in became, name
        for event in became[name]:
            if event.type in (events.RUN_FAILED, events.ENTRY_INVALID):
                assert event.data["reason"], name


def with_good(app: Celery, client: redis.Redis, bad: Mapping[str, Mapping[str, str]]) -> None:
    """Put *bad* into the schedule with good ones before, amidst and behind them."""
    names = list(bad)
    half = len(names) // 2
    order = ["good", *names[:half], "good too", *names[half:], "a last good one"]
    put(client, {name: bad.get(name) or fields_of(name) for name in order})


def options_table() -> dict[str, dict[str, str]]:
    table = {}
    for option in OPTIONS:
        for kind, text in VALUES.items():
            name = f"{option} is {kind}"
            options = with_member({}, option, text)
            definition = with_member({**DEFINITION, "name": name}, "options", options)
            table[name] = {**fields_of(name), "definition": definition}
    return table


@pytest.fixture(params=["here", "elsewhere"])
def broker(request: pytest.FixtureRequest, url: str, new_server: Callable[..., Server]) -> str:
    return url if request.param == "here" else new_server().url()


@pytest.mark.usefixtures("_no_net")
def test_every_option_with_every_kind_of_value(
    client: redis.Redis, make_scheduler: Make, broker: str
) -> None:
    scheduler = make_scheduler(broker_url=broker)
    scheduler.store.log_length = 100_000
    table = options_table()
    with_good(scheduler.app, client, table)
    run(scheduler)
    check(scheduler.app, table)


def field_table() -> dict[str, dict[str, str]]:
    table = {}
    for field in HASH_FIELDS:
        for kind, text in VALUES.items():
            texts = {f"{field} is {kind}": text}
            whole: dict[str, Any] = {}
            for member in MEMBERS.get(field, ()):
                name = f"{field}'s {member} is {kind}"
                whole = json.loads(fields_of(name).get(field, "{}"))
                texts[name] = with_member(whole, member, text)
            for name, value in texts.items():
                table[name] = {**fields_of(name), field: value}
        for number in ("nan", "inf", "-inf", "1e999", "", "x", "1e300", "-1", "\udcff", "0x1"):
            name = f"{field} is the text {number!r}"
            table[name] = {**fields_of(name), field: number}
    return table


@pytest.mark.usefixtures("_no_net")
def test_every_field_with_every_kind_of_value(client: redis.Redis, make_scheduler: Make) -> None:
    scheduler = make_scheduler()
    table = field_table()
    with_good(scheduler.app, client, table)
    run(scheduler)
    check(scheduler.app, table)


#: An option, or a member of a field, or a field as a whole.
PLACES = st.one_of(
    st.tuples(st.just("options"), st.sampled_from(OPTIONS)),
    st.sampled_from([(field, member) for field, known in MEMBERS.items() for member in known]),
    st.tuples(st.sampled_from(HASH_FIELDS), st.just("")),
)


def hostile(name: str, places: Iterable[tuple[tuple[str, str], str]]) -> dict[str, str]:
    """The fields of an entry with these JSON texts at these places."""
    fields = fields_of(name)
    for (field, member), text in places:
        if field == "options":
            whole = {**DEFINITION, "name": name}
            options = with_member({}, member, text)
            fields["definition"] = with_member(whole, "options", options)
        elif member:
            whole = json_object(fields.get(field))
            fields[field] = with_member(whole, member, text)
        else:
            fields[field] = text
    return fields


@pytest.mark.usefixtures("_no_net")
def test_any_value_at_any_place(client: redis.Redis, make_scheduler: Make) -> None:
    scheduler = make_scheduler()
    numbers = count()

    @examples(60, HealthCheck.function_scoped_fixture)
    @given(st.lists(st.lists(st.tuples(PLACES, TEXTS), min_size=1, max_size=3), max_size=5))
    def holds(entries: list[list[tuple[tuple[str, str], str]]]) -> None:
        bad = {f"bad {next(numbers)}": places for places in entries}
        with_good(scheduler.app, client, {name: hostile(name, at) for name, at in bad.items()})
        run(scheduler)
        check(scheduler.app, bad)
        client.delete("redbeat::schedule", "redbeat::log", *client.keys("redbeat:[bga]*"))

    holds()
