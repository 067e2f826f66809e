"""Which time it is for a beat: this machine's clock, held against Redis's. Pure but for the clock
that it is given.

All beats see the same schedule, and must agree on what is due: one whose clock is fast would run
entries early, and take for missed what has not come yet. So a beat whose clock differs from
Redis's by more than a second goes by Redis's clock until the two agree again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Seconds by which the clocks may differ: less than this, this machine's own is used, as it was
#: set, without the error of the measurement.
TOLERANCE = 1.0


@dataclass(frozen=True, slots=True)
class Skew:
    """How much this machine's clock differs from Redis's.

    :ivar seconds: positive when this machine's is ahead.
    :ivar error: the most that this may be wrong by: half of the round trip.
    """

    seconds: float
    error: float

    @property
    def counts(self) -> bool:
        """Whether it is more than a second for certain."""
        return abs(self.seconds) - self.error > TOLERANCE


class Clock:
    """One beat's clock.

    :param clock: Unix seconds, this machine's.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.local = clock
        self.skew: Skew | None = None
        self._correction = 0.0
        self._told = 0.0

    def now(self) -> float:
        """Unix seconds: what decides what is due."""
        return self.local() + self._correction

    def corrected(self, moment: datetime) -> datetime:
        """*moment*, which this machine's clock told, by the clock that decides."""
        if self.local is not time.time:
            # Another clock than this machine's was put in: a simulation's, a test's.
            return datetime.fromtimestamp(self.now(), moment.tzinfo)
        return moment + timedelta(seconds=self._correction) if self._correction else moment

    def compare(self, server: float, asked: float, answered: float) -> str:
        """Redis told its time.

        :param server: Redis's clock, Unix seconds.
        :param asked: this machine's, just before the question.
        :param answered: just after the answer.
        :returns: what to warn about, once per change; empty when there is nothing new.
        """
        skew = Skew((asked + answered) / 2 - server, abs(answered - asked) / 2)
        if skew.error > TOLERANCE:
            # The machine slept, or its clock was set meanwhile: this tells nothing.
            return ""
        known = self.skew
        if (
            known is not None
            and skew.error > known.error
            and abs(skew.seconds - known.seconds) <= skew.error + known.error
        ):
            # A slower answer that does not contradict the better one.
            return ""
        self.skew = skew
        self._correction = -skew.seconds if skew.counts else 0.0
        before = self._told
        if not skew.counts:
            self._told = 0.0
            if before:
                return f"The clock of this machine agrees with Redis's again ({_words(skew)})"
            return ""
        if abs(skew.seconds - before) <= TOLERANCE:
            return ""
        self._told = skew.seconds
        return (
            f"The clock of this machine is {_words(skew)}: what is due goes by Redis's clock until "
            "they agree. Set the clocks of all machines by the same time service"
        )


def _words(skew: Skew) -> str:
    where = "ahead of" if skew.seconds > 0 else "behind"
    return f"{abs(skew.seconds):.3f} s {where} Redis's, give or take {skew.error:.3f} s"
