"""Skips long runs of excluded occurrences without visiting each.

Pure; used by rule sets only. The days of all rules repeat after 400 years. For each day of these
400 years this module computes the times of day that a rule may have and those that the exclusions
remove, so it finds the remaining times without visiting the removed ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from .calendar_days import CYCLE_DAYS, LAST_DAY, lowest
from .rule_parts import DAY_SECONDS, Parts, completed, moment_of, ordinal_seconds
from .subdaily_rules import times_of_day
from .zoned_rule import Recurrence
from .zones import DAY, next_change, offset_at

#: Exclusions that are put together, and steps of that, up to which it is cheaper than to walk.
_MAX_TAKEN, _MAX_STEPS = 8, 200
_FAR = datetime.max.replace(tzinfo=UTC) - DAY
#: From here on the clocks of all zones go by a rule for the year.
_BY_RULE = datetime(2090, 1, 1, tzinfo=UTC)


class Exclusions:
    """The occurrences of one rule that remain after other rules excluded theirs.

    :param wanted: the rule.
    :param taken: the excluding rules, all with the same start.
    """

    def __init__(self, wanted: Recurrence, taken: Sequence[Recurrence]) -> None:
        self._zone = zone = wanted.dtstart.tzinfo or UTC
        self._wanted = wanted
        fixed = next_change(zone, wanted.dtstart.astimezone(UTC), _FAR) is None
        #: Those that take all that is at one of their times of day on one of their days.
        self._taken = [
            one
            for one in taken
            if one.count is None
            and _covers(one.parts, wanted.parts)
            and not one.parts.bysetpos
            and (fixed or one.by_wall == wanted.by_wall)
        ][:_MAX_TAKEN]
        self._left: dict[tuple[object, ...], list[tuple[int, int]] | None] = {}

    def end(self, run: datetime) -> datetime | None:
        """Return a time after the excluded occurrence *run* (UTC) before which every occurrence is
        excluded; None: no occurrence remains.
        """
        taken = [one for one in self._taken if one.until is None or one.until >= run]
        if not taken:
            return run
        by_wall, offset = self._wanted.by_wall, offset_at(run, self._zone)
        if by_wall and next_change(self._zone, run - 2 * DAY, run + 2 * DAY) is not None:
            # Times before this one may be shifted behind it, or come for a second time.
            return run
        left = self._left_of(offset, taken)
        if left is None:
            return run
        untils = [one.until for one in taken if one.until is not None]
        change = None if by_wall else next_change(self._zone, run, _FAR)
        following = _first(left, ordinal_seconds(run.replace(tzinfo=None) + offset) + 1)
        if following is None and not untils:
            if change is None or not any(self._left_later(run, taken)):
                return None
            return change
        ends = [end for end in (change, *untils) if end is not None]
        if following is not None:
            at = (moment_of(following) - offset).replace(tzinfo=UTC)
            # What the wall's clock shows may be shifted near a change.
            ends.append(at - DAY if by_wall else at)
        return max(min(ends), run)

    def _left_later(self, run: datetime, taken: Sequence[Recurrence]) -> Iterator[bool]:
        """Whether there may be something left under each of the offsets that are to come."""
        at: datetime | None = run
        offsets: set[timedelta] = set()
        while at is not None:
            offsets.add(offset_at(at, self._zone))
            at = next_change(self._zone, at, _BY_RULE)
        return (self._left_of(offset, taken) != [] for offset in offsets)

    def _left_of(
        self, offset: timedelta, taken: Sequence[Recurrence]
    ) -> list[tuple[int, int]] | None:
        """Return days, and the times of day that remain on them, as bytes of numbers; None: there
        are too many kinds of days.
        """
        key = (offset, *taken)
        if key not in self._left:
            start = (self._wanted.dtstart.astimezone(UTC) + offset).replace(tzinfo=None)
            if self._wanted.by_wall:
                start = self._wanted.dtstart.replace(tzinfo=None)
            parts = [completed(one.parts, start) for one in (self._wanted, *taken)]
            if any(one.byeaster for one in parts):
                self._left[key] = None
                return None
            (days, times), *theirs = [
                (
                    int.from_bytes(one.days.cycle(0), "little"),
                    int.from_bytes(times_of_day(one), "little"),
                )
                for one in parts
            ]
            self._left[key] = _kinds(days, times, theirs)
        return self._left[key]


def _covers(one: Parts, other: Parts) -> bool:
    """Whether *one* counts all periods, or at least all those of *other*."""
    same = (one.freq, one.wkst) == (other.freq, other.wkst)
    return one.interval == 1 or (same and other.interval % one.interval == 0)


def _kinds(days: int, times: int, taken: list[tuple[int, int]]) -> list[tuple[int, int]] | None:
    """Return days, and the times of day that remain on them; None: there are too many kinds of
    days.
    """
    left, steps = [(days, times)], 0
    for their_days, their_times in taken:
        parts = [
            part
            for days, times in left
            for part in ((days & their_days, times & ~their_times), (days & ~their_days, times))
        ]
        steps += len(parts)
        if steps > _MAX_STEPS:
            return None
        left = [(days, times) for days, times in parts if days and times]
    return [(days, times) for days, times in left if days and times]


def _first(left: list[tuple[int, int]], seconds: int) -> int | None:
    """The first time that is left, from a time on, both in seconds as they are counted there."""
    day, second = divmod(seconds, DAY_SECONDS)
    cycle, place = divmod(day - 1, CYCLE_DAYS)
    pairs = []
    for days, times in left:
        later = times >> 8 * second if days >> 8 * place & 1 else 0
        if later:
            pairs.append(seconds + lowest(later) // 8)
            continue
        coming = days >> 8 * (place + 1)
        ahead = day + 1 if coming else (cycle + 1) * CYCLE_DAYS + 1
        ahead += lowest(coming or days) // 8
        if ahead <= LAST_DAY:
            pairs.append(ahead * DAY_SECONDS + lowest(times) // 8)
    return min(pairs, default=None)
