"""What a schedule typed as text means: in words, with its next runs, or what is wrong with it.

Pure, but it may take long: call it from a thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from celery import Celery
from celery.schedules import BaseSchedule

from redbeat_core.entries.record import EntryRecord, json_object
from redbeat_core.entries.view import EntryView, decode_record
from redbeat_core.planning.after_edit import upcoming
from redbeat_core.schedules import (
    DstPolicy,
    Outlook,
    ScheduleError,
    format_schedule,
    outlook,
    outlook_of,
    parse_schedule,
)
from redbeat_core.schedules.recurrence.zones import DEFAULT_DST
from redbeat_core.schedules.text.english import duration

#: Put in place of a schedule that cannot be read, to see whether the rest can.
_ANY_SCHEDULE = {"__type__": "interval", "every": 60.0, "relative": False}
#: Next runs that are shown before a schedule is saved.
RUNS = 5
#: Seconds that working them out may take while somebody waits for them.
BUDGET = 2.0


@dataclass(frozen=True, slots=True)
class Preview:
    """The meaning of *text*.

    :ivar schedule: None when the text is no schedule.
    :ivar words: the schedule in plain English.
    :ivar runs: the next runs (UTC).
    :ivar pace: how far they are apart, in words; empty: there are fewer than two.
    :ivar complete: there are so many, or no more; False: the others were not found in time.
    :ivar error: what is wrong, in words; empty: nothing is.
    :ivar column: where in the text, from 0; None: nowhere in particular.
    """

    text: str
    schedule: BaseSchedule | None = None
    words: str = ""
    runs: tuple[datetime, ...] = ()
    pace: str = ""
    complete: bool = True
    error: str = ""
    column: int | None = None


def preview(
    text: str,
    app: Celery,
    last_run_at: datetime | None,
    now: datetime,
    dst: DstPolicy = DEFAULT_DST,
) -> Preview:
    """Read *text* as a schedule. Never raises.

    :param app: gives the time zone.
    :param last_run_at: of the entry that gets the schedule; intervals go on from it.
    :param dst: that entry's policy for changes of the clock.
    """
    if not text.strip():
        return Preview(text, error="Type a schedule, for example: every 30s", column=0)
    try:
        schedule = parse_schedule(text, app.timezone, now=now)
    except ScheduleError as exc:
        return Preview(text, error=str(exc), column=exc.column)
    schedule.app = app
    try:
        found = outlook(schedule, now, RUNS, BUDGET, anchor=last_run_at, dst=dst)
    except Exception as exc:
        # Arithmetic at the edges of what a date can be; to the person it is one more wrong text.
        return Preview(text, error=f"this schedule cannot be computed: {exc}")
    error = ""
    if found.complete and not found.times:
        error = "this schedule never runs: no date from now on matches it"
    words = found.words or text
    return Preview(text, schedule, words, found.times, pace(found), found.complete, error)


def pace(found: Outlook) -> str:
    """How far the runs are apart: ``every 23 hours 30 minutes on average``; empty for one."""
    gap = found.average_gap
    if gap is None:
        return ""
    # In two units or so: what follows says nothing.
    unit = next((unit for least, unit in _UNITS if gap > least), gap)
    return f"every {duration(round(gap / unit) * unit)} on average"


_UNITS = (
    (timedelta(days=100), timedelta(hours=1)),
    (timedelta(days=1), timedelta(minutes=1)),
    (timedelta(minutes=1), timedelta(seconds=1)),
    (timedelta(seconds=1), timedelta(milliseconds=1)),
)


def next_runs(record: EntryRecord, view: EntryView, now: datetime) -> Outlook:
    """When the next runs will be made, as far as the policy allows any; none when the scheduler
    makes none."""
    if view.schedule is None or view.error or view.pause or not view.enabled:
        return Outlook("", (), None, complete=True)
    runs = upcoming(record, view.schedule, view.total_run_count, view.policy, now)
    return outlook_of(view.schedule, runs, RUNS, BUDGET)


def repairable(record: EntryRecord) -> bool:
    """Whether *record* is an entry that runs once it is given a schedule that can be read."""
    if record.fault:
        return False
    loose = {**json_object(record.definition), "schedule": _ANY_SCHEDULE}
    return decode_record(replace(record, definition=json.dumps(loose))).error is None


def schedule_text(schedule: BaseSchedule | None) -> str:
    """*schedule* as text that can be edited; empty when there is no such text."""
    if schedule is None:
        return ""
    try:
        return format_schedule(schedule)
    except (ValueError, TypeError):
        return ""
