"""PendingRun: a run to make, the id of its task, its commit step and its events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha1
from typing import Any
from uuid import NAMESPACE_URL

from redbeat_core import events
from redbeat_core.broker.delivery import PublishResult
from redbeat_core.entries.codec import encode_meta
from redbeat_core.planning.plan import Plan
from redbeat_core.storage.commit_steps import CommitStep
from redbeat_core.storage.schedule_store import ScheduleStore

from .due_entry import DueEntry

_URLS = NAMESPACE_URL.bytes


def task_id_of(key: str, origin: str) -> str:
    """The id of the run of the entry at *key* for *origin*, a nominal time or a trigger's id.

    The same run always gets the same id, so that a message sent twice can be recognised.
    """
    # uuid5() in URL's namespace, in half of its time.
    text = sha1(_URLS + f"redbeat:{key}#{origin}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


@dataclass(frozen=True, slots=True)
class PendingRun:
    """One message to publish, and the step to commit with it.

    :ivar origin: what makes the task id, with the key: the nominal time, or the trigger's id.
    :ivar nominal: Unix seconds.
    :ivar due: the entry that is due; None for a run on request.
    :ivar plan: the decision for the due entry; None for a run on request.
    :ivar trigger_id: the id of the run-now request; None for a run by schedule.
    """

    name: str
    entry: Any
    origin: str
    nominal: float
    step: CommitStep
    due: DueEntry | None = None
    plan: Plan | None = None
    trigger_id: str | None = None

    @property
    def waiting_key(self) -> str:
        """The name under which the run waits for a retry: a request by itself, an entry by its
        name."""
        return self.step.request.stream_id if self.step.request else self.name

    @property
    def identity(self) -> tuple[str, str]:
        """Tells this run from the entry's other runs, however often it is claimed."""
        if self.due is not None:
            return self.name, repr(self.due.record.score)
        return self.waiting_key, self.origin

    def dispatched(self, store: ScheduleStore, task_id: str) -> dict[str, Any]:
        """The data of the event of this run, once it was published."""
        return events.run_dispatched(
            self.nominal,
            task_id,
            round(max(store.clock() - self.nominal, 0.0), 6),
            trigger=self.trigger_id,
            missed=self.plan.missed if self.plan is not None else 0,
        )


def no_run_events(store: ScheduleStore, step: CommitStep, plan: Plan) -> list[str]:
    """The events of an entry that was due and makes no run."""
    assert step.due is not None
    name = step.due.name
    pairs = _not_made(plan)
    if plan.finished:
        pairs.append((events.ENTRY_FINISHED, {}))
    elif not pairs:
        pairs.append((events.ENTRY_UPDATED, {}))
    # The first says how the entry is now.
    pairs[0] = (pairs[0][0], {**pairs[0][1], **_state_after(step)})
    return [store.event(type_, name, data) for type_, data in pairs]


def commit_step(store: ScheduleStore, run: PendingRun, result: PublishResult) -> CommitStep:
    """The step that commits *run* after it was published, with its events."""
    data = run.dispatched(store, result.task_id)
    if run.plan is None:
        data |= _state_after_request(run.step)
        texts = [store.event(events.RUN_DISPATCHED, run.name, data)]
        return replace(run.step, commands=result.commands, events=texts)
    entry = run.entry
    meta = encode_meta(
        {
            "last_run_at": entry.default_now(),
            "total_run_count": entry.total_run_count + 1,
        }
    )
    data |= _state_after(run.step, meta=meta)
    texts = [store.event(events.RUN_DISPATCHED, run.name, data)]
    texts += [store.event(type_, run.name, missed) for type_, missed in _not_made(run.plan)]
    if run.plan.finished:
        texts.append(store.event(events.ENTRY_FINISHED, run.name, {}))
    return replace(run.step, meta=meta, commands=result.commands, events=texts)


def changed_event(store: ScheduleStore, run: PendingRun, result: PublishResult) -> CommitStep:
    """Event for a message that was published although its entry changed before the commit; the
    entry is not advanced."""
    data = run.dispatched(store, result.task_id) | {"missed": 0, "changed": True}
    return CommitStep(events=[store.event(events.RUN_DISPATCHED, run.name, data)])


def failure_event(
    store: ScheduleStore, run: PendingRun, reason: str, retry_in: float | None = None
) -> str:
    """The event of a run that could not be published.

    :param retry_in: seconds until the next attempt; None: there is none.
    """
    data = events.run_failed(run.nominal, reason, run.trigger_id, retry_in=retry_in)
    return store.event(events.RUN_FAILED, run.name, data)


def _state_after(step: CommitStep, **fields: str) -> dict[str, Any]:
    """Describe the entry after *step*, for readers of the event."""
    fields["due"] = step.due_field or repr(step.score)
    if step.counts:
        fields["counts"] = step.counts
    if step.progress:
        fields["progress"] = step.progress
    return events.entry_state(fields, step.score)


def _state_after_request(step: CommitStep) -> dict[str, Any]:
    """Describe the entry after a run on request that counts as its last one, for readers of the
    event.
    """
    if step.seen is None or step.meta is None:
        return {}
    if step.score < 0:
        return events.entry_state({"meta": step.meta}, step.seen.score)
    return events.entry_state({"meta": step.meta, "due": repr(step.score)}, step.score)


def _not_made(plan: Plan) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of the events for the nominal times that get no run."""
    pairs: list[tuple[str, dict[str, Any]]] = []
    for gap in plan.gaps:
        data = events.runs_not_made(
            gap.first.timestamp(), gap.last.timestamp(), gap.count, gap.reason
        )
        if gap.more:
            data["more"] = True
        pairs.append((events.RUN_SKIPPED if gap.skipped else events.RUN_MISSED, data))
    return pairs
