"""One chaos run, from the first beat to the verdict."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.server import REDIS, Server
from tests.support.waiting import wait_for

from .adversary import Adversary, Plan, StuckError
from .fleet import Fleet, PeerFleet, UnlockedFleet
from .load import Entry, make_load, write_load
from .oracle import Causes, judge
from .outages import find_outages
from .pattern import SECOND
from .peer import count
from .recording import Recorder, RecordingError
from .report import Outcome
from .requesting import Requester

#: Nominal times a second for each dispatch a second that is asked for: after each kill the
#: entries with short intervals miss some, which are reported and not dispatched.
SURPLUS = 1.6
#: Seconds that the beats have to come to the end of the window.
_SETTLING = 120.0
OURS, PEER = "redbeat-tui", "celery-redbeat"
#: Seconds. It extends its lock once a tick: one that is shorter than a tick under load ends the
#: process.
PEER_LEASE = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What to run.

    :ivar rate: dispatches a second that the load is made for.
    :ivar lock: False: no lease, all beats dispatch at once.
    :ivar spare: beats that are kept beside the leader and the standbys, since one takes a
        second or two to start.
    :ivar lease: seconds.
    :ivar delivery: ``redbeat_delivery``.
    :ivar server: which program.
    :ivar rate_share: the part of *rate* that must be reached.
    :ivar margin: seconds before and after each outage in which runs may be late because of it.
    :ivar least: the part of the nominal times outside of all outages that must be dispatched.
    """

    kills: int = 300
    restarts: int = 20
    freezes: int = 15
    stalls: int = 5
    rate: float = 500.0
    standbys: int = 2
    spare: int = 1
    lease: float = 1.0
    seed: int = 0
    lock: bool = True
    peer: bool = False
    delivery: str = "auto"
    server: str = REDIS
    rate_share: float = 1.0
    margin: float = 2.0
    least: float = 0.8

    @property
    def title(self) -> str:
        """What is run, in words."""
        words = [PEER if self.peer else OURS]
        words += [] if self.lock else ["no lock"]
        words += [] if self.delivery == "auto" else [self.delivery]
        return ", ".join([*words, f"on {self.server}"])

    def plan(self) -> Plan:
        """What the adversary is to do."""
        return Plan(self.kills, self.restarts, self.freezes, self.stalls, self.standbys, self.lease)


def chaos(options: Options, directory: Path, tell: Callable[[str], None] = print) -> Outcome:
    """Run it and judge it.

    :param directory: where the beats' logs go, and the whole record when something is wrong.
    """
    outcome = Outcome(options.title, options.seed, standbys=options.standbys)
    if not options.peer:
        outcome.least_rate = options.rate * options.rate_share
    with Server(options.server, persistent=True) as server:
        run = _Run(options, server, directory, outcome, tell)
        try:
            run.go()
        finally:
            run.close()
    if not (outcome.clean or outcome.peer):
        outcome.save(directory)
    return outcome


def _fleet(options: Options, server: Server, directory: Path) -> Fleet:
    size = 1 + options.standbys + options.spare
    conf: dict[str, Any] = {
        "redbeat_lock_timeout": options.lease,
        "redbeat_log_length": 200_000,
        "redbeat_delivery": options.delivery,
    }
    if not options.lock:
        return UnlockedFleet(server, directory, size, {**conf, "redbeat_lock_key": None})
    if options.peer:
        # It extends its lock once a tick, and asks for it once a `max_interval`.
        return PeerFleet(server, directory, size, conf, max_interval=1)
    return Fleet(server, directory, size, conf)


class _Run:
    def __init__(
        self,
        options: Options,
        server: Server,
        directory: Path,
        outcome: Outcome,
        tell: Callable[[str], None],
    ) -> None:
        self.options, self.outcome, self.tell = options, outcome, tell
        self.server, self.client = server, server.client()
        self.fleet = _fleet(options, server, directory)
        self.recorder = Recorder(server.client())
        self.rng = random.Random(options.seed)
        self.adversary = Adversary(options.plan(), server, self.fleet, self.rng, tell)

    def close(self) -> None:
        self.fleet.close()
        self.recorder.stop()
        self.server.close()
        self.adversary.close()

    def go(self) -> None:
        self.fleet.top_up()
        wait_for(
            lambda: len(self.fleet.ready()) > self.options.standbys and self.fleet.leader(),
            120,
            what="a leader and the standbys",
        )
        start = int(time.time() + 1) * SECOND
        load = make_load(self.options.rate * SURPLUS, start, self.rng)
        self.outcome.entries = len(load)
        write_load(self.client, load)
        self.recorder.start()
        self.tell(f"{len(load)} entries; seed {self.options.seed}")
        try:
            with self._requester(load):
                self.adversary.run()
            until = int(time.time() * SECOND)
            self._settle(load, until)
        except StuckError as exc:
            self.outcome.problem = str(exc)
            until = int(time.time() * SECOND)
        finally:
            self.outcome.strikes = self.adversary.strikes
            self.outcome.failovers = self.adversary.failovers
        self._judge(load, start, until)

    def _requester(self, load: list[Entry]) -> AbstractContextManager[object]:
        if self.options.peer:
            return nullcontext()
        names = [entry.name for entry in load]
        return Requester(self.server.client(), names, self.rng.random())

    def _settle(self, load: list[Entry], until: int) -> None:
        """Wait until the beats have come to the end of the window. Those who never do have lost
        what is missing, so this does not complain."""
        newest = self.recorder.newest
        left = {entry.name: entry.pattern for entry in load}
        # Of celery-redbeat nothing can be heard.
        deadline = time.monotonic() + (2 * PEER_LEASE if self.options.peer else _SETTLING)
        while (left or self._requests_wait()) and time.monotonic() < deadline:
            time.sleep(0.1)
            self.fleet.top_up()
            for name, pattern in list(left.items()):
                if pattern.count(newest.get(name, 0)) >= pattern.count(until):
                    del left[name]

    def _requests_wait(self) -> bool:
        return bool(self.client.xlen("redbeat::triggers"))

    def _judge(self, load: list[Entry], start: int, until: int) -> None:
        outcome = self.outcome
        self.fleet.stop()
        try:
            self.recorder.finish()
        except RecordingError as exc:
            outcome.problem = outcome.problem or str(exc)
        outcome.died = self.fleet.died
        outcome.started_at = start / SECOND
        outcome.seconds = (until - start) / SECOND
        outcome.messages, outcome.notes = self.recorder.messages, self.recorder.notes
        patterns = {entry.name: entry.pattern for entry in load}
        if self.options.peer:
            outcome.peer = count(patterns, until, outcome.messages, self._last_runs(load))
            return
        causes = self._causes(load)
        outcome.verdict = judge(patterns, until, outcome.messages, outcome.notes, causes)

    def _causes(self, load: list[Entry]) -> Causes:
        options = self.options
        outages = find_outages(
            self.adversary.strikes,
            self.recorder.notes,
            options.lease,
            locked=options.lock,
        )
        ruled = {entry.name for entry in load if entry.policy}
        return Causes(ruled, outages, options.margin, options.least)

    def _last_runs(self, load: list[Entry]) -> dict[str, int]:
        """What celery-redbeat left as each entry's last run; microseconds."""
        metas = {entry.name: self.client.hget(f"redbeat:{entry.name}", "meta") for entry in load}
        found = {}
        for name, meta in metas.items():
            last_run = json.loads(str(meta))["last_run_at"] if meta else None
            if last_run is not None:
                del last_run["__type__"]
                assert last_run.pop("timezone") == "UTC"
                moment = datetime(**last_run, tzinfo=UTC)
                found[name] = round(moment.timestamp() * SECOND)
        return found
