"""The decoded form of one entry (:class:`EntryView`).

Pure. :func:`decode_record` decodes a record to a view. For an invalid entry it does not raise, but
sets the view's ``error`` to the reason.
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

    :ivar by: the operator, as ``user@host``.
    :ivar at: the time of the pause (UTC).
    :ivar note: the reason that the operator gave.
    """

    by: str
    at: datetime | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an entry's last run, as its worker reported it.

    :ivar status: ``started``, ``succeeded``, ``errored``, ``retried`` or ``revoked``.
    :ivar at: the time of this status (UTC).
    :ivar task_id: the Celery task id.
    :ivar runtime: seconds; None: the worker did not report it.
    :ivar error: the exception on one line; empty without one.
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
    """The number of an entry's nominal times without a run.

    :ivar missed: nominal times that were too late, or that one later run replaced.
    :ivar skipped: nominal times that the scheduler skipped on purpose.
    """

    missed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry, decoded.

    :ivar error: the reason why the entry cannot run; the other fields then have what was readable.
    :ivar next_run_at: the next due time (UTC); None: not scheduled.
    :ivar schedule: a Celery schedule; None: the definition is invalid.
    :ivar warnings: the parts of the schedule that celery-redbeat may have lost; empty if
        :func:`decode_record` got no app.
    :ivar policy: the entry's own policy over the built-in defaults, without the settings.
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
        """Whether the entry is enabled and valid, but has no next run."""
        return self.enabled and self.error is None and self.next_run_at is None


def decode_record(
    record: EntryRecord, app: Celery | None = None, now: datetime | None = None
) -> EntryView:
    """Decode *record*; for an invalid record, set the view's ``error`` instead of raising.

    :param app: gives crontabs their time zone; None: Celery's current app does.
    :param now: the time for ``warnings``; None: the current time.
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
        invalid = json_object(record.definition)
        task = invalid.get("task")
        enabled = invalid.get("enabled", True)
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
            at = datetime.now(UTC) if now is None else now
            common["warnings"] = warnings_of(common["schedule"], app.timezone, at, record.zone)
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
    """Return the number of nominal times without a run; 0 for a number that is invalid."""
    counts = json_object(record.counts)
    return Counts(_count(counts.get("missed")), _count(counts.get("skipped")))


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**63 else 0


def from_score(score: float | None) -> datetime | None:
    """Return a sorted-set score as a UTC time; None: not scheduled, or outside the calendar."""
    if score is None or score < 0:
        return None
    try:
        return datetime.fromtimestamp(score, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _time(value: object) -> datetime | None:
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
    return Pause(str(value.get("by", "")), _time(value.get("at")), str(value.get("note") or ""))


def _outcome(value: dict[str, Any]) -> Outcome | None:
    if not isinstance(value.get("status"), str):
        return None
    return Outcome(
        status=value["status"],
        at=_time(value.get("at")),
        task_id=str(value.get("task_id", "")),
        runtime=_number(value.get("runtime")),
        error=str(value.get("error") or ""),
        worker=str(value.get("worker") or ""),
    )
