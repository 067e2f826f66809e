"""The leader's slow look at every entry, some at a time.

Finds what no event told: entries that were broken or repaired behind the scheduler's back, and
entries that another program enabled without giving them a due time. Each look costs the same
however many entries there are, and what was looked at is read again only when it has changed: the
server compares a digest of each page.
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

#: How many entries (about) one look reads.
LOOK_AT = 25
#: Seconds between looks, and how many entries (about) each passes over that have not changed: as
#: long as some change, and when in a whole round none had.
LOOK_EVERY, PASS_OVER = 1.0, 250
QUIET_EVERY, QUIET_OVER = 4.0, 750


class Reconciler:
    """Looks at the entries in turn, for one scheduler.

    :param plain: its entries are this project's own: what decodes gives one.
    """

    def __init__(self, store: LeaderStore, loader: EntryLoader, *, plain: bool = False) -> None:
        self._plain = plain
        self._store = store
        self._loader = loader
        self._cursor = "0"
        self._next = 0.0
        #: The pages as they were: by cursor the digest, and the cursor of the next page.
        self._pages: dict[str, tuple[str, str]] = {}
        #: The same, of this round so far.
        self._met: dict[str, tuple[str, str]] = {}
        #: Whether something had changed in the round before, and in this one so far.
        self._changing, self._changed = True, False
        self._finished = FinishedEntries(store, loader, store.clock)

    def forget(self) -> None:
        """Read everything again: another beat led since."""
        self._cursor = "0"
        self._pages, self._met = {}, {}
        self._changing = True
        self._finished.forget()

    def look(self) -> None:
        """Look at the next few, if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (LOOK_EVERY if self._changing else QUIET_EVERY)
        most = PASS_OVER if self._changing else QUIET_OVER
        known = self._come_next(most)
        digests = {cursor: digest for cursor, (digest, _) in known.items()}
        page = self._store.changed_page(self._cursor, LOOK_AT, most, digests)
        for record in page.records:
            try:
                self._check(record)
                self._finished.note(record)
            except Exception as exc:
                if not is_unexpected(exc):
                    raise
                # The others are looked at all the same.
                self._loader.report_failure(record, exc)
        self._finished.delete()
        for cursor, as_it_was in known.items():
            # A round of one look ends where it began.
            if cursor == page.cursor or (cursor == page.after and cursor != self._cursor):
                break
            self._met[cursor] = as_it_was
        if page.cursor is not None:
            self._met[page.cursor] = page.digest, page.after
            self._changing = self._changed = True
        self._cursor = page.after
        if self._cursor == "0":
            self._end_round()

    def _come_next(self, most: int) -> dict[str, tuple[str, str]]:
        """The known pages that come next, as far as a look goes."""
        known: dict[str, tuple[str, str]] = {}
        cursor = self._cursor
        while cursor in self._pages and len(known) * LOOK_AT < most:
            known[cursor] = self._pages[cursor]
            cursor = known[cursor][1]
            if cursor == "0":
                break
        return known

    def _end_round(self) -> None:
        # Cursors of another size of the schedule go with the round that met them last.
        self._pages, self._met = self._met, {}
        self._changing, self._changed = self._changed, False
        bad = list(self._loader.invalid)
        records = self._store.records(bad)
        gone = {name for name, record in zip(bad, records, strict=True) if record.score is None}
        self._loader.forget(gone)

    def _is_usual(self, record: EntryRecord) -> bool:
        """Whether it is scheduled and can run, as nearly all are: then there is no more to see."""
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
        was_bad = record.name in self._loader.invalid
        entry = self._loader.load(record)
        if entry is None:
            return
        if not entry.enabled or record.score is None or record.score >= 0:
            return
        # Not scheduled though enabled: finished, if we wrote that; else somebody enabled or
        # repaired it by hand.
        if score_is_ours(record) and not was_bad and not _enabled_by_hand(record):
            return
        try:
            now = datetime.fromtimestamp(self._store.clock(), UTC)
            policy = self._loader.policy_of(record)
            due = first_due(entry.schedule, entry.last_run_at, now, policy.dst)
        except Exception as exc:
            # A schedule that decodes and cannot be computed; custom types may raise anything.
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
                # Where there is no lock another beat may have been faster, and made the run.
                expect_score=record.score,
            )


def _enabled_by_hand(record: EntryRecord) -> bool:
    """Whether our pause is still noted on an entry that is enabled."""
    return record.state is not None and '"paused"' in record.state
