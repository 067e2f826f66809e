"""Lists the nominal times of an entry that came due up to now, when there is more than one.

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

#: How many nominal times are listed one by one; those of an interval are not, they are computed.
LISTED = 10000


@dataclass(frozen=True, slots=True)
class Backlog:
    """The nominal times that came due.

    :ivar times: nominal times, ascending.
    :ivar hole: index in *times* before which times are left out because there are too many to list;
        None: the list is complete.
    :ivar next: the first nominal time after now; None when there is none.
    """

    times: Sequence[datetime]
    next: datetime | None
    hole: int | None = None

    def spans_hole(self, start: int, stop: int) -> bool:
        """Whether ``times[start:stop]`` covers more times than it lists."""
        return self.hole is not None and start < self.hole < stop


class Evenly(Sequence[datetime]):
    """Times at a fixed distance, computed when they are asked for."""

    def __init__(self, first: datetime, every: timedelta, count: int) -> None:
        self._first, self._every, self._count = first, every, count

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
    """List the nominal times from *first* (a nominal time, not after *now*) up to and including
    *now*.

    :param newest: how many of the newest to list, if not all are listed; at most LISTED.
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
        gap = (following - first) / LISTED if following is not None else now - first
        tail = _newest(timing, passed[-1], now, gap, newest, dst)
        if tail is not None:
            following = next_occurrence(timing, now, dst)
            return Backlog([first, *passed, *tail], following, hole=LISTED)
        passed, following, _ = runs.between(first, now, 2 * LISTED)
    return Backlog([first, *passed], following)


class _Runs:
    """The runs of a schedule, computed once and shared: after an absence many entries ask for the
    same runs, and one that catches up asks again for each of its runs.

    :ivar start: the runs after this time are computed.
    """

    def __init__(self, timing: BaseSchedule, start: datetime, dst: DstPolicy) -> None:
        self.start = start
        self._found: list[datetime] = []
        self._coming: Iterator[datetime] | None = runs_after(timing, start, dst)
        self._lock = Lock()

    @property
    def ended(self) -> bool:
        """Whether the schedule has no further run."""
        return self._coming is None

    def covers(self, first: datetime) -> bool:
        """Whether *first* is among the computed runs: asking from there computes no run that nobody
        needs.
        """
        with self._lock:
            return self.start <= first and (not self._found or first <= self._found[-1])

    def between(
        self, first: datetime, now: datetime, limit: int
    ) -> tuple[list[datetime], datetime | None, bool]:
        """Return the runs after *first* up to *now*, at most *limit*; the run that follows; and
        whether that one is not after *now* either.
        """
        found = self._found
        with self._lock:
            if found and bisect_right(found, first) > 2 * LISTED:
                del found[: bisect_right(found, first)]
                self.start = first
            begin = bisect_right(found, first)
            while self._coming is not None and len(found) <= begin + limit:
                if found and found[-1] > now:
                    break
                run = next(self._coming, None)
                if run is None:
                    self._coming = None
                else:
                    found.append(run)
                    begin += run <= first
            end = min(bisect_right(found, now, begin), begin + limit)
            following = found[end] if end < len(found) else None
            return found[begin:end], following, following is not None and following <= now


def _runs_of(timing: BaseSchedule, first: datetime, dst: DstPolicy) -> _Runs:
    """The shared runs of all schedules that equal *timing*, from *first* on."""
    key: Hashable
    if isinstance(timing, OccurrenceSchedule):
        key = timing
    elif type(timing) is crontab:
        key = repr(timing), timing.tz
    else:
        # Their runs may depend on the run before.
        return _Runs(timing, first, dst)
    kept = _kept(key, dst)
    # What ended of a set may only have been given up: it is sought again.
    ended = bool(kept) and kept[0].ended and isinstance(timing, rrule_set)
    if not kept or ended or not kept[0].covers(first):
        kept[:] = [_Runs(timing, first, dst)]
    return kept[0]


@lru_cache(maxsize=32)
def _kept(_key: Hashable, _dst: DstPolicy) -> list[_Runs]:
    return []


def _newest(
    timing: BaseSchedule,
    after: datetime,
    now: datetime,
    gap: timedelta,
    wanted: int,
    dst: DstPolicy,
) -> list[datetime] | None:
    """Return the newest *wanted* runs up to now; None when so few follow *after* that all of them
    can be listed.

    :param gap: an estimate of the time between two runs.
    """
    # From `few` on there are fewer than that, from `many` on too many to list.
    few, many, window = now, None, gap * wanted
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
