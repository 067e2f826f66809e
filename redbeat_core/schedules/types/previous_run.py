"""Computes the runs of a schedule before a time, and between two times.

Pure. The next run is the same from every time between two runs, so bisection finds the last run
before a time by asking for the next run from earlier times (the galloping search is that of Bentley
and Yao, "An almost optimal algorithm for unbounded searching", 1976). This works for every type of
schedule and every policy for clock changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from celery.schedules import BaseSchedule, crontab, solar

from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, TICK, DstPolicy

from .base import OccurrenceSchedule
from .next_run import fixed_interval, next_look, runs_after
from .rrule import adopted
from .rrule_set import rrule_set

#: Before this nothing has run: a schedule without a start of its own comes round within 400 years.
_ROUND = timedelta(days=146_097)
_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)


def previous_occurrence(
    schedule: BaseSchedule, before: datetime, dst: DstPolicy = DEFAULT_DST
) -> datetime | None:
    """Return the last run strictly before *before* (aware), in UTC; None when there is none.

    For an interval that is *before* less the interval: pass the nominal time of a run.

    :param dst: for crontabs, rules and sets, which go by the wall clock.
    :raises ValueError: the runs of the schedule depend on the run before (a ``relative`` interval,
        a custom type), or *before* has no zone.
    """
    if before.utcoffset() is None:
        raise ValueError(f"{before} has no time zone")
    before = before.astimezone(UTC)
    every = fixed_interval(schedule)
    if every is not None:
        return before - every if before - _EARLIEST > every else None
    last = _last(schedule, _start(schedule, before), before, dst)
    if isinstance(schedule, rrule_set):
        while last is not None and schedule.takes_away(last, dst):
            # The search for the next run had got no further than that.
            last = _last(schedule, _start(schedule, before), last, dst)
    return last


def between(
    schedule: BaseSchedule, after: datetime, before: datetime, dst: DstPolicy = DEFAULT_DST
) -> Iterator[datetime]:
    """Yield the runs strictly after *after* and strictly before *before* (both aware), in UTC,
    ascending, each computed when it is asked for.

    Those of an interval are counted from *after*: pass the nominal time of a run.

    :raises ValueError: *after* has no zone.
    """
    return takewhile(lambda run: run < before, runs_after(schedule, after, dst))


def _start(schedule: BaseSchedule, before: datetime) -> datetime:
    """A time before the first run that is of interest."""
    rule = schedule if isinstance(schedule, OccurrenceSchedule) else adopted(schedule)
    if rule is not None and rule.earliest is not None:
        return rule.earliest - TICK
    if not isinstance(schedule, OccurrenceSchedule | crontab | solar):
        kind = type(schedule).__name__
        raise ValueError(f"the runs of a {kind} depend on the run before: there is no telling")
    return before - _ROUND if before - _EARLIEST > _ROUND else _EARLIEST


def _last(
    schedule: BaseSchedule, start: datetime, before: datetime, dst: DstPolicy
) -> datetime | None:
    def run_from(moment: datetime) -> datetime | None:
        """The run after *moment*, if it is before *before*."""
        run = next_look(schedule, moment, dst)
        return run if run is not None and run < before else None

    low = run_from(start)
    if low is None:
        return None
    high, step = before, timedelta(seconds=1)
    while high - low > step:
        run = run_from(before - step)
        if run is not None:
            low = run
            break
        high, step = before - step, step * 4
    # `low` is a run, and after `high` there is none.
    while (run := run_from(low)) is not None:
        low = run
        middle = low + (high - low) / 2
        run = run_from(middle) if low < high else None
        if run is None:
            high = middle
        else:
            low = run
    return low
