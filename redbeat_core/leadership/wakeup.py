"""Wakeup: tells the scheduler that something happened, the moment it does."""

from __future__ import annotations

import threading
from collections.abc import Callable

from redbeat_core.backoff import next_wait
from redbeat_core.storage.connection import TROUBLE
from redbeat_core.storage.event_stream import RETRY_FIRST, RETRY_MOST, close_quietly
from redbeat_core.storage.schedule_store import ScheduleStore

#: Seconds that a quiet subscription is waited on at a time: longer than from one heartbeat to the
#: next, which end the wait, too.
_POLL = 5.0


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
        self._connect_anew = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start listening."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="redbeat-wakeup", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; it notices at the next event."""
        self._stop.set()

    def reconnect(self) -> None:
        """Listen on another connection, within some seconds: this one leads to the wrong server."""
        self._connect_anew = True

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.is_set():
            pubsub, self._connect_anew = None, False
            try:
                pubsub = self._store.client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(self._store.keys.events)
                # Something may have happened while nobody listened.
                self._on_event()
                while not (self._stop.is_set() or self._connect_anew):
                    message = pubsub.get_message(timeout=_POLL)
                    if message is not None and self._matters(message.get("data")):
                        self._on_event()
                    wait = 0.0
            except TROUBLE:
                # The tick reports it; without the subscription it looks once a second.
                wait = next_wait(wait, RETRY_FIRST, RETRY_MOST)
                self._stop.wait(wait)
            finally:
                if pubsub is not None:
                    close_quietly(pubsub)

    def _matters(self, text: object) -> bool:
        """Changes of entries, requests and leaders matter; reports of runs do not."""
        if not isinstance(text, str) or self._own in text:
            return False
        return '"type":"redbeat.run.requested"' in text or not any(
            kind in text for kind in ('"type":"redbeat.run.', '"type":"redbeat.beat.')
        )
