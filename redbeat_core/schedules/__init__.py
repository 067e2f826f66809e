"""The schedules of entries: their types, their run times, and their readable text.

Intervals and crontabs are Celery's own classes, and ``rrule`` is a drop-in for celery-redbeat's.
This project adds ``zoned_crontab``, ``rrule_set``, ``once`` and ``anchored_interval``, and replaces
Celery's ``solar``, which needs ``redbeat-tui[solar]``.
Users import from this module; the modules below it define the names.
"""

from __future__ import annotations

from celery.schedules import BaseSchedule, crontab, schedstate, schedule
from dateutil.rrule import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY

from .recurrence.zones import DstPolicy
from .text.describe import describe
from .text.legacy_rrules import ScheduleWarning, warnings_of
from .text.parse import ScheduleError, format_schedule, parse_schedule
from .text.preview import ClockEffect, Outlook, clock_effects, outlook, outlook_of
from .types.base import OccurrenceSchedule
from .types.next_run import NextRun, advance, never_runs, next_occurrence, occurrences
from .types.once import anchored_interval, once
from .types.previous_run import between, previous_occurrence
from .types.rrule import rrule
from .types.rrule_set import rrule_set
from .types.solar import solar
from .types.zoned_crontab import zoned_crontab

__all__ = [
    "DAILY",
    "HOURLY",
    "MINUTELY",
    "MONTHLY",
    "SECONDLY",
    "WEEKLY",
    "YEARLY",
    "BaseSchedule",
    "ClockEffect",
    "DstPolicy",
    "NextRun",
    "OccurrenceSchedule",
    "Outlook",
    "ScheduleError",
    "ScheduleWarning",
    "advance",
    "anchored_interval",
    "between",
    "clock_effects",
    "crontab",
    "describe",
    "format_schedule",
    "never_runs",
    "next_occurrence",
    "occurrences",
    "once",
    "outlook",
    "outlook_of",
    "parse_schedule",
    "previous_occurrence",
    "rrule",
    "rrule_set",
    "schedstate",
    "schedule",
    "solar",
    "warnings_of",
    "zoned_crontab",
]
