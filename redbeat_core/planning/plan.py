"""Decides which run of a due entry to make, which are missed or skipped, and when it is due next.

Pure, with the clock passed in.
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

#: The last moment that a datetime can be.
_LAST_MICROSECOND = 253_402_300_799_999_999
_DEADLINE = "later than beat_cron_starting_deadline"


@dataclass(frozen=True, slots=True)
class RunsNotMade:
    """A range of nominal times for which no run is made.

    :ivar skipped: they are skipped on purpose; else they are missed.
    :ivar first: the first of them (UTC).
    :ivar last: the last of them.
    :ivar count: their number.
    :ivar more: the range has more times than were counted.
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

    :ivar nominal: the nominal time of the run to make (UTC); None: make no run.
    :ivar next: the nominal time of the next run (UTC); None: the entry is not scheduled any more.
    :ivar gaps: the nominal times that get no run.
    :ivar finished: the entry has no further run.
    :ivar due: when the next run is due, where that is not its nominal time (UTC).
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
        """The entry's new score: when it is due next in Unix seconds, or -1."""
        if self.next is None:
            return -1.0
        return (self.due or self.next).timestamp()

    def placed(self, now: float) -> tuple[float, str]:
        """The entry's new score and field ``due``, for a decision made at *now*, Unix seconds."""
        return self.score, self.due_field(now)

    def due_field(self, now: float) -> str:
        """The entry's new field ``due``: its score, followed by the nominal time of the next run
        where that differs, or by the time since when the entry is finished.
        """
        if self.finished:
            return f"{self.score!r} {now!r}"
        if self.due is None or self.next is None:
            return repr(self.score)
        return f"{self.score!r} {self.next.timestamp()!r}"


def counted(counts: str | None, gaps: Iterable[RunsNotMade]) -> str:
    """Return the field ``counts`` of an entry after *gaps*: its counts so far and theirs."""
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
    """Decide about an entry that is due by its score.

    A score that celery-redbeat wrote may be too early (it writes 'now' for an entry that is overdue
    or never ran, and asks the schedule again at that time), so it is checked against the schedule.
    A score of this project gives the nominal time.

    :param now: UTC.
    :param deadline: ``beat_cron_starting_deadline``, seconds.
    :param runs: the number of runs that the entry has made.
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
        # The search for the next run had got no further.
        first = next_look(timing, nominal, policy.dst)
        if first is None:
            return Plan(None, None, finished=True)
        return later(record.name, timing, first, policy, runs)
    if policy is PLAIN and deadline is None:
        following = next_occurrence(timing, nominal)
        if following is not None and following > now:
            # As nearly always, said at once: there is no policy, and nothing else came due.
            return Plan(nominal, following)
    if policy.start is not None and nominal < _time(policy.start):
        return later(record.name, timing, nominal, policy, runs)
    if is_over(nominal, policy, runs):
        return Plan(None, None, finished=True)
    following = next_look(timing, nominal, policy.dst)
    grace, why = _grace(timing, policy, deadline)
    if (following is None or following > now) and grace is None and not policy.jitter:
        # Nothing else came due.
        return _then(Plan(nominal, following), record.name, timing, policy, runs + 1)
    return _catch_up(record.name, timing, nominal, now, policy, runs, grace, why)


def plan_interval(due: float, every: int, now: int) -> tuple[float, float] | None:
    """Return the nominal times of the run and of the next one, in Unix seconds, where :func:`plan`
    decides to make that run and nothing else, for a score of this project, a plain interval and
    :data:`PLAIN`; None where it may decide something else.

    It computes in whole microseconds, as datetimes do, in a fraction of their time.

    :param due: the score, Unix seconds.
    :param every: microseconds.
    :param now: Unix microseconds.
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
    """Decide where more than one nominal time is due, or where one may be too late."""
    until = now if policy.end is None else min(now, _time(policy.end))
    behind = backlog(timing, nominal, until, policy.catchup_limit + 2, policy.dst)
    times, following = behind.times, behind.next
    if following is None:
        following = next_look(timing, times[-1], policy.dst)
    stop = len(times)
    if policy.jitter and put_off(name, times[-1], following, policy) > now:
        # The newest has its nominal time behind it, but is put off.
        stop -= 1
        following = times[stop]
        if stop == 0:
            return later(name, timing, following, policy, runs)
    gaps: list[RunsNotMade] = []

    def give_up(start: int, end: int, reason: str, *, skipped: bool = False) -> None:
        if end > start:
            more = behind.spans_hole(start, end)
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
    if behind.hole is not None and behind.hole - 1 <= start <= behind.hole:
        # So that what is left out lies within one gap.
        start = behind.hole + 1
    give_up(0, start, too_late)
    at_once: datetime | None = None
    if start == stop:
        return _then(Plan(None, following, tuple(gaps)), name, timing, policy, runs)
    if policy.catchup == "skip":
        give_up(start, stop - 1, "only the newest is run: catch-up is 'skip'", skipped=True)
        chosen = stop - 1
    elif policy.catchup == "all":
        chosen = max(start, stop - policy.catchup_limit)
        limit = f"more than the {policy.catchup_limit} runs that are made up for"
        give_up(start, chosen, limit)
        if chosen + 1 < stop:
            # Its turn comes behind what is due by now: nobody waits for an entry to catch up.
            following, at_once = times[chosen + 1], now
    else:
        chosen = start
        if runs + 1 < (policy.max_runs or inf):
            give_up(start + 1, stop, "one run stands for all that came due meanwhile")
    decided = Plan(times[chosen], following, tuple(gaps), due=at_once)
    return _then(decided, name, timing, policy, runs + 1)


def _ran_within(timing: Any, oldest: datetime, now: datetime, dst: DstPolicy) -> bool:
    """Whether *timing* has a nominal time from *oldest* to *now*. An entry that was saved after its
    time has 'now' as its nominal time.
    """
    since = next_occurrence(timing, oldest - TICK, dst)
    return since is not None and since <= now


def later(name: str, timing: Any, nominal: datetime, policy: Policy, runs: int) -> Plan:
    """Make no run now; the next one is at *nominal*, or at the first nominal time that the policy
    allows.

    :param runs: the number of runs that the entry has made.
    """
    start = None if policy.start is None else _time(policy.start)
    if start is not None and nominal < start:
        following = advance(timing, nominal, start - TICK, policy.dst).next
    else:
        following = nominal
    return _then(Plan(None, following), name, timing, policy, runs)


def _then(decided: Plan, name: str, timing: Any, policy: Policy, runs: int) -> Plan:
    """Apply the policy to the next run of *decided*: it may rule that run out or put it off.

    :param runs: the number of runs that the entry will have made by then.
    """
    following = decided.next
    if following is None or is_over(following, policy, runs):
        return replace(decided, next=None, due=None, finished=True)
    if not policy.jitter:
        return decided
    due = put_off(name, following, next_occurrence(timing, following, policy.dst), policy)
    return replace(decided, due=max(due, decided.due or due))


def is_over(nominal: datetime, policy: Policy, runs: int) -> bool:
    """Whether the policy allows no run at *nominal*, nor at any later time.

    :param runs: the number of runs that the entry will have made by then.
    """
    if policy.max_runs is not None and runs >= policy.max_runs:
        return True
    return policy.end is not None and nominal > _time(policy.end)


def put_off(name: str, nominal: datetime, following: datetime | None, policy: Policy) -> datetime:
    """Return when the run of *nominal* is due: later by a part of the jitter that is always the
    same for this entry and time, and before *following*, the next nominal time.
    """
    room = policy.jitter
    if following is not None:
        room = min(room, (following - nominal).total_seconds())
    digest = blake2b(f"{name}\0{nominal.timestamp()!r}".encode(errors="replace"), digest_size=6)
    part = int.from_bytes(digest.digest()) / 2**48
    return nominal + timedelta(microseconds=int(part * room * 1e6))


def _time(seconds: float) -> datetime:
    # Compared as a datetime everywhere: a start between two microseconds, compared as it is with
    # one and rounded with another, would put a run off for ever.
    return datetime.fromtimestamp(seconds, UTC)


def first_due(
    timing: Any,
    last_run_at: datetime | None,
    asked: datetime,
    dst: DstPolicy = DEFAULT_DST,
) -> datetime | None:
    """Return when an entry is due of which only the schedule and the last run are known.

    :param asked: the due time of an entry that never ran, where the schedule allows it.
    """
    if last_run_at is not None:
        return next_look(timing, last_run_at, dst)
    if isinstance(timing, OccurrenceSchedule) and timing.earliest is not None:
        # Never ran: not before its first occurrence.
        first = next_look(timing, timing.earliest - TICK, dst)
        return None if first is None else max(first, asked)
    return asked


def next_after_edit(
    timing: Any,
    last_run_at: datetime | None,
    now: datetime,
    dst: DstPolicy = DEFAULT_DST,
) -> datetime | None:
    """Return the first run of an entry whose schedule was changed at *now*.

    The change itself causes no run: an interval continues from the last run, any other schedule
    starts with its first occurrence after *now*.
    """
    if type(timing) is schedule and last_run_at is not None and last_run_at <= now:
        return advance(timing, last_run_at, now).next
    return next_look(timing, now, dst)
