"""Runs that could not be published: kept for later, and told with the reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from celery.utils.log import get_logger

from redbeat_core import events
from redbeat_core.entries.due_field import finite, nominal_of
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.trigger import subject_of
from redbeat_core.storage.errors import error_text
from redbeat_core.storage.leader_store import (
    ClaimedTrigger,
    CommitStep,
    DueEntry,
    LeaderStore,
    digest,
)

from .retry_backoff import RetryBackoff, Wait
from .runs import PendingRun, failure

logger = get_logger("celery.beat")

#: How many events are told in one step.
_CHUNK = 500


def waiting_key(job: PendingRun) -> str:
    """Under which name *job* waits: a request by itself, an entry by its name."""
    return job.step.request.stream_id if job.step.request else job.name


class PublishFailures:
    """Keeps and tells them, for one scheduler."""

    def __init__(self, store: LeaderStore, postponed: RetryBackoff) -> None:
        self._store = store
        self._postponed = postponed

    def failed(self, job: PendingRun, reason: str) -> CommitStep:
        """*job* itself cannot be published now: keep it; returns the note that tells it."""
        mark = digest(job.step.due.record) if job.step.due else ""
        wait = self._postponed.failed(waiting_key(job), mark)
        logger.error(
            "beat: %r could not be published (attempt %d, next in %.0f s): %s",
            job.name,
            wait.attempts,
            wait.length,
            reason,
        )
        return failure(self._store, job, reason, retry_in=wait.length)

    def not_read(self, record: EntryRecord, exc: Exception) -> None:
        """Code of the app (or a want of memory) kept the entry from being read now, which says
        nothing against the entry: keep it, and tell it."""
        wait = self._postponed.failed(record.name, digest(record))
        data = {"nominal": nominal_of(record), "trigger": None}
        self._raised(record.name, "read", wait, data, exc)

    def not_made(self, one: DueEntry | ClaimedTrigger, exc: Exception) -> None:
        """The run of *one* raised what nobody expects, by itself: keep it, and tell it."""
        data: dict[str, Any]
        if isinstance(one, DueEntry):
            name = key = one.name
            try:
                mark, data = digest(one.record), {"nominal": nominal_of(one.record)}
            except Exception:
                # It cannot even be decoded: it waits, whatever becomes of it.
                mark, data = "", {"nominal": finite(one.score)}
            data["trigger"] = None
        else:
            key, mark = one.stream_id, ""
            name, id_ = subject_of(one.text)
            data = {"nominal": one.at, "trigger": id_ or one.stream_id}
        self._raised(name, "made", self._postponed.failed(key, mark), data, exc)

    def _raised(
        self, name: str, what: str, wait: Wait, data: dict[str, Any], exc: Exception
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
        data |= {"reason": reason, "retry_in": wait.length}
        note = self._store.event(events.RUN_FAILED, name, data)
        self._store.commit("", [CommitStep(events=[note])])

    def broker_down(
        self, reason: str, jobs: Sequence[PendingRun], now: float, others: Collection[str]
    ) -> None:
        """Nothing can be published now: tell it once of each run that waits for the broker.

        :param jobs: what was to be published.
        :param now: what is due by then waits, too; Unix seconds.
        :param others: names of entries that are due and do not wait for the broker.
        """
        wait = self._postponed.broker_failed()
        logger.error("beat: Nothing can be published, trying again in %.0f s: %s", wait, reason)
        told = self._postponed.tell
        notes = [
            failure(self._store, job, reason, retry_in=wait).events[0]
            for job in jobs
            if told(_run_of(job))
        ]
        known = {job.name for job in jobs if job.step.due}
        known |= {*others, *self._postponed.held_back()}
        due = self._store.due_names(now)
        names = [name for name, score in due if name not in known and told((name, repr(score)))]
        for record in self._store.records(names):
            data = {"nominal": nominal_of(record), "trigger": None, "reason": reason}
            notes.append(
                self._store.event(events.RUN_FAILED, record.name, {**data, "retry_in": wait})
            )
        for start in range(0, len(notes), _CHUNK):
            self._store.commit("", [CommitStep(events=notes[start : start + _CHUNK])])


def _run_of(job: PendingRun) -> tuple[str, str]:
    due = job.step.due
    return (job.name, repr(due.record.score)) if due else (waiting_key(job), job.moment)
