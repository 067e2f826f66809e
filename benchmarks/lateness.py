"""How late runs are: the moment a message is in the queue, less its nominal time.

    python -m benchmarks.lateness [--entries 1000] [--rate 200] [--seconds 60]
    python -m benchmarks.lateness --thundering 5000
    python -m benchmarks.lateness --drift 600

The first runs intervals (two fifths), rules (two fifths) and crontabs together. Crontabs know
only minutes and rules only whole seconds, so those come in bursts, as they do in practice. The
second lets that many entries be due at the same instant and tells when the last of them has left.
The third runs one interval of a second, for both at once, and tells how far it has moved at the
end.

A consumer of its own blocks on the queue and stamps what arrives. celery-redbeat's messages do not
say which nominal time they are for; it is taken to be the last one before they came, which flatters
whoever is later than an entry's period.
"""

from __future__ import annotations

import base64
import json
import statistics
import threading
import time
from dataclasses import replace
from typing import Any

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
    server,
)

#: Seconds from filling the schedule to the first nominal time: both have started by then, on a
#: machine that is not busy.
LEAD = 3.0
MINUTE = 60


class Consumer(threading.Thread):
    """Empties the queue and notes when each message came.

    :ivar arrivals: name of the entry and Unix seconds.
    """

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._client = connect(url)
        self._raw: list[tuple[float, str]] = []
        self._stopped = False

    def run(self) -> None:
        client, raw = self._client, self._raw
        while not self._stopped:
            found = client.brpop([QUEUE], timeout=0.2)
            if found is None:
                continue
            raw.append((time.time(), found[1]))
            more = client.rpop(QUEUE, 5000)
            if more:
                now = time.time()
                raw.extend((now, text) for text in more)

    def stop(self) -> list[tuple[str, float]]:
        """End, and tell what came: name of the entry and Unix seconds."""
        self._stopped = True
        self.join()
        return [(_name(text), at) for at, text in self._raw]

    def __len__(self) -> int:
        return len(self._raw)


def _name(text: str) -> str:
    """The entry that a message is of: its first argument."""
    return str(json.loads(base64.b64decode(json.loads(text)["body"]))[0][0])


# The kinds of entries


def entries_of(count: int, rate: float, start: float) -> list[Entry]:
    """*count* entries that together are due *rate* times a second from *start* (Unix seconds).

    A fifth are crontabs of every minute; the others have one period, in which the intervals are
    spread evenly and the rules by whole seconds.
    """
    crontabs = count // 5
    others = count - crontabs
    period = max(others / max(rate - crontabs / MINUTE, 1e-9), 0.1)
    whole = max(round(period), 1)
    made = []
    for number in range(others):
        if number % 2:
            dtstart = int(start) - 86400 + number // 2 % whole
            due = next_of(dtstart, whole, start)
            rule = {"__type__": "rrule", "freq": 6, "interval": whole, "dtstart": dtstart}
            rule["dtstart_tz"] = 0
            made.append(Entry(f"rule {number}", rule, due, due - whole))
        else:
            due = round(start + period * number / others, 6)
            made.append(Entry(f"interval {number}", interval(period), due, due - period))
    fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    crontab = {"__type__": "crontab", **dict.fromkeys(fields, "*")}
    minute = next_of(0, MINUTE, start)
    names = [f"crontab {number}" for number in range(crontabs)]
    return made + [Entry(name, crontab, minute, minute - MINUTE) for name in names]


def next_of(phase: float, period: float, start: float) -> float:
    """The first of the times *phase* + k * *period* that is not before *start*."""
    return phase + -((phase - start) // period) * period


def period_of(entry: Entry) -> float:
    """Seconds between the nominal times of *entry*."""
    return entry.due - entry.last


def lateness_of(entries: list[Entry], arrivals: list[tuple[str, float]]) -> list[float]:
    """Seconds from the nominal time to the arrival, of each message."""
    by_name = {entry.name: entry for entry in entries}
    late = []
    for name, at in arrivals:
        entry = by_name[name]
        late.append((at - entry.due) % period_of(entry) if at > entry.due else at - entry.due)
    return late


# What is measured


def measure(which: str, count: int, rate: float, seconds: float) -> dict[str, float]:
    """Milliseconds: p50, p99 and max; and how many of the runs were made."""
    with server() as url:
        start = time.time() + LEAD
        entries = entries_of(count, rate, start)
        fill(connect(url), which, entries)
        consumer = Consumer(url)
        consumer.start()
        with Beat(which, url) as beat:
            _sleep_until(start)
            before = beat.usage()
            _sleep_until(start + seconds)
            after = beat.usage()
            time.sleep(0.5)
        arrivals = [(name, at) for name, at in consumer.stop() if at < start + seconds]
    expected = sum(int((start + seconds - e.due) // period_of(e)) + 1 for e in entries)
    # Where nothing came at all, it is at least that late.
    late = sorted(lateness_of(entries, arrivals)) or [seconds]
    return {
        "p50": _quantile(late, 0.50) * 1000,
        "p99": _quantile(late, 0.99) * 1000,
        "max": late[-1] * 1000,
        "made": len(arrivals) / expected * 100,
        "cpu": (after.cpu - before.cpu) / seconds * 100,
    }


def thundering(which: str, count: int) -> float:
    """Seconds from the nominal time of *count* entries until the last of them is in the queue."""
    with server() as url:
        due = float(int(time.time() + LEAD + 1))
        entries = [Entry(f"entry {n}", interval(3600), due, due - 3600) for n in range(count)]
        fill(connect(url), which, entries)
        consumer = Consumer(url)
        consumer.start()
        with Beat(which, url):
            while len(consumer) < count:
                if time.time() > due + 120:
                    raise SystemExit(f"{which} dispatched {len(consumer)} of {count}")
                time.sleep(0.05)
        return max(at for _, at in consumer.stop()) - due


def drift(seconds: float) -> dict[str, dict[str, float]]:
    """Both at once, an interval of 1 s each: milliseconds of lateness of the last runs (as against
    the k-th nominal time, for the k-th run), and how many runs there were."""
    found: dict[str, dict[str, float]] = {}
    with server() as one, server() as other:
        urls = dict(zip(BOTH, (one, other), strict=True))
        start = float(int(time.time() + LEAD))
        consumers = {which: Consumer(url) for which, url in urls.items()}
        for which, url in urls.items():
            fill(connect(url), which, [Entry("second", interval(1.0), start, start - 1)])
            consumers[which].start()
        with Beat(OURS, one), Beat(THEIRS, other):
            _sleep_until(start + seconds - 0.5)
        for which, consumer in consumers.items():
            times = [at for _, at in consumer.stop()]
            late = [at - (start + number) for number, at in enumerate(times)]
            found[which] = {
                "first": statistics.median(late[:10]) * 1000,
                "last": statistics.median(late[-10:]) * 1000,
                "runs": len(times),
                "expected": int(seconds),
            }
    return found


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.time(), 0))


def _quantile(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200, help="dispatches a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", choices=BOTH)
    parser.add_argument("--thundering", type=int, metavar="ENTRIES")
    parser.add_argument("--drift", type=float, metavar="SECONDS")
    options = parser.parse_args()
    if options.quick:
        options.thundering = options.thundering and 200
        options.drift = options.drift and 5.0
    result = Result("lateness")
    if options.drift:
        result.benchmark = "drift"
        _report_drift(result, drift(options.drift))
    elif options.thundering:
        result.benchmark = "thundering"
        found = {which: thundering(which, options.thundering) for which in BOTH}
        what = f"{options.thundering:,} due at one instant, the last"
        row = Row(what, "s late", found[OURS], found[THEIRS], headline=True)
        result.rows.append(row)
    else:
        _report_lateness(result, options)
    result.finish(options.json)


def _report_lateness(result: Result, options: Any) -> None:
    entries, rate, seconds = options.entries, options.rate, options.seconds
    if options.quick:
        entries, rate, seconds = 100, 100.0, 2.0
    which = [options.only] if options.only else BOTH
    found = {name: measure(name, entries, rate, seconds) for name in which}
    result.more = {"entries": entries, "rate": rate, "seconds": seconds, "found": found}
    ours, theirs = found.get(OURS, {}), found.get(THEIRS, {})
    for key in ("p50", "p99", "max"):
        row = Row(f"lateness, {key}", "ms", ours.get(key, 0.0), theirs.get(key))
        result.rows.append(replace(row, headline=key != "max"))
    for key, what, better in (("made", "runs made", "higher"), ("cpu", "CPU of beat", "lower")):
        result.rows.append(Row(what, "%", ours.get(key, 0.0), theirs.get(key), better))
    result.notes.append(f"{entries:,} entries, {rate:g} dispatches/s, {seconds:g} s")


def _report_drift(result: Result, found: dict[str, dict[str, float]]) -> None:
    ours, theirs = found[OURS], found[THEIRS]
    result.more = found
    result.rows = [
        Row("an interval of 1 s, its last run", "ms late", ours["last"], theirs["last"]),
        Row("its runs", "runs", ours["runs"], theirs["runs"], "higher"),
    ]
    result.notes.append(f"{ours['expected']:g} nominal times")


if __name__ == "__main__":
    main()
