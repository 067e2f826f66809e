"""The nominal times that came due up to now, when more than one did.

Pure. Used by :mod:`redbeat_core.planning` only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import overload

from celery.schedules import BaseSchedule

from .recurrence import fixed_interval, next_occurrence, runs_after
from .zones import DEFAULT_DST, DstPolicy

#: How many nominal times are listed one by one; those of an interval are not, they are computed.
LISTED = 10000
#: How many are looked at to find the newest of even more.
_LOOKED_AT = 10 * LISTED
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What came due.

    :ivar times: nominal times, ascending, the first of them first.
    :ivar hole: index in *times* before which some are left out, since there are too many to list;
        None: the list is complete.
    :ivar next: the first nominal time after now; None when there is none.
    """

    times: Sequence[datetime]
    next: datetime | None
    hole: int | None = None

    def spans_hole(self, start: int, stop: int) -> bool:
        """Whether ``times[start:stop]`` stands for more times than it lists."""
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
    """The nominal times from *first* (one of them, not after *now*) up to and including *now*.

    :param newest: how many of the newest are listed at least, even if not all are.
    """
    every = fixed_interval(timing)
    if every is not None:
        count = (now - first) // every + 1
        times = Evenly(first, every, count)
        return Backlog(times, next_occurrence(timing, times[-1]))
    listed = [first]
    for run in runs_after(timing, first, dst):
        if run > now:
            return Backlog(listed, run)
        if len(listed) == LISTED:
            gap = (listed[-1] - first) / (LISTED - 1)
            tail = _newest(timing, listed[-1], now, gap, newest, dst)
            return Backlog([*listed, *tail], next_occurrence(timing, now, dst), hole=LISTED)
        listed.append(run)
    return Backlog(listed, None)


def _newest(
    timing: BaseSchedule,
    after: datetime,
    now: datetime,
    gap: timedelta,
    wanted: int,
    dst: DstPolicy,
) -> list[datetime]:
    """The newest *wanted* runs after *after* up to now, or fewer, but at least one.

    :param gap: a guess of the time between two runs.
    """
    window, found = gap * (wanted + 1), [_latest(timing, after, now, dst)]
    while True:
        start = max(after, now - window)
        newer: deque[datetime] = deque(maxlen=wanted)
        passed = takewhile(lambda run: run <= now, runs_after(timing, start, dst))
        for number, run in enumerate(passed):
            if number == _LOOKED_AT:
                return found
            newer.append(run)
        if newer:
            found = list(newer)
        if len(newer) == wanted or start == after:
            return found
        window *= 2


def _latest(timing: BaseSchedule, after: datetime, now: datetime, dst: DstPolicy) -> datetime:
    """The last run after *after* up to now; there is one."""
    low, high = after, now
    while high - low > _TICK:
        middle = low + (high - low) / 2
        run = next_occurrence(timing, middle, dst)
        if run is None or run > now:
            high = middle
        else:
            low = middle
    found = next_occurrence(timing, low, dst)
    assert found is not None
    return found
