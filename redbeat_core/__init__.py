"""A Celery beat scheduler whose schedule lives in Redis; a drop-in successor of celery-redbeat.

This module has the public names. It imports each at its first use, so that the pure parts of the
package load neither Redis nor Celery's scheduler.
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

_MODULES = {
    "Policy": "entries.policy",
    "RedBeatScheduler": "schedulers",
    "RedBeatSchedulerEntry": "entry",
    "rrule": "schedules",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
