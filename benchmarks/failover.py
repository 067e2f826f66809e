"""How long nobody leads: after kill -9 of the leader, and after SIGTERM.

    python -m benchmarks.failover [--kills 20] [--lease 10] [--only kill,term,load]

Two beats run; the one that leads is killed, and the clock runs until the lock is the other's and
until its first message is in the queue (an entry is due ten times a second). A new standby is
started for the next round. ``term`` sends SIGTERM instead; ``load`` sends it amid 10,000 entries
that are due at once, and counts that each was sent once.

celery-redbeat gets the same length of its lock and a loop interval of one second. Its defaults are
a lock of 1,500 seconds that the standby tries every 300: up to half an hour, which is not run here.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.peers import (
    BOTH,
    LOCK,
    OURS,
    QUEUE,
    THEIRS,
    Beat,
    Entry,
    Result,
    Row,
    arguments,
    connect,
    fill,
    interval,
    server,
)

#: Seconds that a round may take beyond the lease.
_PATIENCE = 60.0
LOAD = 10_000


def settings(lease: float) -> dict[str, Any]:
    """Of both schedulers."""
    return {"redbeat_lock_timeout": lease, "beat_max_loop_interval": 1}


def wait_until(condition: Any, patience: float = _PATIENCE) -> None:
    """Ask *condition* every millisecond."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("nobody takes over")
        time.sleep(0.001)


def stand_by(which: str, url: str, lease: float) -> Beat:
    """A beat that stands by, ready to take over."""
    beat = Beat(which, url, **settings(lease))
    beat.__enter__()
    beat.usage()
    client = connect(url)
    if which == OURS:
        # It says that it is there; celery-redbeat does not.
        wait_until(lambda: any(f":{beat.process.pid}:" in name for name in beats(client)))
    time.sleep(1.0)
    return beat


def beats(client: Any) -> Sequence[str]:
    """The tokens of the beats that told that they live."""
    return list(client.hkeys("redbeat::beats"))


def rounds(which: str, how: signal.Signals, times: int, lease: float) -> list[tuple[float, float]]:
    """For each round seconds until another leads, and until its first message."""
    found = []
    with server() as url:
        client = connect(url)
        now = time.time()
        fill(client, which, [Entry("busy", interval(0.1), now, now)])
        leader = Beat(which, url, **settings(lease))
        leader.__enter__()
        standby = stand_by(which, url, lease)
        try:
            for number in range(times):
                # At any moment of what a leader does.
                time.sleep(0.2 + 0.037 * number)
                holder = client.get(LOCK)
                started = time.monotonic()
                leader.process.send_signal(how)
                if how == signal.SIGKILL:
                    leader.process.wait()
                    client.delete(QUEUE)
                wait_until(lambda holder=holder: client.get(LOCK) not in (None, holder))
                led = time.monotonic() - started
                client.delete(QUEUE)
                client.brpop([QUEUE], timeout=30)
                found.append((led, time.monotonic() - started))
                leader.__exit__()
                leader, standby = standby, stand_by(which, url, lease)
        finally:
            leader.__exit__()
            standby.__exit__()
    return found


def under_load(which: str, times: int, lease: float) -> list[float]:
    """Seconds until another leads after SIGTERM amid :data:`LOAD` due entries."""
    found = []
    for _ in range(times):
        with server() as url:
            client = connect(url)
            due = time.time() + 6
            entries = [Entry(f"e {n}", interval(3600), due, due - 3600) for n in range(LOAD)]
            fill(client, which, entries)
            with Beat(which, url, **settings(lease)) as leader:
                standby = stand_by(which, url, lease)
                wait_until(lambda client=client: client.llen(QUEUE) > LOAD // 20)
                holder = client.get(LOCK)
                started = time.monotonic()
                leader.process.send_signal(signal.SIGTERM)
                wait_until(
                    lambda client=client, holder=holder: client.get(LOCK) not in (None, holder)
                )
                found.append(time.monotonic() - started)
                leader.process.wait()
                wait_until(lambda client=client: client.llen(QUEUE) >= LOAD)
                time.sleep(0.5)
                sent = client.llen(QUEUE)
                standby.__exit__()
                if sent != LOAD:
                    raise SystemExit(f"{which}: {sent} messages of {LOAD} entries")
    return found


def add_rows(result: Result, what: str, unit: str, found: dict[str, list[float]]) -> None:
    """Median and worst of both, of what was measured in seconds."""
    scale = 1000 if unit == "ms" else 1
    for name, of in (("median", statistics.median), ("slowest", max)):
        ours, theirs = (of(found[which]) * scale if which in found else None for which in BOTH)
        if ours is not None:
            headline = name == "median" and "leads" in what
            result.rows.append(Row(f"{what}, {name}", unit, ours, theirs, headline=headline))
    result.more[what] = found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--lease", type=float, default=10.0, help="seconds")
    parser.add_argument("--only", default="kill,term,load")
    parser.add_argument("--ours", action="store_true", help="without celery-redbeat")
    options = parser.parse_args()
    kills, lease = (1, 2.0) if options.quick else (options.kills, options.lease)
    which = (OURS,) if options.ours else BOTH
    chosen = options.only.split(",")
    result = Result("failover")
    for name, how, words, unit in (
        ("kill", signal.SIGKILL, "kill -9", "s"),
        ("term", signal.SIGTERM, "SIGTERM", "ms"),
    ):
        if name not in chosen:
            continue
        found = {one: rounds(one, how, kills, lease) for one in which}
        for index, what in enumerate(("another leads", "its first message")):
            figures = {one: [pair[index] for pair in found[one]] for one in which}
            add_rows(result, f"{words}: until {what}", unit, figures)
    if "load" in chosen:
        times = max(1, kills // 4)
        figures = {one: under_load(one, times, lease) for one in which}
        add_rows(result, f"SIGTERM amid {LOAD:,} due: until another leads", "ms", figures)
    result.notes.append(
        f"{kills} rounds; both with a lock of {lease:g} s, {THEIRS} with a loop interval of 1 s; "
        f"by default {THEIRS}'s lock lasts 1,500 s and is tried every 300 s (not run)"
    )
    result.finish(options.json)


if __name__ == "__main__":
    main()
