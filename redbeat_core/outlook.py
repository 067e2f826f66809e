"""What is to come of a schedule, within a time bound; and what changes of the clock do to it.

Pure, with the clock passed in; for those who show schedules, the scheduler does not use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile

from celery.schedules import BaseSchedule, crontab, solar

from .crontab_times import wall_times_of
from .once import once
from .recurrence import occurrences, runs_after
from .rule_sets import rrule_set
from .rules import adopted
from .zones import DEFAULT_DST, TICK, ZERO, DstPolicy, instants_of, next_change, offset_at

#: Gives the naive local times of a schedule at or after one, ascending.
LocalTimes = Callable[[datetime], Iterator[datetime]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to come.

    :ivar times: the next runs (UTC).
    :ivar average_gap: the mean time between them; None for fewer than two.
    :ivar complete: they are all that was asked for, or all that there are; False: the time that
        it may take was over.
    """

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
    clock: Callable[[], float] = time.perf_counter,
) -> Outlook:
    """The next *count* runs after *now*, or as many as *budget* seconds allow.

    :param anchor: the last run, from which intervals are counted; None: from *now*.
    """
    end = clock() + budget
    times = occurrences(schedule, anchor=anchor, now=now, count=min(count, 1), dst=dst)
    if times and count > 1:
        for run in runs_after(schedule, times[0], dst):
            times.append(run)
            if len(times) == count or clock() > end:
                break
        else:
            # It ended by itself.
            count = len(times)
    gap = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None
    return Outlook(tuple(times), gap, complete=len(times) >= count or len(times) < 2)


@dataclass(frozen=True, slots=True)
class ClockEffect:
    """What a change of the clock does to one nominal time.

    :ivar at: the run (UTC); without a run, when it would have been.
    :ivar text: what was done, in words.
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
    """What the changes of the clock do to *schedule* from *start* (aware) to the last of its
    *runs* after it, in order.

    :param zone: whose changes are told for a schedule that runs on elapsed time.
    """
    if not runs:
        return []
    walls, end = _walls(schedule), runs[-1]
    found: dict[tuple[datetime, str], ClockEffect] = {}
    for wall_zone, local_from in walls:
        for change in _changes(wall_zone, start, end):
            for effect in _on_the_wall(wall_zone, local_from, change, dst):
                if start < effect.at <= end and (not effect.runs or effect.at in runs):
                    found[effect.at, effect.text] = effect
    if not walls and not isinstance(schedule, rrule_set | once | solar):
        for change in _changes(zone, start, end):
            run = next(run for run in runs if run >= change)
            jump = offset_at(change, zone) - offset_at(change - TICK, zone)
            text = f"{_moved(jump)} this: elapsed time goes on evenly"
            if start < change:
                found[run, text] = ClockEffect(run, text)
    return sorted(found.values(), key=lambda effect: effect.at)


def _changes(zone: tzinfo, start: datetime, end: datetime) -> Iterator[datetime]:
    at = start - timedelta(days=1)
    while (change := next_change(zone, at, end)) is not None:
        yield change
        at = change


def _walls(schedule: BaseSchedule) -> list[tuple[tzinfo, LocalTimes]]:
    """The clocks on the wall that *schedule* goes by; none: it runs on elapsed time."""
    if isinstance(schedule, rrule_set):
        return [wall for rule in schedule.rules for wall in _walls(rule)]
    if isinstance(schedule, crontab):
        times = wall_times_of(schedule)
        return [] if times is None else [(schedule.tz, times)]
    rule = adopted(schedule)
    if rule is None or not rule.recurrence.by_wall:
        return []
    return [(rule.recurrence.dtstart.tzinfo or UTC, rule.recurrence.local_times)]


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
            else:
                yield ClockEffect(later, f"{shown} does not exist: shifted by {_size(jump)}")
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
