"""Runs that are put off by a jitter: by how much, and what else a policy makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery.schedules import schedule

from redbeat_core.entries.policy import Policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.planning.plan import plan, put_off

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def waiting(nominal: datetime, due: datetime) -> EntryRecord:
    """An entry whose run of *nominal* is to be made at *due*."""
    mark = f"{due.timestamp()!r} {nominal.timestamp()!r}"
    return EntryRecord("reports", due.timestamp(), due=mark)


def test_entries_of_one_nominal_time_are_put_off_by_different_parts() -> None:
    policy = Policy(jitter=600.0)
    times = {put_off(f"entry {number}", NOON, NOON + HOUR, policy) for number in range(20)}
    assert len(times) == 20
    assert all(NOON <= at < NOON + 600 * SECOND for at in times)


def test_a_nominal_time_is_put_off_by_the_same_whenever_it_is_asked_for() -> None:
    policy = Policy(jitter=600.0)
    assert len({put_off("reports", NOON, NOON + HOUR, policy) for _ in range(20)}) == 1
    assert put_off("reports", NOON, NOON + HOUR, policy) - NOON != (
        put_off("reports", NOON + HOUR, NOON + 2 * HOUR, policy) - NOON - HOUR
    )


def test_a_run_that_is_put_off_by_more_than_its_grace_is_made() -> None:
    policy = Policy(jitter=600.0, grace=5.0)
    at = put_off("reports", NOON, NOON + HOUR, policy)
    assert at > NOON + 6 * SECOND
    decided = plan(
        waiting(NOON, at), {"schedule": schedule(3600)}, None, at + SECOND, policy=policy
    )
    assert decided.nominal == NOON
    assert decided.gaps == ()


def test_an_entry_that_makes_up_for_all_waits_for_its_turn_and_not_for_its_jitter() -> None:
    policy = Policy(jitter=600.0, catchup="all")
    now = NOON + 3 * HOUR + 1800 * SECOND
    decided = plan(waiting(NOON, NOON), {"schedule": schedule(3600)}, None, now, policy=policy)
    assert (decided.nominal, decided.next, decided.due) == (NOON, NOON + HOUR, now)
