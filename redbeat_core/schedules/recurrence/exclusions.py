"""Skips long runs of excluded occurrences without visiting each.

Pure; used by rule sets only. The days of a rule without BYEASTER repeat after 400 years. For each
day of that cycle, two bit sets hold the times of day that the rule may have and those that
the exclusions remove. The difference gives the next remaining time directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from .calendar_days import CYCLE_DAYS, LAST_DAY, lowest
from .rule_parts import DAY_SECONDS, Parts, completed, moment_of, ordinal_seconds
from .subdaily_rules import times_of_day
from .zoned_rule import Recurrence
from .zones import DAY, next_change, offset_at

#: The most exclusions that are combined: with more, visiting each occurrence is cheaper.
_MAX_EXCLUSIONS = 8
#: The most steps of combining them, for the same reason.
_MAX_STEPS = 200
_FAR = datetime.max.replace(tzinfo=UTC) - DAY
#: From here on the clocks of all zones change by the same rule every year.
_BY_RULE = datetime(2090, 1, 1, tzinfo=UTC)


class Exclusions:
    """The exclusion rules that apply to one rule of a set.

    :param rule: the rule.
    :param exclusions: the exclusion rules, with the same DTSTART.
    """

    def __init__(self, rule: Recurrence, exclusions: Sequence[Recurrence]) -> None:
        self._zone = rule.dtstart.tzinfo or UTC
        self._rule = rule
        fixed = next_change(self._zone, rule.dtstart.astimezone(UTC), _FAR) is None
        #: The exclusions that remove every occurrence on their days at their times of day.
        self._exclusions = [
            exclusion
            for exclusion in exclusions
            if exclusion.count is None
            and _covers(exclusion.parts, rule.parts)
            and not exclusion.parts.bysetpos
            and (fixed or exclusion.by_wall == rule.by_wall)
        ][:_MAX_EXCLUSIONS]
        self._remaining: dict[tuple[object, ...], list[tuple[int, int]] | None] = {}

    def end(self, run: datetime) -> datetime | None:
        """Return an instant up to which every occurrence after *run* is excluded.

        :param run: an excluded occurrence (UTC).
        :returns: *run* itself where nothing can be skipped; None where every later occurrence is
            excluded.
        """
        active = [
            exclusion
            for exclusion in self._exclusions
            if exclusion.until is None or exclusion.until >= run
        ]
        if not active:
            return run
        by_wall = self._rule.by_wall
        offset = offset_at(run, self._zone)
        if by_wall and next_change(self._zone, run - 2 * DAY, run + 2 * DAY) is not None:
            # Near a clock change, earlier local times may move behind this one or occur twice.
            return run
        remaining = self._remaining_at(offset, active)
        if remaining is None:
            return run
        untils = [exclusion.until for exclusion in active if exclusion.until is not None]
        change = None if by_wall else next_change(self._zone, run, _FAR)
        following = _first(remaining, ordinal_seconds(run.replace(tzinfo=None) + offset) + 1)
        if following is None and not untils:
            if change is None or not any(self._remains_later(run, active)):
                return None
            return change
        ends = [end for end in (change, *untils) if end is not None]
        if following is not None:
            at = (moment_of(following) - offset).replace(tzinfo=UTC)
            # A clock change nearby may move a local time: stop one day before.
            ends.append(at - DAY if by_wall else at)
        return max(min(ends), run)

    def _remains_later(self, run: datetime, active: Sequence[Recurrence]) -> Iterator[bool]:
        """Yield for each UTC offset of the zone from *run* on whether occurrences may remain."""
        at: datetime | None = run
        offsets: set[timedelta] = set()
        while at is not None:
            offsets.add(offset_at(at, self._zone))
            at = next_change(self._zone, at, _BY_RULE)
        return (self._remaining_at(offset, active) != [] for offset in offsets)

    def _remaining_at(
        self, offset: timedelta, active: Sequence[Recurrence]
    ) -> list[tuple[int, int]] | None:
        """Return the days of the cycle with the times of day that remain on them at *offset*.

        :returns: pairs (days, times) of bit sets with one byte for each day and each second;
            None where the days differ in too many ways, or a rule uses BYEASTER.
        """
        key = (offset, *active)
        if key not in self._remaining:
            start = (self._rule.dtstart.astimezone(UTC) + offset).replace(tzinfo=None)
            if self._rule.by_wall:
                start = self._rule.dtstart.replace(tzinfo=None)
            parts = [completed(rule.parts, start) for rule in (self._rule, *active)]
            if any(rule_parts.byeaster for rule_parts in parts):
                self._remaining[key] = None
                return None
            (days, times), *excluded = [
                (
                    int.from_bytes(rule_parts.days.cycle(0), "little"),
                    int.from_bytes(times_of_day(rule_parts), "little"),
                )
                for rule_parts in parts
            ]
            self._remaining[key] = _subtract(days, times, excluded)
        return self._remaining[key]


def _covers(exclusion: Parts, rule: Parts) -> bool:
    """Whether *exclusion* recurs in every period, or at least in every period of *rule*."""
    same = (exclusion.freq, exclusion.wkst) == (rule.freq, rule.wkst)
    return exclusion.interval == 1 or (same and rule.interval % exclusion.interval == 0)


def _subtract(
    days: int, times: int, excluded: list[tuple[int, int]]
) -> list[tuple[int, int]] | None:
    """Return groups of days with the times of day that remain on them.

    :returns: None where that takes more than ``_MAX_STEPS`` steps.
    """
    remaining = [(days, times)]
    steps = 0
    for excluded_days, excluded_times in excluded:
        groups = [
            group
            for days, times in remaining
            for group in (
                (days & excluded_days, times & ~excluded_times),
                (days & ~excluded_days, times),
            )
        ]
        steps += len(groups)
        if steps > _MAX_STEPS:
            return None
        remaining = [(days, times) for days, times in groups if days and times]
    return [(days, times) for days, times in remaining if days and times]


def _first(remaining: list[tuple[int, int]], seconds: int) -> int | None:
    """Return the first remaining time at or after *seconds*; None where there is none.

    Both count seconds as :func:`.rule_parts.ordinal_seconds` does.
    """
    day, second = divmod(seconds, DAY_SECONDS)
    cycle, place = divmod(day - 1, CYCLE_DAYS)
    candidates = []
    for days, times in remaining:
        later = times >> 8 * second if days >> 8 * place & 1 else 0
        if later:
            candidates.append(seconds + lowest(later) // 8)
            continue
        coming = days >> 8 * (place + 1)
        ahead = day + 1 if coming else (cycle + 1) * CYCLE_DAYS + 1
        ahead += lowest(coming or days) // 8
        if ahead <= LAST_DAY:
            candidates.append(ahead * DAY_SECONDS + lowest(times) // 8)
    return min(candidates, default=None)
