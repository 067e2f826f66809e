"""The schedule type ``rrule_set``: RFC 5545's RRULE, RDATE, EXRULE and EXDATE together.

Pure. celery-redbeat has no such type and cannot read an entry that uses it.
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
#: The search gives up after this many excluded occurrences in a row. Several rules share the limit,
#: and each visited occurrence counts once for every exclusion rule.
MAX_EXCLUDED = 1000
#: After this many excluded occurrences in a row the search tries to skip the rest of the run.
_VISITS_BEFORE_SKIP = 20
#: The cost of one skip for each exclusion rule, in visited occurrences.
_SKIP_COST = 50
#: Steps through the occurrences of an exclusion rule, after which a seek is cheaper.
_STEPS_BEFORE_SEEK = 8


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The end of a search that visited only excluded occurrences.

    :ivar at: the last one visited (UTC); a run may follow later.
    :ivar times: the number visited before it.
    """

    at: datetime
    times: int


class rrule_set(OccurrenceSchedule):
    """Several recurrence rules and dates as one schedule.

    It runs at the occurrences of any of *rules* and at *rdates*, except at *exdates* and at the
    occurrences of any of *exrules*. A set of one rule and nothing else equals that rule.

    :param rules: ``rrule`` schedules; rules and exrules have the same DTSTART.
    :param rdates: aware datetimes.
    :param exdates: aware datetimes; in a named zone, the local time is excluded.
    :raises ValueError: the set has no rule and no rdate, has too many parts, or has rules with
        different DTSTARTs.
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
            raise ValueError("the rules of a set must have one dtstart, as RFC 5545 requires")

    @property
    def dtstart(self) -> datetime:
        """The DTSTART of the rules; without rules, the first rdate."""
        every = (*self.rules, *self.exrules)
        return every[0].recurrence.dtstart if every else self.rdates[0]

    @cached_property
    def earliest(self) -> datetime:
        """The instant (UTC) before which the set never runs."""
        starts = [rule.earliest for rule in self.rules[:1]]
        return min([*starts, *(date.astimezone(UTC) for date in self.rdates[:1])])

    @cached_property
    def _extra(self) -> tuple[datetime, ...]:
        return tuple(sorted({date.astimezone(UTC) for date in self.rdates}))

    def _excluded_instants(self) -> frozenset[datetime]:
        """Return the instants (UTC) of the exdates: both passes of a repeated local time."""
        instants: set[datetime] = set()
        for date in self.exdates:
            instants.add(date.astimezone(UTC))
            if not date.fold and date.tzinfo is not None:
                instants.update(instants_of(date.replace(tzinfo=None), date.tzinfo, _EVERY_PASS))
        return frozenset(instants)

    def runs_after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the runs strictly after *after* (aware), in UTC, ascending, without duplicates.

        Ends after :data:`MAX_EXCLUDED` excluded occurrences in a row.
        """
        for run in self.search(after, dst):
            if isinstance(run, GivenUp):
                return
            yield run

    def search(
        self, after: datetime, dst: DstPolicy = DEFAULT_DST, limit: int = MAX_EXCLUDED
    ) -> Iterator[datetime | GivenUp]:
        """Like :meth:`runs_after`, but yields :class:`GivenUp` at the end when the search visited
        *limit* excluded occurrences in a row."""
        excluded_instants = self._excluded_instants()
        # A rule that is also an exrule has no run at all.
        rules = [rule for rule in self.rules if rule not in self.exrules]
        share = limit // max(len(rules), 1)
        streams = [
            self._included_runs(rule, after, dst, excluded_instants, share) for rule in rules
        ]
        exrules = [_ExcludedTimes(rule, dst) for rule in self.exrules]
        dates = (
            (date, 0)
            for date in self._extra
            if date > after
            and date not in excluded_instants
            and not any(exrule.has(date) for exrule in exrules)
        )
        last = after.astimezone(UTC)
        ran = False
        for run, excluded in heapq.merge(*streams, dates):
            if excluded:
                # One rule reached its limit. The search goes on only if another rule ran since.
                if not ran:
                    yield GivenUp(run, excluded)
                    return
                ran = False
            elif run > last:
                last = run
                ran = True
                yield run

    def _included_runs(
        self,
        rule: rrule,
        after: datetime,
        dst: DstPolicy,
        excluded_instants: frozenset[datetime],
        limit: int,
    ) -> Iterator[tuple[datetime, int]]:
        """Yield the runs of *rule* that no part of the set excludes, each with 0.

        Each time the cost of a row of excluded occurrences reaches *limit*, yield the current one
        with the number of excluded occurrences before it. Each visited occurrence costs one for
        every exclusion rule.
        """
        exrules = [_ExcludedTimes(exrule, dst) for exrule in self.exrules]
        exclusions = Exclusions(rule.recurrence, [exrule.recurrence for exrule in self.exrules])
        start: datetime | None = after
        excluded = 0
        cost = 0
        skipping = False
        while start is not None:
            runs = _until_calendar_end(rule.runs_after(start, dst))
            start = None
            for run in runs:
                if run not in excluded_instants and not any(exrule.has(run) for exrule in exrules):
                    excluded = 0
                    cost = 0
                    skipping = False
                    yield run, 0
                    continue
                if cost >= limit:
                    yield run, excluded
                    excluded = 0
                    cost = 0
                excluded += 1
                cost += len(exrules) or 1
                if excluded % _VISITS_BEFORE_SKIP == 0 or skipping:
                    end = exclusions.end(run)
                    if end is None:
                        return
                    skipping = end > run
                    if skipping:
                        start = end - TICK
                        cost += _SKIP_COST * len(exrules)
                        break

    def takes_away(self, instant: datetime, dst: DstPolicy = DEFAULT_DST) -> bool:
        """Whether the set excludes *instant* (aware)."""
        at = instant.astimezone(UTC)
        if self.exdates and at in self._excluded_instants():
            return True
        return any(_ExcludedTimes(rule, dst).has(at) for rule in self.exrules)

    def _kind(self) -> type:
        return rrule if self._single_rule is not None else rrule_set

    @property
    def _single_rule(self) -> rrule | None:
        """The rule of a set that has one rule and nothing else; None for any other set."""
        single = len(self.rules) == 1 and not (self.rdates or self.exrules or self.exdates)
        return self.rules[0] if single else None

    def _identity(self) -> tuple[object, ...]:
        if self._single_rule is not None:
            return self._single_rule._identity()
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


class _ExcludedTimes:
    """Answers for ascending instants whether an exclusion rule occurs at them.

    It steps from one occurrence to the next while they are close, and seeks when they are not.
    """

    def __init__(self, rule: rrule, dst: DstPolicy) -> None:
        self._rule = rule
        self._dst = dst
        self._runs: Iterator[datetime] = iter(())
        self._at: datetime | None = datetime.min.replace(tzinfo=UTC)
        self._fresh = True

    def has(self, run: datetime) -> bool:
        """Whether the rule occurs at *run*; calls must be in ascending order."""
        steps = 0
        while self._at is not None and self._at < run:
            if steps == _STEPS_BEFORE_SEEK or self._fresh:
                self._runs = _until_calendar_end(self._rule.runs_after(run - TICK, self._dst))
                self._fresh = False
            self._at = next(self._runs, None)
            steps += 1
        return self._at == run


def rebuilt_set(cls: type[rrule_set], parts: tuple[Any, ...], nowfun: Any) -> rrule_set:
    """Rebuild a pickled set."""
    return cls(*parts, nowfun=nowfun)


def _until_calendar_end(runs: Iterator[datetime]) -> Iterator[datetime]:
    """Yield *runs*; end without an error where the calendar ends."""
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
