"""A length of time, typed as text. Pure."""

from __future__ import annotations

from typing import Any

from celery.schedules import schedule

from redbeat_core.schedules import parse_schedule
from redbeat_core.schedules.text.tokens import ScheduleError


def seconds_of(text: str) -> float:
    """Seconds of ``5m``, ``1h30m``, ``90``.

    :raises ScheduleError: it is no length of time.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        every: Any = parse_schedule(f"every {text}")
    except ScheduleError:
        every = None
    # Nothing but a length: no start, and not by the clock.
    if type(every) is not schedule or every.relative:
        raise ScheduleError("write a length of time as in 90s, 5m, 1h30m, 2 days")
    return float(every.run_every.total_seconds())
