"""Converts the local times of a schedule to UTC, across the clock changes of its zone.

Pure; used by crontabs and rules. :mod:`.zones` describes the two policies: local time
(:func:`wall_clock`) and elapsed time (:func:`elapsed`).
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
    """Yield the instants (UTC) of local times, strictly after *after*, ascending, each once.

    :param after: UTC.
    :param local_from: yields the naive local times at or after a naive local time, ascending.
    """
    # A local time in a DST gap moves forward, past local times that sort after it. Start early
    # enough to see one that moves behind `after`.
    offset = offset_at(after, zone)
    back = max(offset - offset_at(max(after, _EARLIEST) - DAY, zone), ZERO)
    if dst.ambiguous != "first":
        # Likewise, a repeated local time may have its first pass before `after` and its second
        # pass behind it.
        back = max(back, offset - offset_at(min(after, _LATEST) + DAY, zone))
    start = (after + offset).replace(tzinfo=None) - back
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


#: The search ends after this many candidates in a row whose offset is not in force at that instant.
_MAX_UNSHOWN = 1000


def elapsed(
    zone: tzinfo,
    after: datetime,
    local_from: Callable[[datetime, timedelta], Iterator[datetime]],
) -> Iterator[datetime]:
    """Yield the instants (UTC) of a schedule on elapsed time, strictly after *after*, ascending.

    Between two clock changes the UTC offset is constant, so each such period is searched on its
    own, with its own offset. No instant comes twice.

    :param local_from: yields the naive local times at or after a naive local time, ascending, for
        a constant UTC offset.
    """
    at: datetime | None = after + TICK
    while at is not None:
        offset = offset_at(at, zone)
        checked = at
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
            instant = None
            change = next_change(zone, checked, END)
        if change is None:
            return
        at = _first_shown(zone, change, local_from, {offset: instant})


def _first_shown(
    zone: tzinfo,
    start: datetime,
    local_from: Callable[[datetime, timedelta], Iterator[datetime]],
    ahead: dict[timedelta, datetime | None],
) -> datetime | None:
    """Return the first instant of the schedule at or after *start*; None where there is none.

    :param ahead: for each UTC offset, the first instant that a clock with this constant offset
        gives, searched from an instant before *start*; None: it gives none.
    """

    def first(offset: timedelta, start: datetime) -> datetime | None:
        instant = ahead.get(offset, start - TICK)
        if instant is not None and instant < start:
            # Search only when the saved instant is past: a later one is still the first.
            local = next(local_from((start + offset).replace(tzinfo=None), offset), None)
            instant = ahead[offset] = None if local is None else _minus(local, offset)
        return instant

    while start.year <= EVENLY_FROM:
        instant = first(offset_at(start, zone), start)
        change = next_change(zone, start, instant or END)
        if change is None:
            return instant
        start = change
    # From this year on the zone has the same offsets every year.
    changes = (change for year in range(28) for change in changes_in(zone, EVENLY_FROM + year))
    starts = dict.fromkeys((offset_at(change, zone) for change in changes), start)
    starts[offset_at(start, zone)] = start
    for _ in range(_MAX_UNSHOWN):
        coming = [(at, offset) for offset in starts if (at := first(offset, starts[offset]))]
        instant, offset = min(coming, default=(None, ZERO))
        if instant is None or offset_at(instant, zone) == offset:
            return instant
        change = next_change(zone, instant, END)
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
