"""Wakes the scheduler as soon as an event of another process arrives."""

from __future__ import annotations

import threading
from collections.abc import Callable

from redbeat_core.backoff import next_wait
from redbeat_core.storage.connection import TROUBLE
from redbeat_core.storage.event_stream import RETRY_FIRST, RETRY_MOST, close_quietly
from redbeat_core.storage.schedule_store import ScheduleStore

#: Seconds of one wait for a message: longer than the time between two heartbeats, which end the
#: wait too.
_POLL = 5.0


class Wakeup:
    """Calls *on_event* when an event arrives that the scheduler did not emit itself.

    :param own_source: the ``source`` whose events are ignored.
    :param on_event: called in this object's thread.
    """

    def __init__(self, store: ScheduleStore, own_source: str, on_event: Callable[[], None]) -> None:
        self._store = store
        self._own = f'"source":"{own_source}"'
        self._on_event = on_event
        self._stop = threading.Event()
        self._reconnecting = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread that subscribes to the events."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="redbeat-wakeup", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread, which ends after the next message or some seconds."""
        self._stop.set()

    def reconnect(self) -> None:
        """Subscribe on a new connection within some seconds: this one leads to the wrong server."""
        self._reconnecting = True

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.is_set():
            pubsub = None
            self._reconnecting = False
            try:
                pubsub = self._store.client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(self._store.keys.events)
                # Events may have been emitted before the subscription was active.
                self._on_event()
                while not (self._stop.is_set() or self._reconnecting):
                    message = pubsub.get_message(timeout=_POLL)
                    if message is not None and self._matters(message.get("data")):
                        self._on_event()
                    wait = 0.0
            except TROUBLE:
                # The tick reports the error; without events it checks the schedule once a second.
                wait = next_wait(wait, RETRY_FIRST, RETRY_MOST)
                self._stop.wait(wait)
            finally:
                if pubsub is not None:
                    close_quietly(pubsub)

    def _matters(self, text: object) -> bool:
        """Whether the event can change what is due or who leads; reports of runs and heartbeats
        cannot."""
        if not isinstance(text, str) or self._own in text:
            return False
        return '"type":"redbeat.run.requested"' in text or not any(
            kind in text for kind in ('"type":"redbeat.run.', '"type":"redbeat.beat.')
        )
