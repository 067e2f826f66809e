"""Decides what to do with a due entry: run it now, later, or never again.

Pure: the caller passes the record that it read and the current time.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import inf, isfinite
from typing import Any

from celery.schedules import crontab, schedule

from redbeat_core.entries.due_field import nominal_of, score_is_ours
from redbeat_core.entries.policy import PLAIN, SKIP_GRACE, Policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import counts_of
from redbeat_core.schedules import OccurrenceSchedule, advance, next_occurrence
from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, TICK, DstPolicy
from redbeat_core.schedules.types.next_run import next_look
from redbeat_core.schedules.types.rrule_set import rrule_set

from .missed_runs import backlog

#: The last instant that a datetime can hold, in Unix microseconds.
_LAST_MICROSECOND = 253_402_300_799_999_999
_DEADLINE = "later than beat_cron_starting_deadline"


@dataclass(frozen=True, slots=True)
class RunsNotMade:
    """Consecutive nominal times that get no run.

    :ivar skipped: whether the policy skips them on purpose; otherwise they are missed.
    :ivar first: the first of them (UTC).
    :ivar last: the last of them (UTC).
    :ivar count: the number of them.
    :ivar more: whether there are more than *count*, too many to count.
    """

    skipped: bool
    first: datetime
    last: datetime
    count: int
    reason: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision for one due entry.

    :ivar nominal: the nominal time of the run to make now (UTC); None: make no run.
    :ivar next: the nominal time of the next run (UTC); None: the entry is not scheduled any more.
    :ivar gaps: the nominal times that get no run.
    :ivar finished: whether the entry never runs again.
    :ivar due: when the next run is due (UTC), where that differs from its nominal time.
    """

    nominal: datetime | None
    next: datetime | None
    gaps: tuple[RunsNotMade, ...] = ()
    finished: bool = False
    due: datetime | None = None

    @property
    def missed(self) -> int:
        """The number of nominal times that get no run."""
        return sum(gap.count for gap in self.gaps)

    @property
    def score(self) -> float:
        """The entry's new score: when it is due next, in Unix seconds; -1: not scheduled."""
        if self.next is None:
            return -1.0
        return (self.due or self.next).timestamp()

    def placed(self, now: float) -> tuple[float, str]:
        """Return the entry's new score and field ``due``.

        :param now: when the decision is made, Unix seconds.
        """
        return self.score, self.due_field(now)

    def due_field(self, now: float) -> str:
        """Return the entry's new field ``due``: the score, and for some entries a second time.

        The second time is the nominal time of the next run where that differs from the score, or,
        for a finished entry, when it finished.

        :param now: when the decision is made, Unix seconds.
        """
        if self.finished:
            return f"{self.score!r} {now!r}"
        if self.due is None or self.next is None:
            return repr(self.score)
        return f"{self.score!r} {self.next.timestamp()!r}"


def counted(counts: str | None, gaps: Iterable[RunsNotMade]) -> str:
    """Return the field ``counts`` of an entry: the totals in *counts* plus those of *gaps*."""
    before = counts_of(EntryRecord("", counts=counts))
    totals = {"missed": before.missed, "skipped": before.skipped}
    for gap in gaps:
        totals["skipped" if gap.skipped else "missed"] += gap.count
    return json.dumps(totals)


def plan(
    record: EntryRecord,
    definition: dict[str, Any],
    last_run_at: datetime | None,
    now: datetime,
    deadline: float | None = None,
    policy: Policy = PLAIN,
    runs: int = 0,
) -> Plan:
    """Return the plan for an entry that is due by its score.

    A score that this scheduler wrote gives the nominal time. A score that celery-redbeat wrote may
    be too early: it writes 'now' for an entry that is overdue or never ran, and asks the schedule
    again when that time comes. So such a score is checked against the schedule.

    :param now: UTC.
    :param deadline: ``beat_cron_starting_deadline``, seconds.
    :param runs: the number of runs that the entry has had.
    """
    if not definition.get("enabled", True):
        return Plan(None, None)
    timing = definition["schedule"]
    nominal = datetime.fromtimestamp(max(nominal_of(record) or 0.0, 0.0), UTC)
    if not score_is_ours(record):
        first = first_due(timing, last_run_at, nominal, policy.dst)
        if first is None:
            return Plan(None, None, finished=True)
        if first > now:
            return later(record.name, timing, first, policy, runs)
        nominal = first
    if isinstance(timing, rrule_set) and timing.takes_away(nominal, policy.dst):
        # The last search gave up at this excluded occurrence: continue it from here.
        first = next_look(timing, nominal, policy.dst)
        if first is None:
            return Plan(None, None, finished=True)
        return later(record.name, timing, first, policy, runs)
    if policy is PLAIN and deadline is None:
        following = next_occurrence(timing, nominal)
        if following is not None and following > now:
            # The usual case, decided early: no policy applies, and only one run is due.
            return Plan(nominal, following)
    if policy.start is not None and nominal < _time(policy.start):
        return later(record.name, timing, nominal, policy, runs)
    if is_over(nominal, policy, runs):
        return Plan(None, None, finished=True)
    following = next_look(timing, nominal, policy.dst)
    grace, why = _grace(timing, policy, deadline)
    if (following is None or following > now) and grace is None and not policy.jitter:
        # Only one run is due.
        return _then(Plan(nominal, following), record.name, timing, policy, runs + 1)
    return _catch_up(record.name, timing, nominal, now, policy, runs, grace, why)


def plan_interval(due: float, every: int, now: int) -> tuple[float, float] | None:
    """Return the nominal times of this run and the next, for the simplest case of :func:`plan`.

    That case is a plain interval, the policy :data:`PLAIN`, a score that this scheduler wrote, and
    exactly one due run. The result equals that of :func:`plan`: it computes in whole microseconds,
    as datetimes do, in a fraction of the time.

    :param due: the score, Unix seconds.
    :param every: the interval, microseconds.
    :param now: Unix microseconds.
    :returns: both nominal times in Unix seconds; None where :func:`plan` must decide.
    """
    if not isfinite(due):
        return None
    seconds = int(due)
    nominal = seconds * 1_000_000 + round((due - seconds) * 1e6)
    following = nominal + every
    if not 0 <= nominal <= now < following <= _LAST_MICROSECOND:
        return None
    return nominal / 1_000_000, following / 1_000_000


def _grace(timing: Any, policy: Policy, deadline: float | None) -> tuple[float | None, str]:
    """Return how late a run may be, in seconds, and the reason to report for a later one."""
    grace = policy.grace
    why = "" if grace is None else f"late by more than its grace of {grace:g} s"
    if grace is None and policy.catchup == "skip":
        grace = SKIP_GRACE
        why = f"late by more than {grace:g} s, and catch-up is 'skip'"
    if deadline is not None and isinstance(timing, crontab) and (grace is None or deadline < grace):
        return deadline, f"{_DEADLINE} ({deadline:g} s)"
    return grace, why


def _catch_up(
    name: str,
    timing: Any,
    nominal: datetime,
    now: datetime,
    policy: Policy,
    runs: int,
    grace: float | None,
    too_late: str,
) -> Plan:
    """Return the plan where several nominal times are due, or one may be too late."""
    until = now if policy.end is None else min(now, _time(policy.end))
    overdue = backlog(timing, nominal, until, policy.catchup_limit + 2, policy.dst)
    times = overdue.times
    following = overdue.next
    if following is None:
        following = next_look(timing, times[-1], policy.dst)
    stop = len(times)
    if policy.jitter and put_off(name, times[-1], following, policy) > now:
        # The newest nominal time has passed, but jitter delays its run.
        stop -= 1
        following = times[stop]
        if stop == 0:
            return later(name, timing, following, policy, runs)
    gaps: list[RunsNotMade] = []

    def give_up(start: int, end: int, reason: str, *, skipped: bool = False) -> None:
        if end > start:
            more = overdue.spans_hole(start, end)
            gaps.append(
                RunsNotMade(skipped, times[start], times[end - 1], end - start, reason, more)
            )

    start = 0
    if grace is not None:
        oldest = now - timedelta(seconds=grace)
        start = bisect_left(times, oldest, 0, stop)
        if policy.jitter and start > 0:
            after = times[start] if start < len(times) else following
            start -= put_off(name, times[start - 1], after, policy) >= oldest
        if too_late.startswith(_DEADLINE) and not _ran_within(timing, oldest, now, policy.dst):
            start = stop
    if overdue.hole is not None and overdue.hole - 1 <= start <= overdue.hole:
        # Keep the times that the list leaves out within one RunsNotMade.
        start = overdue.hole + 1
    give_up(0, start, too_late)
    at_once: datetime | None = None
    if start == stop:
        return _then(Plan(None, following, tuple(gaps)), name, timing, policy, runs)
    if policy.catchup == "skip":
        give_up(start, stop - 1, "only the newest is run: catch-up is 'skip'", skipped=True)
        chosen = stop - 1
    elif policy.catchup == "all":
        chosen = max(start, stop - policy.catchup_limit)
        limit = f"catch-up makes only the newest {policy.catchup_limit} missed runs"
        give_up(start, chosen, limit)
        if chosen + 1 < stop:
            # Due now, not at its nominal time: the entry that catches up goes behind the others
            # that are due already, so that they do not wait for it.
            following = times[chosen + 1]
            at_once = now
    else:
        chosen = start
        if runs + 1 < (policy.max_runs or inf):
            give_up(start + 1, stop, "one run stands for all that came due meanwhile")
    decided = Plan(times[chosen], following, tuple(gaps), due=at_once)
    return _then(decided, name, timing, policy, runs + 1)


def _ran_within(timing: Any, oldest: datetime, now: datetime, dst: DstPolicy) -> bool:
    """Whether *timing* has a nominal time from *oldest* to *now*.

    The entry's own nominal time does not answer this: it is 'now' where the entry was saved after
    its time.
    """
    run = next_occurrence(timing, oldest - TICK, dst)
    return run is not None and run <= now


def later(name: str, timing: Any, nominal: datetime, policy: Policy, runs: int) -> Plan:
    """Return a plan without a run now: the next run is at *nominal*, or, where the policy starts
    later, at the first nominal time that it allows.

    :param runs: the number of runs that the entry has had.
    """
    start = None if policy.start is None else _time(policy.start)
    if start is not None and nominal < start:
        following = advance(timing, nominal, start - TICK, policy.dst).next
    else:
        following = nominal
    return _then(Plan(None, following), name, timing, policy, runs)


def _then(decided: Plan, name: str, timing: Any, policy: Policy, runs: int) -> Plan:
    """Return *decided* with its next run changed by the policy: removed, or delayed by jitter.

    :param runs: the number of runs that the entry will have had before that run.
    """
    following = decided.next
    if following is None or is_over(following, policy, runs):
        return replace(decided, next=None, due=None, finished=True)
    if not policy.jitter:
        return decided
    due = put_off(name, following, next_occurrence(timing, following, policy.dst), policy)
    return replace(decided, due=max(due, decided.due or due))


def is_over(nominal: datetime, policy: Policy, runs: int) -> bool:
    """Whether the policy allows no run at *nominal* or later.

    :param runs: the number of runs that the entry will have had before *nominal*.
    """
    if policy.max_runs is not None and runs >= policy.max_runs:
        return True
    return policy.end is not None and nominal > _time(policy.end)


def put_off(name: str, nominal: datetime, following: datetime | None, policy: Policy) -> datetime:
    """Return when the run of *nominal* is due: *nominal* plus a part of the policy's jitter.

    The part depends only on *name* and *nominal*, so every call returns the same instant. It is
    always before *following*, the next nominal time.
    """
    jitter = policy.jitter
    if following is not None:
        jitter = min(jitter, (following - nominal).total_seconds())
    digest = blake2b(f"{name}\0{nominal.timestamp()!r}".encode(errors="replace"), digest_size=6)
    part = int.from_bytes(digest.digest()) / 2**48
    return nominal + timedelta(microseconds=int(part * jitter * 1e6))


def _time(seconds: float) -> datetime:
    # Compare as datetimes everywhere. A start between two microseconds, compared exactly in one
    # place and rounded in another, would delay a run for ever.
    return datetime.fromtimestamp(seconds, UTC)


def first_due(
    timing: Any,
    last_run_at: datetime | None,
    asked: datetime,
    dst: DstPolicy = DEFAULT_DST,
) -> datetime | None:
    """Return when an entry is due first, by its schedule and its last run alone.

    :param asked: the instant to use for an entry that never ran, where the schedule allows it.
    """
    if last_run_at is not None:
        return next_look(timing, last_run_at, dst)
    if isinstance(timing, OccurrenceSchedule) and timing.earliest is not None:
        # The entry never ran: its first run is not before the first occurrence.
        first = next_look(timing, timing.earliest - TICK, dst)
        return None if first is None else max(first, asked)
    return asked


def next_after_edit(
    timing: Any,
    last_run_at: datetime | None,
    now: datetime,
    dst: DstPolicy = DEFAULT_DST,
) -> datetime | None:
    """Return when an entry runs first after its schedule changed at *now*.

    It never runs at once: an interval continues to count from the last run, any other schedule
    takes its first occurrence after *now*.
    """
    if type(timing) is schedule and last_run_at is not None and last_run_at <= now:
        return advance(timing, last_run_at, now).next
    return next_look(timing, now, dst)
