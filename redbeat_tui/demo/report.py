"""The demo without a screen: follows the schedule for some time and reports the runs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from redbeat_core import events
from redbeat_core.entries.view import decode_record
from redbeat_core.storage.event_stream import EventStream
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_tui.text.sanitize import clean


@dataclass
class Report:
    """The numbers of runs by entry name.

    :ivar statuses: entry name -> ``invalid``, ``paused`` or ``disabled`` with the reason, else
        empty; every entry of the schedule is here.
    :ivar dispatched: how often beat dispatched the entry.
    :ivar executed: how often a worker started a run of it.
    :ivar failed: how often the task raised an error.
    """

    statuses: dict[str, str] = field(default_factory=dict)
    dispatched: Counter[str] = field(default_factory=Counter)
    executed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        """Whether beat dispatched at least one run, and a worker executed at least one."""
        return bool(self.dispatched.total() and self.executed.total())

    def count(self, event: events.Event) -> None:
        """Count one event."""
        if event.type == events.RUN_DISPATCHED:
            self.dispatched[event.subject] += 1
        elif event.type == events.RUN_STARTED:
            self.executed[event.subject] += 1
        elif event.type == events.RUN_ERRORED:
            self.failed[event.subject] += 1

    def lines(self) -> list[str]:
        """Return the report as text: a line for each entry, and the sums."""
        names = sorted(self.statuses, key=lambda name: (-self.dispatched[name], name))
        shown = {name: clean(name, limit=40) for name in names}
        width = max([len("entry"), *map(len, shown.values())])
        table = [f"{'entry':<{width}}  dispatched  executed  failed"]
        for name in names:
            counts = f"{self.dispatched[name]:>10}  {self.executed[name]:>8}"
            line = f"{shown[name]:<{width}}  {counts}  {self.failed[name]:>6}"
            table.append(f"{line}  {self.statuses[name]}".rstrip())
        sums = (
            f"{len(names)} entries, {self.dispatched.total()} runs dispatched, "
            f"{self.executed.total()} executed, {self.failed.total()} failed"
        )
        return [*table, "", sums]


class Reporter:
    """Follows the events in a thread of its own, between :meth:`start` and :meth:`finish`."""

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store
        self._stop = threading.Event()
        self._report = Report()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Start following the events."""
        self._thread.start()

    def finish(self, timeout: float = 5.0) -> Report:
        """Stop following, and return the report. Waits up to *timeout* seconds for the thread."""
        self._stop.set()
        self._thread.join(timeout)
        for record in self._store.snapshot().records:
            view = decode_record(record)
            status = ""
            if view.error:
                status = f"invalid: {clean(view.error, limit=100)}"
            elif view.pause:
                status = f"paused by {clean(view.pause.by)}: {clean(view.pause.note, limit=80)}"
            elif not view.enabled:
                status = "disabled"
            self._report.statuses[record.name] = status
        return self._report

    def _follow(self) -> None:
        for item in EventStream(self._store).follow(self._stop):
            if isinstance(item, events.Changes):
                for event in item.events:
                    self._report.count(event)


def watch(store: ScheduleStore, seconds: float, check: object = None) -> Report:
    """Follow the schedule for *seconds* and return the report.

    :param check: a function called four times a second; it may raise to end the watch.
    """
    reporter = Reporter(store)
    reporter.start()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.25))
        if callable(check):
            check()
    return reporter.finish()
