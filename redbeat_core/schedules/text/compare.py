"""Compares schedules with each other and with their text. Pure."""

from __future__ import annotations

from typing import Any

from redbeat_core.schedules.types.rrule import rrule

from .parse import format_schedule, parse_schedule


def started_as(of_the_code: Any, stored: Any) -> Any:
    """Return the code's schedule, with the start of the stored one if nothing else differs.

    A rule without a dtstart gets a new start each time the code is loaded, which is no change of
    the rule.
    """
    if isinstance(of_the_code, rrule) and isinstance(stored, rrule):
        same = of_the_code.starting_as(stored)
        if same == stored:
            return same
    return of_the_code


def is_text_of(of_the_code: Any, text: object) -> bool:
    """Whether :func:`format_or_repr` once made *text* of this schedule."""
    if format_or_repr(of_the_code) == text:
        return True
    try:
        before = parse_schedule(str(text))
    except ValueError:
        return False
    return bool(started_as(of_the_code, before) == before)


def format_or_repr(schedule: Any) -> str:
    """Return the schedule as text, to compare it with another one."""
    try:
        return format_schedule(schedule)
    except (ValueError, TypeError):
        return repr(schedule)
