"""What a first call costs: with nothing remembered, and told from how busy the machine is.

A processor that does something else as well takes up to twice as long for the same work, in
processor time, too. So what exceeds a bound is held against a loop whose length is known.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

#: Seconds of processor time for the loop on an idle core of the machine that the bounds are for.
_USUAL = 0.005


def forget_everything() -> None:
    """Clear every cache of the packages; schedules that were made before keep nothing of theirs
    either."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != "redbeat_core":
            continue
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def first_time(call: Callable[[], object], bound: float, tries: int = 5) -> float:
    """Seconds of processor time that *call* takes the first time, as on an idle core: the least of
    some tries, or of the first below *bound*."""
    least = float("inf")
    for _ in range(tries):
        forget_everything()
        started = time.thread_time()
        call()
        took = time.thread_time() - started
        if took >= bound:
            took /= max(1.0, _loop() / _USUAL)
        least = min(least, took)
        if least < bound:
            break
    return least


def _loop() -> float:
    started = time.thread_time()
    sum(number * number for number in range(100_000))
    return time.thread_time() - started
