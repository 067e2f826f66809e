"""A run to make, and what is committed and told of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import events
from .claims import Advance
from .decoder import encode_meta
from .dispatch import Sent
from .planning import Plan
from .record import EntryRecord
from .store import ScheduleStore


@dataclass(frozen=True, slots=True)
class Job:
    """One message to publish and the step to commit with it.

    :ivar moment: what makes the task id, with the key: the nominal time, or the trigger's id.
    :ivar nominal: Unix seconds.
    """

    name: str
    entry: Any
    moment: str
    nominal: float
    step: Advance
    plan: Plan | None = None
    request: Mapping[str, Any] | None = None


def moved(store: ScheduleStore, record: EntryRecord, planned: Plan, score: float) -> list[str]:
    """What to tell of an entry that was due and makes no run."""
    type_ = events.ENTRY_UPDATED
    data: dict[str, Any] = {"fields": {"due": repr(score)}, "score": score}
    if planned.finished:
        type_ = events.ENTRY_FINISHED
    elif planned.reason:
        type_ = events.RUN_MISSED
        data |= {"nominal": record.score, "reason": planned.reason, "count": planned.missed}
    return [store.event(type_, record.name, data)]


def finish(store: ScheduleStore, job: Job, sent: Sent) -> Advance:
    """The step that commits *job*, with its events."""
    data: dict[str, Any] = {
        "nominal": job.nominal,
        "task_id": sent.task_id,
        "trigger": None,
        "lateness": round(max(time.time() - job.nominal, 0.0), 6),
        "missed": 0,
    }
    if job.plan is None:
        data["trigger"] = job.request["id"] if job.request else None
        notes = [store.event(events.RUN_DISPATCHED, job.name, data)]
        return replace(job.step, commands=sent.commands, events=notes)
    entry, score = job.entry, job.step.score
    meta = encode_meta(
        {
            "last_run_at": entry.default_now(),
            "total_run_count": entry.total_run_count + 1,
        }
    )
    data |= {"fields": {"meta": meta, "due": repr(score)}, "score": score}
    data["missed"] = job.plan.missed
    notes = [store.event(events.RUN_DISPATCHED, job.name, data)]
    if job.plan.missed:
        missed: dict[str, Any] = {"nominal": job.nominal, "count": job.plan.missed}
        missed["reason"] = "one run stands for all that came due meanwhile"
        notes.append(store.event(events.RUN_MISSED, job.name, missed))
    if job.plan.finished:
        notes.append(store.event(events.ENTRY_FINISHED, job.name, {}))
    return replace(job.step, meta=meta, commands=sent.commands, events=notes)


def failure(store: ScheduleStore, job: Job, reason: str, retry_in: float | None = None) -> Advance:
    """The note that *job* could not be published."""
    trigger = job.request["id"] if job.request else None
    data = {"nominal": job.nominal, "trigger": trigger, "reason": reason, "retry_in": retry_in}
    return Advance(events=[store.event(events.RUN_FAILED, job.name, data)])
