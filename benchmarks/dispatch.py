"""How fast due entries are dispatched: this project beside celery-redbeat, in one run.

    python -m benchmarks.dispatch [--entries 10000] [--rounds 3] [--only plain,pickle] [--json FILE]

Both schedulers run in a process of their own each time, on one embedded server that is their broker
and holds their schedule. Measured is a burst: from the first tick until every entry that was due at
once is in the queue, with all that belongs to it (claim, decode, next time, message, advance, log,
events). ``cold`` is the first burst of a process that never saw the entries, ``steady`` the next
one. Each kind of message is a line: ``plain`` ones, and those that take more of Celery's path.

Rounds take turns, so that whatever else the machine does meets both. The ``CPU`` columns count what
the scheduler and the server used for an entry, in microseconds: they say what an idle machine would
do, whoever else shares this one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import redis
from celery import Celery, signals
from kombu import serialization

from benchmarks.peers import OURS, THEIRS, Result, Row, arguments, server

PASSES = ("cold", "steady")
#: What is measured of a pass: seconds of the wall, and of the CPU of both sides.
FIGURES = ("wall", "scheduler", "server")


def _receive(**_: Any) -> None:
    """A receiver of a signal, as many projects have one for tracing."""


def _connect() -> None:
    signals.before_task_publish.connect(_receive)


def _register() -> None:
    register: Any = serialization.register
    register("bench-custom", json.dumps, json.loads, "application/x-bench", "utf-8")


#: Kinds of messages: the options of the entries, and what the process does first.
KINDS: dict[str, tuple[dict[str, Any], Callable[[], None] | None]] = {
    "plain": ({}, None),
    "queue+priority": ({"queue": "celery", "priority": 0}, None),
    "receiver": ({}, _connect),
    "expires": ({"expires": 60}, None),
    "countdown": ({"countdown": 5}, None),
    "pickle": ({"serializer": "pickle"}, None),
    "custom": ({"serializer": "bench-custom"}, _register),
}


def make_app(url: str) -> Celery:
    """The app of both schedulers."""
    app = Celery("bench", broker=url, set_as_current=False)
    app.conf.update(redbeat_redis_url=url, task_ignore_result=True, timezone="UTC")
    return app


def fill(client: Any, kind: str, entries: int) -> None:
    """Put *entries* into an empty schedule, all due now, as either scheduler reads them."""
    client.flushall()
    schedule = {"__type__": "interval", "every": 3600.0, "relative": False}
    pipe = client.pipeline(transaction=False)
    for number in range(entries):
        name = f"entry {number}"
        definition: dict[str, Any] = {"name": name, "task": "bench.task", "args": [number]}
        definition |= {"kwargs": {}, "options": KINDS[kind][0], "schedule": schedule}
        definition["enabled"] = True
        pipe.hset(f"redbeat:{name}", "definition", json.dumps(definition))
    pipe.execute()
    make_due(client, entries)


def make_due(client: Any, entries: int) -> None:
    """Let all of them have run an hour ago, so that they are due now."""
    meta = {"__type__": "datetime", "year": 2026, "month": 1, "day": 1, "hour": 0, "minute": 0}
    meta |= {"second": 0, "microsecond": 0, "timezone": "UTC"}
    text = json.dumps({"last_run_at": meta, "total_run_count": 1})
    pipe = client.pipeline(transaction=False)
    now = float(int(time.time()))
    for number in range(entries):
        key = f"redbeat:entry {number}"
        pipe.hset(key, mapping={"meta": text, "due": repr(now)})
        pipe.zadd("redbeat::schedule", {key: now})
    pipe.delete("celery")
    pipe.execute()


def make_scheduler(which: str, app: Celery) -> Any:
    """The scheduler of that name."""
    if which == OURS:
        from redbeat_core import RedBeatScheduler

        return RedBeatScheduler(app)
    from redbeat import RedBeatScheduler as Original

    app.conf.redbeat_lock_key = None
    return Original(app)


def run_one(which: str, kind: str, url: str, entries: int) -> None:
    """Dispatch them all, twice, and print what it took; in a process of its own."""
    client = redis.Redis.from_url(url)
    prepare = KINDS[kind][1]
    if prepare is not None:
        prepare()
    scheduler = make_scheduler(which, make_app(url))
    # Our tick waits by itself for what comes next, which is not measured here.
    scheduler.max_interval = 0.001
    found = []
    for _ in PASSES:
        make_due(client, entries)
        before = time.perf_counter(), time.process_time(), server_cpu(client)
        while client.llen("celery") < entries:
            scheduler.tick()
        after = time.perf_counter(), time.process_time(), server_cpu(client)
        found.append([end - start for start, end in zip(before, after, strict=True)])
    print(json.dumps(found))
    scheduler.close()


def server_cpu(client: Any) -> float:
    """Seconds of CPU that the server has used."""
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def measure(client: Any, which: str, kind: str, url: str, entries: int) -> list[list[float]]:
    """One round: the :data:`FIGURES` of each of the :data:`PASSES`."""
    fill(client, kind, entries)
    words = [sys.executable, "-m", "benchmarks.dispatch", "--one", which, kind, url, str(entries)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise SystemExit(f"{which}, {kind}:\n{done.stderr}")
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_all(kinds: list[str], entries: int, rounds: int) -> dict[str, Any]:
    """Medians of the rounds: by kind, pass and scheduler ``rate`` (entries a second) and the CPU
    microseconds of an entry, and their ``ratio`` (of the rates) and ``cpu_ratio``."""
    results: dict[str, Any] = {}
    with server() as url:
        client = redis.Redis.from_url(url)
        for kind in kinds:
            rounds_of: dict[str, list[list[list[float]]]] = {OURS: [], THEIRS: []}
            for _ in range(rounds):
                for which, measured in rounds_of.items():
                    measured.append(measure(client, which, kind, url, entries))
            results[kind] = {
                name: _summary(
                    {which: [m[i] for m in ms] for which, ms in rounds_of.items()}, entries
                )
                for i, name in enumerate(PASSES)
            }
            _print_kind(kind, results[kind])
    return results


def _summary(measured: dict[str, list[list[float]]], entries: int) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for which, rounds in measured.items():
        wall, scheduler, server = (statistics.median(one) for one in zip(*rounds, strict=True))
        summary[which] = {
            "rate": entries / wall,
            "scheduler_cpu_us": scheduler / entries * 1e6,
            "server_cpu_us": server / entries * 1e6,
        }
    ours, theirs = summary[OURS], summary[THEIRS]
    summary["ratio"] = ours["rate"] / theirs["rate"]
    summary["cpu_ratio"] = _cpu(theirs) / _cpu(ours)
    return summary


def _cpu(figures: dict[str, float]) -> float:
    return figures["scheduler_cpu_us"] + figures["server_cpu_us"]


def _print_kind(kind: str, passes: dict[str, Any]) -> None:
    for name, summary in passes.items():
        ours, theirs = summary[OURS], summary[THEIRS]
        cells = "".join(
            f"{side['rate']:9.0f} {side['scheduler_cpu_us']:6.0f} +{side['server_cpu_us']:4.0f}"
            for side in (ours, theirs)
        )
        print(
            f"{kind:<15} {name:<7}{cells} {summary['ratio']:7.1f} {summary['cpu_ratio']:7.1f}",
            flush=True,
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--entries", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help=f"some of {','.join(KINDS)}")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        which, kind, url, entries = options.one
        run_one(which, kind, url, int(entries))
        return
    kinds = options.only.split(",") if options.only else list(KINDS)
    if options.quick:
        kinds, options.entries, options.rounds = kinds[:2], 300, 1
    print(f"{options.entries} entries due at once, median of {options.rounds} rounds")
    print(f"{'':<15} {'':<7}{OURS:>22}{THEIRS:>22}   ratio   ratio")
    print(f"{'message':<15} {'pass':<7}{'/s   CPU us':>22}{'/s   CPU us':>22}   of /s  of CPU")
    results = run_all(kinds, options.entries, options.rounds)
    result = Result("dispatch", [*rows(results, options.entries)], more=results)
    result.notes.append(f"median of {options.rounds} rounds")
    result.finish(options.json)


def rows(results: dict[str, Any], entries: int) -> Iterator[Row]:
    """The rates as rows."""
    for kind, passes in results.items():
        for name, summary in passes.items():
            ours, theirs = (summary[which]["rate"] for which in (OURS, THEIRS))
            what = f"{entries:,} due at once, {kind}, {name}"
            headline = kind == "plain" and name == "steady"
            yield Row(what, "/s", ours, theirs, "higher", headline)


if __name__ == "__main__":
    main()
