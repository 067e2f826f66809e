"""Converts the local times of a schedule to instants, through the clock changes of its zone.

Pure; used by crontabs and rules. Schedules go by the wall clock or by elapsed time, see
:mod:`.zones`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from .zones import (
    DAY,
    DEFAULT_DST,
    END,
    EVENLY_FROM,
    TICK,
    ZERO,
    DstPolicy,
    changes_in,
    next_change,
    offset_at,
    offsets_of,
    shifted,
)


def wall_clock(
    zone: tzinfo,
    after: datetime,
    local_from: Callable[[datetime], Iterator[datetime]],
    dst: DstPolicy = DEFAULT_DST,
) -> Iterator[datetime]:
    """Yield the instants (UTC) of local times by the wall clock, strictly after *after*, ascending,
    without duplicates.

    :param after: UTC.
    :param local_from: yields the naive local times at or after a naive local time, ascending.
    """
    # A time inside a gap is moved forward, past local times that sort after it, so start early
    # enough to see one that lands after `after`.
    now = offset_at(after, zone)
    back = max(now - offset_at(max(after, _EARLIEST) - DAY, zone), ZERO)
    if dst.ambiguous != "first":
        # Likewise for the second pass of a repeated time whose first pass is over.
        back = max(back, now - offset_at(min(after, _LATEST) + DAY, zone))
    start = (after + now).replace(tzinfo=None) - back
    waiting: list[datetime] = []
    last = after
    for local in local_from(start):
        first, second = offsets_of(local, zone)
        if first < second:
            if dst.nonexistent == "shift":
                waiting.append(shifted(local, zone, first, second))
            continue
        instant = (local - (second if dst.ambiguous == "last" else first)).replace(tzinfo=UTC)
        if waiting:
            ready = [held for held in waiting if held <= instant]
            waiting = [held for held in waiting if held > instant]
            for held in ready:
                if held > last:
                    last = held
                    yield held
        if first > second and dst.ambiguous == "both":
            waiting.append((local - second).replace(tzinfo=UTC))
        if instant > last:
            last = instant
            yield instant
    for held in waiting:
        if held > last:
            last = held
            yield held


_EARLIEST = datetime.min.replace(tzinfo=UTC) + 2 * DAY
_LATEST = datetime.max.replace(tzinfo=UTC) - 3 * DAY


#: So many times in a row that a clock would show, but does not then, before there are none.
_MAX_UNSHOWN = 1000


def elapsed(
    zone: tzinfo,
    after: datetime,
    local_from: Callable[[datetime, timedelta], Iterator[datetime]],
) -> Iterator[datetime]:
    """Yield the instants (UTC) of a schedule on elapsed time, strictly after *after*, ascending,
    without duplicates.

    Between two clock changes local time runs evenly, so each such stretch is computed on its own,
    with its own offset.

    :param local_from: yields the naive local times at or after a naive local time, ascending,
        for clocks that keep a given UTC offset.
    """
    at: datetime | None = after + TICK
    while at is not None:
        offset, checked = offset_at(at, zone), at
        change = instant = None
        for local in local_from((at + offset).replace(tzinfo=None), offset):
            instant = _minus(local, offset)
            if instant is None:
                break
            change = next_change(zone, checked, instant)
            if change is not None:
                break
            checked = instant
            yield instant
        else:
            instant, change = None, next_change(zone, checked, END)
        if change is None:
            return
        at = _first_shown(zone, change, local_from, {offset: instant})


def _first_shown(
    zone: tzinfo,
    start: datetime,
    local_from: Callable[[datetime, timedelta], Iterator[datetime]],
    ahead: dict[timedelta, datetime | None],
) -> datetime | None:
    """Return the first of those instants at or after *start*; None: there is none.

    :param ahead: by offset, the first instant by clocks that keep it, from a time before *start*;
        None: there is none.
    """

    def first(offset: timedelta, start: datetime) -> datetime | None:
        instant = ahead.get(offset, start - TICK)
        if instant is not None and instant < start:
            # What is ahead stays ahead: the same search again would be for nothing.
            local = next(local_from((start + offset).replace(tzinfo=None), offset), None)
            instant = ahead[offset] = None if local is None else _minus(local, offset)
        return instant

    while start.year <= EVENLY_FROM:
        first_instant = first(offset_at(start, zone), start)
        change = next_change(zone, start, first_instant or END)
        if change is None:
            return first_instant
        start = change
    # From here on the clocks show the same offsets every year.
    changes = (change for year in range(28) for change in changes_in(zone, EVENLY_FROM + year))
    starts = dict.fromkeys((offset_at(change, zone) for change in changes), start)
    starts[offset_at(start, zone)] = start
    for _ in range(_MAX_UNSHOWN):
        coming = [(at, offset) for offset in starts if (at := first(offset, starts[offset]))]
        first_instant, offset = min(coming, default=(None, ZERO))
        if first_instant is None or offset_at(first_instant, zone) == offset:
            return first_instant
        change = next_change(zone, first_instant, END)
        if change is None:
            del starts[offset]
        else:
            starts[offset] = change
    return None


def _minus(local: datetime, offset: timedelta) -> datetime | None:
    try:
        return (local - offset).replace(tzinfo=UTC)
    except OverflowError:
        return None
