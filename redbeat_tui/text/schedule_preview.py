"""Previews a schedule that was typed as text: its description and next runs, or its error.

Pure, but it may take seconds: call it from a thread.
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

#: Replaces an invalid schedule to check whether the rest of the entry is valid.
_ANY_SCHEDULE = {"__type__": "interval", "every": 60.0, "relative": False}
#: The number of next runs that are shown before a schedule is saved.
RUNS = 5
#: Seconds that computing them may take while an operator waits for them.
BUDGET = 2.0


@dataclass(frozen=True, slots=True)
class Preview:
    """The meaning of *text*.

    :ivar schedule: the parsed schedule; None when the text is not one.
    :ivar words: the description of the schedule in English.
    :ivar runs: the next runs (UTC).
    :ivar pace: the average time between two runs, as text; empty when there are fewer than two.
    :ivar complete: whether *runs* holds as many runs as asked for, or all there are; False when
        the others could not be computed in time.
    :ivar error: why the text is not a usable schedule; empty when it is.
    :ivar column: the column of the error, from 0; None when it has none.
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
    """Parse *text* as a schedule and compute its next runs. Never raises.

    :param app: its time zone applies to the schedule.
    :param last_run_at: the last run of the entry that gets the schedule; intervals continue from
        it.
    :param now: the present (aware).
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
        runs = outlook(schedule, now, RUNS, BUDGET, anchor=last_run_at, dst=dst)
    except Exception as exc:
        # Date arithmetic fails at the limits of datetime; the operator typed an unusable text.
        return Preview(text, error=f"this schedule cannot be computed: {exc}")
    error = ""
    if runs.complete and not runs.times:
        error = "this schedule never runs: no date from now on matches it"
    description = runs.words or text
    return Preview(text, schedule, description, runs.times, pace(runs), runs.complete, error)


def pace(runs: Outlook) -> str:
    """Return the average time between *runs*: ``every 23 hours 30 minutes on average``; empty
    when there are fewer than two."""
    average = runs.average_gap
    if average is None:
        return ""
    # Rounded to about two units: smaller ones have no meaning for an operator.
    unit = next((unit for least, unit in _UNITS if average > least), average)
    return f"every {duration(round(average / unit) * unit)} on average"


_UNITS = (
    (timedelta(days=100), timedelta(hours=1)),
    (timedelta(days=1), timedelta(minutes=1)),
    (timedelta(minutes=1), timedelta(seconds=1)),
    (timedelta(seconds=1), timedelta(milliseconds=1)),
)


def next_runs(record: EntryRecord, view: EntryView, now: datetime) -> Outlook:
    """Return the next runs of an entry that its policy allows; none when it is invalid, paused or
    disabled.

    :param now: the present (aware).
    """
    if view.schedule is None or view.error or view.pause or not view.enabled:
        return Outlook("", (), None, complete=True)
    runs = upcoming(record, view.schedule, view.total_run_count, view.policy, now)
    return outlook_of(view.schedule, runs, RUNS, BUDGET)


def repairable(record: EntryRecord) -> bool:
    """Whether *record* becomes a valid entry when it gets a valid schedule."""
    if record.fault:
        return False
    loose = {**json_object(record.definition), "schedule": _ANY_SCHEDULE}
    return decode_record(replace(record, definition=json.dumps(loose))).error is None


def schedule_text(schedule: BaseSchedule | None) -> str:
    """Return *schedule* as text that can be edited; empty when it has no such text."""
    if schedule is None:
        return ""
    try:
        return format_schedule(schedule)
    except (ValueError, TypeError):
        return ""
