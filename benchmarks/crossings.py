"""How many files the tick of one due entry passes through, and how often it comes back to one.

    python -m benchmarks.crossings [--json FILE]

One entry is due in a scheduler that leads. Its tick is traced with ``sys.setprofile``: each call of
a function of ``redbeat_core`` enters the file that the function is in. ``files`` counts the files
entered; ``returns`` counts how often a call enters a file that was entered before, from another
one. Both say how far a reader has to walk to follow an entry from Redis to the broker. ``cold`` is
the first run of an entry, ``steady`` a run whose message is made from a template.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import redis
from celery import Celery

import redbeat_core
from redbeat_core import RedBeatScheduler, RedBeatSchedulerEntry

from .peers import server

_PACKAGE = str(Path(redbeat_core.__file__).parent)
#: Runs before the steady one: one makes the template, one is compared with it.
_WARM_UP = 3


class Trace:
    """The files of the package in the order in which calls enter them."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        name = frame.f_code.co_filename
        if name.startswith(_PACKAGE) and (not self.entered or self.entered[-1] != name):
            self.entered.append(name)

    def figures(self) -> dict[str, int]:
        files = set(self.entered)
        return {"files": len(files), "returns": len(self.entered) - len(files)}


@contextmanager
def traced() -> Iterator[Trace]:
    """Trace this thread."""
    trace = Trace()
    sys.setprofile(trace)
    try:
        yield trace
    finally:
        sys.setprofile(None)


def measure(url: str) -> dict[str, dict[str, int]]:
    """The figures of a cold and of a steady tick with one due entry, on the server at *url*."""
    app = Celery("bench", broker=url, set_as_current=False)
    app.conf.update(redbeat_redis_url=url, task_ignore_result=True, timezone="UTC")
    scheduler = RedBeatScheduler(app)
    client = redis.Redis.from_url(url)
    try:
        scheduler._step()
        entry = RedBeatSchedulerEntry("entry", "bench.task", 3600.0, app=app).save()
        found = {}
        for number in range(_WARM_UP + 1):
            client.zadd("redbeat::schedule", {entry.key: time.time() - 1})
            client.hset(entry.key, "due", repr(client.zscore("redbeat::schedule", entry.key)))
            with traced() as trace:
                scheduler._step()
            found["steady" if number else "cold"] = trace.figures()
        assert client.llen("celery") == _WARM_UP + 1, "each tick makes one run"
        return found
    finally:
        scheduler.close()
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with server() as url:
        found = measure(url)
    print("        files  returns")
    for name, figures in found.items():
        print(f"{name:7} {figures['files']:5} {figures['returns']:8}")
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
