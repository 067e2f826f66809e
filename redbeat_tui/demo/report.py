"""The demo without a screen: follow the schedule for a while and say what happened."""

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
    """What was seen.

    :ivar statuses: entry name -> a word on its state; every entry there is.
    :ivar dispatched: how often each entry was sent to the broker.
    :ivar executed: how often a worker began with it.
    :ivar failed: how often it ended with an error.
    """

    statuses: dict[str, str] = field(default_factory=dict)
    dispatched: Counter[str] = field(default_factory=Counter)
    executed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        """Whether there was life: something was dispatched, and something was executed."""
        return bool(self.dispatched.total() and self.executed.total())

    def count(self, event: events.Event) -> None:
        """Take one event into account."""
        if event.type == events.RUN_DISPATCHED:
            self.dispatched[event.subject] += 1
        elif event.type == events.RUN_STARTED:
            self.executed[event.subject] += 1
        elif event.type == events.RUN_ERRORED:
            self.failed[event.subject] += 1

    def lines(self) -> list[str]:
        """The report as text: a line for each entry, and the sums."""
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
        """Begin to listen."""
        self._thread.start()

    def finish(self, timeout: float = 5.0) -> Report:
        """Stop listening, and report. Waits up to *timeout* seconds for the thread to end."""
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
    """Follow the schedule for *seconds* and report.

    :param check: called every now and then; may raise to end the watch.
    """
    reporter = Reporter(store)
    reporter.start()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.25))
        if callable(check):
            check()
    return reporter.finish()
