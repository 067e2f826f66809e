"""Gives a beat the current time: this machine's clock, corrected by Redis's clock if they differ.

Pure, except for the clock that the caller passes in.

All beats share one schedule and must agree on what is due. A beat whose clock is fast would run
entries early and report runs as missed that are not due yet. So a beat whose clock differs from
Redis's by more than a second uses Redis's clock until the two agree again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Seconds by which the clocks may differ. Up to this difference a beat uses its machine's clock
#: uncorrected, without the error of the measurement.
TOLERANCE = 1.0


@dataclass(frozen=True, slots=True)
class Skew:
    """The difference between this machine's clock and Redis's.

    :ivar seconds: positive when this machine's clock is ahead.
    :ivar error: the largest possible error of *seconds*: half of the round trip.
    """

    seconds: float
    error: float

    @property
    def counts(self) -> bool:
        """Whether the clocks differ by more than a second, whatever the error."""
        return abs(self.seconds) - self.error > TOLERANCE


class Clock:
    """The clock of one beat.

    :param clock: returns this machine's time, Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.local = clock
        self.skew: Skew | None = None
        self._correction = 0.0
        #: The skew in seconds that the last warning named; 0: none is outstanding.
        self._warned_of = 0.0

    def now(self) -> float:
        """Return the corrected time, Unix seconds; it decides what is due."""
        return self.local() + self._correction

    def corrected(self, local: datetime) -> datetime:
        """Return *local*, a time of this machine's clock, corrected as :meth:`now` is."""
        if self.local is not time.time:
            # A simulation or a test replaced this machine's clock: *local* is not from it.
            return datetime.fromtimestamp(self.now(), local.tzinfo)
        return local + timedelta(seconds=self._correction) if self._correction else local

    def compare(self, server: float, asked: float, answered: float) -> str:
        """Measure the skew from a reply of Redis's TIME.

        :param server: Redis's time, Unix seconds.
        :param asked: this machine's time just before the request.
        :param answered: this machine's time just after the reply.
        :returns: the warning to log, once per change; empty where nothing changed.
        """
        skew = Skew((asked + answered) / 2 - server, abs(answered - asked) / 2)
        if skew.error > TOLERANCE:
            # The machine slept, or its clock was set meanwhile: the measurement is useless.
            return ""
        previous = self.skew
        if (
            previous is not None
            and skew.error > previous.error
            and abs(skew.seconds - previous.seconds) <= skew.error + previous.error
        ):
            # A slower reply, which agrees with the more exact measurement: keep that one.
            return ""
        self.skew = skew
        self._correction = -skew.seconds if skew.counts else 0.0
        warned_of = self._warned_of
        if not skew.counts:
            self._warned_of = 0.0
            if warned_of:
                return f"The clock of this machine agrees with Redis's again ({_described(skew)})"
            return ""
        if abs(skew.seconds - warned_of) <= TOLERANCE:
            return ""
        self._warned_of = skew.seconds
        return (
            f"The clock of this machine is {_described(skew)}: this beat uses Redis's clock until "
            "they agree. Set the clocks of all machines by the same time service"
        )


def _described(skew: Skew) -> str:
    """Return the skew as text for a message."""
    direction = "ahead of" if skew.seconds > 0 else "behind"
    return f"{abs(skew.seconds):.3f} s {direction} Redis's, give or take {skew.error:.3f} s"
