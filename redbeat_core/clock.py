"""The clock of a beat: this machine's, compared with Redis's. Pure but for the clock that it is
given.

All beats share one schedule and must agree on what is due: a beat whose clock is fast would run
entries early and report later runs as missed. So a beat whose clock differs from Redis's by more
than a second uses Redis's clock until the two agree again.
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
    """The difference between this machine's clock and Redis's.

    :ivar seconds: positive when this machine's is ahead.
    :ivar error: the largest possible error of *seconds*: half of the round trip.
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
        """The time that decides what is due, Unix seconds."""
        return self.local() + self._correction

    def corrected(self, moment: datetime) -> datetime:
        """Convert *moment*, a time by this machine's clock, to the deciding clock."""
        if self.local is not time.time:
            # Another clock than this machine's was put in: a simulation's, a test's.
            return datetime.fromtimestamp(self.now(), moment.tzinfo)
        return moment + timedelta(seconds=self._correction) if self._correction else moment

    def compare(self, server: float, asked: float, answered: float) -> str:
        """Compare this machine's clock with Redis's.

        :param server: the time by Redis's clock, Unix seconds.
        :param asked: the time by this machine's clock, just before the question.
        :param answered: just after the answer.
        :returns: a warning, once per change; empty when nothing has changed.
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
