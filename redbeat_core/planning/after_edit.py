"""Plans the next run of an entry that an operator changed.

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
    """Plan an entry whose schedule was changed, or that was resumed, at *now* (UTC).

    :param runs: the number of runs that the entry has made.
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
    """Plan an entry whose policy changes from *before* to *policy* at *now* (UTC).

    :param runs: the number of runs that the entry has made.
    :returns: None where the score stays: the entry is due, and the next claim plans it with the new
        policy.
    """
    nominal = nominal_of(record)
    if record.score is not None and 0 <= record.score <= now.timestamp():
        return None
    stays = (before.start, before.dst) == (policy.start, policy.dst)
    if nominal is None or nominal < 0 or not stays:
        return after_edit(record.name, timing, last_run_at, runs, policy, now)
    return later(record.name, timing, datetime.fromtimestamp(nominal, UTC), policy, runs)


def upcoming(
    record: EntryRecord, timing: Any, runs: int, policy: Policy, now: datetime
) -> Iterator[datetime]:
    """Yield the times of the next runs of an entry (UTC), the first as Redis holds it, each
    computed when it is asked for. They end where the entry finishes.

    :param runs: the number of runs that the entry has made.
    """
    due, nominal = from_score(record.score), from_score(nominal_of(record))
    if due is None or nominal is None:
        return
    yield due
    while True:
        runs += 1
        following = next_occurrence(timing, nominal, policy.dst)
        if following is not None and following <= now and policy.catchup != "all":
            # What is overdue is made up for by the run before.
            following = advance(timing, nominal, now, policy.dst).next
        if following is None or is_over(following, policy, runs):
            return
        made = later(record.name, timing, following, policy, runs).due or following
        yield max(made, now)
        nominal = following
