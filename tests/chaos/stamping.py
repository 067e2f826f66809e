"""celery-redbeat's scheduler, whose messages say which reservation they come from.

For ``celery beat -S tests.chaos.stamping.StampingScheduler``. It does what celery-redbeat does;
only the copy of the entry that is about to be sent gets one more header. Microseconds since the
epoch.
"""

from __future__ import annotations

from typing import Any

from redbeat import RedBeatScheduler

from .pattern import SECOND
from .peer import HEADER


class StampingScheduler(RedBeatScheduler):
    """Names the reservation in a header: the last run that it goes on from, and itself."""

    def reserve(self, entry: Any) -> Any:
        """Called before the message is made, with the entry as it was read."""
        reserved = super().reserve(entry)
        before = entry.last_run_at and round(entry.last_run_at.timestamp() * SECOND)
        stamp = {"before": before, "at": round(reserved.last_run_at.timestamp() * SECOND)}
        reserved.options = {**(reserved.options or {}), "headers": {HEADER: stamp}}
        return reserved
