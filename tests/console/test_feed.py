"""From Redis to the rows: the feed's threads, on a real server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.events import ENTRY_UPDATED, Changes, Event, Link, Snapshot, StreamItem
from redbeat_core.leadership.health import Health
from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import ScheduleStore, store_for
from redbeat_tui.feed import Feed
from redbeat_tui.live.model import LARGE, Delta, Model
from tests.support.rows import NOW, definition, record
from tests.support.server import Server
from tests.support.waiting import wait_for


class Source:
    """A stream that yields given items."""

    def __init__(self, *items: StreamItem | Exception) -> None:
        self.items = items
        self.followed = 0

    def follow(self, stop: threading.Event) -> Iterator[StreamItem]:
        self.followed += 1
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item
        stop.wait()


def no_health() -> Health:
    raise ConnectionError("no server here")


@pytest.fixture
def store(client: redis.Redis) -> ScheduleStore:
    return ScheduleStore(client)


@pytest.fixture
def feed_of(store: ScheduleStore) -> Iterator[Callable[[Source], tuple[Feed, Model]]]:
    feeds: list[Feed] = []

    def make(source: Source) -> tuple[Feed, Model]:
        model = Model(time.time)
        feeds.append(Feed(store, model, source=source, health=no_health, health_interval=0.05))
        feeds[-1].start()
        return feeds[-1], model

    yield make
    for feed in feeds:
        feed.stop()


def test_the_model_holds_what_redis_holds_and_follows_it(app: Celery, server: Server) -> None:
    store = store_for(app)
    store.client.hset("redbeat:a", "definition", definition("a"))
    store.client.zadd("redbeat::schedule", {"redbeat:a": NOW})
    model = Model(time.time, app)
    feed = Feed(store, model, url=server.url(), health_interval=0.1)
    feed.start()

    def drained(condition: Callable[[], object]) -> Callable[[], bool]:
        def ask() -> bool:
            feed.drain()
            return bool(condition())

        return ask

    try:
        wait_for(drained(lambda: model.live and "a" in model.rows))
        Operations(store, app=app, actor="anna@ops").pause("a", note="why")
        wait_for(drained(lambda: model.rows["a"].status == "paused"))
        assert model.rows["a"].facts.reason == "why by anna@ops"
        wait_for(lambda: feed.health is not None)
        assert feed.health is not None
        assert feed.health.leader is None

        server.stop()
        wait_for(drained(lambda: model.link.state == "disconnected"))
        assert "Redis" in model.link.reason
        assert "a" in model.rows, "the last rows are still shown, though not as live"
        wait_for(lambda: feed.health_error is not None)
        server.start()
        wait_for(drained(lambda: model.live))
        wait_for(lambda: feed.health_error is None)
    finally:
        feed.stop()


def test_stopping_takes_less_than_a_second_also_while_redis_is_frozen(
    app: Celery, server: Server
) -> None:
    feed = Feed(store_for(app), Model(time.time, app), health_interval=0.05)
    feed.start()
    wait_for(lambda: feed.health is not None)
    server.freeze()
    try:
        started = time.monotonic()
        feed.stop(timeout=0.5)
        assert time.monotonic() - started < 1.0
    finally:
        server.thaw()
    assert all(thread.daemon for thread in threading.enumerate() if "redbeat-f" in thread.name)


def test_nothing_is_applied_before_the_app_asks_for_it(
    feed_of: Callable[[Source], tuple[Feed, Model]],
) -> None:
    feed, model = feed_of(Source(Snapshot((record("a"),), 1, NOW), Link("live")))
    wait_for(lambda: feed.pending)
    assert not model.rows
    delta = Delta()

    def both() -> bool:
        nonlocal delta
        delta = delta.then(feed.drain())
        return model.live

    wait_for(both)
    assert delta.all
    assert delta.facts
    assert list(model.rows) == ["a"]
    assert model.rows["a"]._facts is not None, "a small schedule is decoded beforehand"


def test_a_stream_that_breaks_is_a_lost_connection_and_is_followed_again(
    feed_of: Callable[[Source], tuple[Feed, Model]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redbeat_tui.feed._RETRY", 0.05)
    source = Source(Link("live"), RuntimeError("out of memory"))
    feed, model = feed_of(source)

    def broken() -> bool:
        feed.drain()
        return model.link.state == "disconnected"

    wait_for(broken)
    assert "out of memory" in model.link.reason
    wait_for(lambda: source.followed > 2)


def test_a_failing_read_of_the_health_is_reported_and_repeated(
    feed_of: Callable[[Source], tuple[Feed, Model]],
) -> None:
    feed, _ = feed_of(Source())
    wait_for(lambda: feed.health_error)
    assert "no server here" in str(feed.health_error)


def test_a_flood_of_events_does_not_hold_up_the_screen(
    feed_of: Callable[[Source], tuple[Feed, Model]],
) -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    flood = tuple(
        Event(f"i{n}", "/t", ENTRY_UPDATED, f"e{n % 50}", at, n + 2, {"score": NOW + n})
        for n in range(20_000)
    )
    records = tuple(record(f"e{n}") for n in range(50))
    feed, model = feed_of(Source(Snapshot(records, 1, NOW), Changes(flood), Link("live")))
    wait_for(lambda: feed.pending)
    drains = 0

    def done() -> bool:
        nonlocal drains
        drains += 1
        feed.drain(budget=0.001)
        return model.live

    wait_for(done, every=0)
    assert drains > 2
    assert model.seq == 20_001
    assert model.rows["e49"].record.score == NOW + 19_999


def test_a_large_schedule_is_shown_at_once_and_decoded_later(
    feed_of: Callable[[Source], tuple[Feed, Model]],
) -> None:
    records = tuple(record(f"e{n}", n) for n in range(LARGE + 500))
    feed, model = feed_of(Source(Snapshot(records, 1, NOW)))
    decoded: set[str] = set()

    def all_decoded() -> bool:
        decoded.update(feed.drain().decoded)
        return len(decoded) == len(records)

    wait_for(all_decoded)
    assert all(row.ready for row in model.rows.values())


def test_no_reason_contains_a_password(store: ScheduleStore) -> None:
    url = "redis://:s3cret@127.0.0.1:1/0"
    source = Source(RuntimeError(json.dumps(url)))
    model = Model(time.time)
    feed = Feed(store, model, url=url, source=source, health=no_health)
    feed.start()
    try:

        def reported() -> bool:
            feed.drain()
            return bool(model.link.reason)

        wait_for(reported)
        assert "s3cret" not in model.link.reason
    finally:
        feed.stop()


def test_a_change_by_this_console_is_shown_before_its_event_arrives(app: Celery) -> None:
    """The next key may act on the entry that was just written."""
    RedBeatSchedulerEntry("orders", "shop.record", 60.0, app=app).save()
    store = store_for(app)
    model = Model(time.time, app)
    feed = Feed(store, model)
    # The feed is not started, so no event arrives.
    before = store.get("orders")
    assert before is not None
    feed.apply_own_change(before)
    feed.drain()
    paused = Operations(store, app=app).pause("orders")
    feed.apply_own_change(paused)
    feed.drain()
    assert model.rows["orders"].version == paused.version
