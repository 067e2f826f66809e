"""The rows that are shown, filtered and in order, kept so while they change. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, TypeVar

from .filter import Filter
from .model import Delta
from .row import STATUSES, Facts, Row

#: What a row is sorted by, and its name.
_Key = tuple[Any, str]
_T = TypeVar("_T")

_URGENCY = {status: index for index, status in enumerate(STATUSES)}

#: From this many changes on, one pass over everything is cheaper than one insertion each.
_BATCH = 64


def _by_last(row: Row) -> float:
    last = row.facts.last_run if row.ready else None
    return -last if last is not None else inf


def _by_fact(fact: Callable[[Facts], str]) -> Callable[[Row], tuple[bool, str]]:
    # Those that are not decoded yet come last.
    return lambda row: (False, fact(row.facts).casefold()) if row.ready else (True, "")


#: What the table can be sorted by: column -> a key. Ties are in order of name.
SORTS: Mapping[str, Callable[[Row], Any]] = {
    "next": lambda row: row.waits_until,
    "name": lambda row: row.name.casefold(),
    "task": _by_fact(lambda facts: facts.task),
    "schedule": _by_fact(lambda facts: facts.schedule),
    "last": _by_last,
    "status": lambda row: _URGENCY.get(row.status, 0) if row.ready else len(STATUSES),
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
        """Make the list anew, where given with another filter or order.

        :param now: Unix seconds, for a filter on late entries; None while not live.
        """
        self.filter = self.filter if filter is None else filter
        self.sort = self.sort if sort is None else sort
        self.reverse = self.reverse if reverse is None else reverse
        key = SORTS[self.sort]
        found = self.filter.select(rows.values(), now)
        keys = [(key(row), row.name) for row in found]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = [keys[index] for index in order]
        self._key_of = {key[1]: key for key in self._keys}
        self.rows[:] = [found[index] for index in order]
        if self.reverse:
            self.rows.reverse()

    def update(self, rows: Mapping[str, Row], delta: Delta, now: float | None = None) -> bool:
        """Follow a change of *rows*.

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
        """Take out and put in one by one: for a few."""
        for index in reversed(old):
            del self.rows[self._place(index)]
            del self._keys[index]
        for key, row in new:
            index = bisect_left(self._keys, key)
            self._keys.insert(index, key)
            self.rows.insert(self._place(index), row)

    def _rebuild(self, old: list[int], new: list[tuple[_Key, Row]]) -> None:
        """The same in one pass, for many: what lies between two changes is copied as a piece."""
        rows = self.rows[::-1] if self.reverse else self.rows
        kept_keys, kept_rows = _without(self._keys, old), _without(rows, old)
        places = [bisect_left(kept_keys, key) for key, _ in new]
        self._keys = _with(kept_keys, places, [key for key, _ in new])
        merged = _with(kept_rows, places, [row for _, row in new])
        self.rows[:] = merged[::-1] if self.reverse else merged

    def _place(self, index: int) -> int:
        """Where in ``rows`` the row with the key at *index* is, as long as ``_keys`` has it."""
        return len(self._keys) - 1 - index if self.reverse else index


def _key_of_pair(pair: tuple[_Key, Row]) -> _Key:
    return pair[0]


def _without(items: list[_T], places: list[int]) -> list[_T]:
    """*items* but those at *places*, which are in order."""
    kept: list[_T] = []
    start = 0
    for place in places:
        kept += items[start:place]
        start = place + 1
    return kept + items[start:]


def _with(items: list[_T], places: list[int], new: list[_T]) -> list[_T]:
    """*items* with each of *new* in front of what was at its place; the places are in order."""
    merged: list[_T] = []
    start = 0
    for place, item in zip(places, new, strict=True):
        merged += items[start:place]
        merged.append(item)
        start = place
    return merged + items[start:]
