"""Compares schedules with each other and with their text. Pure."""

from __future__ import annotations

from typing import Any

from redbeat_core.schedules.types.rrule import rrule

from .parse import format_schedule, parse_schedule


def started_as(of_the_code: Any, stored: Any) -> Any:
    """The code's schedule, with the start of the stored one if nothing else differs.

    A rule without a dtstart starts anew each time the code is loaded, which is no change of it.
    """
    if isinstance(of_the_code, rrule) and isinstance(stored, rrule):
        same = of_the_code.starting_as(stored)
        if same == stored:
            return same
    return of_the_code


def is_text_of(of_the_code: Any, text: object) -> bool:
    """Whether *text* is what :func:`format_or_repr` made of this schedule once."""
    if format_or_repr(of_the_code) == text:
        return True
    try:
        before = parse_schedule(str(text))
    except ValueError:
        return False
    return bool(started_as(of_the_code, before) == before)


def format_or_repr(schedule: Any) -> str:
    """The schedule as text, to tell whether it is another one."""
    try:
        return format_schedule(schedule)
    except (ValueError, TypeError):
        return repr(schedule)
