"""The entries that a chaos run is made of, each with the times at which it must run.

They are written as celery-redbeat writes them, so that both schedulers can be given the same ones.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from .pattern import SECOND, Pattern

#: Seconds, as often as they are wanted. Those below two miss runs at each failover.
INTERVALS = (0.5, 1, 1, *(6 * (2, 3, 5)))
#: Every other entry has none of its own. Whatever they are, no nominal time may be lost or run
#: twice; they only decide which are run, and which are given up.
POLICIES: tuple[dict[str, Any], ...] = (
    *({} for _ in range(6)),
    {"catchup": "all"},
    {"catchup": "skip"},
    {"catchup": "all", "catchup_limit": 2},
    {"catchup": "skip", "grace": 0.5},
    {"grace": 0.2},
    {"jitter": 0.4},
)
TASK = "shop.record"
QUEUE = "shop"
_MINUTE, _HOUR = 60 * SECOND, 3600 * SECOND
_FREQ_MINUTELY, _FREQ_SECONDLY = 5, 6


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the load.

    :ivar schedule: as celery-redbeat's JSON has it.
    :ivar policy: what celery-redbeat knows nothing of.
    """

    name: str
    schedule: dict[str, Any]
    pattern: Pattern
    policy: dict[str, Any] = field(default_factory=dict)


def make_load(rate: float, start: int, rng: random.Random) -> list[Entry]:
    """Entries with about *rate* nominal times a second, none before *start* (microseconds)."""
    entries = [
        *_crontabs(start, count=max(2, int(rate / 20))),
        *_rules(start, rng, count=max(3, int(rate / 25))),
    ]
    missing = rate - sum(entry.pattern.per_second() for entry in entries)
    while missing > 0:
        entry = _interval(len(entries), start, rng)
        entries.append(entry)
        missing -= entry.pattern.per_second()
    return [replace(entry, policy=rng.choice(POLICIES)) for entry in entries]


def _interval(number: int, start: int, rng: random.Random) -> Entry:
    every = rng.choice(INTERVALS)
    length = int(every * SECOND)
    schedule = {"__type__": "interval", "every": float(every), "relative": False}
    # Not on whole seconds: each batch finds others due.
    first = start + rng.randrange(length)
    return Entry(f"interval {number}", schedule, Pattern(first, length))


def _crontabs(start: int, count: int) -> Iterator[Entry]:
    minutes = {
        "*": tuple(range(60)),
        "*/2": tuple(range(0, 60, 2)),
        "0-59/3,1,31": tuple(sorted({*range(0, 60, 3), 1, 31})),
    }
    hour = start - start % _HOUR
    for number in range(count):
        text, of_hour = list(minutes.items())[number % len(minutes)]
        schedule = {"__type__": "crontab", "minute": text}
        fields = ("hour", "day_of_week", "day_of_month", "month_of_year")
        schedule |= dict.fromkeys(fields, "*")
        whole = Pattern(hour, _HOUR, tuple(minute * _MINUTE for minute in of_hour))
        yield Entry(f"crontab {number}", schedule, _from(whole, start))


def _rules(start: int, rng: random.Random, count: int) -> Iterator[Entry]:
    minute = start - start % _MINUTE
    for number in range(count):
        schedule: dict[str, Any] = {"__type__": "rrule", "dtstart": minute // SECOND}
        if number % 3 == 0:
            every = rng.choice((2, 3, 5))
            schedule |= {"freq": _FREQ_SECONDLY, "interval": every}
            whole = Pattern(minute, every * SECOND)
        else:
            seconds = sorted(rng.sample(range(60), 20))
            schedule |= {"freq": _FREQ_MINUTELY, "bysecond": seconds}
            whole = Pattern(minute, _MINUTE, tuple(second * SECOND for second in seconds))
        yield Entry(f"rrule {number}", schedule, _from(whole, start))


def _from(whole: Pattern, start: int) -> Pattern:
    """The times of *whole* from *start* on, as a pattern whose anchor is the first of them."""
    first = next(whole.between(start, start + 2 * whole.cycle))
    offsets = (at - first for at in whole.between(first, first + whole.cycle - 1))
    return Pattern(first, whole.cycle, tuple(offsets))


def write_load(client: redis.Redis, entries: list[Entry], prefix: str = "redbeat:") -> None:
    """Put the entries into Redis, due at their first nominal time."""
    pipe = client.pipeline(transaction=True)
    for entry in entries:
        definition = {
            "name": entry.name,
            "task": TASK,
            "args": [entry.name],
            "kwargs": {},
            "options": {},
            "schedule": entry.schedule,
            "enabled": True,
        }
        key = prefix + entry.name
        pipe.hset(key, "definition", json.dumps(definition))
        pipe.hset(key, "meta", json.dumps({"last_run_at": None}))
        if entry.policy:
            pipe.hset(key, "policy", json.dumps(entry.policy))
        pipe.zadd(prefix + ":schedule", {key: entry.pattern.first / SECOND})
    pipe.execute()
