"""The stored count of a rule with COUNT, from which counting continues.

Pure.
"""

from __future__ import annotations

from datetime import datetime

#: How many of the last times are remembered: not only those ask who look far ahead.
_REMEMBERED = 4


class Progress:
    """Some times up to which the occurrences of a rule were counted.

    :param start: DTSTART, before which there are none.
    """

    def __init__(self, start: datetime) -> None:
        self._start = (start, 0)
        self._known: tuple[tuple[datetime, int], ...] = ()

    def up_to(self, at: datetime) -> tuple[datetime, int]:
        """The latest time known that is not after *at*, or DTSTART, and how many occurrences
        there are before it."""
        return max((pair for pair in self._known if pair[0] <= at), default=self._start)

    def note(self, at: datetime, number: int) -> None:
        """Remember that there are so many before *at*, which is not before DTSTART."""
        if (at, number) not in self._known:
            self._known = (*self._known[1 - _REMEMBERED :], (at, number))
