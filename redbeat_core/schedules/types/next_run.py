"""Computes the next runs of a schedule of any type.

Pure: the caller passes the current time. Times are nominal: each run is computed from the nominal
time of the run before it, not from when that run happened, so nothing drifts. All results are UTC.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from celery.schedules import BaseSchedule, crontab, schedule, solar
from celery.utils.time import delta_resolution

from redbeat_core.schedules.recurrence.crontab import crontab_after
from redbeat_core.schedules.recurrence.zones import DAY, DEFAULT_DST, ZERO, DstPolicy, to_utc

from .base import OccurrenceSchedule
from .once import anchored_interval
from .rrule import adopted
from .rrule_set import GivenUp, rrule_set
from .solar import solar_after

#: The most missed runs that are counted; for intervals the number is computed, without a limit.
MISSED_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class NextRun:
    """The first run of a schedule after now, and the runs missed before it.

    :ivar next: the first run after now (UTC); None when there is none.
    :ivar missed: the number of runs after the nominal time, up to and including now.
    :ivar more: whether the count stopped at :data:`MISSED_LIMIT`.
    """

    next: datetime | None
    missed: int
    more: bool = False


def next_occurrence(
    schedule: BaseSchedule, after: datetime, dst: DstPolicy = DEFAULT_DST
) -> datetime | None:
    """Return the first run strictly after *after* (aware), in UTC; None when there is none.

    For an interval the result is *after* plus the interval: pass the nominal time of the last run.

    :param dst: applies to schedules on local time (crontabs, rules and sets).
    :raises ValueError: the schedule is an interval that is not positive, or *after* has no time
        zone.
    """
    return next(_runs(schedule, after, dst), None)


def next_look(
    schedule: BaseSchedule, after: datetime, dst: DstPolicy = DEFAULT_DST
) -> datetime | None:
    """Like :func:`next_occurrence`, but returns an excluded instant where the search of a set gives
    up. No run happens at that instant, but one may follow: search again from there."""
    if not isinstance(schedule, rrule_set):
        return next_occurrence(schedule, after, dst)
    result = next(schedule.search(after, dst), None)
    return result.at if isinstance(result, GivenUp) else result


def advance(
    schedule: BaseSchedule, nominal: datetime, now: datetime, dst: DstPolicy = DEFAULT_DST
) -> NextRun:
    """Return the first run after *now*, counted from the run at *nominal* (both aware).

    An interval keeps its phase, whatever was missed. A *nominal* after *now* is itself the next
    run.
    """
    nominal = nominal.astimezone(UTC)
    now = now.astimezone(UTC)
    if nominal > now:
        return NextRun(nominal, 0)
    every = fixed_interval(schedule)
    if every is not None:
        missed = (now - nominal) // every
        return NextRun(_plus(nominal, (missed + 1) * every), missed)
    if isinstance(schedule, anchored_interval):
        missed = schedule.number(now) - schedule.number(nominal)
        return NextRun(next_occurrence(schedule, now), missed)
    missed = 0
    for run in _runs(schedule, nominal, dst):
        if run > now:
            return NextRun(run, missed)
        if missed == MISSED_LIMIT:
            # The runs of rules and crontabs do not depend on earlier runs; a relative interval
            # restarts from now.
            return NextRun(next_occurrence(schedule, now, dst), missed, more=True)
        missed += 1
    return NextRun(None, missed)


def occurrences(
    schedule: BaseSchedule,
    *,
    anchor: datetime | None,
    now: datetime,
    count: int,
    dst: DstPolicy = DEFAULT_DST,
) -> list[datetime]:
    """Return the next *count* runs after *now*, in UTC; fewer when the schedule ends.

    :param anchor: the last run, from which intervals are counted; None: they are counted from
        *now*.
    """
    if count <= 0:
        return []
    now = now.astimezone(UTC)
    start = now if anchor is None else anchor.astimezone(UTC)
    if _is_interval(schedule):
        first = (
            next_occurrence(schedule, start) if start > now else advance(schedule, start, now).next
        )
        if first is None:
            return []
        runs = [first]
        start = first
    else:
        runs = []
        start = now
    return [*runs, *islice(_runs(schedule, start, dst), count - len(runs))]


def never_runs(schedule: BaseSchedule, now: datetime, dst: DstPolicy = DEFAULT_DST) -> bool:
    """Whether *schedule* has no run after *now*; takes well under a second."""
    return next_occurrence(schedule, now, dst) is None


def runs_after(
    schedule: BaseSchedule, after: datetime, dst: DstPolicy = DEFAULT_DST
) -> Iterator[datetime]:
    """Yield the runs strictly after *after* (aware), in UTC, ascending."""
    return _runs(schedule, after, dst)


def _runs(schedule: BaseSchedule, after: datetime, dst: DstPolicy) -> Iterator[datetime]:
    if after.utcoffset() is None:
        raise ValueError(f"{after} has no time zone")
    try:
        if isinstance(schedule, OccurrenceSchedule):
            yield from schedule.runs_after(after, dst)
        elif isinstance(schedule, crontab):
            yield from crontab_after(schedule, after, dst)
        elif isinstance(schedule, solar):
            yield from solar_after(schedule, after)
        elif (rule := adopted(schedule)) is not None:
            yield from rule.runs_after(after, dst)
        else:
            step = _after_interval if _is_interval(schedule) else _after_custom
            run = step(schedule, after.astimezone(UTC))
            while run is not None:
                yield run
                run = step(schedule, run)
    except OverflowError:
        return  # past the year 9999


def _is_interval(candidate: BaseSchedule) -> bool:
    # A subclass may override when it is due: then ask it, instead of adding the interval.
    return (
        isinstance(candidate, schedule)
        and type(candidate).remaining_estimate is schedule.remaining_estimate
    )


def fixed_interval(candidate: BaseSchedule) -> timedelta | None:
    """Return the distance between two runs where it is constant; None for other schedules."""
    if not _is_interval(candidate) or candidate.relative:
        return None
    return _every(candidate)


def _every(interval: schedule) -> timedelta:
    every: timedelta = interval.run_every
    if every <= ZERO:
        raise ValueError(f"an interval of {every.total_seconds():g} s never passes")
    return every


def _plus(instant: datetime, delta: timedelta) -> datetime | None:
    try:
        return instant + delta
    except OverflowError:
        return None


def _after_interval(interval: schedule, after: datetime) -> datetime | None:
    every = _every(interval)
    return _rounded(interval, after, every) if interval.relative else after + every


def _rounded(interval: schedule, after: datetime, every: timedelta) -> datetime:
    """Return the run of a ``relative`` interval: its end, rounded down to days, hours or minutes.

    This is Celery's rule, but :func:`to_utc` converts the local time. Days are calendar days.
    """
    zone = interval.tz
    days = every >= DAY
    end = (after.astimezone(zone) if days else after) + every
    while True:
        local = delta_resolution(end.astimezone(zone), every).replace(microsecond=0)
        run = to_utc(local.replace(tzinfo=None), zone)
        if run <= after:
            # The clock went back over the rounded time: take its second pass, or the next one.
            run = local.replace(fold=1).astimezone(UTC)
        if run > after:
            return run
        end += max(min(every, timedelta(hours=1)), timedelta(seconds=1))


def _after_custom(candidate: BaseSchedule, after: datetime) -> datetime | None:
    """Return the next run of a custom schedule, which is asked as if now were *after*."""
    twin = copy.copy(candidate)
    twin.app = candidate.app
    twin.nowfun = lambda: after
    remaining = twin.remaining_estimate(after)
    if remaining is None:
        return None
    run = after + remaining
    if run <= after:
        _due, seconds = twin.is_due(after)
        run = after + timedelta(seconds=seconds or 0)
    return run.astimezone(UTC) if run > after else None
