"""The text form of schedules (being written)."""

from celery.schedules import BaseSchedule


class ScheduleError(ValueError):
    column = None


def parse_schedule(text, tz=None) -> BaseSchedule:
    raise ScheduleError("not yet")


def format_schedule(schedule) -> str:
    return str(schedule)
