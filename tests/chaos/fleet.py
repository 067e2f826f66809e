"""The beats of a run: one leads, others stand by, and new ones replace those that are killed."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from tests.support.processes import Process, Processes
from tests.support.server import Server


class Fleet:
    """Beats with this project's scheduler.

    :param size: how many there are to be at any time.
    :ivar died: what ended without having been killed, as text.
    """

    #: Whether one at a time leads.
    locked = True
    scheduler = "redbeat_core.RedBeatScheduler"
    loglevel = "warning"

    def __init__(
        self, server: Server, directory: Path, size: int, conf: Mapping[str, Any], **options: Any
    ) -> None:
        self.size = size
        self.died: list[str] = []
        self._directory = directory
        self._processes = Processes(server.url(), directory)
        self._client = server.client()
        self._conf = dict(conf)
        self._options = options
        self._live: dict[int, Process] = {}
        self._frozen: set[int] = set()
        self._thawed: set[int] = set()
        self._mutex = threading.RLock()
        self._started = 0

    def top_up(self) -> None:
        """Start as many as are missing; note those that ended by themselves."""
        with self._mutex:
            for pid, process in list(self._live.items()):
                if not process.running:
                    del self._live[pid]
                    self.died.append(f"{process.name}: exit code {process.wait()}")
            while len(self._live) < self.size:
                self._started += 1
                process = self._processes.beat(
                    f"beat-{self._started:04}",
                    scheduler=self.scheduler,
                    conf=self._conf,
                    loglevel=self.loglevel,
                    **self._options,
                )
                self._live[process.pid] = process

    def leader(self) -> int | None:
        """The process id of who leads, read from the lock; None: nobody, or Redis is away."""
        try:
            token = self._client.get("redbeat::lock")
        except redis.RedisError:
            return None
        return self._pid_of(str(token)) if token else None

    def ready(self) -> list[int]:
        """The process ids of those that lead or could."""
        try:
            tokens: Any = self._client.hkeys("redbeat::beats")
        except redis.RedisError:
            return []
        with self._mutex:
            active = self._live.keys() - self._frozen
            return [pid for pid in map(self._pid_of, tokens) if pid in active]

    @staticmethod
    def _pid_of(token: str) -> int | None:
        words = token.split(":")
        return int(words[1]) if len(words) == 3 else None

    def knows(self, pid: int | None) -> bool:
        """Whether it is one of those that live and are not frozen."""
        with self._mutex:
            return pid in self._live and pid not in self._frozen

    def kill(self, pid: int) -> bool:
        """SIGKILL one; False if it has ended by itself."""
        with self._mutex:
            process = self._live[pid]
            if not process.running:
                return False
            process.send(signal.SIGKILL)
            process.wait()
            del self._live[pid]
        return True

    def freeze(self, pid: int) -> bool:
        """SIGSTOP one; False if it has ended by itself."""
        with self._mutex:
            process = self._live[pid]
            if process.running:
                process.freeze()
                self._frozen.add(pid)
            return process.running

    def thaw(self, pid: int) -> None:
        """SIGCONT it."""
        with self._mutex:
            self._live[pid].thaw()
            self._frozen.discard(pid)

    def stop(self) -> None:
        """SIGTERM all, and wait for their end; one that does not end well is noted."""
        ready = self.ready()
        with self._mutex:
            left = list(self._live.values())
            self._live.clear()
        for process in left:
            if process.running:
                process.send(signal.SIGTERM)
        for process in left:
            code = process.wait(30)
            # Before it has come as far as to handle the signal, it is ended by it.
            if code and (code != -signal.SIGTERM or process.pid in ready):
                self.died.append(f"{process.name}: exit code {code} at the end")

    def logs(self) -> str:
        """What they wrote, those that wrote nothing left out."""
        return "\n".join(
            f"--- {one.name} ({one.pid})\n{one.log}" for one in self._processes.started if one.log
        )

    def close(self) -> None:
        """End whatever runs."""
        self._processes.close()
        self._client.close()


class UnlockedFleet(Fleet):
    """Beats that all dispatch: there is no lock."""

    locked = False
    _chosen: int | None = None

    def leader(self) -> int | None:
        """One of them: as long as it lives and is not frozen, the same one."""
        ready = self.ready()
        if self._chosen not in ready:
            self._chosen = random.choice(ready) if ready else None
        return self._chosen


class PeerFleet(Fleet):
    """Beats with celery-redbeat, whose lock does not say who has it; their logs do."""

    scheduler = "tests.chaos.stamping.StampingScheduler"
    loglevel = "info"

    def leader(self) -> int | None:
        """One that wrote that it has the lock. Who was frozen may have lost it without knowing:
        such a one only if there is no other."""
        leaders = [one for one in self._active() if "Acquired lock" in self._start_of_log(one)]
        leaders.sort(key=lambda one: one.pid not in self._thawed)
        return leaders[-1].pid if leaders else None

    def ready(self) -> list[int]:
        """Those that have come as far as asking for the lock."""
        return [one.pid for one in self._active() if "Starting" in self._start_of_log(one)]

    def thaw(self, pid: int) -> None:
        """SIGCONT it."""
        super().thaw(pid)
        self._thawed.add(pid)

    def _active(self) -> list[Process]:
        with self._mutex:
            active = [one for pid, one in self._live.items() if pid not in self._frozen]
        return [one for one in active if one.running]

    def _start_of_log(self, process: Process) -> str:
        with (self._directory / f"{process.name}.log").open(errors="replace") as file:
            return file.read(4000)
