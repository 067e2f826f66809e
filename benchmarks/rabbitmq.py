"""How fast due entries are dispatched to RabbitMQ, the schedule being on a Redis of its own.

    python -m benchmarks.rabbitmq [--entries 2000] [--rounds 3]

Needs rabbitmq-server on this machine, of which it starts a node of its own. Measured is the time
from the first tick until every entry that was due at once is in the queue. Ours waits for the
broker's confirmation of every message before the entry is moved on. celery-redbeat is measured as
it comes, which sends without asking, and with kombu's ``confirm_publish``, which waits after each.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.peers import (
    OURS,
    QUEUE,
    THEIRS,
    Entry,
    Result,
    Row,
    arguments,
    connect,
    fill,
    interval,
    make_app,
    scheduler_class,
    server,
)
from tests.support.rabbit import Rabbit

CONFIRMING = f"{THEIRS}, confirming"
KINDS = (OURS, THEIRS, CONFIRMING)


def run_one(which: str, url: str, broker: str, entries: int) -> None:
    """Dispatch them all and print the seconds and the processor's seconds that it took."""
    settings: dict[str, Any] = {"broker_url": broker}
    if which != OURS:
        settings["redbeat_lock_key"] = None
    if which == CONFIRMING:
        settings["broker_transport_options"] = {"confirm_publish": True}
    app = make_app(url, **settings)
    scheduler = scheduler_class(OURS if which == OURS else THEIRS)(app)
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        channel.queue_declare(QUEUE, durable=True, auto_delete=False)
        used, started = time.process_time(), time.perf_counter()
        while channel.queue_declare(QUEUE, passive=True).message_count < entries:
            scheduler.tick()
        print(time.perf_counter() - started, time.process_time() - used)
    scheduler.close()


def measure(which: str, url: str, rabbit: Rabbit, entries: int) -> tuple[float, float]:
    """Entries per second, and microseconds of this process's CPU for each, of one round."""
    rabbit.delete(QUEUE)
    now = time.time()
    made = [Entry(f"entry {n}", interval(3600.0), now, now - 3600) for n in range(entries)]
    fill(connect(url), OURS if which == OURS else THEIRS, made)
    words = [sys.executable, "-m", "benchmarks.rabbitmq", "--one"]
    words += [json.dumps([which, url, rabbit.url(), entries])]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
    seconds, used = map(float, done.stdout.split()[-2:])
    return entries / seconds, used / entries * 1e6


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help="what a process of its own is to do")
    options = parser.parse_args()
    if options.one:
        run_one(*json.loads(options.one))
        return
    entries, rounds = (300, 1) if options.quick else (options.entries, options.rounds)
    rates: dict[str, list[float]] = {which: [] for which in KINDS}
    costs: dict[str, list[float]] = {which: [] for which in KINDS}
    rabbit = Rabbit()
    try:
        rabbit.start()
        with server() as url:
            for _ in range(rounds):
                for which in KINDS:
                    found = measure(which, url, rabbit, entries)
                    rates[which].append(found[0])
                    costs[which].append(found[1])
    finally:
        rabbit.close()
    rate = {which: statistics.median(each) for which, each in rates.items()}
    cost = {which: statistics.median(each) for which, each in costs.items()}
    result = Result("rabbitmq", more={"rates": rates, "costs": costs})
    for which, what in ((THEIRS, "confirmed; theirs is not"), (CONFIRMING, "both confirmed")):
        named = f"to RabbitMQ, {what}"
        result.rows += [
            Row(named, "entries/s", rate[OURS], rate[which], "higher", which == CONFIRMING),
            Row(f"CPU of beat, {what}", "µs/entry", cost[OURS], cost[which]),
        ]
    result.finish(options.json)


if __name__ == "__main__":
    main()
