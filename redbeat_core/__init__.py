"""A Celery beat scheduler whose schedule lives in Redis; a drop-in successor of celery-redbeat.

This module has the public names. It imports each at its first use, so that the pure parts of the
package load neither Redis nor Celery's scheduler.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
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


#: Modules that schedules were pickled from before they moved to :mod:`redbeat_core.schedules`.
#: Celery's own beat keeps pickles in its schedule file, so they must still load.
_PICKLED_FROM = {
    "once": "schedules.types.once",
    "rule_sets": "schedules.types.rrule_set",
    "rules": "schedules.types.rrule",
    "sun": "schedules.types.solar",
    "zoned_crontab": "schedules.types.zoned_crontab",
}


class _MovedModule(ModuleType):
    """Stands in for a module that has moved: gives the names of the new one when first used."""

    def __getattr__(self, name: str) -> Any:
        home = _PICKLED_FROM[self.__name__.rpartition(".")[2]]
        return getattr(import_module(f".{home}", __name__), name)


for _name in _PICKLED_FROM:
    sys.modules[f"{__name__}.{_name}"] = _MovedModule(f"{__name__}.{_name}")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
