"""What somebody types in words of their own is answered with the text that was probably meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.schedules import ScheduleError, parse_schedule
from redbeat_core.schedules.text.suggest import suggest_schedule
from tests.support.effort import examples
from tests.unit.schedules.types.test_next_run import NOW


@pytest.mark.parametrize(
    ("typed", "guess"),
    [
        ("daily", "@daily"),
        ("Every  Hourly", "@hourly"),
        ("every day at 9:00", "0 9 * * *"),
        ("daily 9pm", "0 21 * * *"),
        ("every monday 9am", "0 9 * * mon"),
        ("on Fridays at 17.30", "30 17 * * fri"),
        ("every weekday at 9", "0 9 * * mon-fri"),
        ("weekends at noon", "0 12 * * sat,sun"),
        ("every day at midnight", "0 0 * * *"),
        ("at 9:00", "0 9 * * *"),
        ("9:00", "0 9 * * *"),
        ("12:15 am", "15 0 * * *"),
        ("300", "every 300s"),
        ("every five minutes", "every 5 minutes"),
        ("every other day", "every 2 days"),
        ("first monday of the month", "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9"),
        ("last day of each month at 18:30", "FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=18;BYMINUTE=30"),
        ("every quarter", "0 0 1 */3 *"),
        ("every 2nd day", "every 2 days"),
        ("2990-12-24 18:00", "at 2990-12-24 18:00"),
        ("at 2990-12-24 6pm", "at 2990-12-24 18:00"),
        ("on 24.12.2990 at 18:00", "at 2990-12-24 18:00"),
        ("weekly on monday", "0 9 * * mon"),
        ("FREQ=DAILY;BYHOUR=9:30", "FREQ=DAILY;BYHOUR=9;BYMINUTE=30"),
        ("every year", "0 0 1 1 *"),
        ("FREQ:DAILY", "FREQ=DAILY"),
        ("FREQ=DAILY BYHOUR=9", "FREQ=DAILY;BYHOUR=9"),
        ("FREQ=FORTNIGHTLY", "FREQ=WEEKLY;INTERVAL=2"),
    ],
)
def test_the_error_names_what_was_probably_meant(typed: str, guess: str) -> None:
    with pytest.raises(ScheduleError, match="did you mean") as caught:
        parse_schedule(typed, now=NOW)
    assert str(caught.value).endswith(f"; did you mean {guess!r}?")
    assert len(str(caught.value)) < 180
    parse_schedule(guess, now=NOW)


def test_what_was_typed_is_not_guessed() -> None:
    with pytest.raises(ScheduleError, match="jump over that time") as caught:
        parse_schedule("at 2027-03-28 02:30", "Europe/Berlin", now=NOW)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    "typed", ["", "every day at 25:00", "at 13pm", "FREQ=NEVER", "soon", "0", "x" * 100, "9:75"]
)
def test_where_nothing_comes_to_mind_nothing_is_guessed(typed: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(typed, now=NOW)
    assert "did you mean '" not in str(caught.value)


_PHRASES = (
    "every each on at the day days monday fri weekday other five minutes month year 9 9:30 pm am "
    "noon last first of daily FREQ=DAILY BYHOUR=9 ; , 300 quarter"
)
_WORDS = st.sampled_from(_PHRASES.split())


@examples(1000)
@given(st.lists(_WORDS, max_size=7).map(" ".join))
def test_what_is_shown_as_a_guess_can_be_typed(typed: str) -> None:
    try:
        parse_schedule(typed, now=NOW)
    except ScheduleError as exc:
        if str(exc).endswith("'?"):
            guess = str(exc).rpartition("did you mean ")[2][1:-2]
            assert guess == suggest_schedule(typed)
            parse_schedule(guess, now=NOW)
