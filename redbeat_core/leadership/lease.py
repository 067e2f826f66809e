"""Holds the leader's lease: a lock in Redis with a TTL, which a thread renews.

The lock is the same as celery-redbeat's (its key, a token in a string with a TTL), so the two
exclude each other. The lease only saves work and avoids conflicts between two beats; it does not
prevent double dispatch, which the commit does by comparing the score.
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

#: A beat whose last heartbeat is older than this many seconds has ended.
SILENT_AFTER = 60.0
#: Seconds between heartbeats, at most.
HEARTBEAT = 3.0
#: Seconds that :meth:`Lease.stop` waits for the thread, and for a server that does not answer.
_SHUTDOWN_TIMEOUT = 1.0


def make_token() -> str:
    """Return a new token that names its owner: host, pid and a random part."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt to acquire the lease.

    :ivar held: the caller holds it.
    :ivar holder: the token of the other holder.
    :ivar wait: seconds until that lease ends unless renewed.
    """

    held: bool
    holder: str = ""
    wait: float = 0.0


@dataclass
class Lease:
    """The lease of one beat, and its heartbeat.

    :param lock: the lock's key; None: no lock, the lease counts as held.
    :param timeout: length of the lease, seconds.
    :param facts: returns the facts about this beat that each heartbeat publishes.
    :param on_lost: called, in the renewal thread, when the lease is lost.
    :param clock: compared with Redis's clock at each heartbeat.
    """

    store: ScheduleStore
    lock: str | None
    timeout: float
    facts: Callable[[], Mapping[str, Any]] = dict
    on_lost: Callable[[], None] = lambda: None
    clock: Clock = field(default_factory=Clock)
    token: str = field(default_factory=make_token)
    _until: float = field(default=0.0, init=False)
    #: When this beat last looked for beats that have ended; monotonic seconds.
    _cleaned_up_at: float = field(default=-math.inf, init=False)
    _scripts: Scripts = field(init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _mutex: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._scripts = Scripts(self.store.client)

    @property
    def held(self) -> bool:
        """Whether this beat holds the lease, by the monotonic clock: a process that was stopped for
        longer than its lease detects it at once."""
        return self.lock is None or time.monotonic() < self._until

    def owned(self) -> bool:
        """The same as :attr:`held`, under the name of redis-py's locks."""
        return self.held

    @property
    def interval(self) -> float:
        """Seconds between renewals, and between heartbeats."""
        return min(self.timeout / 3, HEARTBEAT)

    def start(self) -> None:
        """Start the thread that renews the lease and sends heartbeats."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="redbeat-lease", daemon=True)
            self._thread.start()

    def acquire(self) -> Attempt:
        """Try once to acquire the lease, which makes this beat the leader."""
        if self.lock is None:
            self._measure_skew()
            return Attempt(held=True)
        started = time.monotonic()
        asked_at = self.clock.local()
        facts = {key: str(value) for key, value in self.facts().items()}
        facts |= {"lock": self.lock, "since": str(self.clock.now())}
        keys = self.store.keys
        data = events.leader_changed(self.token, **self._address(), reason="acquired")
        reply = self._scripts.run(
            "acquire",
            [self.lock, keys.leader, keys.log, keys.events],
            [
                self.token,
                int(self.timeout * 1000),
                self.store.log_length,
                self.store.event(events.LEADER_CHANGED, self.token, data),
                *(text for pair in facts.items() for text in pair),
            ],
        )
        if reply[0] == 1:
            self._until = started + self.timeout
            self._compare_clocks(reply[1:], asked_at)
            return Attempt(held=True)
        wait = reply[2] / 1000 if reply[2] > 0 else self.timeout
        return Attempt(held=False, holder=str(reply[1]), wait=wait)

    def describe(self) -> None:
        """Publish changed facts about this beat: in the leader's hash and in a heartbeat."""
        self.acquire()
        self.heartbeat()

    def renew(self) -> bool:
        """Renew the lease; False if this beat does not hold it any more."""
        if self.lock is None:
            return True
        with self._mutex:
            started = time.monotonic()
            kept = self._scripts.run("renew", [self.lock], [self.token, int(self.timeout * 1000)])
            self._until = started + self.timeout if kept else 0.0
            return bool(kept)

    def touched(self, started: float) -> None:
        """Record that a claim, begun at *started* (monotonic seconds), has renewed the lease."""
        self._until = max(self._until, started + self.timeout)

    def lose(self) -> None:
        """Record that another beat holds the lease."""
        self._until = 0.0

    def release(self) -> bool:
        """Release the lease, so that a standby leads at once; False if it was not held."""
        if self.lock is None or not self._until:
            return False
        keys = self.store.keys
        with self._mutex:
            self._until = 0.0
            data = events.leader_changed(None, **self._address(), reason="released")
            event = self.store.event(events.LEADER_CHANGED, self.token, data)
            released = self._scripts.run(
                "release",
                [self.lock, keys.leader, keys.log, keys.events],
                [self.token, self.store.log_length, event],
            )
        return bool(released)

    def stop(self) -> None:
        """Stop the thread, release the lease and remove this beat from the list of beats."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=_SHUTDOWN_TIMEOUT)
        self._thread = None
        _shorten_timeouts(self.store.client)
        try:
            self.release()
            self.store.client.hdel(self.store.keys.beats, self.token)
        except TROUBLE as exc:
            logger.warning("beat: Could not release the lease, it expires by itself: %s", exc)

    def heartbeat(self) -> None:
        """Publish that this beat is alive, and compare its clock with Redis's."""
        self._measure_skew()
        now = self.clock.now()
        keys = self.store.keys
        facts = {**self._address(), **self.facts(), "token": self.token, "at": now}
        if self.clock.skew is not None:
            facts["skew"] = round(self.clock.skew.seconds, 3)
        silent: list[str] = []
        if time.monotonic() - self._cleaned_up_at >= SILENT_AFTER / 2:
            self._cleaned_up_at = time.monotonic()
            beats = self.store.client.hgetall(keys.beats)
            silent = [token for token, text in beats.items() if _silent(text, now)]
        asked_at = self.clock.local()
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
        self._compare_clocks(reply[1:], asked_at)

    def _measure_skew(self) -> None:
        """Compare the clock with Redis's, unless this was done before."""
        if self.clock.skew is None:
            asked_at = self.clock.local()
            self._warn(self.clock.compare(self.store.server_time(), asked_at, self.clock.local()))

    def _compare_clocks(self, server_time: Sequence[Any], asked_at: float) -> None:
        """Compare the clock with *server_time*, a reply of TIME: seconds and microseconds."""
        seconds, micro = server_time
        server = int(seconds) + int(micro) / 1e6
        self._warn(self.clock.compare(server, asked_at, self.clock.local()))

    def _warn(self, warning: str) -> None:
        if warning:
            logger.warning("beat: %s", warning)

    def _address(self) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pid": os.getpid()}

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                # If a claim has just renewed the lease, half of the lease is still left at the
                # next round.
                renewed = self._until - self.timeout
                due = time.monotonic() - renewed > self.interval / 2
                if self._until and due and not self.renew():
                    self.on_lost()
                self.heartbeat()
            except UNREACHABLE as exc:
                logger.debug("beat: No heartbeat, Redis is unreachable: %s", exc)
                if self._until and not self.held:
                    self._until = 0.0
                    self.on_lost()
            except Exception:
                # Only this thread renews the lease: no error may end it.
                logger.exception("beat: The heartbeat failed, retrying")
            self._stop.wait(self.interval)


def _shorten_timeouts(client: Any) -> None:
    """Limit all further waits for the server, because this beat ends."""
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        pool.connection_kwargs |= dict.fromkeys(
            ("socket_timeout", "socket_connect_timeout"), _SHUTDOWN_TIMEOUT
        )
        # The open connections keep the old timeouts, and may hang already.
        pool.reset()


def _silent(text: str, now: float) -> bool:
    try:
        return now - float(json.loads(text)["at"]) > SILENT_AFTER
    except (ValueError, KeyError, TypeError):
        return True
