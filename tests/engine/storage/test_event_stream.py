"""Tests that a copy made from an EventStream becomes equal to Redis after any failure."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from celery import Celery

from redbeat_core import RedBeatSchedulerEntry, events
from redbeat_core.entries.record import EntryRecord
from redbeat_core.events import Changes, Link, Reconciled, Snapshot
from redbeat_core.storage import event_stream
from redbeat_core.storage.event_stream import EventStream
from redbeat_core.storage.schedule_store import ScheduleStore, store_for
from tests.support.server import Server
from tests.support.shop import make_app
from tests.support.waiting import never, wait_for


@dataclass
class Copy:
    """A copy of the records, updated by the items of an EventStream."""

    records: dict[str, EntryRecord] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)

    def take(self, item: events.StreamItem) -> None:
        self.items.append(item)
        if isinstance(item, Link):
            self.links.append(item)
        elif isinstance(item, Snapshot):
            self.records = {record.name: record for record in item.records}
            self.seqs.clear()
        elif isinstance(item, Reconciled):
            self.records.update((record.name, record) for record in item.records)
            for name in item.removed:
                self.records.pop(name, None)
        elif isinstance(item, Changes):
            for event in item.events:
                self._event(event)

    def _event(self, event: events.Event) -> None:
        if event.type == events.BEAT_HEARTBEAT:
            return
        self.seqs.append(event.seq)
        if event.type == events.ENTRY_DELETED:
            self.records.pop(event.subject, None)
        elif "fields" in event.data:
            known = self.records.get(event.subject, EntryRecord(event.subject))
            score = event.data.get("score", known.score)
            self.records[event.subject] = known.patched(event.data["fields"], score)

    @property
    def state(self) -> str:
        return self.links[-1].state if self.links else ""

    @property
    def snapshots(self) -> int:
        return sum(isinstance(item, Snapshot) for item in self.items)


class Follower:
    """An EventStream in a thread, as the console runs it."""

    def __init__(self, store: ScheduleStore) -> None:
        self.copy = Copy()
        self.store = store
        self._stop = threading.Event()
        self._queue: queue.Queue[events.StreamItem] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for item in EventStream(self.store, url="redis://test").follow(self._stop):
            self.copy.take(item)

    def same(self) -> bool:
        truth = {record.name: record for record in self.store.snapshot().records}
        return self.copy.state == "live" and self.copy.records == truth

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def follow() -> Iterator[Callable[[Celery], Follower]]:
    followers: list[Follower] = []

    def start(app: Celery) -> Follower:
        followers.append(Follower(store_for(make_app(app.conf.redbeat_redis_url))))
        wait_for(lambda: followers[-1].copy.state == "live")
        return followers[-1]

    yield start
    for follower in followers:
        follower.close()


def save(app: Celery, name: str = "orders", every: float = 60.0) -> Any:
    return RedBeatSchedulerEntry(name, "shop.record", every, app=app).save()


def test_a_follower_sees_every_kind_of_change(
    app: Celery, follow: Callable[[Celery], Follower]
) -> None:
    from redbeat_core.operations import Operations

    save(app, "before")
    follower = follow(app)
    operations = Operations(store_for(app), app=app)
    for name in ("a", "b", "c"):
        save(app, name)
    operations.pause("a", note="é \u202e")
    operations.pause("b")
    operations.resume("b")
    operations.delete("c")
    next(RedBeatSchedulerEntry.from_key("redbeat:before", app=app))
    wait_for(follower.same)
    assert set(follower.copy.records) == {"before", "a", "b"}
    assert follower.copy.snapshots == 1


def test_events_come_in_order_none_missing_none_twice(
    app: Celery, follow: Callable[[Celery], Follower]
) -> None:
    follower = follow(app)
    store = store_for(app)
    threads = [
        threading.Thread(
            target=lambda n=n: [
                store.change(f"e{n}", [("set", "policy", str(i))]) for i in range(200)
            ]
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(follower.copy.seqs) >= 800)
    assert follower.copy.seqs == list(range(1, 801))
    assert follower.copy.snapshots == 1


def test_a_cut_connection_is_repaired_from_the_log(
    app: Celery, client: redis.Redis, follow: Callable[[Celery], Follower]
) -> None:
    save(app, "before")
    follower = follow(app)
    for number in range(20):
        save(app, f"e{number}")
        client.client_kill_filter(_type="pubsub")
    wait_for(follower.same)
    assert follower.copy.snapshots == 1
    assert follower.copy.seqs == list(range(2, 22))


def test_what_the_log_no_longer_has_is_taken_from_a_new_snapshot(
    app: Celery, client: redis.Redis, follow: Callable[[Celery], Follower]
) -> None:
    follower = follow(app)
    save(app, "first")
    wait_for(follower.same)
    # The disconnection, five changes and the trimming of the log are one step: the events can
    # neither be received nor be read from the log.
    with client.pipeline(transaction=True) as pipe:
        pipe.client_kill_filter(_type="pubsub")
        for number in range(5):
            pipe.hset(f"redbeat:e{number}", "definition", "{}")
            pipe.zadd("redbeat::schedule", {f"redbeat:e{number}": number})
            pipe.xadd("redbeat::log", {"event": "{}"}, id=f"{number + 2}-0")
        pipe.xtrim("redbeat::log", maxlen=1, approximate=False)
        pipe.execute()
    wait_for(follower.same)
    assert set(follower.copy.records) == {"first", *(f"e{n}" for n in range(5))}
    assert follower.copy.snapshots == 2


def test_a_lost_event_is_noticed_at_the_next_one(
    app: Celery, client: redis.Redis, follow: Callable[[Celery], Follower]
) -> None:
    follower = follow(app)
    # As if the subscription had lost a message: the event is in the log and was not received.
    text = store_for(app).event(
        events.ENTRY_UPDATED,
        "silent",
        {"fields": {"definition": "{}", "meta": None, "policy": None}, "score": 7},
    )
    client.hset("redbeat:silent", "definition", "{}")
    client.zadd("redbeat::schedule", {"redbeat:silent": 7})
    client.xadd("redbeat::log", {"event": f'{text},"seq":1}}'}, id="1-0")
    save(app, "loud")
    wait_for(follower.same)
    assert follower.copy.seqs == [1, 2]


def test_a_log_that_begins_again_is_noticed(
    app: Celery, client: redis.Redis, follow: Callable[[Celery], Follower]
) -> None:
    follower = follow(app)
    for number in range(5):
        save(app, f"e{number}")
    wait_for(follower.same)
    client.flushall()
    save(app, "new")
    wait_for(follower.same)
    assert set(follower.copy.records) == {"new"}


def test_what_other_programs_write_is_found(
    app: Celery, client: redis.Redis, follow: Callable[[Celery], Follower]
) -> None:
    save(app, "kept")
    save(app, "gone")
    follower = follow(app)
    client.hset("redbeat:foreign", "definition", "{}")
    client.zadd("redbeat::schedule", {"redbeat:foreign": 99})
    client.zrem("redbeat::schedule", "redbeat:gone")
    client.delete("redbeat:gone")
    # No beat of this project sends heartbeats, so the stream compares about once a second.
    wait_for(follower.same)
    assert set(follower.copy.records) == {"kept", "foreign"}


def test_a_change_that_leaves_the_score_alone_is_found(
    app: Celery, client: redis.Redis, follow: Callable[[Celery], Follower]
) -> None:
    save(app)
    follower = follow(app)
    definition = str(client.hget("redbeat:orders", "definition"))
    client.hset("redbeat:orders", "definition", definition.replace("shop.record", "shop.slow"))
    wait_for(follower.same)
    assert "shop.slow" in str(follower.copy.records["orders"].definition)


def test_a_server_that_hangs_is_not_called_live(
    new_server: Callable[..., Server], follow: Callable[[Celery], Follower]
) -> None:
    server = new_server()
    app = make_app(server.url())
    save(app)
    follower = follow(app)
    server.freeze()
    wait_for(lambda: follower.copy.state == "disconnected")
    assert "did not answer" in follower.copy.links[-1].reason
    server.thaw()
    wait_for(follower.same)
    app.close()


def test_a_quiet_server_stays_live(app: Celery, follow: Callable[[Celery], Follower]) -> None:
    save(app)
    follower = follow(app)
    # Longer than the time until a PING and its reply must have come, twice.
    never(
        lambda: follower.copy.state != "live",
        during=event_stream._QUIET + event_stream._ANSWER + 1.5,
    )


def test_a_server_that_goes_and_comes_back_is_followed_again(
    new_server: Callable[..., Server], follow: Callable[[Celery], Follower]
) -> None:
    server = new_server(persistent=True)
    app = make_app(server.url())
    save(app, "before")
    follower = follow(app)
    wait_for(follower.same)
    server.kill()
    wait_for(lambda: follower.copy.state == "disconnected")
    assert "cannot be reached" in follower.copy.links[-1].reason
    server.start()
    save(app, "after")
    wait_for(follower.same)
    assert set(follower.copy.records) == {"before", "after"}
    app.close()


def test_a_follower_ends_when_told_while_redis_is_away() -> None:
    app = make_app("redis://127.0.0.1:1/0")
    follower = Follower(store_for(app))
    wait_for(lambda: follower.copy.state == "disconnected")
    follower.close()
    app.close()


def test_the_same_prefix_in_another_database_is_another_schedule(
    app: Celery, server: Server, follow: Callable[[Celery], Follower]
) -> None:
    follower = follow(app)
    other = make_app(server.url(db=1))
    for number in range(5):
        save(other, f"other{number}")
        save(app, f"own{number}")
    wait_for(follower.same)
    assert set(follower.copy.records) == {f"own{number}" for number in range(5)}
    assert follower.copy.seqs == [1, 2, 3, 4, 5]
    assert follower.copy.snapshots == 1
    other.close()
