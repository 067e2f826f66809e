"""Asks for runs now and then, as an operator would, while everything else goes on."""

from __future__ import annotations

import random
import threading

import redis

from redbeat_core.operations import Operations
from redbeat_core.storage.schedule_store import ScheduleStore

#: Seconds between two requests, at most.
_PAUSE = 0.4


class Requester:
    """A thread that asks for runs of random entries, as long as its context lasts.

    What it got through is in the log: a call that failed may have been executed all the same.
    """

    def __init__(self, client: redis.Redis, names: list[str], seed: float) -> None:
        # The log is as long as the beats keep it.
        self._operations = Operations(ScheduleStore(client, log_length=200_000), actor="chaos")
        self._names = names
        self._rng = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="requester", daemon=True)

    def __enter__(self) -> Requester:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._rng.uniform(0, _PAUSE)):
            name = self._rng.choice(self._names)
            try:
                self._operations.trigger(name, count_run=self._rng.random() < 0.3)
            except redis.RedisError:
                # Redis is being restarted.
                continue
