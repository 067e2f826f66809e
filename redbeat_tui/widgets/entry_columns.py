"""The columns of the table: chooses those that fit into a width, and makes the text of each cell.

Widths depend only on the width of the table, never on its content, so no column moves when data
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo

from redbeat_tui.live.row import Row
from redbeat_tui.text.format import (
    AGO_WIDTH,
    AT_WIDTH,
    COUNTDOWN_WIDTH,
    NOTHING,
    STATUS_WIDTH,
    ago,
    at,
    countdown,
    fit,
    status_text,
    width,
)
from redbeat_tui.text.sanitize import clean

#: Cells between two columns.
GAP = 2
#: Cells in front of the first column, for the cursor's marker.
MARGIN = 2


@dataclass(frozen=True, slots=True)
class Present:
    """The values beside the row that a cell's text depends on.

    :ivar now: Unix seconds, by the leader's clock.
    :ivar live: whether the rows are up to date with Redis; if not, no entry is drawn as late.
    :ivar zone: the time zone of absolute times.
    :ivar ascii_only: use the ASCII glyphs.
    """

    now: float
    live: bool = True
    zone: tzinfo = UTC
    ascii_only: bool = False

    @property
    def judged(self) -> float | None:
        """The present for deciding which entries are late; None while not live."""
        return self.now if self.live else None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    :ivar key: its name; where the table can be sorted by it, the name in ``listing.SORTS``.
    :ivar least: the cells below which the column is not shown.
    :ivar want: the cells that it gets before a column of lower priority appears.
    :ivar most: the cells beyond which the column is not widened.
    :ivar tail: a text that is too long is cut at its beginning, because the end says more.
    """

    key: str
    title: str
    text: Callable[[Row, Present], str]
    least: int
    want: int
    most: int
    tail: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A column at its position in the table.

    :ivar x: its first cell, from the left edge of the table.
    """

    column: Column
    x: int
    width: int


def _name(row: Row, _: Present) -> str:
    return clean(row.name)


def _task(row: Row, _: Present) -> str:
    return clean(row.facts.task) or NOTHING


def _schedule(row: Row, _: Present) -> str:
    return clean(row.facts.schedule) or NOTHING


def _due(row: Row, present: Present) -> str:
    due = row.facts.due
    if due is not None and due <= present.now and not present.live:
        return "unknown"  # it may have run: no event arrives while not live
    return countdown(due, present.now)


def _next(row: Row, present: Present) -> str:
    return at(row.facts.due, present.now, present.zone)


def _last(row: Row, present: Present) -> str:
    return ago(row.facts.last_run, present.now)


def _status(row: Row, present: Present) -> str:
    return status_text(row.status_at(present.judged), ascii_only=present.ascii_only)


def _reason(row: Row, present: Present) -> str:
    return clean(row.reason_at(present.judged))


_NAME = Column("name", "Name", _name, 10, 16, 44)
_TASK = Column("task", "Task", _task, 12, 12, 36, tail=True)
_SCHEDULE = Column("schedule", "Schedule", _schedule, 12, 16, 44)
_AT = Column("at", "Next run", _next, AT_WIDTH, AT_WIDTH, AT_WIDTH)
_DUE = Column("next", "Due", _due, COUNTDOWN_WIDTH, COUNTDOWN_WIDTH, COUNTDOWN_WIDTH)
_LAST = Column("last", "Last run", _last, AGO_WIDTH, AGO_WIDTH, AGO_WIDTH)
_STATUS = Column("status", "Status", _status, STATUS_WIDTH - 1, STATUS_WIDTH, STATUS_WIDTH)
_REASON = Column("reason", "Reason", _reason, 16, 20, 10_000)

#: From left to right.
COLUMNS = (_NAME, _TASK, _SCHEDULE, _AT, _DUE, _LAST, _STATUS, _REASON)
#: The columns that an operator needs, the most needed first; shown as soon as the least fits.
_NEEDED = (_NAME, _DUE, _STATUS, _SCHEDULE)
#: The columns that are added in this order when they fit.
_OPTIONAL = (_LAST, _AT, _TASK)
#: Cells that these columns get before the reason appears, since the status summarises the reason.
_AMPLE: Mapping[str, int] = {"name": 24, "task": 20, "schedule": 24}
#: The columns that share the cells that are left over -> each one's part.
_GROW: Mapping[str, int] = {"name": 3, "task": 3, "schedule": 3, "reason": 4}


def arrange(cells: int) -> tuple[Placed, ...]:
    """Return the columns that fit into *cells* cells, at their positions."""
    widths: dict[str, int] = {}
    for column in _NEEDED:
        if not widths or _total(widths) + GAP + column.least <= cells:
            widths[column.key] = column.least
    if _STATUS.key in widths and _total(widths) < cells:
        widths[_STATUS.key] += 1
    wanted = {column.key: column.want for column in _NEEDED if column.key in widths}
    if len(wanted) == len(_NEEDED) and _total(wanted) <= cells:
        widths = wanted
        for column in _OPTIONAL:
            if _total(widths) + GAP + column.want > cells:
                break
            widths[column.key] = column.want
        ample = {key: max(size, _AMPLE.get(key, 0)) for key, size in widths.items()}
        if _total(ample) + GAP + _REASON.want <= cells:
            widths = {**ample, _REASON.key: _REASON.want}
    elif widths["name"] == _NAME.least:
        widths["name"] = max(1, min(widths["name"], cells - MARGIN))
    _share(widths, cells - _total(widths))
    placed: list[Placed] = []
    x = MARGIN
    for column in COLUMNS:
        if (size := widths.get(column.key)) is not None:
            placed.append(Placed(column, x, size))
            x += size + GAP
    return tuple(placed)


def _total(widths: Mapping[str, int]) -> int:
    return MARGIN + sum(widths.values()) + GAP * (len(widths) - 1)


def _share(widths: dict[str, int], left: int) -> None:
    """Widen the columns by *left* cells in proportion, none beyond its most."""
    most = {column.key: column.most for column in COLUMNS}
    while left > 0:
        growing = {key: _GROW[key] for key in widths if key in _GROW and widths[key] < most[key]}
        if not growing:
            return
        whole, before = sum(growing.values()), left
        for key, part in growing.items():
            more = min(before * part // whole, most[key] - widths[key], left)
            widths[key] += more
            left -= more
        if left == before:  # too few cells to divide: one for each column
            for key in list(growing)[:left]:
                widths[key] += 1
                left -= 1


def texts(row: Row, placed: tuple[Placed, ...], present: Present) -> tuple[str, ...]:
    """Return the cells of *row*, each in exactly the width of its column."""
    return tuple(
        fit(place.column.text(row, present), place.width, tail=place.column.tail)
        for place in placed
    )


def titles(placed: tuple[Placed, ...], sort: str, arrow: str) -> tuple[str, ...]:
    """Return the header's cells; the title of the column *sort* is followed by *arrow*."""
    shown: list[str] = []
    for place in placed:
        title = place.column.title
        if place.column.key == sort and width(title) + 2 <= place.width:
            title = f"{title} {arrow}"
        shown.append(fit(title, place.width))
    return tuple(shown)


def column_at(placed: tuple[Placed, ...], x: int) -> Column | None:
    """Return the column at cell *x*; None left of the first column."""
    for place in reversed(placed):
        if x >= place.x:
            return place.column
    return None
