"""What could not be published and is tried again later: single entries, or everything while the
broker is down. Waits double. Pure but for the clock that it is given."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from redbeat_core.backoff import next_wait

#: Seconds between attempts: the first wait, and the longest for one entry and for the broker.
RETRY_FIRST, RETRY_MOST, BROKER_MOST = 1.0, 60.0, 30.0
#: Seconds by which a clock that is set back may lengthen a wait; set back further, it ends it.
_STEP = 1.0


def _lasts(until: float, length: float, now: float) -> bool:
    return 0 < until - now <= length + _STEP


@dataclass(frozen=True, slots=True)
class Wait:
    """An entry (or a request) that waits.

    :ivar mark: the digest of what it was; another content is another matter.
    :ivar attempts: how often publishing failed.
    :ivar until: Unix seconds.
    :ivar length: seconds, of this wait.
    """

    mark: str
    attempts: int
    until: float
    length: float

    def lasts(self, now: float) -> bool:
        """Whether there is time left at *now*, Unix seconds."""
        return _lasts(self.until, self.length, now)


class RetryBackoff:
    """Keeps the waits of one scheduler.

    :param clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waits: dict[str, Wait] = {}
        self._broker_wait = 0.0
        self.broker_until = 0.0
        self._told: set[tuple[str, str]] = set()

    def clear(self) -> None:
        """Forget everything but the broker's wait: another beat led since."""
        self._waits.clear()
        self._told.clear()

    def failed(self, key: str, mark: str) -> Wait:
        """Publishing *key* failed once more."""
        before = self._waits.get(key)
        attempts = before.attempts + 1 if before else 1
        length = next_wait(before.length if before else 0.0, RETRY_FIRST, RETRY_MOST)
        wait = self._waits[key] = Wait(mark, attempts, self._clock() + length, length)
        return wait

    def succeeded(self, key: str) -> None:
        """*key* was published."""
        self._waits.pop(key, None)

    def attempts(self, key: str) -> int:
        """How often publishing *key* failed since it last went well."""
        return self._waits[key].attempts if key in self._waits else 0

    def waits(self, key: str) -> bool:
        """Whether *key* is not to be tried yet."""
        return key in self._waits and self._waits[key].lasts(self._clock())

    def tried(self, key: str) -> bool:
        """Whether publishing *key* has failed, by itself or with all, and not been done since."""
        return key in self._waits or any(name == key for name, _ in self._told)

    def held_back(self) -> dict[str, str]:
        """What is not to be tried yet, with its mark."""
        now = self._clock()
        return {key: wait.mark for key, wait in self._waits.items() if wait.lasts(now)}

    def next_at(self) -> float | None:
        """When the first of them is to be tried."""
        return min((wait.until for wait in self._waits.values()), default=None)

    def keep_only(self, came: Collection[str]) -> None:
        """Drop the waits that are over and whose key did not come again: it is gone."""
        now = self._clock()
        for key in [key for key, wait in self._waits.items() if not wait.lasts(now)]:
            if key not in came:
                del self._waits[key]

    def broker_failed(self) -> float:
        """Nothing can be published now; returns seconds to wait."""
        self._broker_wait = next_wait(self._broker_wait, RETRY_FIRST, BROKER_MOST)
        self.broker_until = self._clock() + self._broker_wait
        return self._broker_wait

    def broker_waits(self, now: float) -> bool:
        """Whether nothing is to be published yet at *now*, Unix seconds."""
        return _lasts(self.broker_until, self._broker_wait, now)

    def broker_works(self) -> None:
        """The broker took what it was given."""
        self._broker_wait = self.broker_until = 0.0
        self._told.clear()

    def tell(self, run: tuple[str, str]) -> bool:
        """Whether it has yet to be told that *run* waits for the broker."""
        fresh = run not in self._told
        self._told.add(run)
        return fresh
