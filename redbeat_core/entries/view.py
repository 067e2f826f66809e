"""One entry as it reads, decoded (:class:`EntryView`).

Pure. :func:`decode_record` turns a record into a view whose ``error`` says why the scheduler cannot
run the entry, instead of raising.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redbeat_core.schedules.text.legacy_rrules import ScheduleWarning, warnings_of
from redbeat_core.schedules.types.count_progress import restore_progress
from redbeat_core.schedules.types.rrule import rrule

from .codec import DecodeError, decode_meta
from .policy import PLAIN, Policy, decode_policy
from .record import EntryRecord, bind, definition_of, json_object

if TYPE_CHECKING:
    from celery import Celery
    from celery.schedules import BaseSchedule


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause.

    :ivar by: who, as ``user@host``.
    :ivar at: when (UTC).
    :ivar note: why, in the operator's words.
    """

    by: str
    at: datetime | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last run of an entry went, as its worker reported it.

    :ivar status: ``started``, ``succeeded``, ``errored``, ``retried`` or ``revoked``.
    :ivar at: when that was (UTC).
    :ivar task_id: the Celery task id.
    :ivar runtime: seconds, where known.
    :ivar error: the exception in a line, where there was one.
    :ivar worker: the worker's node name.
    """

    status: str
    at: datetime | None
    task_id: str = ""
    runtime: float | None = None
    error: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many nominal times of an entry got no run.

    :ivar missed: too late, or stood for by another run.
    :ivar skipped: on purpose.
    """

    missed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry, decoded.

    :ivar error: why the entry cannot run; the other fields then hold what could be read.
    :ivar next_run_at: the next due time (UTC), None when not scheduled.
    :ivar schedule: a Celery schedule, None when unreadable.
    :ivar warnings: what celery-redbeat may have lost of the schedule; known only with an app.
    :ivar policy: its own, on top of the defaults without settings.
    """

    name: str
    version: str
    task: str = ""
    schedule: BaseSchedule | None = None
    args: Any = None
    kwargs: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    last_run_at: datetime | None = None
    total_run_count: int = 0
    next_run_at: datetime | None = None
    pause: Pause | None = None
    override: Mapping[str, Any] | None = None
    outcome: Outcome | None = None
    error: str | None = None
    definition: str | None = None
    policy: Policy = PLAIN
    counts: Counts = Counts()
    warnings: tuple[ScheduleWarning, ...] = ()

    @property
    def finished(self) -> bool:
        """Enabled and readable, but with no run to come."""
        return self.enabled and self.error is None and self.next_run_at is None


def decode_record(
    record: EntryRecord, app: Celery | None = None, now: datetime | None = None
) -> EntryView:
    """Decode *record*. Never raises for what is in it: ``error`` holds the reason.

    :param app: gives crontabs their time zone; without one Celery's current app does.
    :param now: for ``warnings``; None: the time it is.
    """
    state = json_object(record.state)
    common: dict[str, Any] = {
        "name": record.name,
        "version": record.version,
        "definition": record.definition,
        "pause": _pause(state.get("paused")),
        "override": state.get("override") if isinstance(state.get("override"), dict) else None,
        "outcome": _outcome(json_object(record.outcome)),
        "next_run_at": from_score(record.score),
        "counts": counts_of(record),
    }
    try:
        definition = definition_of(record)
        common["policy"] = decode_policy(record.policy)
    except DecodeError as exc:
        loose = json_object(record.definition)
        task, enabled = loose.get("task"), loose.get("enabled", True)
        return EntryView(
            **common,
            task=task if isinstance(task, str) else "",
            enabled=enabled is not False,
            error=str(exc),
        )
    common |= {
        "task": definition["task"],
        "schedule": definition["schedule"],
        "args": definition.get("args"),
        "kwargs": definition.get("kwargs"),
        "options": definition.get("options") or {},
        "enabled": definition.get("enabled", True),
    }
    if app is not None:
        bind(common["schedule"], app)
        restore_progress(common["schedule"], record.progress)
        if isinstance(common["schedule"], rrule):
            moment = datetime.now(UTC) if now is None else now
            common["warnings"] = warnings_of(
                common["schedule"], app.timezone, moment, zone=record.zone
            )
    try:
        meta = decode_meta(record.meta)
    except DecodeError as exc:
        return EntryView(**common, error=str(exc))
    return EntryView(
        **common,
        last_run_at=meta["last_run_at"],
        total_run_count=meta["total_run_count"],
    )


def counts_of(record: EntryRecord) -> Counts:
    """How many nominal times got no run so far; none of a kind that cannot be read."""
    known = json_object(record.counts)
    found = (known.get(kind) for kind in ("missed", "skipped"))
    return Counts(*(one if type(one) is int and 0 <= one < 2**63 else 0 for one in found))


def from_score(score: float | None) -> datetime | None:
    """A sorted-set score as a UTC time; None for 'not scheduled' and for what no clock shows."""
    if score is None or score < 0:
        return None
    try:
        return datetime.fromtimestamp(score, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _moment(value: object) -> datetime | None:
    return from_score(_number(value))


def _number(value: object) -> float | None:
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has integers of any size
        return None


def _pause(value: object) -> Pause | None:
    if not isinstance(value, dict):
        return None
    return Pause(str(value.get("by", "")), _moment(value.get("at")), str(value.get("note") or ""))


def _outcome(value: dict[str, Any]) -> Outcome | None:
    if not isinstance(value.get("status"), str):
        return None
    return Outcome(
        status=value["status"],
        at=_moment(value.get("at")),
        task_id=str(value.get("task_id", "")),
        runtime=_number(value.get("runtime")),
        error=str(value.get("error") or ""),
        worker=str(value.get("worker") or ""),
    )
