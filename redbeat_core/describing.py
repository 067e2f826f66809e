"""Schedules in words (being written)."""


def describe(schedule) -> str:
    return str(schedule)
