"""What to do with an entry that is due: decided from what was read, with the clock passed in.
Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import crontab, schedule

from .record import EntryRecord
from .schedules import advance, next_occurrence, rrule


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision for one due entry.

    :ivar nominal: the time of the run to make (UTC); None: make none.
    :ivar next: when it is due next (UTC); None: not scheduled any more.
    :ivar missed: how many later nominal times this one run stands for, or, without a run, how
        many are given up.
    :ivar finished: there will never be another run.
    :ivar reason: why no run is made; empty where that is nothing to report.
    """

    nominal: datetime | None
    next: datetime | None
    missed: int = 0
    finished: bool = False
    reason: str = ""


def score_is_ours(record: EntryRecord) -> bool:
    """Whether this project wrote the entry's score, so that it is a nominal time."""
    try:
        return record.due is not None and float(record.due) == record.score
    except ValueError:
        return False


def plan(
    record: EntryRecord,
    definition: dict[str, Any],
    last_run_at: datetime | None,
    now: datetime,
    deadline: float | None = None,
) -> Plan:
    """Decide about an entry whose score has come.

    A score that celery-redbeat wrote may be too early (it puts 'now' for what is overdue or
    never ran, and asks the schedule again when it gets there), so it is checked against the
    schedule; ours is the nominal time.

    :param now: UTC.
    :param deadline: ``beat_cron_starting_deadline``, seconds.
    """
    if not definition.get("enabled", True):
        return Plan(None, None)
    timing = definition["schedule"]
    nominal = datetime.fromtimestamp(max(record.score or 0.0, 0.0), UTC)
    if not score_is_ours(record):
        first = first_due(timing, last_run_at, nominal)
        if first is None:
            return Plan(None, None, finished=True)
        if first > now:
            return Plan(None, first)
        nominal = first
    ahead = advance(timing, nominal, now)
    if deadline is not None and isinstance(timing, crontab):
        since = next_occurrence(timing, now - timedelta(seconds=deadline, microseconds=1))
        if since is None or since > now:
            return Plan(
                None,
                ahead.next,
                missed=ahead.missed + 1,
                finished=ahead.next is None,
                reason=f"later than beat_cron_starting_deadline ({deadline:g} s)",
            )
    return Plan(nominal, ahead.next, missed=ahead.missed, finished=ahead.next is None)


def first_due(timing: Any, last_run_at: datetime | None, asked: datetime) -> datetime | None:
    """When an entry is due of which only the schedule and the last run are known.

    :param asked: the time to take where these leave it open: for an entry that never ran.
    """
    if last_run_at is not None:
        return next_occurrence(timing, last_run_at)
    if isinstance(timing, rrule):
        # Never ran: not before its first occurrence.
        start = timing.recurrence.dtstart.astimezone(UTC)
        first = next_occurrence(timing, start - timedelta(microseconds=1))
        return None if first is None else max(first, asked)
    return asked


def next_after_edit(timing: Any, last_run_at: datetime | None, now: datetime) -> datetime | None:
    """When an entry runs first after its schedule was changed at *now*.

    Never at once: an interval goes on counting from the last run, the others take their first
    occurrence from now on.
    """
    if type(timing) is schedule and last_run_at is not None and last_run_at <= now:
        return advance(timing, last_run_at, now).next
    return next_occurrence(timing, now)
