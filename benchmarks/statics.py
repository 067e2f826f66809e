"""How long a beat takes to bring the entries of ``beat_schedule`` into Redis before it can go on.

    python -m benchmarks.statics [--entries 10000] [--rounds 3]

Each time in a process of its own: first into an empty Redis, then again with nothing changed, which
is what a restart is. Measured from making the scheduler until all entries are there and it leads.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

from celery.schedules import crontab

from benchmarks.peers import (
    BOTH,
    OURS,
    SCHEDULE,
    THEIRS,
    Result,
    Row,
    arguments,
    connect,
    make_app,
    scheduler_class,
    server,
)


def schedule(entries: int) -> dict[str, Any]:
    """A ``beat_schedule``: half intervals, half crontabs."""
    found: dict[str, Any] = {}
    for number in range(entries):
        when = 3600.0 if number % 2 else crontab(minute=str(number % 60), hour="3")
        found[f"static {number}"] = {"task": "bench.task", "schedule": when, "args": [number]}
    return found


def one(which: str, url: str, entries: int) -> None:
    """Install them; prints seconds of wall and of CPU time."""
    # celery-redbeat's lock is taken at beat's start, which is not part of this.
    more = {} if which == OURS else {"redbeat_lock_key": None}
    app = make_app(url, beat_schedule=schedule(entries), result_expires=None, **more)
    kind = scheduler_class(which)
    started, used = time.perf_counter(), time.process_time()
    scheduler = kind(app)
    if which == OURS:
        scheduler._step()
    taken = time.perf_counter() - started, time.process_time() - used
    there = connect(url).zcard(SCHEDULE)
    if there < entries:
        raise SystemExit(f"{which}: {there} of {entries} entries are there")
    print(json.dumps(taken))
    scheduler.close()


def measure(which: str, url: str, entries: int) -> tuple[float, float, float]:
    """Seconds of wall time, of CPU time, and the server's commands of one start."""
    client = connect(url)
    before = client.info("stats")["total_commands_processed"]
    words = [sys.executable, "-m", "benchmarks.statics", "--one", which, url]
    words += ["--entries", str(entries)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=900)
    wall, cpu = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu, client.info("stats")["total_commands_processed"] - before


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WHICH", "URL"))
    options = parser.parse_args()
    if options.one:
        which, url = options.one
        one(which, url, options.entries)
        return
    entries, rounds = (500, 1) if options.quick else (options.entries, options.rounds)
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for _ in range(rounds):
        for which in BOTH:
            with server() as url:
                for what in ("installing", "starting again with"):
                    figures = measure(which, url, entries)
                    found.setdefault(what, {}).setdefault(which, []).append(figures)
    result = Result("statics", more=found)
    for what, of in found.items():
        for index, unit in enumerate(("s", "s CPU")):
            ours, theirs = (
                statistics.median(figures[index] for figures in of[which])
                for which in (OURS, THEIRS)
            )
            headline = index == 0
            words = f"{what} {entries:,} static entries"
            result.rows.append(Row(words, unit, ours, theirs, headline=headline))
    result.notes.append(f"{rounds} rounds, each scheduler in a process of its own")
    result.finish(options.json)


if __name__ == "__main__":
    main()
