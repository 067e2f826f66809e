"""How soon a change takes effect: from saving a new entry that is due at once until its message
is in the queue.

    python -m benchmarks.edits [--edits 10] [--loop 5]

The beat idles: its other entry is due in an hour. Each entry is saved through the scheduler's own
``RedBeatSchedulerEntry``, at any moment of the loop. celery-redbeat looks again when its loop
interval ends: 300 s unless set; the measurement sets ``beat_max_loop_interval`` to ``--loop`` for
both, so that it ends in time.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedule

from benchmarks.peers import (
    BOTH,
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
    make_app,
    server,
)


def entry_class(which: str) -> Any:
    """The class that users of *which* make entries with."""
    if which == OURS:
        from redbeat_core import RedBeatSchedulerEntry

        return RedBeatSchedulerEntry
    from redbeat import RedBeatSchedulerEntry as Original

    return Original


def measure(which: str, edits: int, loop: float) -> list[float]:
    """Seconds that each of the edits took."""
    taken = []
    with server() as url:
        client = connect(url)
        now = time.time()
        fill(client, which, [Entry("other", interval(3600), now + 3600, now)])
        app = make_app(url)
        kind = entry_class(which)
        with Beat(which, url, beat_max_loop_interval=loop):
            for number in range(edits):
                # It has gone back to waiting, and is somewhere in it.
                time.sleep(0.3 + random.random() * loop / 2)
                entry = kind(f"new {number}", "bench.task", schedule(3600), app=app)
                entry.last_run_at = datetime.now(UTC) - timedelta(hours=2)
                started = time.perf_counter()
                entry.save()
                while client.brpop([QUEUE], timeout=1) is None:
                    if time.perf_counter() - started > loop * 3 + 10:
                        raise SystemExit(f"{which} never ran the entry {entry.name!r}")
                taken.append(time.perf_counter() - started)
    return taken


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--edits", type=int, default=10)
    parser.add_argument("--loop", type=float, default=5.0, help="seconds")
    options = parser.parse_args()
    edits, loop = (2, 1.0) if options.quick else (options.edits, options.loop)
    found = {which: [s * 1000 for s in measure(which, edits, loop)] for which in BOTH}
    ours, theirs = found[OURS], found[THEIRS]
    result = Result("edits", more={"loop": loop, "milliseconds": found})
    for what, of in (("median", statistics.median), ("slowest", max)):
        row = Row(f"an edit takes effect, {what}", "ms", of(ours), of(theirs))
        result.rows.append(replace(row, headline=what == "median"))
    result.notes.append(
        f"{edits} edits; celery-redbeat with beat_max_loop_interval = {loop:g} s (300 s unless set)"
    )
    result.finish(options.json)


if __name__ == "__main__":
    main()
