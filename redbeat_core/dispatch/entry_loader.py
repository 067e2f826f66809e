"""Makes the entry of a record, with its policy; reports each invalid entry once, until its content
changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from celery.utils.log import get_logger

from redbeat_core import events
from redbeat_core.entries.codec import DecodeError
from redbeat_core.entries.policy import Policy, decode_policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entry import RedBeatSchedulerEntry
from redbeat_core.storage.commit_steps import CommitStep
from redbeat_core.storage.leader_store import digest

from .context import BeatContext
from .failures import PublishFailures

logger = get_logger("celery.beat")


class LoadedEntry(NamedTuple):
    """An entry that can run."""

    entry: RedBeatSchedulerEntry
    policy: Policy


class EntryLoader:
    """Loads entries for one scheduler.

    :ivar invalid: by name the digest (``leader_store.digest``) of each entry that was reported as
        invalid.
    """

    def __init__(self, context: BeatContext, failures: PublishFailures) -> None:
        self._context = context
        self._failures = failures
        self.invalid: dict[str, str] = {}

    def load(self, record: EntryRecord) -> LoadedEntry | None:
        """Return the entry of *record* with its policy; report an entry that cannot run, and return
        None.
        """
        context = self._context
        try:
            entry = context.scheduler.Entry.from_record(record, context.app)
            policy = self.policy_of(record)
        except DecodeError as exc:
            self.report_invalid(record, str(exc))
            return None
        except Exception as exc:
            # The scheduler's `Entry` may be the app's own.
            self._failures.not_loaded(record, exc)
            return None
        if record.name in self.invalid and self.invalid[record.name] != digest(record):
            # It holds something else than when it was reported.
            del self.invalid[record.name]
        return LoadedEntry(entry, policy)

    def policy_of(self, record: EntryRecord) -> Policy:
        """Return the policy of the entry.

        :raises DecodeError: it is invalid, with the reason.
        """
        defaults = self._context.config.policy
        return defaults if record.policy is None else decode_policy(record.policy, defaults)

    def report_invalid(self, record: EntryRecord, reason: str) -> None:
        """Report an invalid entry, once until its content changes."""
        content = digest(record)
        if self.invalid.get(record.name) == content:
            return
        store = self._context.store
        event = store.event(events.ENTRY_INVALID, record.name, events.entry_invalid(reason))
        store.commit("", [CommitStep(events=[event])])
        # Only now: a report that failed is made the next time.
        self.invalid[record.name] = content
        logger.error("beat: The entry %r cannot run, it is left alone: %s", record.name, reason)

    def report_failure(self, record: EntryRecord, exc: Exception) -> None:
        """Report an error that the app's code raised for the entry, which is retried later."""
        self._failures.not_loaded(record, exc)

    def forget(self, names: Iterable[str]) -> None:
        """Forget the reports of these entries: they are deleted, or have run."""
        for name in names:
            self.invalid.pop(name, None)
