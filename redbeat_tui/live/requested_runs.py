"""Follows each run on request from its trigger to its end, by its events. Pure."""

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

#: Triggers that the follower keeps: an event may come before the answer to the request does.
_KEPT = 200

REQUESTED = "requested"
DISPATCHED = "dispatched"
RUNNING = "running"
RETRYING = "retrying"
SUCCEEDED = "succeeded"
FAILED = "failed"
REVOKED = "revoked"
NOT_PUBLISHED = "not published"
MISSED = "missed"
SKIPPED = "skipped"

_STAGES = {
    RUN_REQUESTED: REQUESTED,
    RUN_DISPATCHED: DISPATCHED,
    RUN_STARTED: RUNNING,
    RUN_RETRIED: RETRYING,
    RUN_SUCCEEDED: SUCCEEDED,
    RUN_ERRORED: FAILED,
    RUN_FAILED: NOT_PUBLISHED,
    RUN_MISSED: MISSED,
    RUN_SKIPPED: SKIPPED,
    RUN_REVOKED: REVOKED,
}
#: Stage -> its rank: a run never goes back to a lower one, so late events change nothing.
_RANKS = {REQUESTED: 0, DISPATCHED: 1, RUNNING: 2, RETRYING: 2, SUCCEEDED: 3}
_WITHOUT_SUCCESS = 4


def _rank(stage: str) -> int:
    return _RANKS.get(stage, _WITHOUT_SUCCESS)


@dataclass(frozen=True, slots=True)
class Run:
    """A run on request. Its texts are as Redis holds them: sanitize before drawing.

    :ivar stage: one of the constants above, by the same words as an entry's status.
    :ivar at: when the run reached that stage, Unix seconds by the clock of the event's emitter.
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
        """Whether the run has ended: no further event about it is expected."""
        return self.stage == SUCCEEDED or self.unsuccessful

    @property
    def unsuccessful(self) -> bool:
        """Whether the run ended without success: failed, revoked, missed, skipped or not
        published."""
        return _rank(self.stage) == _WITHOUT_SUCCESS


class TriggerFollower:
    """The latest runs on request, by their trigger ids."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def run(self, trigger: str) -> Run | None:
        """Return the run with this trigger id; None when no request and no event named it."""
        return self._runs.get(trigger)

    def request(self, trigger: str, name: str, now: float) -> Run:
        """Add the run of a request that Redis accepted.

        :param now: Unix seconds.
        """
        return self._runs.setdefault(trigger, Run(trigger, name, at=now))

    def offer(self, events: Iterable[Event]) -> list[Run]:
        """Apply events, and return the runs that reached another stage."""
        moved: list[Run] = []
        for event in events:
            trigger = event.data.get("trigger")
            stage = _STAGES.get(event.type)
            if not isinstance(trigger, str) or not trigger or stage is None:
                continue
            before = self._runs.get(trigger) or Run(trigger, event.subject)
            if _rank(stage) < _rank(before.stage):
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
