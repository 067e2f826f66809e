"""Forgetting what the engine remembers, so that a test measures what a first call costs."""

from __future__ import annotations

import sys


def forget_everything() -> None:
    """Clear every cache of the packages; schedules that were made before keep nothing of theirs
    either."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != "redbeat_core":
            continue
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()
