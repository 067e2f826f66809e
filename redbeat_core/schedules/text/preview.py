"""Previews the next runs of a schedule, within a time bound, and the effects of clock changes on
them.

Pure, with the clock passed in; for those who show schedules, the scheduler does not use it.
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

#: So many excluded runs are passed over to find one that a change of the clock comes before.
_MAX_EXCLUDED = 1000
#: Under which every local time has its runs.
_ALL = DstPolicy(nonexistent="shift", ambiguous="both")
#: Gives the naive local times of a schedule at or after one, ascending.
LocalTimes = Callable[[datetime], Iterator[datetime]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next runs of a schedule.

    :ivar words: the schedule in plain English; empty: not even that was ready in time.
    :ivar times: the next runs (UTC).
    :ivar average_gap: the mean time between them; None for fewer than two.
    :ivar complete: all requested or all existing runs are listed; False: the time is up.
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
    :raises Exception: whatever a schedule of the user's own raises.
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
    """Like :func:`outlook`, for runs from another source.

    A thread of its own computes them: one search may be long, and cannot be interrupted. A search
    that is running when *budget* seconds are over runs to its end; no other follows.
    """
    seeking = _Seeking(schedule, runs, count)
    seeking.start()
    seeking.join(budget)
    seeking.stopped = True
    if seeking.error is not None:
        raise seeking.error
    over = not seeking.is_alive()
    times = tuple(seeking.times)
    gap = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None
    return Outlook(seeking.words, times, gap, complete=over)


class _Seeking(threading.Thread):
    def __init__(self, schedule: BaseSchedule, runs: Iterator[datetime], count: int) -> None:
        super().__init__(name="redbeat-outlook", daemon=True)
        self._schedule, self._runs, self._count = schedule, runs, count
        self.words = ""
        self.times: list[datetime] = []
        self.error: Exception | None = None
        self.stopped = False

    def run(self) -> None:
        try:
            self.words = describe(self._schedule)
            for run in islice(self._runs, self._count):
                if self.stopped:
                    return
                self.times.append(run)
        except Exception as exc:
            self.error = exc


@dataclass(frozen=True, slots=True)
class ClockEffect:
    """The effect of a clock change on one nominal time.

    :ivar at: the run (UTC); without a run, when it would have been.
    :ivar text: the effect, as a phrase.
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
    """Return the effects of clock changes on *schedule* from *start* (aware) to the last of its
    *runs* after it, in order.

    :param zone: the zone whose changes are reported for a schedule that runs on elapsed time.
    """
    if not runs:
        return []
    end, made = runs[-1], frozenset(runs)

    def is_shown(effect: ClockEffect) -> bool:
        if effect.runs:
            return effect.at in made
        # Left out all the same, whatever the policy makes of it.
        return not isinstance(schedule, rrule_set) or not schedule.takes_away(effect.at, _ALL)

    def next_made(part: BaseSchedule, change: datetime) -> datetime | None:
        """The first run that *part* has from *change* on."""
        if part is schedule:
            return runs[bisect_left(runs, change)]
        own = takewhile(lambda run: run <= end, runs_after(part, change - TICK, dst))
        return next((run for run in islice(own, _MAX_EXCLUDED) if run in made), None)

    found: dict[tuple[datetime, str], ClockEffect] = {}
    for part in schedule.rules if isinstance(schedule, rrule_set) else (schedule,):
        wall = _wall(part)
        if wall is not None:
            for change in _changes(wall[0], start, end):
                for effect in _on_the_wall(*wall, change, dst):
                    if start < effect.at <= end and is_shown(effect):
                        found[effect.at, effect.text] = effect
        elif not isinstance(part, once | solar):
            for change in _changes(zone, start, end):
                run = next_made(part, change) if start < change else None
                if run is not None:
                    jump = offset_at(change, zone) - offset_at(change - TICK, zone)
                    text = f"{_moved(jump)} this: {_evenly(part)}"
                    found[run, text] = ClockEffect(run, text)
    return sorted(found.values(), key=lambda effect: effect.at)


def _evenly(part: BaseSchedule) -> str:
    """What a schedule on elapsed time does about a change."""
    rule = adopted(part)
    if rule is not None and rule.recurrence.parts.byhour:
        return "below a day, an hour shown twice runs twice, and one left out does not run"
    return "elapsed time goes on evenly"


def _changes(zone: tzinfo, start: datetime, end: datetime) -> Iterator[datetime]:
    at = start.astimezone(UTC) - timedelta(days=1)
    while (change := next_change(zone, at, end)) is not None:
        yield change
        at = change


def _wall(schedule: BaseSchedule) -> tuple[tzinfo, LocalTimes] | None:
    """The wall clock that *schedule* goes by; None: it runs on elapsed time."""
    if isinstance(schedule, crontab):
        times = wall_times_of(schedule)
        return None if times is None else (schedule.tz, times)
    rule = adopted(schedule)
    if rule is None or not rule.recurrence.by_wall:
        return None
    return rule.recurrence.dtstart.tzinfo or UTC, rule.recurrence.local_times


def _on_the_wall(
    zone: tzinfo, local_from: LocalTimes, change: datetime, dst: DstPolicy
) -> Iterator[ClockEffect]:
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
    return f"the clock went {'forward' if jump > ZERO else 'back'} by {_size(jump)} before"


def _size(jump: timedelta) -> str:
    minutes = abs(jump) // timedelta(minutes=1)
    hours, minutes = divmod(minutes, 60)
    return " ".join(
        part for part in (f"{hours} h" * bool(hours), f"{minutes} min" * bool(minutes)) if part
    )
