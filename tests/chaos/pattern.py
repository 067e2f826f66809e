"""When an entry of the load must run, by arithmetic of its own. Pure.

Nothing here comes from the code under test: all that the load uses repeats in cycles of a fixed
length, so its nominal times are additions. Times are whole microseconds since the Unix epoch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """The nominal times ``anchor + k * cycle + offset``, for k = 0, 1, ... and each offset.

    :ivar offsets: ascending, from 0 to below *cycle*.
    """

    anchor: int
    cycle: int
    offsets: tuple[int, ...] = (0,)

    @property
    def first(self) -> int:
        """The first nominal time."""
        return self.anchor + self.offsets[0]

    def count(self, until: int) -> int:
        """How many there are up to and with *until*."""
        cycles, rest = divmod(until - self.anchor, self.cycle)
        if cycles < 0:
            return 0
        return cycles * len(self.offsets) + bisect_right(self.offsets, rest)

    def contains(self, moment: int) -> bool:
        """Whether *moment* is one of them."""
        cycles, rest = divmod(moment - self.anchor, self.cycle)
        place = bisect_left(self.offsets, rest)
        return cycles >= 0 and place < len(self.offsets) and self.offsets[place] == rest

    def between(self, first: int, last: int) -> Iterator[int]:
        """Those from *first* to *last*, both included."""
        yield from map(self._at, range(self.count(first - 1), self.count(last)))

    def before(self, moment: int) -> int | None:
        """The last one before *moment*; None: there is none."""
        number = self.count(moment - 1) - 1
        return self._at(number) if number >= 0 else None

    def _at(self, number: int) -> int:
        cycles, place = divmod(number, len(self.offsets))
        return self.anchor + cycles * self.cycle + self.offsets[place]

    def per_second(self) -> float:
        """How many there are in a second, on the average."""
        return len(self.offsets) * SECOND / self.cycle
