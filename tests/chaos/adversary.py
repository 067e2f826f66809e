"""Kills leaders, freezes them, and restarts or stalls Redis, at random moments."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.server import Server

from .aiming import log_uniform, wait_for_step
from .fleet import Fleet

#: Seconds that anything may take before the run is given up.
PATIENCE = 90.0
#: Seconds that Redis is stalled for; its clients wait for five.
STALL = (1.0, 8.0)
_POLL = 0.005


class StuckError(Exception):
    """The run cannot go on: what the adversary waits for does not come."""


@dataclass(frozen=True, slots=True)
class Strike:
    """Something done to the system under test.

    :ivar at: Unix seconds.
    :ivar what: ``kill``, ``freeze`` or ``thaw`` of a beat; ``restart`` or ``stall`` of Redis, and
        ``back`` when it is over.
    :ivar how: in which moment, or in which way.
    """

    at: float
    what: str
    how: str
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    :ivar kills: of leaders.
    :ivar restarts: of Redis, every other one with SIGKILL.
    :ivar freezes: of leaders.
    :ivar stalls: of Redis, some of them longer than its clients wait for an answer, so that they
        take for failed what is executed later.
    :ivar standbys: how many must be ready before a leader is struck.
    :ivar lease: seconds.
    """

    kills: int
    restarts: int
    freezes: int
    stalls: int
    standbys: int
    lease: float


@dataclass
class Adversary:
    """Carries out a plan.

    :ivar strikes: what was done, in its order.
    :ivar failovers: seconds from each kill until another beat had the lease; those in which
        Redis was in trouble meanwhile are left out.
    :ivar problem: why a restart did not succeed; empty when all did.
    """

    plan: Plan
    server: Server
    fleet: Fleet
    rng: random.Random
    tell: Callable[[str], None] = lambda line: None
    strikes: list[Strike] = field(default_factory=list)
    failovers: list[float] = field(default_factory=list)
    problem: str = ""
    _kills: int = 0
    _struck: threading.Event = field(default_factory=threading.Event)
    _restored: threading.Event = field(default_factory=threading.Event)
    _closed: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Do it all; returns when the last strike has been survived.

        :raises StuckError: nobody leads any more, or Redis does not come back.
        """
        seed = self.rng.random()
        troubler = threading.Thread(
            target=self._trouble_redis, args=[random.Random(seed)], daemon=True
        )
        troubler.start()
        rounds = ["kill"] * self.plan.kills + ["freeze"] * self.plan.freezes
        self.rng.shuffle(rounds)
        try:
            for what in rounds:
                self._strike(what)
        finally:
            self._struck.set()
            self._restored.wait(PATIENCE)
        if self.problem:
            raise StuckError(self.problem)

    def close(self) -> None:
        """To be called when the server has ended: it ends with the thread that restarted it."""
        self._closed.set()

    def _strike(self, what: str) -> None:
        strike = self._freeze if what == "freeze" else self._kill
        while True:
            pid = self._victim()
            how = self._choose_moment()
            # Redis may have been restarted, or the lease run out, while the moment was awaited.
            if self.fleet.leader() == pid and self.fleet.knows(pid) and strike(pid, how):
                return

    def _victim(self) -> int:
        """The leader, once enough others stand by."""

        def found() -> int | None:
            self.fleet.top_up()
            pid = self.fleet.leader()
            ready = self.fleet.ready()
            enough = pid in ready and len(ready) > self.plan.standbys
            return pid if enough else None

        return self._wait(found, f"a leader and {self.plan.standbys} standbys")

    def _choose_moment(self) -> str:
        """Wait for the moment to strike; returns what kind of moment it is."""
        kind = self.rng.choice(("anytime", "early", "claim", "claim", "commit"))
        if kind == "early":
            time.sleep(self.rng.uniform(0, 0.1))
            return kind
        time.sleep(self.rng.uniform(0, 2 * self.plan.lease))
        if kind == "anytime":
            return kind
        if not wait_for_step(self.server, kind):
            return "anytime"
        delay = log_uniform(self.rng, 0.0001, 0.02)
        time.sleep(delay)
        return f"{kind} + {delay * 1000:.1f} ms"

    def _kill(self, pid: int, how: str) -> bool:
        troubles = self._troubles
        if not self.fleet.kill(pid):
            return False
        killed = self._note("kill", how, pid)
        self._kills += 1
        self.fleet.top_up()
        self._wait(self._next_leader(pid), "the next leader")
        if self.fleet.locked and self._troubles == troubles:
            self.failovers.append(time.time() - killed)
        if self._kills % 10 == 0:
            self.tell(f"{self._kills} kills, {self._troubles} restarts or stalls of Redis")
        return True

    def _next_leader(self, before: int) -> Callable[[], object]:
        def leads() -> bool:
            pid = self.fleet.leader()
            if pid is None:
                # They may have ended by themselves.
                self.fleet.top_up()
            return pid not in (None, before)

        return leads

    def _freeze(self, pid: int, how: str) -> bool:
        if not self.fleet.freeze(pid):
            return False
        self._note("freeze", how, pid)
        time.sleep(self.plan.lease * self.rng.uniform(0.5, 2.5))
        self.fleet.thaw(pid)
        self._note("thaw", "", pid)
        return True

    def _trouble_redis(self, rng: random.Random) -> None:
        """Restart and stall Redis at random numbers of kills, each time a random while after the
        kill."""
        kinds = [self._kill_redis, self._end_redis] * self.plan.restarts
        strikes = kinds[: self.plan.restarts] + [self._stall_redis] * self.plan.stalls
        rng.shuffle(strikes)
        numbers = sorted(rng.randrange(max(1, self.plan.kills)) for _ in strikes)
        try:
            for number, strike in zip(numbers, strikes, strict=True):
                while self._kills < number and not self._struck.wait(_POLL):
                    pass
                time.sleep(rng.uniform(0, 2 * self.plan.lease))
                if rng.random() < 0.5 and wait_for_step(self.server, "commit"):
                    time.sleep(log_uniform(rng, 0.00005, 0.01))
                strike(rng)
        except Exception as exc:
            self.problem = f"Redis was not restarted: {type(exc).__name__}: {exc}"
        self._restored.set()
        self._closed.wait()

    def _kill_redis(self, rng: random.Random) -> None:
        self._note("restart", "SIGKILL")
        self.server.kill()
        self._start_redis(rng)

    def _end_redis(self, rng: random.Random) -> None:
        self._note("restart", "SIGTERM")
        self.server.stop()
        self._start_redis(rng)

    def _start_redis(self, rng: random.Random) -> None:
        time.sleep(rng.choice((0.0, rng.uniform(0, 2 * self.plan.lease))))
        self.server.start()
        self._note("back", "")

    def _stall_redis(self, rng: random.Random) -> None:
        self._note("stall", "SIGSTOP")
        self.server.freeze()
        time.sleep(rng.uniform(*STALL))
        self.server.thaw()
        self._note("back", "")

    @property
    def _troubles(self) -> int:
        return self._count("restart") + self._count("stall")

    def _note(self, what: str, how: str, pid: int = 0) -> float:
        now = time.time()
        self.strikes.append(Strike(now, what, how, pid))
        return now

    def _count(self, what: str) -> int:
        return sum(strike.what == what for strike in self.strikes)

    def _wait(self, condition: Callable[[], object], what: str) -> int:
        deadline = time.monotonic() + PATIENCE
        while not (answer := condition()):
            if self.problem:
                raise StuckError(self.problem)
            if time.monotonic() > deadline:
                raise StuckError(f"waited {PATIENCE:g} s for {what}")
            time.sleep(_POLL)
        return int(answer) if isinstance(answer, int) else 0
