"""A run to make, and what is committed and told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha1
from typing import Any
from uuid import NAMESPACE_URL

from redbeat_core import events
from redbeat_core.broker.delivery import PublishResult
from redbeat_core.entries.codec import encode_meta
from redbeat_core.planning.plan import Plan
from redbeat_core.storage.leader_store import CommitStep
from redbeat_core.storage.schedule_store import ScheduleStore

_URLS = NAMESPACE_URL.bytes


def task_id_of(key: str, moment: str) -> str:
    """The id of the run of the entry at *key* for the nominal time (or the trigger) *moment*.

    The same run always gets the same id, so that a message sent twice can be recognised.
    """
    # uuid5() in URL's namespace, in half of its time.
    text = sha1(_URLS + f"redbeat:{key}#{moment}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


@dataclass(frozen=True, slots=True)
class PendingRun:
    """One message to publish and the step to commit with it.

    :ivar moment: what makes the task id, with the key: the nominal time, or the trigger's id.
    :ivar nominal: Unix seconds.
    """

    name: str
    entry: Any
    moment: str
    nominal: float
    step: CommitStep
    plan: Plan | None = None
    request: Mapping[str, Any] | None = None


def moved(store: ScheduleStore, step: CommitStep, planned: Plan) -> list[str]:
    """What to tell of an entry that was due and makes no run."""
    assert step.due is not None
    name = step.due.record.name
    told = _not_run(planned)
    if planned.finished:
        told.append((events.ENTRY_FINISHED, {}))
    elif not told:
        told.append((events.ENTRY_UPDATED, {}))
    # The first says how the entry is now.
    told[0] = (told[0][0], {**told[0][1], **_moved_to(step)})
    return [store.event(type_, name, data) for type_, data in told]


def _moved_to(step: CommitStep, **fields: str) -> dict[str, Any]:
    """What readers need to know of the entry after *step*."""
    fields["due"] = step.mark or repr(step.score)
    if step.counts:
        fields["counts"] = step.counts
    if step.progress:
        fields["progress"] = step.progress
    return {"fields": fields, "score": step.score}


def _not_run(planned: Plan) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of the events for the nominal times that get no run."""
    told: list[tuple[str, dict[str, Any]]] = []
    for gap in planned.gaps:
        data: dict[str, Any] = {
            "nominal": gap.first.timestamp(),
            "last": gap.last.timestamp(),
            "count": gap.count,
            "reason": gap.reason,
            "trigger": None,
        }
        if gap.more:
            data["more"] = True
        told.append((events.RUN_SKIPPED if gap.skipped else events.RUN_MISSED, data))
    return told


def dispatched(nominal: Any, task_id: Any, lateness: Any) -> dict[str, Any]:
    """The data of the event of a run, as they are for one that no gap precedes."""
    return {
        "nominal": nominal,
        "task_id": task_id,
        "trigger": None,
        "lateness": lateness,
        "missed": 0,
    }


def finish(store: ScheduleStore, job: PendingRun, sent: PublishResult) -> CommitStep:
    """The step that commits *job*, with its events."""
    lateness = round(max(store.clock() - job.nominal, 0.0), 6)
    data = dispatched(job.nominal, sent.task_id, lateness)
    if job.plan is None:
        data["trigger"] = job.request["id"] if job.request else None
        data |= _counted(job.step)
        notes = [store.event(events.RUN_DISPATCHED, job.name, data)]
        return replace(job.step, commands=sent.commands, events=notes)
    entry = job.entry
    meta = encode_meta(
        {
            "last_run_at": entry.default_now(),
            "total_run_count": entry.total_run_count + 1,
        }
    )
    data |= _moved_to(job.step, meta=meta)
    data["missed"] = job.plan.missed
    notes = [store.event(events.RUN_DISPATCHED, job.name, data)]
    if job.plan.gaps:
        notes += [store.event(type_, job.name, told) for type_, told in _not_run(job.plan)]
    if job.plan.finished:
        notes.append(store.event(events.ENTRY_FINISHED, job.name, {}))
    return replace(job.step, meta=meta, commands=sent.commands, events=notes)


def changed(store: ScheduleStore, job: PendingRun, sent: PublishResult) -> CommitStep:
    """The note that *job*'s message is out though its entry was changed meanwhile, and is not moved
    on by it."""
    lateness = round(max(store.clock() - job.nominal, 0.0), 6)
    data = dispatched(job.nominal, sent.task_id, lateness)
    data["trigger"] = job.request["id"] if job.request else None
    data["changed"] = True
    return CommitStep(events=[store.event(events.RUN_DISPATCHED, job.name, data)])


def _counted(step: CommitStep) -> dict[str, Any]:
    """What an event tells of an entry that a request's run counts for."""
    if step.seen is None or step.meta is None:
        return {}
    if step.score < 0:
        return {"fields": {"meta": step.meta}, "score": step.seen.score}
    return {"fields": {"meta": step.meta, "due": repr(step.score)}, "score": step.score}


def failure(
    store: ScheduleStore, job: PendingRun, reason: str, retry_in: float | None = None
) -> CommitStep:
    """The note that *job* could not be published."""
    trigger = job.request["id"] if job.request else None
    data = {"nominal": job.nominal, "trigger": trigger, "reason": reason, "retry_in": retry_in}
    return CommitStep(events=[store.event(events.RUN_FAILED, job.name, data)])
