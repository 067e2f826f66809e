"""The rows that are shown, filtered and in order, kept so while they change. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any

from .filter import Filter
from .model import Delta
from .row import STATUSES, Row

_URGENCY = {status: index for index, status in enumerate(STATUSES)}

#: From this many changes on, one pass over everything is cheaper than one insertion each.
_BATCH = 64


def _by_next(row: Row) -> float:
    record = row.record
    score = record.score
    if score is None or score < 0 or not isfinite(score):
        return inf
    # Only what may be paused or disabled needs decoding: with 100,000 entries that is the
    # difference between a blink and seconds.
    if (record.state or "false" in (record.definition or "")) and row.facts.due is None:
        return inf
    return score


def _by_last(row: Row) -> float:
    last = row.facts.last_run
    return -last if last is not None else inf


#: What the table can be sorted by: column -> a key. Ties are in order of name.
SORTS: Mapping[str, Callable[[Row], Any]] = {
    "next": _by_next,
    "name": lambda row: row.name.casefold(),
    "task": lambda row: row.facts.task.casefold(),
    "schedule": lambda row: row.facts.schedule.casefold(),
    "last": _by_last,
    "status": lambda row: _URGENCY.get(row.status, 0),
}


class Listing:
    """Rows that match a filter, in an order.

    :ivar rows: them. The list is changed in place; hand it to a widget once for each change.
    :ivar sort: a key of :data:`SORTS`.
    :ivar reverse: whether the order is turned round.
    """

    def __init__(self, sort: str = "next", *, reverse: bool = False) -> None:
        self.sort = sort
        self.reverse = reverse
        self.filter = Filter("")
        self.rows: list[Row] = []
        self._keys: list[tuple[Any, str]] = []
        self._key_of: dict[str, tuple[Any, str]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def arrange(
        self,
        rows: Mapping[str, Row],
        *,
        filter: Filter | None = None,
        sort: str | None = None,
        reverse: bool | None = None,
        now: float | None = None,
    ) -> None:
        """Make the list anew, where given with another filter or order.

        :param now: Unix seconds, for a filter on late entries; None while not live.
        """
        self.filter = self.filter if filter is None else filter
        self.sort = self.sort if sort is None else sort
        self.reverse = self.reverse if reverse is None else reverse
        key = SORTS[self.sort]
        pairs = [((key(row), row.name), row) for row in self.filter.select(rows.values(), now)]
        pairs.sort(key=_key_of_pair)
        self._take(pairs)

    def update(self, rows: Mapping[str, Row], delta: Delta, now: float | None = None) -> bool:
        """Follow a change of *rows*.

        :returns: whether the list changed.
        """
        if delta.all:
            self.arrange(rows, now=now)
            return True
        names = delta.changed | delta.removed
        if not names:
            return False
        key = SORTS[self.sort]
        new = [
            ((key(row), name), row)
            for name in delta.changed
            if (row := rows.get(name)) is not None and self.filter.matches(row, now)
        ]
        if len(names) < _BATCH:
            return self._insert(names, new)
        ordered = reversed(self.rows) if self.reverse else self.rows
        pairs = [
            (key_, row)
            for key_, row in zip(self._keys, ordered, strict=True)
            if key_[1] not in names
        ]
        pairs += new
        pairs.sort(key=_key_of_pair)  # two sorted runs, nearly: this merges them
        self._take(pairs)
        return True

    def _insert(self, names: frozenset[str], new: list[tuple[tuple[Any, str], Row]]) -> bool:
        changed = bool(new)
        for name in names:
            old = self._key_of.pop(name, None)
            if old is not None:
                index = bisect_left(self._keys, old)
                del self._keys[index]
                del self.rows[self._place(index, len(self._keys) + 1)]
                changed = True
        for key, row in new:
            index = bisect_left(self._keys, key)
            self.rows.insert(len(self.rows) - index if self.reverse else index, row)
            self._keys.insert(index, key)
            self._key_of[row.name] = key
        return changed

    def _place(self, index: int, count: int) -> int:
        return count - 1 - index if self.reverse else index

    def _take(self, pairs: list[tuple[tuple[Any, str], Row]]) -> None:
        self._keys = [key for key, _ in pairs]
        self._key_of = {key[1]: key for key in self._keys}
        self.rows[:] = [row for _, row in pairs]
        if self.reverse:
            self.rows.reverse()


def _key_of_pair(pair: tuple[tuple[Any, str], Row]) -> tuple[Any, str]:
    return pair[0]
