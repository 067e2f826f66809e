"""Reads a length of time that was typed as text. Pure."""

from __future__ import annotations

from typing import Any

from celery.schedules import schedule

from redbeat_core.schedules import parse_schedule
from redbeat_core.schedules.text.tokens import ScheduleError


def seconds_of(text: str) -> float:
    """Return the seconds of ``5m``, ``1h30m`` or ``90``.

    :raises ScheduleError: *text* is not a length of time.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        every: Any = parse_schedule(f"every {text}")
    except ScheduleError:
        every = None
    # Only a plain interval is a length: one with a start or aligned to the clock is not.
    if type(every) is not schedule or every.relative:
        raise ScheduleError("write a length of time as in 90s, 5m, 1h30m, 2 days")
    return float(every.run_every.total_seconds())
