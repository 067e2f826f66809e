"""Following the schedule: for those who keep a copy of it, such as the console."""

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
    Snapshot,
    parse_message,
)

from .connection import TROUBLE, explain
from .schedule_store import PAGE, ScheduleStore

#: Seconds between looks for what other programs wrote without events, while a beat of this
#: project is heard, and while none is.
RECONCILE_LIVE = 30.0
RECONCILE_FOREIGN = 1.0
#: Seconds between slow looks, which compare some entries field by field.
COMPARE_EVERY = 1.0
#: A look takes at most this part of the time, so that a large schedule is looked at less often.
RECONCILE_SHARE = 0.04
#: Seconds after which a beat of this project counts as not heard.
SILENCE = 15.0
#: Seconds that a quiet subscription is waited on at a time.
_POLL = 0.25
RETRY_FIRST, RETRY_MOST = 0.2, 5.0
#: Seconds of silence after which the server is asked for a sign of life, and for that sign.
_QUIET, _ANSWER = 3.0, 2.0
#: How many entries one slow look compares field by field.
_COMPARED = 200
#: At most this many events go out in one piece.
_BATCH = 1000

Item = Link | Snapshot | Changes | Reconciled


class EventStream:
    """The schedule, followed: a snapshot, then every change, in order, none missing, none twice.

    Subscribe, buffer, take a snapshot with its position in the log, drop what is older, apply
    the rest. On a gap or after a reconnection the log is read from the last position; when it is
    trimmed there, or is another log than before, there is a new snapshot.

    :param store: where to read.
    :param url: named in the reasons of a :class:`~redbeat_core.events.Link`.
    """

    def __init__(self, store: ScheduleStore, *, url: str = "") -> None:
        self._store = store
        self._url = url
        self._sequencer: Sequencer | None = None
        self._records: dict[str, EntryRecord] = {}
        self._to_compare: list[str] = []
        self._heard = float("-inf")
        self._reconciled = 0.0
        self._reconcile_took = 0.0
        self._compared = 0.0

    def follow(self, stop: threading.Event) -> Iterator[Item]:
        """Follow until *stop* is set. Blocks; meant for a thread of its own.

        Redis being away ends nothing: there is a ``Link`` that says so, and attempts with
        growing waits.
        """
        wait = 0.0
        yield Link("connecting")
        while not stop.is_set():
            pubsub = None
            try:
                # All answers are wanted, not only the messages: each is a sign of life.
                pubsub = self._store.client.pubsub()
                pubsub.subscribe(self._store.keys.events)
                # An answer proves that the subscription stands before the snapshot is taken.
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

    def _resume(self) -> Iterator[Item]:
        """Go on where we were, if the log still has it; else begin again."""
        sequencer = self._sequencer
        if sequencer is not None and sequencer.seq:
            last = self._store.log_event(sequencer.seq)
            if last is not None and last.id == sequencer.last_id:
                yield from self._repair()
                # What other programs wrote meanwhile has no events.
                yield from self._reconcile()
                return
        yield from self._begin()

    def _begin(self) -> Iterator[Item]:
        snapshot = self._store.snapshot()
        at = self._store.log_event(snapshot.seq) if snapshot.seq else None
        self._sequencer = Sequencer(snapshot.seq, at.id if at else "")
        self._records = {record.name: record for record in snapshot.records}
        self._reconciled = time.monotonic()
        yield snapshot

    def _repair(self) -> Iterator[Item]:
        """Read from the log what was not heard."""
        assert self._sequencer is not None
        while True:
            found = self._store.log_after(self._sequencer.seq, PAGE)
            if not found:
                return
            ready, gap = self._sequencer.offer(found)
            if gap:
                # Trimmed: what is missing cannot be had any more.
                yield from self._begin()
                return
            yield from self._changes(ready)

    def _listen(self, pubsub: Any, stop: threading.Event) -> Iterator[Item]:
        assert self._sequencer is not None
        heard_at = time.monotonic()
        asked = False
        while not stop.is_set():
            alive, heard = _drain(pubsub)
            now = time.monotonic()
            if alive:
                heard_at, asked = now, False
            elif asked and now - heard_at > _QUIET + _ANSWER:
                raise exceptions.TimeoutError("the server does not answer")
            elif not asked and now - heard_at > _QUIET:
                # A server that hangs, or a network that drops everything, looks just like quiet.
                pubsub.ping()
                asked = True
            if any(self._sequencer.is_old(event) for event in heard) and self._log_is_shorter():
                yield Link("catching-up", "the log was emptied")
                yield from self._begin()
                yield Link("live")
                continue
            ready, gap = self._sequencer.offer(heard)
            yield from self._changes(ready)
            if gap:
                yield Link("catching-up", "events were lost on the way")
                yield from self._repair()
                yield Link("live")
            if not asked:
                yield from self._look(now)

    def _look(self, now: float) -> Iterator[Item]:
        """Look for what has no events, if it is time."""
        foreign = now - self._heard > SILENCE
        interval = RECONCILE_FOREIGN if foreign else RECONCILE_LIVE
        if now - self._reconciled > max(interval, self._reconcile_took / RECONCILE_SHARE):
            yield from self._reconcile()
        if now - self._compared > COMPARE_EVERY:
            yield from self._compare()

    def _log_is_shorter(self) -> bool:
        """Whether the log ends before what was applied: it was emptied and began again."""
        return self._sequencer is not None and self._store.last_seq() < self._sequencer.seq

    def _changes(self, ready: list[Event]) -> Iterator[Item]:
        if not ready:
            return
        for event in ready:
            self._apply(event)
        yield Changes(tuple(ready))

    def _apply(self, event: Event) -> None:
        """Keep our own copy, to compare with what Redis has."""
        if event.type == events.BEAT_HEARTBEAT:
            self._heard = time.monotonic()
        elif event.type == events.ENTRY_DELETED:
            self._records.pop(event.subject, None)
        elif isinstance(fields := event.data.get("fields"), dict):
            record = self._records.get(event.subject)
            if record is None and "definition" in fields:
                record = EntryRecord(event.subject)
            if record is not None:
                score = event.data.get("score", record.score)
                self._records[event.subject] = record.patched(fields, score)

    def _reconcile(self) -> Iterator[Item]:
        """Find what changed without an event: by the scores, which every run and save sets."""
        started = time.monotonic()
        scores = self._store.scores()
        known = self._records
        changed = [n for n, score in scores.items() if n not in known or known[n].score != score]
        removed = tuple(name for name in known if name not in scores)
        self._reconciled = time.monotonic()
        self._reconcile_took = self._reconciled - started
        if changed or removed:
            yield self._found(self._store.records(changed), removed)

    def _compare(self) -> Iterator[Item]:
        """Find changes that left the score alone, by comparing some entries in turn."""
        self._compared = time.monotonic()
        if not self._to_compare:
            self._to_compare = list(self._records)
        names, self._to_compare = self._to_compare[:_COMPARED], self._to_compare[_COMPARED:]
        names = [name for name in names if name in self._records]
        found = self._store.records(names)
        differing = [record for record in found if record != self._records[record.name]]
        if differing:
            yield self._found(differing, ())

    def _found(self, records: list[EntryRecord], removed: tuple[str, ...]) -> Reconciled:
        self._records.update((record.name, record) for record in records)
        for name in removed:
            del self._records[name]
        return Reconciled(tuple(records), removed)


def _drain(pubsub: Any) -> tuple[bool, list[Event]]:
    """Whether anything has arrived, after waiting a moment for it, and the events in it."""
    found: list[Event] = []
    alive = False
    timeout = _POLL
    while len(found) < _BATCH:
        message = pubsub.get_message(timeout=timeout)
        if message is None:
            break
        alive, timeout = True, 0.0
        if message.get("type") == "message":
            found += parse_message(message["data"])
    return alive, found


def close_quietly(pubsub: Any) -> None:
    """Close a subscription whose connection may be gone."""
    try:
        pubsub.close()
    except TROUBLE:
        return
