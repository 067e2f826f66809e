"""What must have come of a schedule of intervals, worked out without the scheduler's own code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import redis

from redbeat_core import events
from redbeat_core.storage.schedule_store import ScheduleStore

#: Seconds; nominal times go through dates, which have microseconds.
_EXACT = 1e-4


class Ledger:
    """Keeps the books of entries that run every so many seconds, from now on.

    :param every: the entries' names and their intervals in seconds.
    :param broker: the server that their messages go to; None: that of the schedule.
    """

    def __init__(
        self, client: redis.Redis, every: dict[str, float], broker: redis.Redis | None = None
    ) -> None:
        self._broker = broker or client
        self._store = ScheduleStore(client)
        self._every = every
        scores = self._store.scores()
        self._first = {name: scores[name] for name in every}

    def move_to(self, client: redis.Redis) -> None:
        """Go on with what another server has."""
        self._broker, self._store = client, ScheduleStore(client)

    def runs(self) -> Counter[tuple[str, float]]:
        """How often each nominal time of each entry was enqueued."""
        messages = (json.loads(text) for text in self._broker.lrange("shop", 0, -1))
        headers: Iterable[dict[str, Any]] = (m["headers"]["redbeat"] for m in messages)
        return Counter(
            (header["entry"], header["nominal"])
            for header in headers
            if header["entry"] in self._every and not header["trigger"]
        )

    def requests(self) -> Counter[str]:
        """How often each run-now request was enqueued."""
        messages = (json.loads(text) for text in self._broker.lrange("shop", 0, -1))
        return Counter(
            message["headers"]["redbeat"]["trigger"]
            for message in messages
            if message["headers"]["redbeat"]["trigger"]
        )

    def check(self, *, twice: bool = False) -> None:
        """Each nominal time up to now was enqueued once, or was told to be missed; each request
        at most once.

        :param twice: a message may be there again, as long as none is lost.
        """
        runs = self.runs()
        repeated = {run: times for run, times in runs.items() if times > 1}
        assert twice or not repeated, f"enqueued more than once: {repeated}"
        assert max(self.requests().values(), default=0) <= 1, "a request was served twice"
        log = self._store.log_after(0, 100_000)
        told = Counter(
            (event.subject, event.data["nominal"])
            for event in log
            if event.type == events.RUN_DISPATCHED
            and event.subject in self._every
            and not event.data["trigger"]
        )
        lost, untold = sorted(set(told) - set(runs)), sorted(set(runs) - set(told))
        assert not lost, f"told, and not enqueued: {lost}"
        assert not untold, f"enqueued, and not told: {untold}"
        assert max(told.values(), default=0) <= 1, "told more than once"
        for name, every in self._every.items():
            steps = (self._next(name) - self._first[name]) / every
            places = [(at - self._first[name]) / every for entry, at in runs if entry == name]
            assert _whole([steps, *places]), f"{name}: off its nominal times, {places}"
            missed = sum(
                event.data["count"]
                for event in log
                if event.type == events.RUN_MISSED and event.subject == name
            )
            made = len(places)
            assert made + missed == round(steps), (
                f"{name}: {round(steps)} nominal times, {made} enqueued and {missed} missed"
            )

    def _next(self, name: str) -> float:
        """The nominal time of its next run: the score, unless `due` says more."""
        record = self._store.get(name)
        assert record is not None
        assert record.due is not None
        assert float(record.due.split()[0]) == record.score
        return float(record.due.split()[-1])


def _whole(numbers: list[float]) -> bool:
    return all(abs(number - round(number)) < _EXACT / 0.01 for number in numbers)
