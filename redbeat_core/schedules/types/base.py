"""The base class of schedules whose runs do not depend on earlier runs: rules, sets, one-offs.

Pure. It implements Celery's schedule interface on top of one method, ``runs_after``, so that such
a schedule works with any scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from celery.schedules import BaseSchedule, schedstate

from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, DstPolicy

#: Seconds to the next check of a schedule that has no further run. It must be a number: with None,
#: celery beat before 5.6 keeps such an entry at the head of its heap, and no other entry runs.
NEVER_SECONDS = 365 * 86400.0


class OccurrenceSchedule(BaseSchedule):
    """A schedule whose runs do not depend on earlier runs.

    Equality and hash use :meth:`_identity`.
    """

    def runs_after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the runs strictly after *after* (aware), in UTC, ascending, each once."""
        raise NotImplementedError

    @property
    def earliest(self) -> datetime | None:
        """The instant (UTC) before which the schedule never runs; None: no such instant."""
        return None

    def _identity(self) -> tuple[object, ...]:
        """Return the values by which two schedules of one type are equal."""
        raise NotImplementedError

    def after(self, after: datetime) -> datetime | None:
        """Return the first run strictly after *after* (aware), in UTC; None where there is none."""
        return next(self.runs_after(after), None)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta | None:
        """Return the time from now to the run after *last_run_at*; None where there is none."""
        due = self.after(self.maybe_make_aware(last_run_at))
        now: datetime = self.maybe_make_aware(self.now())
        return None if due is None else due - now.astimezone(UTC)

    def is_due(self, last_run_at: datetime) -> Any:
        """Return Celery's ``schedstate``: whether a run is due, and seconds to the next check."""
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
        """Return the schedule type for comparisons; a user's subclass counts as its base type."""
        kinds = [kind for kind in type(self).__mro__ if "_identity" in vars(kind)]
        return kinds[0]

    def __hash__(self) -> int:
        return hash((self._kind(), self._identity()))

    def __copy__(self) -> Self:
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        return twin
