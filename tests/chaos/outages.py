"""When nothing could be dispatched, by the record of what was done to beats and Redis. Pure.

It explains why runs are late, and so which of them may be given up. Times are Unix seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adversary import Strike
    from .oracle import Note

LEADER_CHANGED = "redbeat.leader.changed"
_ACQUIRED = "acquired"
#: Seconds between two attempts of a beat at a server that is away, at most: it may have asked just
#: before Redis was back.
AWAY = 2.0


@dataclass(frozen=True, slots=True)
class Outages:
    """Spans of time, ascending, none touching the next."""

    spans: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, spans: Iterable[tuple[float, float]]) -> Outages:
        """These spans, where some touch or overlap as one."""
        merged: list[tuple[float, float]] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return cls(tuple(merged))

    def lengthened(self, margin: float) -> Outages:
        """Each begins that many seconds before, and ends that many after."""
        return self.of((start - margin, end + margin) for start, end in self.spans)

    def cover(self, first: float, last: float) -> bool:
        """Whether all the time from *first* to *last* is within one of them."""
        place = bisect_right(self.spans, (first, inf)) - 1
        return place >= 0 and last <= self.spans[place][1]


def find_outages(
    strikes: Sequence[Strike], notes: Iterable[Note], lease: float, *, locked: bool
) -> Outages:
    """The outages that this record explains.

    :param strikes: in their order.
    :param lease: seconds.
    :param locked: whether one at a time led; where all do, the end of one is no outage.
    """
    changes = [
        note.at for note in notes if note.type == LEADER_CHANGED and note.reason == _ACQUIRED
    ]
    spans = [*_of_redis(strikes)]
    if locked:
        # A lease may also run out on a machine that has too much to do.
        spans += [(at - lease, at) for at in changes]
        spans += _of_leaders(strikes, changes)
    return Outages.of(spans)


def _of_redis(strikes: Sequence[Strike]) -> Iterator[tuple[float, float]]:
    for place, strike in enumerate(strikes):
        if strike.what in ("restart", "stall"):
            back = (one.at for one in strikes[place:] if one.what == "back")
            yield strike.at, next(back, inf) + AWAY


def _of_leaders(
    strikes: Sequence[Strike], changes: Sequence[float]
) -> Iterator[tuple[float, float]]:
    """From the end of each leader to the next one; or until it goes on itself."""
    for place, strike in enumerate(strikes):
        if strike.what in ("kill", "freeze"):
            ends = [at for at in changes if at > strike.at]
            ends += [
                one.at for one in strikes[place:] if one.what == "thaw" and one.pid == strike.pid
            ]
            yield strike.at, min(ends, default=inf)
