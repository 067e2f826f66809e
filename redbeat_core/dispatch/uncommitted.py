"""Messages that are published and not committed yet, so that they are not published again.

Only where the broker is not the schedule's server: there a commit can fail, or its reply be lost,
when its messages are out already. A beat that lives on then commits without a second message; what
a beat does not survive is what ``at-least-once`` allows for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from redbeat_core.broker.delivery import AT_LEAST_ONCE, PublishResult
from redbeat_core.storage.commit_steps import CommitStep

from .context import BeatContext
from .runs import PendingRun, changed_event


class UncommittedMessages:
    """The messages of one scheduler, one for each entry and request.

    They are kept also while it does not lead: nobody has committed what is still due when it leads
    again.

    :ivar results: by waiting key: origin and version of the run, and how it was published.
    """

    def __init__(self, context: BeatContext) -> None:
        self._context = context
        self.results: dict[str, tuple[str, str, PublishResult]] = {}
        #: Runs whose entry (or request) changed between message and commit: their events.
        self._changed: dict[str, CommitStep] = {}
        self._unreported: list[CommitStep] = []

    def add(self, published: Iterable[tuple[PendingRun, PublishResult]]) -> None:
        """Keep the messages of those of these runs that have no error."""
        if self._context.publisher.mode != AT_LEAST_ONCE:
            return
        for run, result in published:
            if result.error:
                continue
            key = run.waiting_key
            origin, _, _ = self.results.get(key, (run.origin, "", None))
            if origin != run.origin:
                self._forget(key)
            self.results[key] = (*_run_and_version(run), result)

    def result_of(self, run: PendingRun) -> PublishResult | None:
        """Return the result of the message of *run*, if it was published already: for this very
        run, and with the entry as it is now.

        If the entry was changed after its message was published, the message stays that of this
        run: it is not made again for the entry as it is now.
        """
        key = run.waiting_key
        origin, version, result = self.results.get(key, ("", "", None))
        current = _run_and_version(run)
        same = origin == current[0] and (version == current[1] or key in self._changed)
        return result if same else None

    def committed(self, run: PendingRun, result: str) -> None:
        """Take the *result* of the commit of *run*."""
        key = run.waiting_key
        if result == "ok":
            self.results.pop(key, None)
            self._changed.pop(key, None)
        elif result == "stale" and key in self.results:
            context = self._context
            if not context.lock_key:
                # Perhaps another beat made this run, and emitted its event.
                del self.results[key]
            elif context.publisher.mode == AT_LEAST_ONCE:
                self._changed[key] = changed_event(context.store, run, self.results[key][2])
                if context.is_ending():
                    self._forget(key)
                    self._report()

    def keep_only(self, claimed: Collection[str]) -> None:
        """Forget runs that are no longer due: their commit had succeeded, only its reply was lost;
        or their entry changed, and their event is emitted now."""
        for key in self.results.keys() - claimed:
            self._forget(key)
        self._report()

    def _forget(self, key: str) -> None:
        del self.results[key]
        if key in self._changed:
            self._unreported.append(self._changed.pop(key))

    def _report(self) -> None:
        if self._unreported:
            self._context.store.commit("", self._unreported)
            # Only now: a report that failed is made the next time.
            self._unreported = []


def _run_and_version(run: PendingRun) -> tuple[str, str]:
    record = run.due.record if run.due is not None else run.step.seen
    return run.origin, record.version if record is not None else ""
