"""Lists the nominal times of an entry that became due up to now.

Pure. Used by :mod:`redbeat_core.planning.plan` only.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from threading import Lock
from typing import overload

from celery.schedules import BaseSchedule, crontab

from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, TICK, DstPolicy
from redbeat_core.schedules.types.base import OccurrenceSchedule
from redbeat_core.schedules.types.next_run import fixed_interval, next_occurrence, runs_after
from redbeat_core.schedules.types.once import anchored_interval
from redbeat_core.schedules.types.rrule_set import rrule_set

#: The most nominal times that a list holds. Those of an interval are computed and have no limit.
LISTED = 10000


@dataclass(frozen=True, slots=True)
class Backlog:
    """The nominal times that are due.

    :ivar times: the nominal times, ascending, from the first due one.
    :ivar hole: index in *times* before which nominal times are left out, because there are too
        many to list; None: the list is complete.
    :ivar next: the first nominal time after now; None when there is none.
    """

    times: Sequence[datetime]
    next: datetime | None
    hole: int | None = None

    def spans_hole(self, start: int, stop: int) -> bool:
        """Whether ``times[start:stop]`` covers more times than it lists."""
        return self.hole is not None and start < self.hole < stop


class Evenly(Sequence[datetime]):
    """Times at a constant distance, each computed on access."""

    def __init__(self, first: datetime, every: timedelta, count: int) -> None:
        self._first = first
        self._every = every
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> datetime: ...

    @overload
    def __getitem__(self, index: slice) -> Evenly: ...

    def __getitem__(self, index: int | slice) -> datetime | Evenly:
        places = range(self._count)[index]
        if isinstance(places, int):
            return self._first + places * self._every
        return Evenly(self._first + places.start * self._every, self._every, len(places))


def backlog(
    timing: BaseSchedule,
    first: datetime,
    now: datetime,
    newest: int = 1,
    dst: DstPolicy = DEFAULT_DST,
) -> Backlog:
    """Return the nominal times from *first* up to and including *now*.

    :param first: a nominal time of *timing*, not after *now*.
    :param newest: the number of the newest times to list where the list cannot hold all of them;
        at most LISTED.
    """
    every = fixed_interval(timing)
    if isinstance(timing, anchored_interval) and next_occurrence(timing, first - TICK) == first:
        every = timing.run_every
    if every is not None:
        count = (now - first) // every + 1
        times = Evenly(first, every, count)
        return Backlog(times, next_occurrence(timing, times[-1]))
    runs = _runs_of(timing, first, dst)
    passed, following, more = runs.between(first, now, LISTED - 1)
    if more:
        distance = (following - first) / LISTED if following is not None else now - first
        tail = _newest(timing, passed[-1], now, distance, newest, dst)
        if tail is not None:
            following = next_occurrence(timing, now, dst)
            return Backlog([first, *passed, *tail], following, hole=LISTED)
        passed, following, _ = runs.between(first, now, 2 * LISTED)
    return Backlog([first, *passed], following)


class _Runs:
    """A cache of the runs of a schedule, extended as far as callers ask.

    After a downtime many entries need the same runs, and an entry that catches up needs them again
    for each run.

    :ivar start: the cache holds the runs after this instant.
    """

    def __init__(self, timing: BaseSchedule, start: datetime, dst: DstPolicy) -> None:
        self.start = start
        self._cached: list[datetime] = []
        self._source: Iterator[datetime] | None = runs_after(timing, start, dst)
        self._lock = Lock()

    @property
    def ended(self) -> bool:
        """Whether the schedule has no run after the cached ones."""
        return self._source is None

    def covers(self, first: datetime) -> bool:
        """Whether the cache can serve the runs after *first* without a run that nobody needs."""
        with self._lock:
            return self.start <= first and (not self._cached or first <= self._cached[-1])

    def between(
        self, first: datetime, now: datetime, limit: int
    ) -> tuple[list[datetime], datetime | None, bool]:
        """Return the runs after *first* up to *now*.

        :returns: at most *limit* runs; the run that follows them; whether that one is up to *now*
            too.
        """
        cached = self._cached
        with self._lock:
            if cached and bisect_right(cached, first) > 2 * LISTED:
                del cached[: bisect_right(cached, first)]
                self.start = first
            begin = bisect_right(cached, first)
            while self._source is not None and len(cached) <= begin + limit:
                if cached and cached[-1] > now:
                    break
                run = next(self._source, None)
                if run is None:
                    self._source = None
                else:
                    cached.append(run)
                    begin += run <= first
            end = min(bisect_right(cached, now, begin), begin + limit)
            following = cached[end] if end < len(cached) else None
            return cached[begin:end], following, following is not None and following <= now


def _runs_of(timing: BaseSchedule, first: datetime, dst: DstPolicy) -> _Runs:
    """Return the cached runs of *timing* from *first* on; equal schedules share one cache."""
    key: Hashable
    if isinstance(timing, OccurrenceSchedule):
        key = timing
    elif type(timing) is crontab:
        key = repr(timing), timing.tz
    else:
        # Each run of another type may depend on the run before it: do not share.
        return _Runs(timing, first, dst)
    holder = _cache_of(key, dst)
    # The search of a set may have given up before the end of the set: search again.
    ended = bool(holder) and holder[0].ended and isinstance(timing, rrule_set)
    if not holder or ended or not holder[0].covers(first):
        holder[:] = [_Runs(timing, first, dst)]
    return holder[0]


@lru_cache(maxsize=32)
def _cache_of(_key: Hashable, _dst: DstPolicy) -> list[_Runs]:
    """Return the list that holds the cached runs of a schedule: empty, or with one item."""
    return []


def _newest(
    timing: BaseSchedule,
    after: datetime,
    now: datetime,
    distance: timedelta,
    wanted: int,
    dst: DstPolicy,
) -> list[datetime] | None:
    """Return the newest *wanted* runs up to *now*.

    :param distance: an estimate of the time between two runs.
    :returns: None where the runs after *after* are few enough to list all of them.
    """
    # From `few` on there are fewer runs than wanted, from `many` on too many to list.
    few = now
    many: datetime | None = None
    window = distance * wanted
    while True:
        start = max(after, now - window)
        if (many is not None and start <= many) or start >= few:
            low = many or after
            start = low + (few - low) / 2
        passed = takewhile(lambda run: run <= now, runs_after(timing, start, dst))
        newer = list(islice(passed, LISTED + 1))
        if len(newer) > LISTED:
            many = start
        elif start == after:
            return None
        elif len(newer) >= wanted:
            return newer[-wanted:]
        else:
            few = start
        window *= 2
