"""Subscribing to the events: EventStream for those who keep a copy of the schedule, Wakeup for
the scheduler, who only needs to know that something happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import events
from .connection import TROUBLE, explain
from .events import Changes, Event, Link, Reconciled, Sequencer, Snapshot, parse_event
from .record import EntryRecord
from .store import PAGE, ScheduleStore

#: Seconds between looks for what other programs wrote without events, while a beat of this
#: project is heard, and while none is.
RECONCILE_LIVE = 30.0
RECONCILE_FOREIGN = 1.0
#: A look takes at most this part of the time, so that a large schedule is looked at less often.
RECONCILE_SHARE = 0.04
#: Seconds after which a beat of this project counts as not heard.
SILENCE = 15.0
#: Seconds that a quiet subscription is waited on at a time.
_POLL = 0.25
_RETRY_FIRST, _RETRY_MOST = 0.2, 5.0
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
        self._scores: dict[str, float | None] = {}
        self._heard = float("-inf")
        self._reconciled = 0.0
        self._reconcile_took = 0.0

    def follow(self, stop: threading.Event) -> Iterator[Item]:
        """Follow until *stop* is set. Blocks; meant for a thread of its own.

        Redis being away ends nothing: there is a ``Link`` that says so, and attempts with
        growing waits.
        """
        wait = _RETRY_FIRST
        yield Link("connecting")
        while not stop.is_set():
            pubsub = None
            try:
                pubsub = self._store.client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(self._store.keys.events)
                # An answer proves that the subscription stands before the snapshot is taken.
                pubsub.ping()
                yield Link("catching-up")
                yield from self._resume()
                yield Link("live")
                wait = _RETRY_FIRST
                yield from self._listen(pubsub, stop)
            except TROUBLE as exc:
                yield Link("disconnected", str(explain(exc, self._url)))
                stop.wait(wait)
                wait = min(wait * 2, _RETRY_MOST)
            finally:
                if pubsub is not None:
                    _close(pubsub)

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
        self._scores = {record.name: record.score for record in snapshot.records}
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
        while not stop.is_set():
            heard = _drain(pubsub)
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
            now = time.monotonic()
            foreign = now - self._heard > SILENCE
            interval = RECONCILE_FOREIGN if foreign else RECONCILE_LIVE
            if now - self._reconciled > max(interval, self._reconcile_took / RECONCILE_SHARE):
                yield from self._reconcile()

    def _log_is_shorter(self) -> bool:
        """Whether the log ends before what was applied: it was emptied and began again."""
        return self._sequencer is not None and self._store.last_seq() < self._sequencer.seq

    def _changes(self, ready: list[Event]) -> Iterator[Item]:
        if not ready:
            return
        for event in ready:
            if event.type == events.BEAT_HEARTBEAT:
                self._heard = time.monotonic()
            elif event.type == events.ENTRY_DELETED:
                self._scores.pop(event.subject, None)
            elif "score" in event.data and (
                event.subject in self._scores or "definition" in (event.data.get("fields") or ())
            ):
                self._scores[event.subject] = event.data["score"]
        yield Changes(tuple(ready))

    def _reconcile(self) -> Iterator[Item]:
        """Find what changed without an event: by the scores, which every run and save sets."""
        started = time.monotonic()
        scores = self._store.scores()
        changed = [name for name, score in scores.items() if self._scores.get(name) != score]
        removed = tuple(name for name in self._scores if name not in scores)
        self._scores = dict(scores)
        self._reconciled = time.monotonic()
        self._reconcile_took = self._reconciled - started
        if changed or removed:
            records: list[EntryRecord] = self._store.records(changed)
            yield Reconciled(tuple(records), removed)


class Wakeup:
    """Calls back when an event arrives that the scheduler did not emit itself.

    :param own_source: the ``source`` whose events are ignored.
    :param on_event: called in this object's thread.
    """

    def __init__(self, store: ScheduleStore, own_source: str, on_event: Callable[[], None]) -> None:
        self._store = store
        self._own = f'"source":"{own_source}"'
        self._on_event = on_event
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start listening."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="redbeat-wakeup", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; it notices within a fraction of a second."""
        self._stop.set()

    def _run(self) -> None:
        wait = _RETRY_FIRST
        while not self._stop.is_set():
            pubsub = None
            try:
                pubsub = self._store.client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(self._store.keys.events)
                # Something may have happened while nobody listened.
                self._on_event()
                while not self._stop.is_set():
                    message = pubsub.get_message(timeout=_POLL)
                    if message is not None and self._matters(message.get("data")):
                        self._on_event()
                    wait = _RETRY_FIRST
            except TROUBLE:
                # The tick reports it; without the subscription it looks once a second.
                self._stop.wait(wait)
                wait = min(wait * 2, _RETRY_MOST)
            finally:
                if pubsub is not None:
                    _close(pubsub)

    def _matters(self, text: object) -> bool:
        return (
            isinstance(text, str)
            and self._own not in text
            and '"type":"redbeat.beat.heartbeat"' not in text
        )


def _drain(pubsub: Any) -> list[Event]:
    """What has arrived, after waiting a moment for the first."""
    found: list[Event] = []
    timeout = _POLL
    while len(found) < _BATCH:
        message = pubsub.get_message(timeout=timeout)
        if message is None:
            break
        timeout = 0.0
        event = parse_event(message["data"]) if message.get("type") == "message" else None
        if event is not None:
            found.append(event)
    return found


def _close(pubsub: Any) -> None:
    try:
        pubsub.close()
    except TROUBLE:
        return
