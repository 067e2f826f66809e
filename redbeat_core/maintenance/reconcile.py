"""Checks every entry in turn for changes that no event announced, some entries at a time.

It finds entries that other programs made invalid or repaired, and entries that another program
enabled without a due time. One check costs the same for any number of entries: the server compares
a digest of each page, and returns only a page that has changed.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime

from redbeat_core.dispatch.entry_loader import EntryLoader
from redbeat_core.dispatch.isolation import is_unexpected
from redbeat_core.entries.codec import DecodeError, decode_meta
from redbeat_core.entries.due_field import score_is_ours
from redbeat_core.entries.record import EntryRecord, definition_of
from redbeat_core.planning.plan import first_due
from redbeat_core.storage.leader_store import LeaderStore
from redbeat_core.storage.schedule_store import VersionConflict, score_text

from .finished_entries import FinishedEntries

#: Number of entries (about) that one check reads.
SCAN_SIZE = 25
#: Seconds between checks if the last round over all entries detected a change, else QUIET_EVERY.
SCAN_EVERY = 1.0
QUIET_EVERY = 4.0
#: Most unchanged entries (about) that a check skips after such a round, else QUIET_OVER.
PASS_OVER = 250
QUIET_OVER = 750


class Reconciler:
    """Checks the entries in turn, for one scheduler.

    :param plain: the scheduler's entry class is this project's own: each entry that decodes is
        valid.
    """

    def __init__(self, store: LeaderStore, loader: EntryLoader, *, plain: bool = False) -> None:
        self._plain = plain
        self._store = store
        self._loader = loader
        self._cursor = "0"
        #: When the next check is due; monotonic seconds.
        self._next = 0.0
        #: The pages of the last round: by cursor the digest, and the cursor of the next page.
        self._pages: dict[str, tuple[str, str]] = {}
        #: The pages of this round, so far.
        self._round_pages: dict[str, tuple[str, str]] = {}
        #: Whether the last round found a change.
        self._changing = True
        #: Whether this round has found a change, so far.
        self._changed = False
        self._finished = FinishedEntries(store, loader, store.clock)

    def forget(self) -> None:
        """Forget all pages, since another beat leads: each entry is read again."""
        self._cursor = "0"
        self._pages = {}
        self._round_pages = {}
        self._changing = True
        self._finished.forget()

    def look(self) -> None:
        """Check the next entries, if a check is due."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (SCAN_EVERY if self._changing else QUIET_EVERY)
        most = PASS_OVER if self._changing else QUIET_OVER
        next_pages = self._next_pages(most)
        digests = {cursor: digest for cursor, (digest, _) in next_pages.items()}
        page = self._store.changed_page(self._cursor, SCAN_SIZE, most, digests)
        for record in page.records:
            try:
                self._check(record)
                self._finished.note(record)
            except Exception as exc:
                if not is_unexpected(exc):
                    raise
                # The other entries must be checked all the same.
                self._loader.report_failure(record, exc)
        self._finished.delete()
        for cursor, unchanged in next_pages.items():
            # A round of only one check ends at its first cursor.
            if cursor == page.cursor or (cursor == page.after and cursor != self._cursor):
                break
            self._round_pages[cursor] = unchanged
        if page.cursor is not None:
            self._round_pages[page.cursor] = page.digest, page.after
            self._changing = self._changed = True
        self._cursor = page.after
        if self._cursor == "0":
            self._end_round()

    def _next_pages(self, most: int) -> dict[str, tuple[str, str]]:
        """Return the next pages of the last round, with *most* entries (about)."""
        pages: dict[str, tuple[str, str]] = {}
        cursor = self._cursor
        while cursor in self._pages and len(pages) * SCAN_SIZE < most:
            pages[cursor] = self._pages[cursor]
            cursor = pages[cursor][1]
            if cursor == "0":
                break
        return pages

    def _end_round(self) -> None:
        # Cursors change with the size of the schedule: those that this round did not meet are
        # forgotten.
        self._pages = self._round_pages
        self._round_pages = {}
        self._changing = self._changed
        self._changed = False
        invalid = list(self._loader.invalid)
        records = self._store.records(invalid)
        gone = {name for name, record in zip(invalid, records, strict=True) if record.score is None}
        self._loader.forget(gone)

    def _is_usual(self, record: EntryRecord) -> bool:
        """Whether the entry is scheduled and valid, as nearly all are: then no more is to check."""
        if record.score is None or record.score < 0 or record.name in self._loader.invalid:
            return False
        try:
            definition_of(record), decode_meta(record.meta), self._loader.policy_of(record)
        except DecodeError:
            return False
        return self._plain

    def _check(self, record: EntryRecord) -> None:
        if self._is_usual(record):
            return
        was_invalid = record.name in self._loader.invalid
        loaded = self._loader.load(record)
        if loaded is None:
            return
        entry, policy = loaded
        if not entry.enabled or record.score is None or record.score >= 0:
            return
        # The entry is enabled and not scheduled. If a scheduler wrote its score, it is finished;
        # else somebody enabled or repaired it by hand.
        if score_is_ours(record) and not was_invalid and not _enabled_by_hand(record):
            return
        try:
            now = datetime.fromtimestamp(self._store.clock(), UTC)
            due = first_due(entry.schedule, entry.last_run_at, now, policy.dst)
        except Exception as exc:
            # The schedule decodes and fails at its computation: custom types may raise any error.
            self._loader.report_invalid(record, f"its next run cannot be computed: {exc}")
            return
        if due is None:
            return
        score = due.timestamp()
        with suppress(VersionConflict):
            self._store.change(
                record.name,
                [("set", "due", score_text(score))],
                score=score,
                expect=record.version,
                # Without a lock another beat may have been faster and made the run.
                expect_score=record.score,
            )


def _enabled_by_hand(record: EntryRecord) -> bool:
    """Whether an enabled entry still has the state of a pause: another program enabled it."""
    return record.state is not None and '"paused"' in record.state
