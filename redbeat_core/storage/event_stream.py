"""Follows the schedule, for programs that keep a copy of it, such as the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from redis import exceptions

from redbeat_core import events
from redbeat_core.backoff import next_wait
from redbeat_core.entries.record import EntryRecord
from redbeat_core.events import (
    Changes,
    Event,
    Link,
    Reconciled,
    Sequencer,
    StreamItem,
    parse_message,
)

from .connection import TROUBLE, explain
from .schedule_store import PAGE, ScheduleStore

#: Seconds between comparisons of all scores, which detect changes that other programs made without
#: an event: while a beat of this project sends heartbeats, and while none does.
RECONCILE_LIVE = 30.0
RECONCILE_FOREIGN = 1.0
#: Seconds between comparisons of some entries field by field.
COMPARE_EVERY = 1.0
#: Largest share of the time for comparing all scores: a large schedule is compared less often.
RECONCILE_SHARE = 0.04
#: Seconds without a heartbeat after which no beat of this project counts as running.
SILENCE = 15.0
#: Seconds of one wait for a message of the subscription.
_POLL = 0.25
RETRY_FIRST, RETRY_MOST = 0.2, 5.0
#: Seconds without a message until a PING is sent, and seconds to wait for its reply.
_QUIET, _ANSWER = 3.0, 2.0
#: Number of entries in one comparison field by field.
_COMPARED = 200
#: Most events in one `Changes` item.
_BATCH = 1000


class EventStream:
    """Yields a snapshot of the schedule, then every change once and in order.

    It subscribes, takes a snapshot with its sequence number in the log, drops the older events and
    yields the others. If events are missing, or after a reconnection, it reads the log from the
    last event on; if the log is trimmed there, or is a new one, it yields a new snapshot.

    :param store: the schedule to read.
    :param url: the address for the reasons of a :class:`~redbeat_core.events.Link`.
    """

    def __init__(self, store: ScheduleStore, *, url: str = "") -> None:
        self._store = store
        self._url = url
        self._sequencer: Sequencer | None = None
        self._records: dict[str, EntryRecord] = {}
        self._to_compare: list[str] = []
        self._heartbeat_at = float("-inf")
        self._reconciled_at = 0.0
        self._reconcile_took = 0.0
        self._compared_at = 0.0

    def follow(self, stop: threading.Event) -> Iterator[StreamItem]:
        """Follow the schedule until *stop* is set. Blocks: run it in its own thread.

        If Redis is unreachable, it yields a ``Link`` with the reason and retries with backoff.
        """
        wait = 0.0
        yield Link("connecting")
        while not stop.is_set():
            pubsub = None
            try:
                # Replies to SUBSCRIBE and PING are not ignored: they prove that the server lives.
                pubsub = self._store.client.pubsub()
                pubsub.subscribe(self._store.keys.events)
                # The reply proves that the subscription is active before the snapshot is taken.
                pubsub.ping()
                yield Link("catching-up")
                yield from self._resume()
                yield Link("live")
                wait = 0.0
                yield from self._listen(pubsub, stop)
            except TROUBLE as exc:
                yield Link("disconnected", str(explain(exc, self._url)))
                wait = next_wait(wait, RETRY_FIRST, RETRY_MOST)
                stop.wait(wait)
            finally:
                if pubsub is not None:
                    close_quietly(pubsub)

    def _resume(self) -> Iterator[StreamItem]:
        """Continue after the last event if the log still has it, else start with a snapshot."""
        sequencer = self._sequencer
        if sequencer is not None and sequencer.seq:
            last = self._store.log_event(sequencer.seq)
            if last is not None and last.id == sequencer.last_id:
                yield from self._repair()
                # Other programs may have written meanwhile, without events.
                yield from self._reconcile()
                return
        yield from self._begin()

    def _begin(self) -> Iterator[StreamItem]:
        snapshot = self._store.snapshot()
        newest = self._store.log_event(snapshot.seq) if snapshot.seq else None
        self._sequencer = Sequencer(snapshot.seq, newest.id if newest else "")
        self._records = {record.name: record for record in snapshot.records}
        self._reconciled_at = time.monotonic()
        yield snapshot

    def _repair(self) -> Iterator[StreamItem]:
        """Read the missed events from the log."""
        assert self._sequencer is not None
        while True:
            logged = self._store.log_after(self._sequencer.seq, PAGE)
            if not logged:
                return
            ready, incomplete = self._sequencer.offer(logged)
            if incomplete:
                # The log was trimmed: the missing events are lost.
                yield from self._begin()
                return
            yield from self._changes(ready)

    def _listen(self, pubsub: Any, stop: threading.Event) -> Iterator[StreamItem]:
        assert self._sequencer is not None
        received_at = time.monotonic()
        pinged = False
        while not stop.is_set():
            alive, received = _drain(pubsub)
            now = time.monotonic()
            if alive:
                received_at = now
                pinged = False
            elif pinged and now - received_at > _QUIET + _ANSWER:
                raise exceptions.TimeoutError("the server does not answer")
            elif not pinged and now - received_at > _QUIET:
                # A server that hangs, or a network that drops everything, looks the same as a
                # schedule without changes.
                pubsub.ping()
                pinged = True
            if any(map(self._sequencer.is_old, received)) and self._log_is_shorter():
                yield Link("catching-up", "the log was emptied")
                yield from self._begin()
                yield Link("live")
                continue
            ready, incomplete = self._sequencer.offer(received)
            yield from self._changes(ready)
            if incomplete:
                yield Link("catching-up", "events were lost on the way")
                yield from self._repair()
                yield Link("live")
            if not pinged:
                yield from self._detect_foreign_changes(now)

    def _detect_foreign_changes(self, now: float) -> Iterator[StreamItem]:
        """Detect changes without events, if the next comparison is due."""
        foreign = now - self._heartbeat_at > SILENCE
        interval = RECONCILE_FOREIGN if foreign else RECONCILE_LIVE
        if now - self._reconciled_at > max(interval, self._reconcile_took / RECONCILE_SHARE):
            yield from self._reconcile()
        if now - self._compared_at > COMPARE_EVERY:
            yield from self._compare()

    def _log_is_shorter(self) -> bool:
        """Whether the log ends before the last applied event: somebody emptied it."""
        return self._sequencer is not None and self._store.last_seq() < self._sequencer.seq

    def _changes(self, ready: list[Event]) -> Iterator[StreamItem]:
        if not ready:
            return
        for event in ready:
            self._apply(event)
        yield Changes(tuple(ready))

    def _apply(self, event: Event) -> None:
        """Update our own copy, which the comparisons with Redis need."""
        if event.type == events.BEAT_HEARTBEAT:
            self._heartbeat_at = time.monotonic()
        elif event.type == events.ENTRY_DELETED:
            self._records.pop(event.subject, None)
        elif isinstance(fields := event.data.get("fields"), dict):
            record = self._records.get(event.subject)
            if record is None and "definition" in fields:
                record = EntryRecord(event.subject)
            if record is not None:
                score = event.data.get("score", record.score)
                self._records[event.subject] = record.patched(fields, score)

    def _reconcile(self) -> Iterator[StreamItem]:
        """Detect changes without an event by the scores, which every run and every save sets."""
        started = time.monotonic()
        scores = self._store.scores()
        ours = self._records
        changed = [n for n, score in scores.items() if n not in ours or ours[n].score != score]
        removed = tuple(name for name in ours if name not in scores)
        self._reconciled_at = time.monotonic()
        self._reconcile_took = self._reconciled_at - started
        if changed or removed:
            yield self._reconciled(self._store.records(changed), removed)

    def _compare(self) -> Iterator[StreamItem]:
        """Detect changes that kept the score, by comparing some entries at a time, in turn."""
        self._compared_at = time.monotonic()
        if not self._to_compare:
            self._to_compare = list(self._records)
        names, self._to_compare = self._to_compare[:_COMPARED], self._to_compare[_COMPARED:]
        names = [name for name in names if name in self._records]
        records = self._store.records(names)
        differing = [record for record in records if record != self._records[record.name]]
        if differing:
            yield self._reconciled(differing, ())

    def _reconciled(self, records: list[EntryRecord], removed: tuple[str, ...]) -> Reconciled:
        self._records.update((record.name, record) for record in records)
        for name in removed:
            del self._records[name]
        return Reconciled(tuple(records), removed)


def _drain(pubsub: Any) -> tuple[bool, list[Event]]:
    """Wait for messages; return whether any arrived, and their events."""
    received: list[Event] = []
    alive = False
    timeout = _POLL
    while len(received) < _BATCH:
        message = pubsub.get_message(timeout=timeout)
        if message is None:
            break
        alive = True
        # The further messages are read without waiting.
        timeout = 0.0
        if message.get("type") == "message":
            received += parse_message(message["data"])
    return alive, received


def close_quietly(pubsub: Any) -> None:
    """Close a subscription, and ignore the error of a lost connection."""
    try:
        pubsub.close()
    except TROUBLE:
        return
