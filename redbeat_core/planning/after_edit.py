"""Plans the next run of an entry after an operator changed it, within its policy.

Pure, with the clock passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from redbeat_core.entries.due_field import nominal_of
from redbeat_core.entries.policy import Policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import from_score
from redbeat_core.schedules import advance, next_occurrence

from .plan import Plan, is_over, later, next_after_edit


def after_edit(
    name: str,
    timing: Any,
    last_run_at: datetime | None,
    runs: int,
    policy: Policy,
    now: datetime,
) -> Plan:
    """Return the plan for an entry that an operator rescheduled or resumed at *now* (UTC).

    :param runs: the number of runs that the entry has had.
    """
    due = next_after_edit(timing, last_run_at, now, policy.dst)
    if due is None:
        return Plan(None, None, finished=True)
    return later(name, timing, due, policy, runs)


def after_policy_edit(
    record: EntryRecord,
    timing: Any,
    last_run_at: datetime | None,
    runs: int,
    before: Policy,
    policy: Policy,
    now: datetime,
) -> Plan | None:
    """Return the plan for an entry whose policy changes from *before* to *policy* at *now* (UTC).

    :param runs: the number of runs that the entry has had.
    :returns: None where the score stays: the entry is due, and the new policy applies when a
        scheduler claims it.
    """
    nominal = nominal_of(record)
    if record.score is not None and 0 <= record.score <= now.timestamp():
        return None
    same_times = (before.start, before.dst) == (policy.start, policy.dst)
    if nominal is None or nominal < 0 or not same_times:
        return after_edit(record.name, timing, last_run_at, runs, policy, now)
    return later(record.name, timing, datetime.fromtimestamp(nominal, UTC), policy, runs)


def upcoming(
    record: EntryRecord, timing: Any, runs: int, policy: Policy, now: datetime
) -> Iterator[datetime]:
    """Yield when the next runs of an entry will be due (UTC), until the entry is finished.

    The first one is the score that Redis holds. Each is computed when the caller asks for it.

    :param runs: the number of runs that the entry has had.
    """
    due, nominal = from_score(record.score), from_score(nominal_of(record))
    if due is None or nominal is None:
        return
    yield due
    while True:
        runs += 1
        following = next_occurrence(timing, nominal, policy.dst)
        if following is not None and following <= now and policy.catchup != "all":
            # The run before also stands for the overdue nominal times.
            following = advance(timing, nominal, now, policy.dst).next
        if following is None or is_over(following, policy, runs):
            return
        due = later(record.name, timing, following, policy, runs).due or following
        yield max(due, now)
        nominal = following
