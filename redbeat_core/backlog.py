"""The nominal times that came due up to now, when more than one did.

Pure. Used by :mod:`redbeat_core.planning` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import overload

from celery.schedules import BaseSchedule

from .recurrence import fixed_interval, next_occurrence, runs_after
from .zones import DEFAULT_DST, DstPolicy

#: How many nominal times are listed one by one; those of an interval are not, they are computed.
LISTED = 10000


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

    :param newest: how many of the newest are listed, if not all are; not more than LISTED.
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
            gap = (run - first) / LISTED
            tail = _newest(timing, listed[-1], now, gap, newest, dst)
            if tail is not None:
                following = next_occurrence(timing, now, dst)
                return Backlog([*listed, *tail], following, hole=len(listed))
        listed.append(run)
    return Backlog(listed, None)


def _newest(
    timing: BaseSchedule,
    after: datetime,
    now: datetime,
    gap: timedelta,
    wanted: int,
    dst: DstPolicy,
) -> list[datetime] | None:
    """The newest *wanted* runs up to now; None: *after* is followed by so few that all of them
    can be listed.

    :param gap: a guess of the time between two runs.
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
