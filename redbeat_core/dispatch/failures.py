"""Retries with backoff, and the events that report a failed publish."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from celery.utils.log import get_logger

from redbeat_core import events
from redbeat_core.backoff import next_wait
from redbeat_core.entries.due_field import finite, nominal_of
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.trigger import subject_of
from redbeat_core.storage.commit_steps import ClaimedEntry, ClaimedTrigger, CommitStep
from redbeat_core.storage.errors import error_text
from redbeat_core.storage.leader_store import LeaderStore, digest

from .runs import PendingRun, failure_event

logger = get_logger("celery.beat")

#: Seconds between attempts: the first wait, and the longest for one entry and for the broker.
RETRY_FIRST, RETRY_MOST, BROKER_MOST = 1.0, 60.0, 30.0
#: Seconds by which a clock that is set back may lengthen a wait; set back further, it ends it.
_STEP = 1.0
#: How many events are emitted in one step.
_CHUNK = 500


def _lasts(until: float, length: float, now: float) -> bool:
    return 0 < until - now <= length + _STEP


@dataclass(frozen=True, slots=True)
class Wait:
    """An entry (or a request) that waits for its next attempt.

    :ivar content: the digest of what it was; another content does not wait.
    :ivar attempts: how often publishing failed.
    :ivar until: Unix seconds.
    :ivar length: seconds, of this wait.
    """

    content: str
    attempts: int
    until: float
    length: float

    def lasts(self, now: float) -> bool:
        """Whether there is time left at *now*, Unix seconds."""
        return _lasts(self.until, self.length, now)


class RetryBackoff:
    """The waits of one scheduler: of single entries, and of everything while the broker is down.

    :param clock: Unix seconds.
    :ivar waits: by entry name or request.
    :ivar broker_until: when the broker is tried again, Unix seconds; 0: it works.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.waits: dict[str, Wait] = {}
        self._broker_wait = 0.0
        self.broker_until = 0.0
        self._reported: set[tuple[str, str]] = set()

    def clear(self) -> None:
        """Forget everything but the broker's wait: another beat led since."""
        self.waits.clear()
        self._reported.clear()

    def failed(self, key: str, content: str) -> Wait:
        """Publishing *key* failed once more.

        :param content: the digest of the entry.
        """
        before = self.waits.get(key)
        attempts = before.attempts + 1 if before else 1
        length = next_wait(before.length if before else 0.0, RETRY_FIRST, RETRY_MOST)
        wait = self.waits[key] = Wait(content, attempts, self._clock() + length, length)
        return wait

    def succeeded(self, key: str) -> None:
        """*key* was published."""
        self.waits.pop(key, None)

    def attempts(self, key: str) -> int:
        """Count the failures of *key* since it last succeeded."""
        return self.waits[key].attempts if key in self.waits else 0

    def is_waiting(self, key: str) -> bool:
        """Whether *key* is not to be tried yet."""
        return key in self.waits and self.waits[key].lasts(self._clock())

    def has_failed(self, key: str) -> bool:
        """Whether publishing *key* failed, alone or with all, and has not succeeded since."""
        return key in self.waits or any(name == key for name, _ in self._reported)

    def held_back(self) -> dict[str, str]:
        """Return the keys that still wait, each with the digest of its content."""
        now = self._clock()
        return {key: wait.content for key, wait in self.waits.items() if wait.lasts(now)}

    def next_at(self) -> float | None:
        """When the first of them is to be tried, Unix seconds."""
        return min((wait.until for wait in self.waits.values()), default=None)

    def keep_only(self, claimed: Collection[str]) -> None:
        """Drop the waits that are over and whose key was not claimed again: it is gone."""
        now = self._clock()
        for key in [key for key, wait in self.waits.items() if not wait.lasts(now)]:
            if key not in claimed:
                del self.waits[key]

    def broker_failed(self) -> float:
        """Nothing can be published now; returns seconds to wait."""
        self._broker_wait = next_wait(self._broker_wait, RETRY_FIRST, BROKER_MOST)
        self.broker_until = self._clock() + self._broker_wait
        return self._broker_wait

    def broker_waits(self, now: float) -> bool:
        """Whether nothing is to be published yet at *now*, Unix seconds."""
        return _lasts(self.broker_until, self._broker_wait, now)

    def broker_works(self) -> None:
        """The broker took what it was given."""
        self._broker_wait = self.broker_until = 0.0
        self._reported.clear()

    def is_first_report(self, identity: tuple[str, str]) -> bool:
        """Whether the failure event for this run is still to be emitted while the broker is down;
        from now on it is not."""
        first = identity not in self._reported
        self._reported.add(identity)
        return first


class PublishFailures:
    """Lets failed runs wait, and reports them, for one scheduler."""

    def __init__(self, store: LeaderStore, backoff: RetryBackoff) -> None:
        self._store = store
        self._backoff = backoff

    def failed(self, run: PendingRun, reason: str) -> CommitStep:
        """*run* itself cannot be published now: it waits; returns the step that reports it."""
        content = digest(run.due.record) if run.due is not None else ""
        wait = self._backoff.failed(run.waiting_key, content)
        logger.error(
            "beat: %r could not be published (attempt %d, next in %.0f s): %s",
            run.name,
            wait.attempts,
            wait.length,
            reason,
        )
        return CommitStep(events=[failure_event(self._store, run, reason, retry_in=wait.length)])

    def not_loaded(self, record: EntryRecord, exc: Exception) -> None:
        """The app's code (or a lack of memory) kept the entry from being loaded now, which does
        not make the entry invalid: it waits, and is reported."""
        wait = self._backoff.failed(record.name, digest(record))
        self._raised(record.name, "read", nominal_of(record), None, wait, exc)

    def not_made(self, claimed: ClaimedEntry | ClaimedTrigger, exc: Exception) -> None:
        """The run of *claimed* raised what nobody expects: it waits, and is reported."""
        nominal: float | None
        if isinstance(claimed, ClaimedEntry):
            name, key, trigger = claimed.name, claimed.name, None
            try:
                content, nominal = digest(claimed.record), nominal_of(claimed.record)
            except Exception:
                # It cannot even be decoded: it waits, whatever its content is by then.
                content, nominal = "", finite(claimed.score)
        else:
            key, content, nominal = claimed.stream_id, "", claimed.at
            name, trigger_id = subject_of(claimed.text)
            trigger = trigger_id or claimed.stream_id
        self._raised(name, "made", nominal, trigger, self._backoff.failed(key, content), exc)

    def _raised(
        self,
        name: str,
        what: str,
        nominal: float | None,
        trigger: str | None,
        wait: Wait,
        exc: Exception,
    ) -> None:
        reason = f"{type(exc).__name__}: {error_text(exc)}"
        logger.error(
            "beat: %r could not be %s (attempt %d, next in %.0f s): %s",
            name,
            what,
            wait.attempts,
            wait.length,
            reason,
            exc_info=exc,
        )
        self._emit([self._failed_event(name, nominal, reason, trigger, wait.length)])

    def _failed_event(
        self, name: str, nominal: Any, reason: str, trigger: str | None, retry_in: float
    ) -> str:
        data = events.run_failed(nominal, reason, trigger, retry_in=retry_in)
        return self._store.event(events.RUN_FAILED, name, data)

    def broker_down(
        self, reason: str, runs: Sequence[PendingRun], now: float, others: Collection[str]
    ) -> None:
        """Nothing can be published now: report it once for each run that waits for the broker.

        :param runs: the runs that were to be published.
        :param now: what is due by then waits, too; Unix seconds.
        :param others: names of entries that are due and do not wait for the broker.
        """
        backoff, store = self._backoff, self._store
        wait = backoff.broker_failed()
        logger.error("beat: Nothing can be published, trying again in %.0f s: %s", wait, reason)
        texts = [
            failure_event(store, run, reason, retry_in=wait)
            for run in runs
            if backoff.is_first_report(run.identity)
        ]
        handled = {run.name for run in runs if run.due is not None}
        handled |= {*others, *backoff.held_back()}
        names = [
            name
            for name, score in store.due_names(now)
            if name not in handled and backoff.is_first_report((name, repr(score)))
        ]
        texts += [
            self._failed_event(record.name, nominal_of(record), reason, None, wait)
            for record in store.records(names)
        ]
        self._emit(texts)

    def _emit(self, texts: Sequence[str]) -> None:
        for start in range(0, len(texts), _CHUNK):
            self._store.commit("", [CommitStep(events=texts[start : start + _CHUNK])])
