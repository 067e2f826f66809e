"""The base of the schedule types that know all their occurrences: rules, sets of rules, one-offs.

Pure. One method answers all that celery beat asks of a schedule, so such a schedule runs under any
scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from celery.schedules import BaseSchedule, schedstate

from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, DstPolicy

#: Seconds to the next check of what has no run to come. A number: with None, celery beat before 5.6
#: keeps such an entry at the head of its heap, and no other entry runs any more.
NEVER_SECONDS = 365 * 86400.0


class OccurrenceSchedule(BaseSchedule):
    """A schedule whose occurrences do not depend on its last run.

    Equality, hash and copy use :meth:`_identity`.
    """

    def runs_after(self, moment: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the occurrences strictly after *moment* (aware), in UTC, ascending, without
        duplicates.
        """
        raise NotImplementedError

    @property
    def earliest(self) -> datetime | None:
        """The time before which the schedule never runs (UTC); None: there is no such time."""
        return None

    def _identity(self) -> tuple[object, ...]:
        raise NotImplementedError

    def after(self, moment: datetime) -> datetime | None:
        """The first run strictly after *moment* (aware), in UTC."""
        return next(self.runs_after(moment), None)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta | None:
        """Return the time from now to the run after *last_run_at*; None when no run follows."""
        due = self.after(self.maybe_make_aware(last_run_at))
        now: datetime = self.maybe_make_aware(self.now())
        return None if due is None else due - now.astimezone(UTC)

    def is_due(self, last_run_at: datetime) -> Any:
        """Celery's ``schedstate``: due or not, and seconds to the next check."""
        remaining = self.remaining_estimate(last_run_at)
        if remaining is None:
            return schedstate(False, NEVER_SECONDS)
        due = remaining <= timedelta(0)
        if due:
            remaining = self.remaining_estimate(self.now())
        seconds = NEVER_SECONDS if remaining is None else max(remaining.total_seconds(), 0)
        return schedstate(due, seconds)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, OccurrenceSchedule):
            return self._kind() is other._kind() and self._identity() == other._identity()
        return NotImplemented

    def _kind(self) -> type:
        """The type that a subclass of a user's own is still equal to."""
        kinds = [kind for kind in type(self).__mro__ if "_identity" in vars(kind)]
        return kinds[0]

    def __hash__(self) -> int:
        return hash((self._kind(), self._identity()))

    def __copy__(self) -> Self:
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        return twin
