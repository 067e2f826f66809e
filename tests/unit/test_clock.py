"""The clock that decides: this machine's, unless it differs from Redis's by more than a second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import Celery

from redbeat_core import RedBeatSchedulerEntry
from redbeat_core.clock import Clock
from redbeat_core.schedules import rrule

NOW = 1763899200.0


class Machine:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


def test_a_clock_that_is_about_right_is_used_as_it_is() -> None:
    clock = Clock(lambda: NOW)
    for skew in (0.0, 0.9, -0.9):
        assert clock.compare(NOW - skew, NOW, NOW) == ""
        assert clock.now() == NOW


def test_a_clock_that_is_off_is_corrected_and_warned_of_once_per_change() -> None:
    machine = Machine()
    clock = Clock(machine)
    ahead = clock.compare(NOW - 12, NOW, NOW + 0.002)
    assert "12.001 s ahead of Redis's, give or take 0.001 s" in ahead
    assert "uses Redis's clock" in ahead
    assert abs(clock.now() - (NOW - 12)) < 0.002
    assert clock.corrected(datetime.fromtimestamp(NOW, UTC)) == datetime.fromtimestamp(
        NOW, UTC
    ) - timedelta(seconds=12.001)
    assert clock.compare(NOW - 12.5, NOW, NOW) == ""
    assert clock.now() == NOW - 12.5
    assert "5.000 s behind" in clock.compare(NOW + 5, NOW, NOW)
    assert clock.now() == NOW + 5
    assert "agrees with Redis's again" in clock.compare(NOW, NOW, NOW)
    assert clock.now() == NOW
    assert clock.compare(NOW, NOW, NOW) == ""


def test_a_slow_answer_proves_nothing() -> None:
    clock = Clock(lambda: NOW)
    # 1.5 seconds apart, which the round trip may explain.
    assert clock.compare(NOW - 1, NOW, NOW + 1) == ""
    assert clock.now() == NOW
    # Ten seconds apart, which it does not.
    assert "ahead" in clock.compare(NOW - 10, NOW, NOW + 1)
    # An answer as old as this tells nothing at all.
    assert clock.compare(NOW, NOW, NOW + 4) == ""
    assert clock.now() == NOW - 10.5


def test_of_two_answers_that_agree_the_faster_one_counts() -> None:
    clock = Clock(lambda: NOW)
    clock.compare(NOW - 12, NOW, NOW + 0.2)
    assert abs(clock.now() - (NOW - 12.1)) < 1e-6
    clock.compare(NOW - 12, NOW, NOW + 0.02)
    assert abs(clock.now() - (NOW - 12.01)) < 1e-6
    clock.compare(NOW - 12, NOW, NOW + 0.4)
    assert abs(clock.now() - (NOW - 12.01)) < 1e-6


def test_a_machine_that_slept_between_question_and_answer_proves_nothing() -> None:
    clock = Clock(lambda: NOW)
    clock.compare(NOW - 12, NOW, NOW)
    assert clock.compare(NOW - 12, NOW, NOW + 3600) == ""
    assert clock.now() == NOW - 12


def test_a_clock_set_back_between_question_and_answer_proves_nothing() -> None:
    clock = Clock(lambda: NOW)
    assert clock.compare(NOW, NOW, NOW - 3600) == ""
    assert clock.now() == NOW


def test_an_entry_goes_by_the_clock_of_its_beat_whatever_it_is() -> None:
    app = Celery(set_as_current=False, broker="redis://localhost:1/0")
    app.conf.timezone = "UTC"
    now = datetime(2020, 5, 1, 12, 3, tzinfo=UTC)
    app.redbeat_clock = Clock(now.timestamp)
    hourly = rrule("HOURLY", dtstart=datetime(2020, 1, 1, tzinfo=UTC))
    entry = RedBeatSchedulerEntry(
        "orders", "shop.record", hourly, app=app, last_run_at=datetime(2020, 5, 1, 12, tzinfo=UTC)
    )
    assert entry.default_now() == now
    assert entry.due_at == datetime(2020, 5, 1, 13, tzinfo=UTC)
