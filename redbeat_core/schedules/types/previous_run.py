"""Finds the last run of a schedule before an instant, and the runs between two instants.

Pure. The search asks for the next run after earlier and earlier instants, then bisects: the answer
is the same for every instant between two runs. So it works for every type of schedule and every
DST policy. The growing steps are those of Bentley and Yao, "An almost optimal algorithm for
unbounded searching", 1976.
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

#: A schedule without a start of its own repeats within 400 years, so an earlier search is useless.
_CYCLE = timedelta(days=146_097)
_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)


def previous_occurrence(
    schedule: BaseSchedule, before: datetime, dst: DstPolicy = DEFAULT_DST
) -> datetime | None:
    """Return the last run strictly before *before* (aware), in UTC; None when there is none.

    For an interval the result is *before* minus the interval: pass the nominal time of a run.

    :param dst: applies to schedules on local time (crontabs, rules and sets).
    :raises ValueError: each run of the schedule depends on the run before it (a ``relative``
        interval or a custom type), or *before* has no time zone.
    """
    if before.utcoffset() is None:
        raise ValueError(f"{before} has no time zone")
    before = before.astimezone(UTC)
    every = fixed_interval(schedule)
    if every is not None:
        return before - every if before - _EARLIEST > every else None
    run = _last(schedule, _start(schedule, before), before, dst)
    if isinstance(schedule, rrule_set):
        while run is not None and schedule.takes_away(run, dst):
            # The forward search gave up at this excluded occurrence: it is not a run.
            run = _last(schedule, _start(schedule, before), run, dst)
    return run


def between(
    schedule: BaseSchedule, after: datetime, before: datetime, dst: DstPolicy = DEFAULT_DST
) -> Iterator[datetime]:
    """Yield the runs strictly between *after* and *before* (both aware), in UTC, ascending.

    The runs of an interval are counted from *after*: pass the nominal time of a run.

    :raises ValueError: *after* has no time zone.
    """
    return takewhile(lambda run: run < before, runs_after(schedule, after, dst))


def _start(schedule: BaseSchedule, before: datetime) -> datetime:
    """Return an instant before the first run that the search must consider."""
    rule = schedule if isinstance(schedule, OccurrenceSchedule) else adopted(schedule)
    if rule is not None and rule.earliest is not None:
        return rule.earliest - TICK
    if not isinstance(schedule, OccurrenceSchedule | crontab | solar):
        kind = type(schedule).__name__
        raise ValueError(
            f"each run of a {kind} depends on the run before it: earlier runs cannot be computed"
        )
    return before - _CYCLE if before - _EARLIEST > _CYCLE else _EARLIEST


def _last(
    schedule: BaseSchedule, start: datetime, before: datetime, dst: DstPolicy
) -> datetime | None:
    """Return the last run after *start* and before *before*; None when there is none."""

    def run_from(instant: datetime) -> datetime | None:
        """Return the run after *instant* if it is before *before*."""
        run = next_look(schedule, instant, dst)
        return run if run is not None and run < before else None

    low = run_from(start)
    if low is None:
        return None
    high = before
    step = timedelta(seconds=1)
    while high - low > step:
        run = run_from(before - step)
        if run is not None:
            low = run
            break
        high = before - step
        step *= 4
    # Here `low` is a run, and there is no run after `high`.
    while (run := run_from(low)) is not None:
        low = run
        middle = low + (high - low) / 2
        run = run_from(middle) if low < high else None
        if run is None:
            high = middle
        else:
            low = run
    return low
