"""Counts the failed, invalid, late and paused entries, and updates the counts by changes. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from redbeat_tui.text.format import LATE_AFTER

from .model import Delta
from .row import Row


@dataclass(frozen=True, slots=True)
class Counted:
    """The values of one entry that the counts depend on."""

    status: str
    due: float | None


def count(rows: Mapping[str, Row]) -> dict[str, Counted]:
    """Return the counted values of every row. Decodes rows that are not decoded: for many rows call
    it from a thread, with a copy of the rows."""
    return {name: _counted(row) for name, row in rows.items()}


def _counted(row: Row) -> Counted:
    facts = row.facts
    return Counted(facts.status, facts.due)


class Tally:
    """The number of entries by status."""

    def __init__(self) -> None:
        self._by_name: dict[str, Counted] = {}
        self._statuses: Counter[str] = Counter()
        self._dues: list[float] = []

    def reset(self, counted: dict[str, Counted]) -> None:
        """Replace all counts by the result of :func:`count`."""
        self._by_name = dict(counted)
        self._statuses = Counter(item.status for item in counted.values())
        self._dues = sorted(item.due for item in counted.values() if item.due is not None)

    def update(self, rows: Mapping[str, Row], delta: Delta) -> None:
        """Apply a change of *rows*; it must not be one of all rows."""
        self.recount(rows, delta.changed | delta.removed)

    def recount(self, rows: Mapping[str, Row], names: Iterable[str]) -> None:
        """Count the rows with these names again."""
        for name in names:
            old = self._by_name.pop(name, None)
            if old is not None:
                self._statuses[old.status] -= 1
                if old.due is not None:
                    del self._dues[bisect_left(self._dues, old.due)]
            row = rows.get(name)
            if row is not None:
                new = self._by_name[name] = _counted(row)
                self._statuses[new.status] += 1
                if new.due is not None:
                    insort(self._dues, new.due)

    def troubles(self, now: float | None) -> tuple[tuple[str, int], ...]:
        """Return each status that needs attention with its number, the most urgent first.

        :param now: Unix seconds; None while the data is not live: then nothing is late.
        """
        late = bisect_right(self._dues, now - LATE_AFTER) if now is not None else 0
        counts = {**self._statuses, "late": late}
        order = ("failed", "invalid", "late", "paused")
        return tuple((status, counts.get(status, 0)) for status in order)
