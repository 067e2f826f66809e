"""Follows a run that an operator asked for, from the request to its end, by its events. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from redbeat_core.entries.record import json_object
from redbeat_core.events import (
    RUN_DISPATCHED,
    RUN_ERRORED,
    RUN_FAILED,
    RUN_MISSED,
    RUN_REQUESTED,
    RUN_RETRIED,
    RUN_REVOKED,
    RUN_SKIPPED,
    RUN_STARTED,
    RUN_SUCCEEDED,
    Event,
)

#: Requests that are remembered: an event may come before the answer to the request does.
_KEPT = 200

REQUESTED = "requested"
DISPATCHED = "dispatched"
RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"

_STAGES = {
    RUN_REQUESTED: REQUESTED,
    RUN_DISPATCHED: DISPATCHED,
    RUN_STARTED: RUNNING,
    RUN_RETRIED: RUNNING,
    RUN_SUCCEEDED: SUCCEEDED,
    RUN_ERRORED: FAILED,
    RUN_FAILED: FAILED,
    RUN_MISSED: FAILED,
    RUN_SKIPPED: FAILED,
    RUN_REVOKED: FAILED,
}
_ORDER = (REQUESTED, DISPATCHED, RUNNING, SUCCEEDED, FAILED)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was asked for. Its texts are as Redis holds them: sanitize before drawing.

    :ivar stage: ``requested``, ``dispatched``, ``running``, ``succeeded`` or ``failed``.
    :ivar at: when it came to that stage, Unix seconds by the clock of who said so.
    :ivar detail: the reason of a failure, the runtime of a success.
    """

    trigger: str
    name: str
    stage: str = REQUESTED
    at: float = 0.0
    task_id: str = ""
    detail: str = ""

    @property
    def ended(self) -> bool:
        """Nothing more will be heard of it."""
        return self.stage in (SUCCEEDED, FAILED)


class TriggerFollower:
    """The runs that were asked for lately, by their trigger ids."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def run(self, trigger: str) -> Run | None:
        """What is known of the run with this trigger id."""
        return self._runs.get(trigger)

    def request(self, trigger: str, name: str, now: float) -> Run:
        """Remember a request that was accepted."""
        return self._runs.setdefault(trigger, Run(trigger, name, at=now))

    def offer(self, events: Iterable[Event]) -> list[Run]:
        """Take in events; returns the runs that came on."""
        moved: list[Run] = []
        for event in events:
            trigger = event.data.get("trigger")
            stage = _STAGES.get(event.type)
            if not isinstance(trigger, str) or not trigger or stage is None:
                continue
            before = self._runs.get(trigger) or Run(trigger, event.subject)
            if _ORDER.index(stage) < _ORDER.index(before.stage):
                continue
            task_id = event.data.get("task_id")
            after = replace(
                before,
                stage=stage,
                at=event.time.timestamp(),
                task_id=task_id if isinstance(task_id, str) else before.task_id,
                detail=_detail(event, stage),
            )
            self._runs[trigger] = after
            moved.append(after)
        while len(self._runs) > _KEPT:
            self._runs.popitem(last=False)
        return moved


def _detail(event: Event, stage: str) -> str:
    reason = event.data.get("reason")
    if isinstance(reason, str) and reason:
        return reason
    fields = event.data.get("fields")
    text = fields.get("outcome") if isinstance(fields, dict) else None
    outcome = json_object(text if isinstance(text, str) else None)
    if stage == SUCCEEDED:
        runtime = outcome.get("runtime")
        return f"{runtime:.2f} s" if isinstance(runtime, int | float) else ""
    error = outcome.get("error")
    return error if isinstance(error, str) else ""
