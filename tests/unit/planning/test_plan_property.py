"""plan(), asked again and again, against nominal times that are listed here by brute force."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.entries.policy import SKIP_GRACE, Policy
from redbeat_core.entries.record import EntryRecord
from redbeat_core.planning import missed_runs
from redbeat_core.planning.plan import Plan, RunsNotMade, plan
from tests.support.effort import examples

APP = Celery(set_as_current=False)
APP.conf.update(timezone="UTC", enable_utc=True)
START = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
#: Seconds: less than a datetime can tell, and more than a float of today loses.
BETWEEN = 4.8e-7


@dataclass
class Entry:
    """An entry that is dispatched by plan() alone, and what became of its nominal times.

    :ivar record: what Redis would hold.
    :ivar runs: nominal time of each run, and when it was made.
    """

    timing: Any
    policy: Policy
    record: EntryRecord
    runs: list[tuple[datetime, datetime]] = field(default_factory=list)
    gaps: list[RunsNotMade] = field(default_factory=list)
    finished: bool = False

    def visit(self, now: datetime) -> list[Plan]:
        """What the leader does when it comes by at *now*."""
        plans: list[Plan] = []
        while 0 <= (self.record.score or 0.0) <= now.timestamp():
            decided = plan(
                self.record,
                {"schedule": self.timing},
                None,
                now,
                policy=self.policy,
                runs=len(self.runs),
            )
            if decided.nominal is not None:
                self.runs.append((decided.nominal, now))
            self.gaps += decided.gaps
            self.finished = decided.finished
            mark = decided.due_field(now.timestamp())
            self.record = replace(self.record, score=decided.score, due=mark)
            plans.append(decided)
            assert len(plans) < 1000, "it does not come to an end"
        return plans

    def ended(self, case: Case) -> Counter[datetime]:
        """How often each nominal time ended, as a run or in a gap."""
        ended = Counter(nominal for nominal, _at in self.runs)
        for gap in self.gaps:
            covered = [at for at in case.times if gap.first <= at <= gap.last]
            assert gap.count == len(covered) or (gap.more and gap.count < len(covered))
            ended.update(covered)
        return ended


def entry(timing: Any, policy: Policy, first: datetime) -> Entry:
    score = first.timestamp()
    return Entry(timing, policy, EntryRecord("reports", score, due=repr(score)))


@dataclass(frozen=True)
class Case:
    """A schedule and all its nominal times from START on, listed without the code under test."""

    timing: Any
    times: list[datetime]

    def __repr__(self) -> str:
        return f"{self.timing!r} from {self.times[0]}"


def minutes_of(crontab_: crontab, days: int) -> list[datetime]:
    every_minute = (START + timedelta(minutes=n) for n in range(days * 1440))
    return [
        at
        for at in every_minute
        if at.minute in crontab_.minute
        and at.hour in crontab_.hour
        and at.isoweekday() % 7 in crontab_.day_of_week
    ]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    if draw(st.booleans()):
        every = draw(st.sampled_from([0.25, 1, 7, 60, 90, 3600]))
        count = 3000
        times = [START + n * timedelta(seconds=every) for n in range(count)]
        return Case(schedule(every, app=APP), times)
    made = crontab(
        minute=draw(st.sampled_from(["*", "*/7", "0", "3,4,58"])),
        hour=draw(st.sampled_from(["*", "0", "9-17", "12,13"])),
        day_of_week=draw(st.sampled_from(["*", "mon-fri", "sun"])),
        app=APP,
    )
    return Case(made, minutes_of(made, 12))


policies = st.builds(
    Policy,
    catchup=st.sampled_from(["one", "all", "skip"]),
    catchup_limit=st.sampled_from([1, 2, 5, 100]),
    grace=st.sampled_from([None, 0.0, 0.3, 5.0, 61.0, 4000.0, 90000.0]),
    jitter=st.sampled_from([0.0, 0.1, 5.0, 1e5]),
)
#: Seconds from one visit of the leader to the next: it looks often, or was away.
waits = st.lists(
    st.one_of(
        st.floats(0.001, 0.4),
        st.sampled_from([1.0, 2.5, 60.0, 61.0, 600.0]),
        st.floats(1, 20000),
    ),
    min_size=1,
    max_size=25,
)


@examples(200)
@given(case=cases(), policy=policies, waits=waits, listed=st.sampled_from([7, 8, 20, 10000]))
def test_each_nominal_time_ends_as_one_of_run_missed_and_skipped(
    case: Case, policy: Policy, waits: list[float], listed: int
) -> None:
    # Beyond so many, they are no longer counted one by one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(missed_runs, "LISTED", listed)
        policy = replace(policy, catchup_limit=min(policy.catchup_limit, listed - 2))
        it = entry(case.timing, policy, case.times[0])
        now = START
        for wait in waits:
            now += timedelta(seconds=wait)
            if now > case.times[-1]:
                break
            it.visit(now)
            ended = it.ended(case)
            assert set(ended.values()) <= {1}
            # None is left out, but for the newest, which may still be put off.
            assert sorted(ended) == case.times[: len(ended)]
            waiting = [at for at in case.times[len(ended) :] if at <= now]
            assert len(waiting) <= (1 if policy.jitter else 0)
            assert all(at + timedelta(seconds=policy.jitter) > now for at in waiting)


@examples(150)
@given(case=cases(), policy=policies, away=st.floats(0, 40000), late=st.floats(0, 0.3))
def test_what_is_run_after_an_absence_is_as_the_policy_says(
    case: Case, policy: Policy, away: float, late: float
) -> None:
    policy = replace(policy, jitter=0.0)
    now = min(START + timedelta(seconds=away + late), case.times[-1])
    it = entry(case.timing, policy, case.times[0])
    it.visit(now)
    came_due = [at for at in case.times if at <= now]
    grace = policy.grace
    if grace is None and policy.catchup == "skip":
        grace = SKIP_GRACE
    in_time = [at for at in came_due if grace is None or now - at <= timedelta(seconds=grace)]
    expected = {
        "one": in_time[:1],
        "skip": in_time[-1:],
        "all": in_time[-policy.catchup_limit :],
    }[policy.catchup]
    assert [nominal for nominal, _at in it.runs] == expected
    skipped = sum(gap.count for gap in it.gaps if gap.skipped)
    missed = sum(gap.count for gap in it.gaps if not gap.skipped)
    assert skipped == (len(in_time) - len(expected) if policy.catchup == "skip" else 0)
    assert missed + skipped == len(came_due) - len(expected)


@examples(150)
@given(
    case=cases(),
    policy=policies,
    waits=waits,
    start=st.one_of(st.floats(0, 20000), st.sampled_from([BETWEEN, 60 - BETWEEN, 60 + BETWEEN])),
    length=st.floats(0, 20000),
    most=st.one_of(st.none(), st.integers(1, 20)),
)
def test_start_end_and_max_runs_are_kept(
    case: Case,
    policy: Policy,
    waits: list[float],
    start: float,
    length: float,
    most: int | None,
) -> None:
    begin = START.timestamp() + start
    policy = replace(policy, start=begin, end=begin + length, max_runs=most)
    it = entry(case.timing, policy, case.times[0])
    now = START
    for wait in waits:
        if now + timedelta(seconds=wait) > case.times[-1]:
            break
        now += timedelta(seconds=wait)
        it.visit(now)
    first, last = (datetime.fromtimestamp(at, UTC) for at in (begin, begin + length))
    allowed = [at for at in case.times if first <= at <= last]
    assert len(it.runs) <= (most or len(allowed))
    ended = it.ended(case)
    assert sorted(ended.elements()) == allowed[: len(ended)]
    assert it.finished == (it.record.score == -1.0)
    if it.finished:
        assert len(it.runs) == most or len(ended) == len(allowed)


@examples(100)
@given(case=cases(), seconds=st.floats(0.001, 1e5), wait=st.floats(0.01, 50))
def test_jitter_is_stable_and_ends_before_the_next_nominal_time(
    case: Case, seconds: float, wait: float
) -> None:
    policy = Policy(jitter=seconds, catchup="all")
    it = entry(case.timing, policy, case.times[0])
    when: dict[datetime, float] = {}
    for nominal, following in zip(case.times[:20], case.times[1:], strict=False):
        for _again in range(2):
            record = EntryRecord("reports", nominal.timestamp(), due=repr(nominal.timestamp()))
            decided = plan(record, {"schedule": case.timing}, None, nominal, policy=policy)
            if decided.nominal is not None:
                assert decided.nominal == nominal
                continue
            assert decided.next == nominal
            assert nominal.timestamp() <= decided.score < following.timestamp()
            assert decided.score - nominal.timestamp() < seconds + 1e-6
            assert when.setdefault(nominal, decided.score) == decided.score
            assert decided.due_field(0.0) == f"{decided.score!r} {nominal.timestamp()!r}"
        # Looked at again when its time has come, it runs, at its true nominal time.
        it.visit(datetime.fromtimestamp(max(when.get(nominal, 0.0), nominal.timestamp()), UTC))
        assert it.runs[-1][0] == nominal
