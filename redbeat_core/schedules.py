"""The schedules of entries: their types, when they run, and their text for people.

Intervals and crontabs are Celery's own classes; ``rrule`` is drop-in for celery-redbeat's.
This module is where users import from; what it names lives in a file per subject.
"""

from __future__ import annotations

from celery.schedules import BaseSchedule, crontab, schedstate, schedule
from dateutil.rrule import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY

from .describing import describe
from .parsing import ScheduleError, format_schedule, parse_schedule
from .recurrence import Advance, advance, never_runs, next_occurrence, occurrences
from .rules import rrule
from .zones import DstPolicy

__all__ = [
    "DAILY",
    "HOURLY",
    "MINUTELY",
    "MONTHLY",
    "SECONDLY",
    "WEEKLY",
    "YEARLY",
    "Advance",
    "BaseSchedule",
    "DstPolicy",
    "ScheduleError",
    "advance",
    "crontab",
    "describe",
    "format_schedule",
    "never_runs",
    "next_occurrence",
    "occurrences",
    "parse_schedule",
    "rrule",
    "schedstate",
    "schedule",
]
