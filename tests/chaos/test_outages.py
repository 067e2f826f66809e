"""What explains that nothing was dispatched is what was done, and nothing else."""

from __future__ import annotations

from math import inf

from hypothesis import example, given
from hypothesis import strategies as st

from .adversary import Strike
from .oracle import Note
from .outages import AWAY, LEADER_CHANGED, Outages, find_outages

SPANS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair)))
)


def leads(at: float, pid: int, reason: str = "acquired") -> Note:
    return Note(1, LEADER_CHANGED, f"host:{pid}:abc", at, reason=reason)


def found(strikes: list[Strike], *notes: Note, locked: bool = True) -> Outages:
    return find_outages(strikes, notes, 1.0, locked=locked)


def test_from_the_kill_of_a_leader_to_the_next_one_nobody_led() -> None:
    killed = Strike(100.0, "kill", "anytime", 1)
    notes = leads(50.0, 1), leads(103.0, 2), leads(110.0, 3)
    assert found([killed], *notes).spans == ((49.0, 50.0), (100.0, 103.0), (109.0, 110.0))


def test_a_leader_that_was_killed_and_not_followed_is_out_for_good() -> None:
    assert found([Strike(100.0, "kill", "anytime", 1)]).spans == ((100.0, inf),)


def test_a_frozen_leader_is_out_until_it_goes_on_or_another_leads() -> None:
    frozen = [Strike(100.0, "freeze", "claim", 1), Strike(102.0, "thaw", "", 1)]
    assert found(frozen).spans == ((100.0, 102.0),)
    assert found(frozen, leads(101.5, 2)).spans == ((100.0, 101.5),)
    # Whoever else goes on meanwhile.
    other = [frozen[0], Strike(100.5, "thaw", "", 2), frozen[1]]
    assert found(other).spans == ((100.0, 102.0),)


def test_a_lease_that_ran_out_by_itself_was_out_for_its_length() -> None:
    assert found([], leads(100.0, 2)).spans == ((99.0, 100.0),)


def test_a_lease_that_was_given_back_is_no_outage() -> None:
    assert found([], leads(100.0, 2, reason="released")).spans == ()


def test_redis_is_away_until_those_who_wait_for_it_ask_again() -> None:
    strikes = [
        Strike(100.0, "restart", "SIGKILL"),
        Strike(101.0, "kill", "anytime", 1),
        Strike(102.0, "back", ""),
        Strike(200.0, "stall", "SIGSTOP"),
        Strike(205.0, "back", ""),
        Strike(300.0, "restart", "SIGTERM"),
    ]
    spans = ((100.0, 102.0 + AWAY), (200.0, 205.0 + AWAY), (300.0, inf))
    assert found(strikes, locked=False).spans == spans


def test_where_all_dispatch_the_end_of_one_is_no_outage() -> None:
    strikes = [Strike(100.0, "kill", "anytime", 1), Strike(101.0, "freeze", "early", 2)]
    assert found(strikes, locked=False).spans == ()


@example([(0, 2), (2, 4)], 0, 1, 2)
@example([(0, 6), (1, 3)], 0, 4, 1)
@given(SPANS, st.integers(0, 2), st.integers(0, 14), st.integers(0, 6))
def test_a_time_is_covered_if_each_moment_of_it_is(
    spans: list[tuple[int, int]], margin: int, first: int, length: int
) -> None:
    covers = Outages.of(spans).lengthened(margin).cover(first, first + length)
    # Between whole seconds, too.
    halves = [first + number / 2 for number in range(2 * length + 1)]
    assert covers == all(
        any(start - margin <= moment <= end + margin for start, end in spans) for moment in halves
    )
