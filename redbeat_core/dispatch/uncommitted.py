"""What was published and is not committed yet, so that it is not published again.

Only where the broker is not the schedule's server: there a commit can fail, or its answer be lost,
when its messages are out already. A beat that lives on then commits without a second message; what
a beat does not survive is what ``at-least-once`` allows for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from redbeat_core.broker.delivery import AT_LEAST_ONCE, PublishResult
from redbeat_core.storage.leader_store import CommitStep

from .context import BeatContext
from .failures import waiting_key
from .runs import PendingRun, changed


class UncommittedMessages:
    """Remembers the messages of one scheduler, one for each entry and request.

    Also while it does not lead: what is still due when it leads again, nobody has committed.
    """

    def __init__(self, context: BeatContext) -> None:
        self._context = context
        self._sent: dict[str, tuple[str, str, PublishResult]] = {}
        #: Runs whose entry (or request) changed between message and commit: what tells of them.
        self._changed: dict[str, CommitStep] = {}
        self._untold: list[CommitStep] = []

    def note(self, settled: Iterable[tuple[PendingRun, PublishResult]]) -> None:
        """The messages of those of these jobs are out that have no error."""
        if self._context.publisher.mode != AT_LEAST_ONCE:
            return
        for job, sent in settled:
            if sent.error:
                continue
            key = waiting_key(job)
            moment, _, _ = self._sent.get(key, (job.moment, "", None))
            if moment != job.moment:
                self._forget(key)
            self._sent[key] = (*_run(job), sent)

    def known(self, job: PendingRun) -> PublishResult | None:
        """The message of *job*, if it is out: of this very run, with the entry as it is now.

        Where the entry was changed after the message was out, the run is that of the entry as it
        was: it is not made again for the entry as it is now.
        """
        key = waiting_key(job)
        moment, version, sent = self._sent.get(key, ("", "", None))
        now = _run(job)
        as_it_was = moment == now[0] and (version == now[1] or key in self._changed)
        return sent if as_it_was else None

    def ended(self, job: PendingRun, result: str) -> None:
        """The commit of *job* gave *result*."""
        key = waiting_key(job)
        if result == "ok":
            self._sent.pop(key, None)
            self._changed.pop(key, None)
        elif result == "stale" and key in self._sent:
            context = self._context
            if not context.lock_key:
                # It may be another beat that made this run, and told it.
                del self._sent[key]
            elif context.publisher.mode == AT_LEAST_ONCE:
                self._changed[key] = changed(context.store, job, self._sent[key][2])
                if context.is_ending():
                    self._forget(key)
                    self._tell()

    def keep_only(self, came: Collection[str]) -> None:
        """Drop what did not come again: its commit was executed after all; or its entry is not due
        any more, and the run that was made is told now."""
        for key in self._sent.keys() - came:
            self._forget(key)
        self._tell()

    def _forget(self, key: str) -> None:
        del self._sent[key]
        if key in self._changed:
            self._untold.append(self._changed.pop(key))

    def _tell(self) -> None:
        if self._untold:
            self._context.store.commit("", self._untold)
            # Only now: what could not be told is told the next time.
            self._untold = []


def _run(job: PendingRun) -> tuple[str, str]:
    due = job.step.due
    record = due.record if due is not None else job.step.seen
    return job.moment, record.version if record is not None else ""
