"""Deletes finished entries when the ``keep_finished`` time of their policy is over.

The leader's :mod:`redbeat_core.maintenance.reconcile` finds the entries and uses this.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from redbeat_core.dispatch.entry_loader import EntryLoader
from redbeat_core.entries.due_field import finished_since
from redbeat_core.entries.policy import PolicyError
from redbeat_core.entries.record import EntryRecord
from redbeat_core.storage.leader_store import LeaderStore

#: Most entries that one call deletes.
AT_ONCE = 500


class FinishedEntries:
    """The finished entries that one scheduler has to delete at some time."""

    def __init__(self, store: LeaderStore, loader: EntryLoader, clock: Callable[[], float]) -> None:
        self._store = store
        self._loader = loader
        self._clock = clock
        #: When to delete each name. Duplicates and outdated items are harmless: `delete` checks.
        self._waiting: list[tuple[float, str]] = []

    def forget(self) -> None:
        """Forget all entries: the reconciliation finds them again."""
        self._waiting.clear()

    def note(self, record: EntryRecord) -> None:
        """Schedule the deletion of *record*, if it is finished and not kept without limit."""
        until = self._until(record)
        if until is not None:
            heapq.heappush(self._waiting, (until, record.name))

    def delete(self) -> None:
        """Delete the entries whose time is over, if they have not changed. A static entry stays:
        the next start of beat would create it again, and it would run again."""
        now = self._clock()
        names: dict[str, None] = {}
        while self._waiting and self._waiting[0][0] <= now and len(names) < AT_ONCE:
            names[heapq.heappop(self._waiting)[1]] = None
        if not names:
            return
        statics = self._store.statics()
        expired = [
            record
            for record in self._store.records([name for name in names if name not in statics])
            if (until := self._until(record)) is not None and until <= now
        ]
        self._store.delete_unchanged(expired, {"actor": "beat", "note": "it was finished"})

    def _until(self, record: EntryRecord) -> float | None:
        since = finished_since(record)
        if since is None:
            return None
        try:
            kept = self._loader.policy_of(record).keep_finished
        except PolicyError:
            return None
        return None if kept is None else since + kept
