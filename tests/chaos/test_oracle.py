"""A checker that cannot fail proves nothing: whatever is wrong with a log, the verdict says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .oracle import (
    FEW,
    IDS,
    LOST,
    MISREPORTED,
    REQUEST_EXPIRES,
    RUN_DISPATCHED,
    RUN_MISSED,
    RUN_REQUESTED,
    RUN_SKIPPED,
    TWICE,
    UNDUE,
    UNEXPECTED,
    UNTOLD,
    Causes,
    Message,
    Note,
    Verdict,
    judge,
)
from .outages import Outages
from .pattern import SECOND, Pattern

START = 1_800_000_000 * SECOND
EVERY = 2 * SECOND
PATTERNS = {"tick": Pattern(START, EVERY)}
#: The sixth and last nominal time of the window.
UNTIL = START + 5 * EVERY
#: Its policy may give up any time.
RULED = Causes(ruled={"tick"})


def at(number: int) -> int:
    return START + number * EVERY


def message(number: int, **changes: Any) -> Message:
    made = Message("tick", at(number), f"id {number}")
    return replace(made, **changes)


def told(number: int) -> Note:
    return Note(number, RUN_DISPATCHED, "tick", 0.0, at(number), id=f"id {number}")


def given_up(first: int, final: int, type_: str = RUN_MISSED, **changes: Any) -> Note:
    made = Note(99, type_, "tick", 0.0, at(first), at(final), final - first + 1, "nobody led")
    return replace(made, **changes)


def verdict(messages: list[Message], notes: list[Note], causes: Causes = RULED) -> Verdict:
    return judge(PATTERNS, UNTIL, messages, notes, causes)


def kinds(found: Verdict) -> list[str]:
    return [offence.kind for offence in found.offences]


SENT = [message(number) for number in range(6)]
TOLD = [told(number) for number in range(6)]


def test_a_run_at_each_nominal_time_is_clean() -> None:
    found = verdict(SENT, TOLD)
    assert found.clean
    assert (found.expected, found.dispatched, found.missed, found.skipped) == (6, 6, 0, 0)


@pytest.mark.parametrize("type_", [RUN_MISSED, RUN_SKIPPED])
def test_times_that_are_reported_with_a_reason_are_not_lost(type_: str) -> None:
    found = verdict(SENT[:2] + SENT[5:], [*TOLD[:2], given_up(2, 4, type_), *TOLD[5:]])
    assert found.clean
    assert found.missed + found.skipped == 3


def test_runs_behind_the_window_may_be_there() -> None:
    assert verdict([*SENT, message(6)], [*TOLD, told(6)]).clean


@pytest.mark.parametrize("number", range(6))
def test_a_time_of_which_nothing_came_is_lost(number: int) -> None:
    found = verdict(SENT[:number] + SENT[number + 1 :], TOLD[:number] + TOLD[number + 1 :])
    assert [(offence.kind, offence.nominal) for offence in found.offences] == [(LOST, at(number))]


def test_an_event_does_not_stand_for_a_message() -> None:
    assert sorted(kinds(verdict(SENT[1:], TOLD))) == [LOST, UNTOLD]


def test_a_message_without_an_event_is_found() -> None:
    assert kinds(verdict(SENT, TOLD[1:])) == [UNTOLD]


def test_two_events_of_one_message_are_found() -> None:
    assert kinds(verdict(SENT, [*TOLD, told(3)])) == [UNTOLD]


def test_a_message_that_comes_again_is_found() -> None:
    assert TWICE in kinds(verdict([*SENT, message(3)], [*TOLD, told(3)]))


def test_a_run_that_comes_again_with_another_id_is_found() -> None:
    again = message(3, id="other")
    assert {TWICE, IDS} <= set(kinds(verdict([*SENT, again], TOLD)))


def test_a_run_behind_the_window_that_comes_again_is_found() -> None:
    assert TWICE in kinds(verdict([*SENT, message(6), message(6)], [*TOLD, told(6)]))


def test_an_id_that_two_runs_have_is_found() -> None:
    assert IDS in kinds(verdict([*SENT[:5], message(5, id="id 4")], TOLD))


@pytest.mark.parametrize(
    "strange",
    [
        message(3, nominal=at(3) + 1),
        message(0, nominal=at(0) - EVERY),
        message(3, nominal=None),
        message(3, entry="nobody knows it"),
    ],
    ids=["off its pattern", "before its first", "no nominal time", "no such entry"],
)
def test_a_run_that_the_arithmetic_does_not_have_is_found(strange: Message) -> None:
    assert UNEXPECTED in kinds(verdict([*SENT, strange], TOLD))


def test_a_run_that_is_enqueued_and_reported_as_missed_is_found() -> None:
    assert kinds(verdict(SENT, [*TOLD, given_up(3, 3)])) == [MISREPORTED]


def test_a_time_that_is_reported_as_missed_twice_is_found() -> None:
    notes = [*TOLD[:3], *TOLD[5:], given_up(3, 4), given_up(4, 4)]
    assert kinds(verdict(SENT[:3] + SENT[5:], notes)) == [MISREPORTED]


@pytest.mark.parametrize(
    "changes",
    [{"count": 1}, {"nominal": at(3) - 1}, {"last": at(4) + 1}, {"reason": ""}, {"last": None}],
    ids=["wrong count", "wrong first", "wrong last", "no reason", "no last"],
)
def test_a_report_that_is_wrong_is_found(changes: dict[str, Any]) -> None:
    notes = [*TOLD[:3], *TOLD[5:], given_up(3, 4, **changes)]
    assert MISREPORTED in kinds(verdict(SENT[:3] + SENT[5:], notes))


def test_a_report_of_more_than_can_be_counted_covers_its_whole_range() -> None:
    notes = [*TOLD[:2], *TOLD[5:], given_up(2, 4, count=2, more=True)]
    found = verdict(SENT[:2] + SENT[5:], notes)
    assert found.clean
    assert found.missed == 3


def test_a_report_of_a_time_that_there_is_not_is_found() -> None:
    assert kinds(verdict(SENT, [*TOLD, given_up(-2, -1)])) == [MISREPORTED]


def out(first: float, final: float) -> Outages:
    """An outage from one nominal time to another, by their numbers."""
    return Outages(((at(0) / SECOND + first * 2, at(0) / SECOND + final * 2),))


def given_up_after_outage(
    outages: Outages, made_at: float = 4.1, margin: float = 0.0, **changes: Any
) -> Verdict:
    """Times 2 to 4 are given up, and that of time 1 was made at *made_at*."""
    stands = replace(TOLD[1], at=at(0) / SECOND + made_at * 2)
    notes = [TOLD[0], stands, TOLD[5], given_up(2, 4, **changes)]
    return verdict(SENT[:2] + SENT[5:], notes, Causes(outages=outages, margin=margin))


def test_without_a_policy_times_are_given_up_for_an_outage_after_which_one_run_stands_for_all() -> (
    None
):
    assert given_up_after_outage(out(1, 4)).clean
    assert given_up_after_outage(out(0.5, 4.5)).clean
    assert given_up_after_outage(out(1.25, 3.75), margin=0.5).clean


@pytest.mark.parametrize(
    "outages",
    [Outages(), out(1.25, 4), out(1, 3.75), Outages((*out(1, 2).spans, *out(2.1, 4).spans))],
    ids=["none", "began later", "ended before", "was over meanwhile"],
)
def test_times_that_no_outage_explains_are_found(outages: Outages) -> None:
    assert kinds(given_up_after_outage(outages)) == [UNDUE]
    assert kinds(given_up_after_outage(outages, margin=0.05)) == [UNDUE]


def test_times_that_no_run_stands_for_are_found() -> None:
    late = SENT[:1] + SENT[5:]
    notes = [TOLD[0], TOLD[5], given_up(1, 4)]
    assert kinds(verdict(late, notes, Causes(outages=out(0, 5)))) == [UNDUE]
    stands = replace(TOLD[0], at=at(5) / SECOND)
    twofold = [stands, TOLD[5], given_up(1, 1), given_up(2, 4)]
    assert kinds(verdict(late, twofold, Causes(outages=out(0, 5)))) == [UNDUE]
    first = verdict(SENT[2:], [*TOLD[2:], given_up(0, 1)], Causes(outages=out(0, 5)))
    assert kinds(first) == [UNDUE]


def test_a_run_that_was_made_before_the_times_came_does_not_stand_for_them() -> None:
    assert kinds(given_up_after_outage(out(0, 5), made_at=1.1)) == [UNDUE]
    assert kinds(given_up_after_outage(out(0, 5), made_at=3.9)) == [UNDUE]


def test_without_a_policy_nothing_is_skipped() -> None:
    assert kinds(given_up_after_outage(out(1, 4), type_=RUN_SKIPPED)) == [UNDUE]


def test_who_gives_up_too_much_while_nothing_is_out_of_order_is_found() -> None:
    """Though its policy allows for each of them."""
    messages, notes = SENT[:2] + SENT[5:], [*TOLD[:2], *TOLD[5:], given_up(2, 4)]
    found = verdict(messages, notes, Causes({"tick"}, least=0.6))
    assert kinds(found) == [FEW]
    assert (found.quiet_dispatched, found.quiet) == (3, 6)
    assert verdict(messages, notes, Causes({"tick"}, least=0.5)).clean
    quieter = verdict(
        messages, notes, Causes({"tick"}, out(2, 3), margin=EVERY / SECOND, least=0.8)
    )
    assert kinds(quieter) == [FEW]
    assert (quieter.quiet_dispatched, quieter.quiet) == (3, 4)


REQUESTED = Note(7, RUN_REQUESTED, "tick", 0.0, trigger="ask")
ANSWER = message(0, id="of the request", trigger="ask")
ANSWERED = replace(told(0), id="of the request", trigger="ask")
EXPIRED = replace(REQUESTED, type=RUN_MISSED, at=REQUEST_EXPIRES, reason="nobody took it")


def test_a_requested_run_that_came_or_was_given_up_is_clean() -> None:
    assert verdict([*SENT, ANSWER], [*TOLD, REQUESTED, ANSWERED]).clean
    assert verdict(SENT, [*TOLD, REQUESTED, EXPIRED]).clean


@pytest.mark.parametrize(
    ("messages", "notes", "kind"),
    [
        ([], [REQUESTED], LOST),
        ([ANSWER, ANSWER], [REQUESTED, ANSWERED, ANSWERED], TWICE),
        ([ANSWER], [REQUESTED, ANSWERED, EXPIRED], TWICE),
        ([ANSWER], [ANSWERED], UNEXPECTED),
        ([ANSWER], [REQUESTED], UNTOLD),
        ([ANSWER], [REQUESTED, ANSWERED, ANSWERED], UNTOLD),
        ([], [REQUESTED, replace(EXPIRED, at=REQUEST_EXPIRES - 1)], UNDUE),
    ],
    ids=[
        "lost",
        "twice",
        "made and given up",
        "of no request",
        "not in the log",
        "twice in the log",
        "given up too soon",
    ],
)
def test_a_requested_run_that_went_wrong_is_found(
    messages: list[Message], notes: list[Note], kind: str
) -> None:
    assert kinds(verdict([*SENT, *messages], [*TOLD, *notes])) == [kind]


def test_an_event_of_a_requested_run_does_not_stand_for_its_message() -> None:
    assert sorted(kinds(verdict(SENT, [*TOLD, REQUESTED, ANSWERED]))) == [LOST, UNTOLD]


def test_a_requested_run_whose_event_has_another_id_is_found() -> None:
    other = replace(ANSWERED, id="other")
    assert kinds(verdict([*SENT, ANSWER], [*TOLD, REQUESTED, other])) == [UNTOLD, UNTOLD]


def test_a_requested_run_with_the_id_of_another_is_found() -> None:
    notes = [*TOLD, REQUESTED, replace(ANSWERED, id="id 0")]
    assert kinds(verdict([*SENT, replace(ANSWER, id="id 0")], notes)) == [IDS]


@given(
    anchor=st.integers(0, 50),
    cycle=st.integers(1, 30),
    data=st.data(),
)
def test_a_pattern_is_what_counting_gives(anchor: int, cycle: int, data: st.DataObject) -> None:
    places = st.sets(st.integers(0, cycle - 1), min_size=1)
    offsets = tuple(sorted(data.draw(places)))
    pattern = Pattern(anchor, cycle, offsets)
    times = [
        moment for moment in range(200) if moment >= anchor and (moment - anchor) % cycle in offsets
    ]
    first, last = data.draw(st.integers(0, 199)), data.draw(st.integers(0, 199))
    assert pattern.first == times[0]
    assert list(pattern.between(first, last)) == [at for at in times if first <= at <= last]
    assert pattern.count(last) == sum(at <= last for at in times)
    assert [at for at in range(200) if pattern.contains(at)] == times
    assert pattern.before(first) == max((at for at in times if at < first), default=None)
