"""Makes the entry of a record, with its policy; reports an entry that is invalid once."""

from __future__ import annotations

from collections.abc import Iterable

from celery.utils.log import get_logger

from redbeat_core import events
from redbeat_core.entries.codec import DecodeError
from redbeat_core.entries.policy import Policy, decode_policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entry import RedBeatSchedulerEntry
from redbeat_core.storage.leader_store import CommitStep, digest

from .context import BeatContext
from .failures import PublishFailures

logger = get_logger("celery.beat")


class EntryLoader:
    """Loads entries for one scheduler.

    :ivar invalid: by name the :func:`.claims.digest` of each entry that was reported as invalid.
    """

    def __init__(self, context: BeatContext, failures: PublishFailures) -> None:
        self._context = context
        self._failures = failures
        self.invalid: dict[str, str] = {}

    def load(self, record: EntryRecord) -> RedBeatSchedulerEntry | None:
        """The entry of *record*; None, and reported, when it cannot run."""
        try:
            entry = self._context.entry_class.from_record(record, self._context.app)
            self.policy_of(record)
        except DecodeError as exc:
            self.report_invalid(record, str(exc))
            return None
        except Exception as exc:
            # The scheduler's `Entry` may be the app's own.
            self._failures.not_read(record, exc)
            return None
        if record.name in self.invalid and self.invalid[record.name] != digest(record):
            # It holds something else than when it was reported.
            del self.invalid[record.name]
        return entry

    def policy_of(self, record: EntryRecord) -> Policy:
        """The policy of the entry.

        :raises DecodeError: it cannot be read, with the reason.
        """
        defaults = self._context.config.policy
        return defaults if record.policy is None else decode_policy(record.policy, defaults)

    def report_invalid(self, record: EntryRecord, reason: str) -> None:
        """Report an entry that cannot run, once for what it holds now."""
        content = digest(record)
        if self.invalid.get(record.name) == content:
            return
        store = self._context.store
        event = store.event(events.ENTRY_INVALID, record.name, {"reason": reason})
        store.commit("", [CommitStep(events=[event])])
        # Only now: a report that failed is made the next time.
        self.invalid[record.name] = content
        logger.error("beat: The entry %r cannot run, it is left alone: %s", record.name, reason)

    def report_failure(self, record: EntryRecord, exc: Exception) -> None:
        """Report what the code of the app raised for the entry; it is tried again later."""
        self._failures.not_read(record, exc)

    def forget(self, names: Iterable[str]) -> None:
        """Forget the reports of these entries: they are gone, or have run."""
        for name in names:
            self.invalid.pop(name, None)
