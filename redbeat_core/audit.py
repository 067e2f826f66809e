"""The leader's slow look at every entry, some at a time.

Finds what no event told: entries that were broken or repaired behind the scheduler's back, and
entries that another program enabled without giving them a due time. Each look costs the same
however many entries there are.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .planning import first_due, score_is_ours
from .record import EntryRecord
from .store import ConflictError, ScheduleStore, score_text

if TYPE_CHECKING:
    from .batch import BatchRunner

#: Seconds between looks, and how many entries one look takes (about).
LOOK_EVERY = 1.0
LOOK_AT = 100


class Auditor:
    """Looks at the entries in turn, for one scheduler."""

    def __init__(self, store: ScheduleStore, batch: BatchRunner) -> None:
        self._store = store
        self._batch = batch
        self._cursor = 0
        self._next = 0.0
        #: Reported before this round, and not met in it so far.
        self._unmet: set[str] = set()

    def look(self) -> None:
        """Look at the next few, if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_EVERY
        self._cursor, records = self._store.scan(self._cursor, LOOK_AT)
        for record in records:
            self._check(record)
        if self._cursor == 0:
            # The round is complete.
            self._batch.forget_invalid(self._unmet)
            self._unmet = self._batch.known_invalid()

    def _check(self, record: EntryRecord) -> None:
        was_bad = self._batch.is_known_invalid(record.name)
        entry = self._batch.entry_of(record)
        if entry is None:
            self._unmet.discard(record.name)
            return
        if not entry.enabled or record.score is None or record.score >= 0:
            return
        # Not scheduled though enabled: finished, if we wrote that; else somebody enabled or
        # repaired it by hand.
        if score_is_ours(record) and not was_bad and not _enabled_by_hand(record):
            return
        try:
            due = first_due(entry.schedule, entry.last_run_at, datetime.now(UTC))
        except Exception as exc:
            # A schedule that decodes and cannot be computed; custom types may raise anything.
            self._unmet.discard(record.name)
            self._batch.found_invalid(record, f"its next run cannot be computed: {exc}")
            return
        if due is None:
            return
        score = due.timestamp()
        with suppress(ConflictError):
            self._store.change(
                record.name,
                [("set", "due", score_text(score))],
                score=score,
                expect=record.version,
                # Where there is no lock another beat may have been faster, and made the run.
                expect_score=record.score,
            )


def _enabled_by_hand(record: EntryRecord) -> bool:
    """Whether our pause is still noted on an entry that is enabled."""
    return record.state is not None and '"paused"' in record.state
