"""What celery-redbeat loses and doubles, as far as it can be known. Pure.

It knows no nominal times, and it logs nothing that could be counted. What it does have is a chain:
before it sends a run it *reserves* it, which moves the entry's ``last_run_at`` from one moment to
the next. :mod:`.stamping` lets each message say which link of the chain it is. Then:

* A link that another message (or the entry's final ``last_run_at``) goes on from, and of which no
  message came, was reserved and never enqueued. Nothing will ever make up for it: lost.
* Two messages that go on from the same moment are for the same due time: twice.

Both are lower bounds: where a run was lost and the one after it, too, only the last is seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .oracle import Message
from .pattern import Pattern

#: Of a message: the reservation that it comes from.
HEADER = "reservation"


@dataclass(frozen=True, slots=True)
class PeerCount:
    """What became of all reservations.

    :ivar expected: nominal times up to the window's end, by the load's arithmetic.
    :ivar enqueued: messages.
    :ivar lost: reserved and not enqueued, at least.
    :ivar twice: enqueued again for the same due time, at least.
    :ivar silent: nominal times without a run and without a word about it: the lost ones, and
        those that were left out because it was late, drifted, or nobody led.
    """

    expected: int
    enqueued: int
    lost: int
    twice: int
    silent: int

    def rows(self) -> list[tuple[str, str]]:
        """For the table."""
        return [
            ("expected nominal times", str(self.expected)),
            ("enqueued", str(self.enqueued)),
            ("lost, at least", str(self.lost)),
            ("twice, at least", str(self.twice)),
            ("not run, and nothing told", str(self.silent)),
        ]


def count(
    patterns: Mapping[str, Pattern],
    until: int,
    messages: Iterable[Message],
    last_runs: Mapping[str, int],
) -> PeerCount:
    """Follow the chain of each entry.

    :param until: the end of the window, microseconds.
    :param last_runs: each entry's ``last_run_at`` after the last beat has ended; microseconds.
    """
    before: dict[str, Counter[int | None]] = defaultdict(Counter)
    made: dict[str, set[int | None]] = defaultdict(set)
    for message in messages:
        assert message.reservation is not None, message
        last, now = message.reservation
        before[message.entry][last] += 1
        made[message.entry].add(now)
    lost = twice = enqueued = silent = 0
    for name, pattern in patterns.items():
        links = {*before[name], last_runs.get(name)} - {None}
        lost += len(links - made[name])
        again = before[name].total() - len(before[name])
        twice += again
        enqueued += before[name].total()
        silent += max(0, pattern.count(until) - (before[name].total() - again))
    expected = sum(pattern.count(until) for pattern in patterns.values())
    return PeerCount(expected, enqueued, lost, twice, silent)
