"""The entries that cannot run: each is told of once for what it holds."""

from __future__ import annotations

from collections.abc import Iterable

from celery.utils.log import get_logger

from . import events
from .claims import Advance, ClaimStore, digest
from .record import EntryRecord

logger = get_logger("celery.beat")


class InvalidEntries:
    """Those that one scheduler knows of.

    :ivar known: by name what each held when it was told of, see :func:`.claims.digest`.
    """

    def __init__(self, store: ClaimStore) -> None:
        self._store = store
        self.known: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.known

    def found(self, record: EntryRecord, reason: str) -> None:
        """Report an entry that cannot run, once for what it holds now."""
        mark = digest(record)
        if self.known.get(record.name) == mark:
            return
        note = self._store.event(events.ENTRY_INVALID, record.name, {"reason": reason})
        self._store.commit("", [Advance(events=[note])])
        # Only now: what could not be told is told the next time.
        self.known[record.name] = mark
        logger.error("beat: The entry %r cannot run, it is left alone: %s", record.name, reason)

    def can_be_read(self, record: EntryRecord) -> None:
        """Forget the report of an entry that holds something else by now."""
        if record.name in self.known and self.known[record.name] != digest(record):
            del self.known[record.name]

    def forget(self, names: Iterable[str]) -> None:
        """Forget the reports of these entries: they are gone, or have run."""
        for name in names:
            self.known.pop(name, None)
