"""A report says whether all was well, and what was not."""

from __future__ import annotations

from .oracle import LOST, Message, Offence, Verdict
from .report import Outcome


def outcome(messages: int, least_rate: float, seconds: float = 10.0) -> Outcome:
    came = [Message("tick", 0, f"id {number}", 100.0) for number in range(messages)]
    return Outcome(
        "some", 1, started_at=95.0, seconds=seconds, messages=came, least_rate=least_rate
    )


def test_a_run_with_the_rate_that_was_asked_for_is_clean() -> None:
    reached = outcome(50, least_rate=5.0)
    assert reached.clean
    assert "BELOW" not in reached.table()


def test_a_run_that_stays_below_the_rate_that_was_asked_for_fails_and_says_so() -> None:
    slow = outcome(49, least_rate=5.0)
    assert not slow.clean
    assert "BELOW the 5 that it must reach" in slow.table()
    assert "fewer than 5" in slow.explain()


def test_a_run_with_an_offence_is_not_clean_at_any_rate() -> None:
    wrong = outcome(50, least_rate=0.0)
    wrong.verdict = Verdict(offences=[Offence(LOST, "tick", 0, "neither enqueued nor reported")])
    assert not wrong.clean
    assert "neither enqueued nor reported" in wrong.explain()
