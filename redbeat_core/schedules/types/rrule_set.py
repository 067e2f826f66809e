"""Sets of recurrence rules: ``rrule_set``, RFC 5545's RRULE, RDATE, EXRULE and EXDATE together.

Pure. Only this project has it: celery-redbeat cannot read an entry that uses one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from celery import Celery

from redbeat_core.schedules.recurrence.exclusions import Exclusions
from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, TICK, DstPolicy, instants_of

from .base import OccurrenceSchedule
from .once import zone_identity, zoned
from .rrule import rrule

_EVERY_PASS = DstPolicy(ambiguous="both")
MAX_RULES = 10
MAX_DATES = 500
#: So many times in a row may be looked at that are taken away by an exclusion, before the search is
#: given up; where there are more rules and exclusions, the fewer.
MAX_EXCLUDED = 1000
#: After so many it is worked out where they end, which costs as much as so many.
_WALKED, _JUMP = 20, 50


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The end of a search that visited only excluded times.

    :ivar at: the last of them (UTC); a run may follow it.
    :ivar times: how many were visited before it.
    """

    at: datetime
    times: int


class rrule_set(OccurrenceSchedule):
    """Several recurrence rules and dates as one schedule.

    It runs at the times of any of *rules* and at *rdates*, but at none of *exdates* and at no
    time of any of *exrules*. A set of one rule and nothing else equals that rule.

    :param rules: ``rrule`` schedules, with exrules all of the same DTSTART.
    :param rdates: aware datetimes.
    :param exdates: aware datetimes; in a named zone it is the local time that is left out.
    :raises ValueError: it holds nothing, too much, or rules that start at different times.
    """

    def __init__(
        self,
        rules: Iterable[rrule] = (),
        rdates: Iterable[datetime] = (),
        exrules: Iterable[rrule] = (),
        exdates: Iterable[datetime] = (),
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celery | None = None,
    ) -> None:
        super().__init__(nowfun=nowfun, app=app)
        self.rules = _rules("rules", rules)
        self.exrules = _rules("exrules", exrules)
        self.rdates = _dates("rdates", rdates)
        self.exdates = _dates("exdates", exdates)
        if not self.rules and not self.rdates:
            raise ValueError("a set needs a rule or a date on which it runs")
        every = (*self.rules, *self.exrules)
        starts = {(rule.earliest, zone_identity(rule.recurrence.dtstart)) for rule in every}
        if len(starts) > 1:
            raise ValueError("the rules of a set must have one dtstart, as RFC 5545 has it")

    @property
    def dtstart(self) -> datetime:
        """The start of the rules; without rules the first date."""
        every = (*self.rules, *self.exrules)
        return every[0].recurrence.dtstart if every else self.rdates[0]

    @cached_property
    def earliest(self) -> datetime:
        """The time before which it never runs (UTC)."""
        starts = [rule.earliest for rule in self.rules[:1]]
        return min([*starts, *(date.astimezone(UTC) for date in self.rdates[:1])])

    @cached_property
    def _extra(self) -> tuple[datetime, ...]:
        return tuple(sorted({date.astimezone(UTC) for date in self.rdates}))

    def _left_out(self, dst: DstPolicy) -> frozenset[datetime]:
        found: set[datetime] = set()
        for date in self.exdates:
            found.add(date.astimezone(UTC))
            if not date.fold and date.tzinfo is not None:
                found.update(instants_of(date.replace(tzinfo=None), date.tzinfo, _EVERY_PASS))
        return frozenset(found)

    def runs_after(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """The runs strictly after *moment* (aware), as UTC, ascending, none twice.

        Ends after :data:`MAX_EXCLUDED` times in a row that are all excluded.
        """
        for run in self.search(moment, dst):
            if isinstance(run, GivenUp):
                return
            yield run

    def search(
        self, moment: datetime, dst: DstPolicy = DEFAULT_DST, limit: int = MAX_EXCLUDED
    ) -> Iterator[datetime | GivenUp]:
        """Like :meth:`runs_after`, but yields :class:`GivenUp` when *limit* excluded times were
        visited in a row.
        """
        never = self._left_out(dst)
        # A rule that is excluded as a whole would be walked for nothing.
        rules = [rule for rule in self.rules if rule not in self.exrules]
        share = limit // max(len(rules), 1)
        streams = [self._left_of(rule, moment, dst, never, share) for rule in rules]
        taken = [_Taken(rule, dst) for rule in self.exrules]
        dates = (
            (date, 0)
            for date in self._extra
            if date > moment and date not in never and not any(one.has(date) for one in taken)
        )
        last, found = moment.astimezone(UTC), False
        for run, excluded in heapq.merge(*streams, dates):
            if excluded:
                # Unless other rules have runs all the while.
                if not found:
                    yield GivenUp(run, excluded)
                    return
                found = False
            elif run > last:
                last, found = run, True
                yield run

    def _left_of(
        self,
        rule: rrule,
        moment: datetime,
        dst: DstPolicy,
        never: frozenset[datetime],
        limit: int,
    ) -> Iterator[tuple[datetime, int]]:
        """Yield the occurrences of a rule that are not excluded, each with 0. After as much work as
        *limit* occurrences excluded by one rule take, yield the last excluded one with the
        number before it.
        """
        taken = [_Taken(one, dst) for one in self.exrules]
        exclusions = Exclusions(rule.recurrence, [one.recurrence for one in self.exrules])
        start: datetime | None = moment
        excluded = spent = 0
        jumping = False
        while start is not None:
            runs, start = _safely(rule.runs_after(start, dst)), None
            for run in runs:
                if run not in never and not any(one.has(run) for one in taken):
                    excluded = spent = 0
                    jumping = False
                    yield run, 0
                    continue
                if spent >= limit:
                    yield run, excluded
                    excluded = spent = 0
                excluded += 1
                spent += len(taken) or 1
                if excluded % _WALKED == 0 or jumping:
                    end = exclusions.end(run)
                    if end is None:
                        return
                    jumping = end > run
                    if jumping:
                        start = end - TICK
                        spent += _JUMP * len(taken)
                        break

    def takes_away(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> bool:
        """Whether *moment* (aware) is excluded."""
        at = moment.astimezone(UTC)
        if self.exdates and at in self._left_out(dst):
            return True
        return any(_Taken(rule, dst).has(at) for rule in self.exrules)

    def _kind(self) -> type:
        return rrule if self._alone is not None else rrule_set

    @property
    def _alone(self) -> rrule | None:
        alone = len(self.rules) == 1 and not (self.rdates or self.exrules or self.exdates)
        return self.rules[0] if alone else None

    def _identity(self) -> tuple[object, ...]:
        if self._alone is not None:
            return self._alone._identity()
        return (
            frozenset(self.rules),
            frozenset(self.exrules),
            frozenset((date.astimezone(UTC), zone_identity(date)) for date in self.rdates),
            frozenset((date.astimezone(UTC), zone_identity(date)) for date in self.exdates),
        )

    def __repr__(self) -> str:
        named = ("rules", "rdates", "exrules", "exdates")
        return f"<rrule_set: {', '.join(f'{name}: {getattr(self, name)}' for name in named)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.rules, self.rdates, self.exrules, self.exdates)
        return rebuilt_set, (self.__class__, parts, self.nowfun)


class _Taken:
    """The occurrences of an excluding rule, asked about in ascending order: visited one by one
    while they are close, and sought where they are not.
    """

    _STEPS = 8

    def __init__(self, rule: rrule, dst: DstPolicy) -> None:
        self._rule, self._dst = rule, dst
        self._runs: Iterator[datetime] = iter(())
        self._at: datetime | None = datetime.min.replace(tzinfo=UTC)
        self._fresh = True

    def has(self, run: datetime) -> bool:
        """Whether *run* is an occurrence of the rule."""
        steps = 0
        while self._at is not None and self._at < run:
            if steps == self._STEPS or self._fresh:
                self._runs = _safely(self._rule.runs_after(run - TICK, self._dst))
                self._fresh = False
            self._at = next(self._runs, None)
            steps += 1
        return self._at == run


def rebuilt_set(cls: type[rrule_set], parts: tuple[Any, ...], nowfun: Any) -> rrule_set:
    """For pickle."""
    return cls(*parts, nowfun=nowfun)


def _safely(runs: Iterator[datetime]) -> Iterator[datetime]:
    """Yield *runs* up to the end of the calendar."""
    try:
        yield from runs
    except OverflowError:
        return


def _rules(name: str, given: Iterable[rrule]) -> tuple[rrule, ...]:
    rules = tuple(given)
    if len(rules) > MAX_RULES:
        raise ValueError(f"{name} holds {len(rules)} rules; at most {MAX_RULES} are read")
    for rule in rules:
        if not isinstance(rule, rrule):
            raise ValueError(f"{name} holds a {type(rule).__name__}, which is no rrule")
        if rule.starts_when_made:
            raise ValueError("the rules of a set need a dtstart")
    return rules


def _dates(name: str, given: Iterable[datetime]) -> tuple[datetime, ...]:
    dates = tuple(given)
    if len(dates) > MAX_DATES:
        raise ValueError(f"{name} holds {len(dates)} dates; at most {MAX_DATES} are read")
    whole = (zoned(name, date, None) for date in dates)
    return tuple(
        sorted(
            (date.replace(microsecond=0) for date in whole),
            key=lambda date: (date.astimezone(UTC), str(zone_identity(date))),
        )
    )
