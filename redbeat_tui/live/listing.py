"""Filters and sorts the rows for the table, and keeps the list current while rows change. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, TypeVar

from .filter import Filter
from .model import Delta
from .row import STATUSES, Facts, Row

#: The sort key of a row, and the row's name.
_Key = tuple[Any, str]
_T = TypeVar("_T")

_URGENCY = {status: index for index, status in enumerate(STATUSES)}

#: From this many changes on, one pass over the whole list is cheaper than single insertions.
_BATCH = 64


def _by_last(row: Row) -> float:
    last = row.facts.last_run if row.ready else None
    return -last if last is not None else inf


def _by_fact(fact: Callable[[Facts], str]) -> Callable[[Row], tuple[bool, str]]:
    # Rows that are not decoded yet come last.
    return lambda row: (False, fact(row.facts).casefold()) if row.ready else (True, "")


#: The columns that the table can be sorted by -> the sort key of a row. Names decide between equal
#: keys.
SORTS: Mapping[str, Callable[[Row], Any]] = {
    "next": lambda row: row.waits_until,
    "name": lambda row: row.name.casefold(),
    "task": _by_fact(lambda facts: facts.task),
    "schedule": _by_fact(lambda facts: facts.schedule),
    "last": _by_last,
    "status": lambda row: _URGENCY.get(row.status, 0) if row.ready else len(STATUSES),
}


class Listing:
    """The rows that match a filter, sorted.

    :ivar rows: the rows. The list is changed in place; pass it to the widget after each change.
    :ivar sort: a key of :data:`SORTS`.
    :ivar reverse: whether the order is reversed.
    """

    def __init__(self, sort: str = "next", *, reverse: bool = False) -> None:
        self.sort = sort
        self.reverse = reverse
        self.filter = Filter("")
        self.rows: list[Row] = []
        self._keys: list[_Key] = []
        self._key_of: dict[str, _Key] = {}

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
        """Build the whole list again, with another filter or order where one is given.

        :param now: Unix seconds, for a filter on late entries; None while not live.
        """
        self.filter = self.filter if filter is None else filter
        self.sort = self.sort if sort is None else sort
        self.reverse = self.reverse if reverse is None else reverse
        key = SORTS[self.sort]
        matches = self.filter.select(rows.values(), now)
        keys = [(key(row), row.name) for row in matches]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = [keys[index] for index in order]
        self._key_of = {key[1]: key for key in self._keys}
        self.rows[:] = [matches[index] for index in order]
        if self.reverse:
            self.rows.reverse()

    def update(self, rows: Mapping[str, Row], delta: Delta, now: float | None = None) -> bool:
        """Apply a change of *rows* to the list.

        :param now: as for :meth:`arrange`.
        :returns: whether the list changed.
        """
        if delta.all:
            self.arrange(rows, now=now)
            return True
        names = delta.changed | delta.removed
        if self.filter or self.sort not in ("next", "name"):
            names |= delta.decoded
        if not names:
            return False
        key = SORTS[self.sort]
        new = [
            ((key(row), name), row)
            for name in names
            if (row := rows.get(name)) is not None and self.filter.matches(row, now)
        ]
        old = sorted(
            (key_, bisect_left(self._keys, key_))
            for name in names
            if (key_ := self._key_of.pop(name, None)) is not None
        )
        if not old and not new:
            return False
        new.sort(key=_key_of_pair)
        self._key_of.update((key_[1], key_) for key_, _ in new)
        if len(names) < _BATCH:
            self._edit([index for _, index in old], new)
        else:
            self._rebuild([index for _, index in old], new)
        return True

    def _edit(self, old: list[int], new: list[tuple[_Key, Row]]) -> None:
        """Remove and insert rows one by one: for a few changes."""
        for index in reversed(old):
            del self.rows[self._place(index)]
            del self._keys[index]
        for key, row in new:
            index = bisect_left(self._keys, key)
            self._keys.insert(index, key)
            self.rows.insert(self._place(index), row)

    def _rebuild(self, old: list[int], new: list[tuple[_Key, Row]]) -> None:
        """Remove and insert rows in one pass, for many changes: rows between two changes are
        copied as a slice."""
        rows = self.rows[::-1] if self.reverse else self.rows
        kept_keys, kept_rows = _without(self._keys, old), _without(rows, old)
        places = [bisect_left(kept_keys, key) for key, _ in new]
        self._keys = _with(kept_keys, places, [key for key, _ in new])
        merged = _with(kept_rows, places, [row for _, row in new])
        self.rows[:] = merged[::-1] if self.reverse else merged

    def _place(self, index: int) -> int:
        """Return the index in ``rows`` of the row whose key is at *index* of ``_keys``."""
        return len(self._keys) - 1 - index if self.reverse else index


def _key_of_pair(pair: tuple[_Key, Row]) -> _Key:
    return pair[0]


def _without(items: list[_T], places: list[int]) -> list[_T]:
    """Return *items* without those at *places*, which are sorted."""
    kept: list[_T] = []
    start = 0
    for place in places:
        kept += items[start:place]
        start = place + 1
    return kept + items[start:]


def _with(items: list[_T], places: list[int], new: list[_T]) -> list[_T]:
    """Return *items* with each of *new* inserted before the item at its place; *places* are
    sorted."""
    merged: list[_T] = []
    start = 0
    for place, item in zip(places, new, strict=True):
        merged += items[start:place]
        merged.append(item)
        start = place
    return merged + items[start:]
