"""Who leads: a lock in Redis with a TTL, renewed by a thread of its own.

The lock is celery-redbeat's (same key, a token in a string with a TTL), so the two exclude each
other. The lease only saves work and keeps two beats out of each other's way; that nothing is
dispatched twice rests on the check of the score in the commit.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery.utils.log import get_logger

from redbeat_core import events
from redbeat_core.clock import Clock
from redbeat_core.storage.connection import TROUBLE, UNREACHABLE
from redbeat_core.storage.schedule_store import ScheduleStore
from redbeat_core.storage.scripts import Scripts

logger = get_logger("celery.beat")

#: Heartbeats older than this many seconds belong to beats that are gone.
SILENT_AFTER = 60.0
#: Seconds between heartbeats, at most.
HEARTBEAT = 3.0
#: Seconds that closing waits for the thread, and for a server that does not answer.
_PATIENCE = 1.0


def make_token() -> str:
    """A token that names its owner: host, pid and a random part."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of trying to lead.

    :ivar held: the caller leads.
    :ivar holder: the token of who leads instead.
    :ivar wait: seconds until that lease ends unless renewed.
    """

    held: bool
    holder: str = ""
    wait: float = 0.0


@dataclass
class Lease:
    """One beat's claim to lead.

    :param lock: the lock's key; None: no lock, always held.
    :param timeout: length of the lease, seconds.
    :param facts: what to tell about this beat, asked for at each heartbeat.
    :param clock: is held against Redis's at each heartbeat.
    :param on_lost: called, in the renewal thread, when the lease is found lost.
    """

    store: ScheduleStore
    lock: str | None
    timeout: float
    facts: Callable[[], Mapping[str, Any]] = dict
    on_lost: Callable[[], None] = lambda: None
    clock: Clock = field(default_factory=Clock)
    token: str = field(default_factory=make_token)
    _until: float = field(default=0.0, init=False)
    #: When this beat last looked for beats that are gone; monotonic seconds.
    _looked_at: float = field(default=-math.inf, init=False)
    _scripts: Scripts = field(init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _mutex: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._scripts = Scripts(self.store.client)

    @property
    def held(self) -> bool:
        """Whether the lease is still ours, by the monotonic clock: a process that was stopped
        past its lease knows at once."""
        return self.lock is None or time.monotonic() < self._until

    def owned(self) -> bool:
        """The same, under the name that redis-py's locks have."""
        return self.held

    @property
    def interval(self) -> float:
        """Seconds between renewals, and between heartbeats."""
        return min(self.timeout / 3, HEARTBEAT)

    def start(self) -> None:
        """Start the thread that renews and sends heartbeats."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="redbeat-lease", daemon=True)
            self._thread.start()

    def acquire(self) -> Attempt:
        """Try once to lead."""
        if self.lock is None:
            self._look_at_the_clock()
            return Attempt(held=True)
        started, asked = time.monotonic(), self.clock.local()
        facts = {key: str(value) for key, value in self.facts().items()}
        facts |= {"lock": self.lock, "since": str(self.clock.now())}
        keys = self.store.keys
        data = {"leader": self.token, **self._address(), "reason": "acquired"}
        reply = self._scripts.run(
            "acquire",
            [self.lock, keys.leader, keys.log, keys.events],
            [
                self.token,
                int(self.timeout * 1000),
                self.store.log_length,
                self.store.event(events.LEADER_CHANGED, self.token, data),
                *(word for pair in facts.items() for word in pair),
            ],
        )
        if reply[0] == 1:
            self._until = started + self.timeout
            self._hear_the_time(reply[1:], asked)
            return Attempt(held=True)
        wait = reply[2] / 1000 if reply[2] > 0 else self.timeout
        return Attempt(held=False, holder=str(reply[1]), wait=wait)

    def describe(self) -> None:
        """Tell the facts about this beat anew: as the leader's, and in a heartbeat."""
        self.acquire()
        self.heartbeat()

    def renew(self) -> bool:
        """Keep the lease if it is still ours."""
        if self.lock is None:
            return True
        with self._mutex:
            started = time.monotonic()
            kept = self._scripts.run("renew", [self.lock], [self.token, int(self.timeout * 1000)])
            self._until = started + self.timeout if kept else 0.0
            return bool(kept)

    def touched(self, started: float) -> None:
        """A claim that began at *started* (monotonic seconds) has renewed the lease."""
        self._until = max(self._until, started + self.timeout)

    def lose(self) -> None:
        """Forget the lease: Redis says that it is another's."""
        self._until = 0.0

    def release(self) -> bool:
        """Give the lease back, so that a standby leads at once."""
        if self.lock is None or not self._until:
            return False
        keys = self.store.keys
        with self._mutex:
            self._until = 0.0
            data = {"leader": None, **self._address(), "reason": "released"}
            event = self.store.event(events.LEADER_CHANGED, self.token, data)
            released = self._scripts.run(
                "release",
                [self.lock, keys.leader, keys.log, keys.events],
                [self.token, self.store.log_length, event],
            )
        return bool(released)

    def stop(self) -> None:
        """End the thread, release the lease and take this beat off the list of beats."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=_PATIENCE)
        self._thread = None
        _hurry(self.store.client)
        try:
            self.release()
            self.store.client.hdel(self.store.keys.beats, self.token)
        except TROUBLE as exc:
            logger.warning("beat: The lease could not be released, it ends by itself: %s", exc)

    def heartbeat(self) -> None:
        """Tell that this beat is alive, and hold its clock against Redis's."""
        self._look_at_the_clock()
        now = self.clock.now()
        keys = self.store.keys
        facts = {**self._address(), **self.facts(), "token": self.token, "at": now}
        if self.clock.skew is not None:
            facts["skew"] = round(self.clock.skew.seconds, 3)
        silent: list[str] = []
        if time.monotonic() - self._looked_at >= SILENT_AFTER / 2:
            self._looked_at = time.monotonic()
            beats = self.store.client.hgetall(keys.beats)
            silent = [token for token, text in beats.items() if _silent(text, now)]
        asked = self.clock.local()
        reply = self._scripts.run(
            "heartbeat",
            [keys.beats, keys.log, keys.events],
            [
                self.token,
                json.dumps(facts),
                self.store.event(events.BEAT_HEARTBEAT, self.token, facts),
                *silent,
            ],
        )
        self._hear_the_time(reply[1:], asked)

    def _look_at_the_clock(self) -> None:
        """Ask Redis for its time, if that was never told."""
        if self.clock.skew is None:
            asked = self.clock.local()
            self._warn(self.clock.heard(self.store.server_time(), asked, self.clock.local()))

    def _hear_the_time(self, words: Sequence[Any], asked: float) -> None:
        seconds, micro = words
        server = int(seconds) + int(micro) / 1e6
        self._warn(self.clock.heard(server, asked, self.clock.local()))

    def _warn(self, of_what: str) -> None:
        if of_what:
            logger.warning("beat: %s", of_what)

    def _address(self) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pid": os.getpid()}

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                # A claim that was made just now has renewed it: half of it is left the next time.
                renewed = self._until - self.timeout
                due = time.monotonic() - renewed > self.interval / 2
                if self._until and due and not self.renew():
                    self.on_lost()
                self.heartbeat()
            except UNREACHABLE as exc:
                logger.debug("beat: no heartbeat, Redis is away: %s", exc)
                if self._until and not self.held:
                    self._until = 0.0
                    self.on_lost()
            except Exception:
                # This thread is all that keeps the lease: it must outlive any surprise.
                logger.exception("beat: The heartbeat failed, trying again")
            self._stop.wait(self.interval)


def _hurry(client: Any) -> None:
    """From here on, do not wait long for a server that does not answer: we are to end."""
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        pool.connection_kwargs |= dict.fromkeys(
            ("socket_timeout", "socket_connect_timeout"), _PATIENCE
        )
        # The connections that are open have the old limits, and may hang already.
        pool.reset()


def _silent(text: str, now: float) -> bool:
    try:
        return now - float(json.loads(text)["at"]) > SILENT_AFTER
    except (ValueError, KeyError, TypeError):
        return True
