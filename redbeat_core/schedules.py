"""The schedules of entries: their types, when they run, and their text for people.

Intervals and crontabs are Celery's own classes; ``rrule`` is drop-in for celery-redbeat's; the
others are ours: ``zoned_crontab``, ``rrule_set``, ``once``, ``anchored_interval``, and ``solar``
in Celery's place, which needs ``redbeat-tui[solar]``.
This module is where users import from; what it names lives in a file per subject.
"""

from __future__ import annotations

from celery.schedules import BaseSchedule, crontab, schedstate, schedule
from dateutil.rrule import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY

from .describing import describe
from .looking_back import between, previous_occurrence
from .occurring import Occurring
from .old_rules import ScheduleWarning, warnings_of
from .once import anchored_interval, once
from .outlook import ClockEffect, Outlook, clock_effects, outlook, outlook_of
from .parsing import ScheduleError, format_schedule, parse_schedule
from .recurrence import Advance, advance, never_runs, next_occurrence, occurrences
from .rule_sets import rrule_set
from .rules import rrule
from .sun import solar
from .zoned_crontab import zoned_crontab
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
    "ClockEffect",
    "DstPolicy",
    "Occurring",
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
