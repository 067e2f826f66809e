"""What a schedule typed as text means: in words, with its next runs, or what is wrong with it.

Pure, but it may take long: call it from a thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime

from celery import Celery
from celery.schedules import BaseSchedule

from redbeat_core.record import EntryRecord, EntryView, decode_record, json_object
from redbeat_core.rescheduling import upcoming
from redbeat_core.schedules import (
    DstPolicy,
    ScheduleError,
    describe,
    format_schedule,
    occurrences,
    parse_schedule,
)
from redbeat_core.zones import DEFAULT_DST

#: Put in place of a schedule that cannot be read, to see whether the rest can.
_ANY_SCHEDULE = {"__type__": "interval", "every": 60.0, "relative": False}
#: Next runs that are shown before a schedule is saved.
RUNS = 5


@dataclass(frozen=True, slots=True)
class Preview:
    """The meaning of *text*.

    :ivar schedule: None when the text is no schedule.
    :ivar words: the schedule in plain English.
    :ivar runs: the next runs (UTC); empty: it never runs.
    :ivar error: what is wrong, in words; empty: nothing is.
    :ivar column: where in the text, from 0; None: nowhere in particular.
    """

    text: str
    schedule: BaseSchedule | None = None
    words: str = ""
    runs: tuple[datetime, ...] = ()
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
        schedule = parse_schedule(text, app.timezone)
    except ScheduleError as exc:
        return Preview(text, error=str(exc), column=exc.column)
    schedule.app = app
    try:
        runs = tuple(occurrences(schedule, anchor=last_run_at, now=now, count=RUNS, dst=dst))
        words = describe(schedule)
    except Exception as exc:
        # Arithmetic at the edges of what a date can be; to the person it is one more wrong text.
        return Preview(text, error=f"this schedule cannot be computed: {exc}")
    if not runs:
        error = "this schedule never runs: no date from now on matches it"
        return Preview(text, schedule, words, (), error)
    return Preview(text, schedule, words, runs)


def next_runs(record: EntryRecord, view: EntryView, now: datetime) -> tuple[datetime, ...]:
    """When the next runs (UTC) will be made, as far as the policy allows any; empty when the
    scheduler makes none."""
    if view.schedule is None or view.error or view.pause or not view.enabled:
        return ()
    runs = view.total_run_count
    return tuple(upcoming(record, view.schedule, runs, view.policy, now, RUNS))


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
