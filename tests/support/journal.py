"""Reading the log of events that the scheduler writes: what happened, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from redbeat_core import events
from redbeat_core.events import Event
from redbeat_core.storage.schedule_store import ScheduleStore

from .waiting import wait_for


class Journal:
    """The log of the schedule that *client* reaches.

    Survives that the server is away: what is asked then is asked again.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.store = ScheduleStore(client)
        self._known: list[Event] = []

    @property
    def seq(self) -> int:
        """The position of the newest event."""
        return self.store.last_seq()

    def events(self, *types: str, subject: str | None = None, after: int = 0) -> list[Event]:
        """The events of these types (all, if none is given), in their order.

        :param subject: only those about this entry.
        :param after: only those behind this position.
        """
        return [
            event
            for event in self._read()
            if event.seq > after
            and (not types or event.type in types)
            and subject in (None, event.subject)
        ]

    def _read(self) -> list[Event]:
        """The whole log, of which only the new part is read, unless it is another log."""
        known = self._known
        if known and self.store.log_event(known[-1].seq) != known[-1]:
            known.clear()
        while page := self.store.log_after(known[-1].seq if known else 0):
            known += page
        return known

    def dispatched(self, subject: str | None = None, after: int = 0) -> list[Event]:
        """The runs that were dispatched."""
        return self.events(events.RUN_DISPATCHED, subject=subject, after=after)

    def wait(
        self,
        *types: str,
        subject: str | None = None,
        after: int = 0,
        count: int = 1,
        timeout: float = 30.0,
        where: Callable[[Event], Any] = lambda event: True,
    ) -> Event:
        """Wait until there are *count* such events; returns the last of these."""

        def found() -> list[Event]:
            try:
                seen = self.events(*types, subject=subject, after=after)
            except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
                return []
            return [event for event in seen if where(event)][:count][count - 1 :]

        about = f"{count} of {types or 'any event'} about {subject or 'anything'} after {after}"
        return wait_for(found, timeout, what=about)[-1]

    def wait_for_runs(self, subject: str, count: int = 1, after: int = 0) -> Event:
        """Wait until the entry was dispatched *count* times behind *after*; returns the last."""
        return self.wait(events.RUN_DISPATCHED, subject=subject, count=count, after=after)


def token_of(event: Event) -> str:
    """The token of the beat that emitted the event."""
    return event.source.rpartition("/")[2]


def pid_of(event: Event) -> int:
    """The process id in the token of the beat that emitted the event."""
    return int(token_of(event).split(":")[1])


def runs_twice(dispatched: list[Event]) -> list[tuple[str, object]]:
    """Entry and nominal time of the scheduled runs that are there more than once."""
    seen: set[tuple[str, object]] = set()
    twice = []
    for event in dispatched:
        run = (event.subject, event.data["trigger"] or event.data["nominal"])
        if run in seen:
            twice.append(run)
        seen.add(run)
    return twice
