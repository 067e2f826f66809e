"""Intervals shorter than a second, and long chains of them: no time is lost to arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from celery.schedules import schedule
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.entries.record import EntryRecord
from redbeat_core.planning.plan import plan
from redbeat_core.schedules.types.next_run import advance
from redbeat_core.storage.schedule_store import score_text

START = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
MILLION = 1_000_000


def steps(every: float, count: int) -> datetime:
    """The nominal time *count* runs after START, each computed from the one before as Redis keeps
    it: a score, which is a float in text."""
    timing = schedule(every)
    score = START.timestamp()
    for _ in range(count):
        nominal = datetime.fromtimestamp(score, UTC)
        following = advance(timing, nominal, nominal).next
        assert following is not None
        score = float(score_text(following.timestamp()))
    return datetime.fromtimestamp(score, UTC)


@pytest.mark.parametrize("every", [0.1, 0.25, 1 / 3])
def test_a_hundred_thousand_runs_later_the_time_is_exact(every: float) -> None:
    # What an interval lasts is settled to the microsecond, once.
    microseconds = round(Fraction(every) * MILLION)
    assert steps(every, 100_000) - START == timedelta(microseconds=microseconds * 100_000)


def test_every_score_of_a_million_tenths_of_a_second_is_its_own_time() -> None:
    tenth = timedelta(seconds=0.1)
    scores = [(START + number * tenth).timestamp() for number in range(MILLION)]
    assert len(set(scores)) == MILLION
    # As text and back, each is still the microsecond that it was.
    assert all(
        round(Fraction(score) * MILLION) == round(Fraction(scores[0]) * MILLION) + number * 100_000
        for number, score in enumerate(scores[::997])
        for number in [number * 997]
    )


@given(
    every=st.integers(1, 10**9).map(lambda micro: micro / MILLION),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    late=st.integers(0, 10**8),
)
def test_a_late_run_keeps_the_phase_of_its_interval(
    every: float, start: datetime, late: int
) -> None:
    nominal = start.replace(tzinfo=UTC)
    now = nominal + timedelta(microseconds=late)
    step = timedelta(seconds=every)
    found = advance(schedule(every), nominal, now)
    assert found.next is not None
    assert found.next > now
    assert found.next - step <= now
    assert (found.next - nominal) % step == timedelta()
    assert found.missed == (now - nominal) // step


def test_a_run_that_is_dispatched_late_does_not_move_the_next_one() -> None:
    definition = {"schedule": schedule(0.1), "enabled": True}
    score = START.timestamp()
    for number in range(1000):
        record = EntryRecord("tenth", score=score, due=score_text(score))
        nominal = START + number * timedelta(seconds=0.1)
        now = nominal + timedelta(milliseconds=number % 99)
        planned = plan(record, definition, nominal - timedelta(seconds=0.1), now)
        assert planned.nominal == nominal
        assert planned.missed == 0
        score = planned.score
