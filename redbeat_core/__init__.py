"""A Celery beat scheduler whose schedule lives in Redis; a drop-in successor of celery-redbeat.

The public names. They are imported when first used, so that the pure parts of the package load
neither Redis nor Celery's scheduler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redbeat_core.entries.policy import Policy

    from .entry import RedBeatSchedulerEntry
    from .schedulers import RedBeatScheduler
    from .schedules import rrule

__all__ = ["Policy", "RedBeatScheduler", "RedBeatSchedulerEntry", "rrule"]

_HOME = {
    "Policy": "entries.policy",
    "RedBeatScheduler": "schedulers",
    "RedBeatSchedulerEntry": "entry",
    "rrule": "schedules",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
