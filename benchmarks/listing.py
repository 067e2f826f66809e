"""How long it takes to read the whole schedule, each entry decoded.

    python -m benchmarks.listing [--entries 10000] [--rounds 3]

Ours is what the console does: a snapshot of the store, every record decoded. celery-redbeat's is
what its users do: the members of the sorted set, and ``RedBeatSchedulerEntry.from_key`` of each.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.peers import (
    BOTH,
    OURS,
    SCHEDULE,
    THEIRS,
    Entry,
    Result,
    Row,
    arguments,
    connect,
    fill,
    interval,
    make_app,
    server,
)


def reader(which: str, url: str) -> Callable[[], int]:
    """A function that reads and decodes everything, and gives the number of entries."""
    app = make_app(url)
    if which == OURS:
        from redbeat_core.entries.view import decode_record
        from redbeat_core.storage.schedule_store import store_for

        store = store_for(app)
        return lambda: len([decode_record(record, app) for record in store.snapshot().records])
    from redbeat import RedBeatSchedulerEntry as Original
    from redbeat.schedulers import ensure_conf, get_redis

    ensure_conf(app)
    client = get_redis(app)
    return lambda: len([Original.from_key(key, app=app) for key in client.zrange(SCHEDULE, 0, -1)])


def measure(which: str, url: str, entries: int, rounds: int) -> dict[str, float]:
    """Seconds: the first time in a new process's state, and the median of the times after."""
    read = reader(which, url)
    taken = []
    for _ in range(rounds + 1):
        gc.collect()
        started = time.perf_counter()
        count = read()
        taken.append(time.perf_counter() - started)
        if count != entries:
            raise SystemExit(f"{which} read {count} of {entries} entries")
    return {"first": taken[0], "again": statistics.median(taken[1:])}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--entries", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    entries, rounds = (500, 1) if options.quick else (options.entries, options.rounds)
    now = time.time()
    found = {}
    with server() as url:
        # Each its own schedule: 24 intervals among them, as in a real one.
        made = [
            Entry(f"entry {n}", interval(3600.0 + n % 24), now + 3600 + n, now)
            for n in range(entries)
        ]
        fill(connect(url), THEIRS, made)
        for which in BOTH:
            found[which] = measure(which, url, entries, rounds)
    ours, theirs = found[OURS], found[THEIRS]
    result = Result("listing", more=found)
    for key, what in (("first", "for the first time"), ("again", "again")):
        row = Row(f"{entries:,} entries listed, {what}", "s", ours[key], theirs[key])
        result.rows.append(replace(row, headline=key == "again"))
    result.finish(options.json)


if __name__ == "__main__":
    main()
