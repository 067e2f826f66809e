"""Turns the run-now requests of a claim into runs, or into events that report the failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.utils.log import get_logger

from redbeat_core import events
from redbeat_core.entries.codec import DecodeError, encode_meta
from redbeat_core.entries.due_field import score_is_ours
from redbeat_core.entries.policy import Policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.trigger import RequestError, Trigger, read_trigger, subject_of
from redbeat_core.planning.plan import first_due
from redbeat_core.storage.commit_steps import ClaimedTrigger, CommitStep
from redbeat_core.storage.errors import error_text
from redbeat_core.storage.schedule_store import MISSING

from .context import BeatContext
from .entry_loader import EntryLoader
from .failures import RetryBackoff
from .runs import PendingRun

logger = get_logger("celery.beat")

#: Options of an entry that override the queue of a message, and so the queue of a request.
_ROUTING_OPTIONS = ("exchange", "exchange_type", "routing_key")


def straight_to(app: Celery, name: str) -> dict[str, Any]:
    """Return the options that send a message to the queue *name*.

    They include the exchange and the routing key, because in Celery these two of the task or its
    routes have priority over a queue.
    """
    try:
        queue = app.amqp.queues[name]
    except Exception:
        # The queue does not exist, or the settings allow no new one: Celery raises the error.
        return {"queue": name}
    kind = queue.exchange.type
    exchange = queue.exchange.name
    key = queue.routing_key
    if kind == "direct":
        exchange = ""
        key = queue.name
    return {"queue": name, "exchange": exchange, "exchange_type": kind, "routing_key": key}


class TriggeredRuns:
    """Turns run-now requests into runs, for one scheduler.

    :ivar trouble: the error that was reported last; empty: the requests are readable.
    """

    def __init__(self, context: BeatContext, loader: EntryLoader, backoff: RetryBackoff) -> None:
        self._context = context
        self._store = context.store
        self._loader = loader
        self._backoff = backoff
        self.trouble = ""

    def report(self, trouble: str) -> None:
        """Log once that the stream of requests is unreadable; scheduled runs continue."""
        if trouble and trouble != self.trouble:
            key = self._store.keys.triggers
            logger.error("beat: The run-now requests at %r cannot be read: %s", key, trouble)
        self.trouble = trouble

    def runs(self, requests: Sequence[ClaimedTrigger]) -> list[PendingRun | CommitStep]:
        """Return the runs, and the steps that end requests without a run, in request order."""
        readable: dict[str, Trigger] = {}
        results: dict[str, PendingRun | CommitStep] = {}
        for request in requests:
            try:
                trigger = read_trigger(request.text, request.stream_id)
            except RequestError as exc:
                results[request.stream_id] = self._unreadable(request, str(exc))
                continue
            except Exception as exc:
                reason = f"{type(exc).__name__}: {error_text(exc)}"
                results[request.stream_id] = self._unreadable(request, reason)
                continue
            if request.age > self._lifetime(trigger):
                results[request.stream_id] = self._missed(request, trigger)
            elif not self._backoff.is_waiting(request.stream_id):
                readable[request.stream_id] = trigger
        names = list({trigger.name for trigger in readable.values()})
        # One command to Redis for all records, and none if there is no readable request.
        records = dict(zip(names, self._store.records(names), strict=True)) if names else {}
        counted_names: set[str] = set()
        for request in requests:
            valid = readable.get(request.stream_id)
            if valid is None:
                continue
            if valid.count_run:
                if valid.name in counted_names:
                    # Its run number depends on the request before, which is not yet committed:
                    # the next claim includes it.
                    continue
                counted_names.add(valid.name)
            try:
                run = self._run(request, valid, records[valid.name])
            except Exception as exc:
                # An `Entry` class or schedule of the app may raise any error.
                reason = f"the run could not be made: {type(exc).__name__}: {error_text(exc)}"
                run = self._failed(request, valid, reason)
            results[request.stream_id] = run
        return [results[request.stream_id] for request in requests if request.stream_id in results]

    def _run(
        self, request: ClaimedTrigger, trigger: Trigger, record: EntryRecord
    ) -> PendingRun | CommitStep:
        if record.fault == MISSING:
            gone = record.score is None
            reason = "the entry is gone" if gone else f"the entry is invalid: {record.fault}"
            return self._failed(request, trigger, reason)
        context = self._context
        try:
            entry = context.entry_class.from_record(record, context.app)
            policy = self._loader.policy_of(record)
        except DecodeError as exc:
            return self._failed(request, trigger, f"the entry is invalid: {exc}")
        except Exception as exc:
            # An `Entry` class of the app may raise any error. The request is not retried: the
            # actor can request the run again.
            reason = f"the entry could not be read: {type(exc).__name__}: {exc}"
            return self._failed(request, trigger, reason)
        if trigger.args is not None:
            entry.args = list(trigger.args)
        if trigger.kwargs is not None:
            entry.kwargs = dict(trigger.kwargs)
        if trigger.queue is not None:
            options = {k: v for k, v in entry.options.items() if k not in _ROUTING_OPTIONS}
            entry.options = {**options, **straight_to(context.app, trigger.queue)}
        step = CommitStep(request=request, seen=record)
        if trigger.count_run:
            step = self._count_run(step, entry, policy)
        return PendingRun(trigger.name, entry, trigger.id, request.at, step, trigger_id=trigger.id)

    def _count_run(self, step: CommitStep, entry: Any, policy: Policy) -> CommitStep:
        """Return *step* with a meta in which the run counts as the entry's last one.

        The next run of the entry does not move.
        """
        meta = encode_meta(
            {"last_run_at": entry.default_now(), "total_run_count": entry.total_run_count + 1}
        )
        step = replace(step, meta=meta)
        record = step.seen
        assert record is not None
        if record.score is None or record.score < 0 or score_is_ours(record):
            return step
        # Another program wrote the score, and the plan of that run derives its due time from the
        # last run. The last run changes here, so derive the due time before and store it.
        due = first_due(
            entry.schedule, entry.last_run_at, datetime.fromtimestamp(record.score, UTC)
        )
        return step if due is None else replace(step, score=due.timestamp())

    def _lifetime(self, trigger: Trigger) -> float:
        if trigger.expires is not None:
            return trigger.expires
        return self._context.config.trigger_expires

    # Steps that end a request without a run

    def _unreadable(self, request: ClaimedTrigger, reason: str) -> CommitStep:
        name, id_ = subject_of(request.text)
        reason = f"the request cannot be read: {reason}"
        data = events.run_failed(request.at, reason, id_ or request.stream_id)
        return self._end(request, events.RUN_FAILED, name, data)

    def _failed(self, request: ClaimedTrigger, trigger: Trigger, reason: str) -> CommitStep:
        data = events.run_failed(request.at, reason, trigger.id)
        return self._end(request, events.RUN_FAILED, trigger.name, data)

    def _missed(self, request: ClaimedTrigger, trigger: Trigger) -> CommitStep:
        lifetime = self._lifetime(trigger)
        reason = f"no scheduler took the request within {lifetime:g} s"
        if self._backoff.has_failed(request.stream_id):
            reason = f"the run could not be published within {lifetime:g} s of the request"
        data = events.runs_not_made(request.at, request.at, 1, reason, trigger.id)
        return self._end(request, events.RUN_MISSED, trigger.name, data)

    def _end(
        self, request: ClaimedTrigger, type_: str, name: str, data: dict[str, Any]
    ) -> CommitStep:
        return CommitStep(request=request, events=[self._store.event(type_, name, data)])
