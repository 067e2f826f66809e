"""Previews the next runs of a schedule within a time bound, and the effect of clock changes on it.

Pure; the caller passes the current time. The console and the command line use it, the scheduler
does not.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile

from celery.schedules import BaseSchedule, crontab, solar

from redbeat_core.schedules.recurrence.crontab import wall_times_of
from redbeat_core.schedules.recurrence.zones import (
    DEFAULT_DST,
    TICK,
    ZERO,
    DstPolicy,
    instants_of,
    next_change,
    offset_at,
)
from redbeat_core.schedules.types.next_run import occurrences, runs_after
from redbeat_core.schedules.types.once import once
from redbeat_core.schedules.types.rrule import adopted
from redbeat_core.schedules.types.rrule_set import rrule_set

from .describe import describe

#: The most excluded runs that are skipped in search of the first run after a change of the clock.
_MAX_EXCLUDED = 1000
#: The policy under which every local time has all its runs.
_ALL = DstPolicy(nonexistent="shift", ambiguous="both")
#: Yields the naive local times of a schedule at or after the given one, ascending.
LocalTimes = Callable[[datetime], Iterator[datetime]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """A preview of the next runs of a schedule.

    :ivar words: the schedule in plain English; empty: the time ended before it was described.
    :ivar times: the next runs (UTC).
    :ivar average_gap: the mean time between them; None for fewer than two.
    :ivar complete: *times* has as many runs as requested, or all that the schedule has; False:
        the time ended first.
    """

    words: str
    times: tuple[datetime, ...]
    average_gap: timedelta | None
    complete: bool


def outlook(
    schedule: BaseSchedule,
    now: datetime,
    count: int,
    budget: float,
    *,
    anchor: datetime | None = None,
    dst: DstPolicy = DEFAULT_DST,
) -> Outlook:
    """Return the next *count* runs after *now*, or as many as *budget* seconds allow.

    :param anchor: the last run, from which intervals are counted; None: from *now*.
    :raises Exception: any error that a user-defined schedule raises.
    """

    def runs() -> Iterator[datetime]:
        first = occurrences(schedule, anchor=anchor, now=now, count=1, dst=dst)
        yield from first
        if first:
            yield from runs_after(schedule, first[0], dst)

    return outlook_of(schedule, runs(), count, budget)


def outlook_of(
    schedule: BaseSchedule, runs: Iterator[datetime], count: int, budget: float
) -> Outlook:
    """Like :func:`outlook`, but takes the runs from *runs*.

    The search runs in its own thread, because a search for one run may be long and cannot be
    interrupted. When *budget* seconds are over, the thread finishes the current search and ends.
    """
    search = _Search(schedule, runs, count)
    search.start()
    search.join(budget)
    search.stopped = True
    if search.error is not None:
        raise search.error
    complete = not search.is_alive()
    times = tuple(search.times)
    average = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None
    return Outlook(search.description, times, average, complete=complete)


class _Search(threading.Thread):
    """The thread that describes a schedule and collects its next runs."""

    def __init__(self, schedule: BaseSchedule, runs: Iterator[datetime], count: int) -> None:
        super().__init__(name="redbeat-outlook", daemon=True)
        self._schedule = schedule
        self._runs = runs
        self._count = count
        self.description = ""
        self.times: list[datetime] = []
        self.error: Exception | None = None
        self.stopped = False

    def run(self) -> None:
        try:
            self.description = describe(self._schedule)
            for run in islice(self._runs, self._count):
                if self.stopped:
                    return
                self.times.append(run)
        except Exception as exc:
            self.error = exc


@dataclass(frozen=True, slots=True)
class ClockEffect:
    """The effect of a change of the clock on one nominal time.

    :ivar at: the time of the run (UTC); without a run, the time at which it would have been.
    :ivar text: the effect as a phrase, as in "02:30 does not exist: skipped".
    :ivar runs: whether there is a run at that time.
    """

    at: datetime
    text: str
    runs: bool = True


def clock_effects(
    schedule: BaseSchedule,
    zone: tzinfo,
    start: datetime,
    runs: Sequence[datetime],
    dst: DstPolicy = DEFAULT_DST,
) -> list[ClockEffect]:
    """Return the effects of clock changes on *schedule*, in order of time.

    :param zone: its clock changes apply to a schedule that runs on elapsed time.
    :param start: the begin of the period (aware); it ends with the last of *runs*.
    :param runs: the runs of *schedule* after *start*, ascending.
    """
    if not runs:
        return []
    end = runs[-1]
    actual_runs = frozenset(runs)

    def is_reported(effect: ClockEffect) -> bool:
        if effect.runs:
            return effect.at in actual_runs
        # The set excludes this time under every policy, so the clock change is not the reason.
        return not isinstance(schedule, rrule_set) or not schedule.takes_away(effect.at, _ALL)

    def first_run_from(part: BaseSchedule, change: datetime) -> datetime | None:
        """Return the first of *runs* at or after *change* that comes from the rule *part*."""
        if part is schedule:
            return runs[bisect_left(runs, change)]
        own = takewhile(lambda run: run <= end, runs_after(part, change - TICK, dst))
        return next((run for run in islice(own, _MAX_EXCLUDED) if run in actual_runs), None)

    effects: dict[tuple[datetime, str], ClockEffect] = {}
    for part in schedule.rules if isinstance(schedule, rrule_set) else (schedule,):
        wall = _wall_clock(part)
        if wall is not None:
            for change in _changes(wall[0], start, end):
                for effect in _local_time_effects(*wall, change, dst):
                    if start < effect.at <= end and is_reported(effect):
                        effects[effect.at, effect.text] = effect
        elif not isinstance(part, once | solar):
            for change in _changes(zone, start, end):
                run = first_run_from(part, change) if start < change else None
                if run is not None:
                    jump = offset_at(change, zone) - offset_at(change - TICK, zone)
                    text = f"{_moved(jump)} this: {_elapsed_time_effect(part)}"
                    effects[run, text] = ClockEffect(run, text)
    return sorted(effects.values(), key=lambda effect: effect.at)


def _elapsed_time_effect(part: BaseSchedule) -> str:
    """Return the effect of a clock change on a schedule that runs on elapsed time."""
    rule = adopted(part)
    if rule is not None and rule.recurrence.parts.byhour:
        return "below a day, an hour shown twice runs twice, and one left out does not run"
    return "elapsed time goes on evenly"


def _changes(zone: tzinfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the clock changes of *zone* from a day before *start* to *end*."""
    at = start.astimezone(UTC) - timedelta(days=1)
    while (change := next_change(zone, at, end)) is not None:
        yield change
        at = change


def _wall_clock(schedule: BaseSchedule) -> tuple[tzinfo, LocalTimes] | None:
    """Return the zone and the local times of *schedule*; None if it runs on elapsed time."""
    if isinstance(schedule, crontab):
        times = wall_times_of(schedule)
        return None if times is None else (schedule.tz, times)
    rule = adopted(schedule)
    if rule is None or not rule.recurrence.by_wall:
        return None
    return rule.recurrence.dtstart.tzinfo or UTC, rule.recurrence.local_times


def _local_time_effects(
    zone: tzinfo, local_from: LocalTimes, change: datetime, dst: DstPolicy
) -> Iterator[ClockEffect]:
    """Yield the effect on each local time that *change* skips or repeats."""
    before, after = offset_at(change - TICK, zone), offset_at(change, zone)
    low, high = sorted((change + offset).replace(tzinfo=None) for offset in (before, after))
    jump = after - before
    for local in takewhile(lambda local: local < high, local_from(low)):
        shown = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
        if jump > ZERO:
            later = (local - before).replace(tzinfo=UTC)
            if dst.nonexistent == "skip":
                yield ClockEffect(later, f"{shown} does not exist: skipped", runs=False)
                continue
            (instant,) = instants_of(local, zone, dst)
            done = f"shifted by {_size(jump)}"
            if instant != later:
                done = "runs in the last second before the gap, to stay within its day"
            yield ClockEffect(instant, f"{shown} does not exist: {done}")
            continue
        instants = instants_of(local, zone, dst)
        for number, instant in enumerate(instants):
            which = dst.ambiguous
            if len(instants) > 1:
                text = f"{shown} comes twice: run {number + 1} of 2"
            else:
                text = f"{shown} comes twice: runs once, the {which} time"
            yield ClockEffect(instant, text)


def _moved(jump: timedelta) -> str:
    """Return the start of a sentence that names a clock change by *jump*."""
    return f"the clock went {'forward' if jump > ZERO else 'back'} by {_size(jump)} before"


def _size(jump: timedelta) -> str:
    """Return the size of *jump* in hours and minutes, as in "1 h"."""
    minutes = abs(jump) // timedelta(minutes=1)
    hours, minutes = divmod(minutes, 60)
    return " ".join(
        part for part in (f"{hours} h" * bool(hours), f"{minutes} min" * bool(minutes)) if part
    )
