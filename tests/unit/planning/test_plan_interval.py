"""The short way to decide about a plain interval comes to what plan() comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import schedule
from hypothesis import example, given
from hypothesis import strategies as st

from redbeat_core.entries.due_field import finished_since, nominal_of, score_is_ours
from redbeat_core.entries.record import EntryRecord
from redbeat_core.planning.plan import Plan, plan, plan_interval

EPOCH, MICROSECOND = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)
SECONDS = st.one_of(
    st.floats(0, 4e9),
    st.integers(0, 4 * 10**15).map(lambda micro: micro / 1e6),
    st.floats(253402300000, 253402300799),
)
EVERY = st.one_of(st.integers(1, 10**7), st.integers(1, 10**17)).map(
    lambda micro: timedelta(microseconds=micro)
)


@given(SECONDS, EVERY, st.one_of(st.floats(0, 10), st.floats(0, 1e6), st.just(0.0)))
@example(1795408073.1983155, timedelta(microseconds=1), 0.0)
@example(253402300799.0, timedelta(seconds=1), 0.5)
def test_where_it_decides_it_decides_as_plan_does(
    score: float, every: timedelta, late: float
) -> None:
    now = datetime.fromtimestamp(min(score + late, 253402300799), UTC)
    micro = (now - EPOCH) // MICROSECOND
    pair = plan_interval(score, every // MICROSECOND, micro)
    record = EntryRecord("orders", score, due=repr(score))
    decided = plan(record, {"schedule": schedule(every)}, None, now)
    if pair is None:
        late_start = datetime.fromtimestamp(score, UTC) > now
        assert late_start or decided.missed or decided.finished
    else:
        nominal, following = pair
        assert decided == Plan(decided.nominal, decided.next)
        assert decided.nominal is not None
        assert decided.nominal.timestamp() == nominal
        assert decided.score == following


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_what_is_no_moment_is_none_of_ours(text: str) -> None:
    assert plan_interval(float(text), 1_000_000, 10**15) is None
    assert not score_is_ours(EntryRecord("orders", 5.0, due=text))
    assert nominal_of(EntryRecord("orders", 5.0, due=f"5.0 {text}")) == 5.0
    assert finished_since(EntryRecord("orders", -1.0, due=f"-1.0 {text}")) is None
