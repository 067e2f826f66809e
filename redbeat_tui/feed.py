"""Runs the threads that talk to Redis for the console, and the mailbox that the app empties.

``redbeat-feed`` follows the event stream and makes rows of snapshots; ``redbeat-decode`` decodes
the rows of a large snapshot while they are on the screen already; ``redbeat-facts`` polls the
health of the schedule. No thread changes a widget or the model: the app calls
:meth:`Feed.drain` in its own thread, 4 to 10 times a second, which applies the received items.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from redbeat_core.entries.record import EntryRecord
from redbeat_core.events import Changes, Link, Reconciled, Snapshot, StreamItem
from redbeat_core.leadership.health import Health, read_health
from redbeat_core.storage.connection import explain
from redbeat_core.storage.event_stream import EventStream
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.live.model import LARGE, Decoded, Delta, Model, SnapshotRows

#: Seconds between two reads of the health.
HEALTH_INTERVAL = 2.0
#: Seconds, approximately, that one drain may occupy the drawing thread.
BUDGET = 0.02
#: Events that are applied before the deadline is checked again.
_SLICE = 250
#: The most items in the mailbox. While the app does not drain it, the thread reads no further;
#: Redis then drops the subscription, and the event log supplies the missing events.
_WAITING = 2_000
_RETRY = 2.0
#: Seconds without an answer after which the last health is out of date.
SILENT_AFTER = 6.0
#: Rows that are reported as decoded at a time.
_DECODED = 2_000

_Mail = StreamItem | SnapshotRows | Decoded


class Source(Protocol):
    """A stream of items that a feed follows.

    :class:`~redbeat_core.storage.event_stream.EventStream` is one.
    """

    def follow(self, stop: threading.Event) -> Iterator[StreamItem]: ...


class Feed:
    """Loads the schedule into a model, and keeps the model current.

    :ivar health: the leader, the beats and the server as last read; None before the first read.
    :ivar health_error: why the last read failed, as a sentence; None when it succeeded.
    :ivar silent_after: seconds, see :attr:`silent`.
    """

    def __init__(
        self,
        store: ScheduleStore,
        model: Model,
        *,
        url: str = "",
        source: Source | None = None,
        health: Callable[[], Health] | None = None,
        health_interval: float = HEALTH_INTERVAL,
        silent_after: float = SILENT_AFTER,
    ) -> None:
        """
        :param url: named, without its password, in the reason when the connection fails.
        :param source: a source to follow instead of the store's event stream.
        :param health: a function to poll instead of the store's health.
        """
        self._model = model
        self._url = url
        self._source = source if source is not None else EventStream(store, url=url)
        self._read_health = health if health is not None else lambda: read_health(store)
        self._health_interval = health_interval
        self.silent_after = silent_after
        self._stop = threading.Event()
        self._mailbox_changed = threading.Condition()
        self._mailbox: deque[_Mail] = deque()
        self._threads: list[threading.Thread] = []
        self._newest: SnapshotRows | None = None
        self.health: Health | None = None
        self.health_error: str | None = None
        self._last_answer: float | None = None

    @property
    def silent(self) -> bool:
        """Whether the last answer about the health is older than :attr:`silent_after`: a server
        that hangs raises no error."""
        if self._last_answer is None:
            return False
        return time.monotonic() - self._last_answer > self.silent_after

    @property
    def trusted_health(self) -> Health | None:
        """The health; None when it is out of date or could not be read."""
        return self.health if self.health_error is None and not self.silent else None

    def start(self) -> None:
        """Start the threads. Returns at once."""
        self._run("redbeat-feed", self._follow)
        self._run("redbeat-facts", self._poll)

    def stop(self, timeout: float = 1.0) -> None:
        """Stop the threads, and wait for all of them for *timeout* seconds at most.

        A thread that still waits for Redis ends later by itself, and never delays the exit.
        """
        self._stop.set()
        with self._mailbox_changed:
            self._mailbox_changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def drain(self, budget: float = BUDGET) -> Delta:
        """Apply received items to the model, for about *budget* seconds at most.

        For the thread that owns the model. The next drain applies the items that are left.
        """
        deadline = time.monotonic() + budget
        delta = Delta()
        while True:
            with self._mailbox_changed:
                if not self._mailbox:
                    return delta
                item = self._mailbox.popleft()
                if isinstance(item, Changes) and len(item.events) > _SLICE:
                    self._mailbox.appendleft(Changes(item.events[_SLICE:]))
                    item = Changes(item.events[:_SLICE])
                self._mailbox_changed.notify_all()
            delta = delta.then(self._model.apply(item))
            if time.monotonic() >= deadline:
                return delta

    def apply_own_change(self, record: EntryRecord) -> None:
        """Add an entry that this console has just changed, without waiting for its event."""
        with self._mailbox_changed:
            self._mailbox.append(Reconciled((record,), ()))

    @property
    def pending(self) -> bool:
        """Whether the mailbox holds an item."""
        return bool(self._mailbox)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                for item in self._source.follow(self._stop):
                    if isinstance(item, Snapshot):
                        self._begin(self._model.prepare(item, defer=True))
                    else:
                        self._post(item)
                    if self._stop.is_set():
                        return
            except Exception as exc:
                # Every error ends here: a console that reports it and retries helps an operator
                # more than one that exits.
                self._post(Link("disconnected", _reason(exc, self._url)))
            self._stop.wait(_RETRY)

    def _begin(self, prepared: SnapshotRows) -> None:
        self._newest = prepared
        if len(prepared.rows) <= LARGE:
            for row in prepared.rows.values():
                row.warm()
            self._post(prepared)
            return
        self._post(prepared)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._run("redbeat-decode", lambda: self._decode(prepared))

    def _post(self, item: _Mail) -> None:
        with self._mailbox_changed:
            while len(self._mailbox) >= _WAITING and not self._stop.is_set():
                self._mailbox_changed.wait(0.5)
            self._mailbox.append(item)

    def _decode(self, prepared: SnapshotRows) -> None:
        """Decode the deferred rows, those that are due first at the beginning: the table shows
        them first."""
        done: list[str] = []
        for row in prepared.rows.values():
            if self._stop.is_set() or self._newest is not prepared:
                return
            row.warm()
            done.append(row.name)
            if len(done) == _DECODED:
                self._post(Decoded(frozenset(done)))
                done.clear()
            # Yields to the drawing thread, which must never wait for this one.
            time.sleep(0)
        self._post(Decoded(frozenset(done)))

    def _poll(self) -> None:
        while not self._stop.is_set():
            try:
                self.health, self.health_error = self._read_health(), None
            except Exception as exc:
                self.health_error = _reason(exc, self._url)
            self._last_answer = time.monotonic()
            self._stop.wait(self._health_interval)


def _reason(exc: Exception, url: str) -> str:
    return str(explain(exc, url)) or type(exc).__name__
