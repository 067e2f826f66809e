"""The schedule type ``rrule``: recurrence rules, a drop-in replacement for celery-redbeat's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from celery import Celery
from celery.schedules import BaseSchedule
from celery.utils.time import maybe_make_aware
from dateutil.rrule import rrule as dateutil_rrule
from dateutil.rrule import weekday

from redbeat_core.schedules.recurrence.calendar_days import Numbers
from redbeat_core.schedules.recurrence.rule_parts import (
    DAILY,
    HOURLY,
    MINUTELY,
    MONTHLY,
    SECONDLY,
    WEEKLY,
    YEARLY,
    Parts,
)
from redbeat_core.schedules.recurrence.zoned_rule import Recurrence
from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, DstPolicy, iana_name, in_named_zone

from .base import OccurrenceSchedule

#: The arguments of an rrule that define its occurrences, in celery-redbeat's order.
RRULE_FIELDS = (
    "freq",
    "dtstart",
    "interval",
    "wkst",
    "count",
    "until",
    "bysetpos",
    "bymonth",
    "bymonthday",
    "byyearday",
    "byeaster",
    "byweekno",
    "byweekday",
    "byhour",
    "byminute",
    "bysecond",
)

#: The valid numbers of each BY part: the lowest, the highest, and whether negative numbers count
#: from the end. dateutil does not check them, and would search to the year 9999.
RANGES = {
    "bysetpos": (1, 366, True),
    "bymonth": (1, 12, False),
    "bymonthday": (1, 31, True),
    "byyearday": (1, 366, True),
    "byeaster": (0, 366, True),
    "byweekno": (1, 53, True),
    "byhour": (0, 23, False),
    "byminute": (0, 59, False),
    "bysecond": (0, 59, False),
}
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
#: The most values of a BY part: more than any rule needs, and few enough to read quickly.
_MAX_ITEMS = 1000
_MAX_NUMBER = 2**31 - 1


class rrule(OccurrenceSchedule):
    """A recurrence rule of RFC 5545 as a Celery schedule.

    The constructor and the attributes are those of celery-redbeat, which are dateutil's. A naive
    *dtstart* or *until* is read as UTC, as in celery-redbeat; without *dtstart* the rule starts
    now. Two rules are equal when they occur at the same times in the same zone, however they are
    written (``byhour=9`` or ``byhour=[9]``).

    :ivar starts_when_made: the rule has no *dtstart* of its own, so its start differs each time
        the same code makes the rule.
    :ivar read_as_offset: the rule was read from celery-redbeat's format, which keeps only the UTC
        offset of the zone of *dtstart*.
    :raises ValueError: an argument is invalid; the message gives the reason.
    """

    FREQ_MAP = {
        "YEARLY": YEARLY,
        "MONTHLY": MONTHLY,
        "WEEKLY": WEEKLY,
        "DAILY": DAILY,
        "HOURLY": HOURLY,
        "MINUTELY": MINUTELY,
        "SECONDLY": SECONDLY,
    }

    def __init__(
        self,
        freq: str | int,
        dtstart: datetime | None = None,
        interval: int = 1,
        wkst: Any = None,
        count: int | None = None,
        until: datetime | None = None,
        bysetpos: Any = None,
        bymonth: Any = None,
        bymonthday: Any = None,
        byyearday: Any = None,
        byeaster: Any = None,
        byweekno: Any = None,
        byweekday: Any = None,
        byhour: Any = None,
        byminute: Any = None,
        bysecond: Any = None,
        *,
        nowfun: Callable[[], datetime] | None = None,
        app: Celery | None = None,
    ) -> None:
        super().__init__(nowfun=nowfun, app=app)
        self.freq = _freq(freq)
        self.starts_when_made = dtstart is None
        self.read_as_offset = False
        self.dtstart: datetime = self._aware("dtstart", dtstart or self.now())
        self.interval = _whole("interval", interval, 1)
        self.wkst = wkst
        self.count = None if count is None else _whole("count", count, 0)
        self.until = self._aware("until", until) if until else None
        self.bysetpos = _jsonable(bysetpos)
        self.bymonth = _jsonable(bymonth)
        self.bymonthday = _jsonable(bymonthday)
        self.byyearday = _jsonable(byyearday)
        self.byeaster = _jsonable(byeaster)
        self.byweekno = _jsonable(byweekno)
        self.byweekday = _jsonable(byweekday)
        self.byhour = _jsonable(byhour)
        self.byminute = _jsonable(byminute)
        self.bysecond = _jsonable(bysecond)
        # Whole seconds, as in dateutil and in the wire format.
        start = self.dtstart.replace(microsecond=0)
        end = self.until.replace(microsecond=0).astimezone(UTC) if self.until else None
        self.recurrence = Recurrence(self._parts(), start, self.count, end)

    def _aware(self, name: str, value: datetime) -> datetime:
        if not isinstance(value, datetime):
            raise ValueError(f"{name} must be a datetime, not {shown(value)}")
        try:
            if value.utcoffset() is None:
                aware: datetime = maybe_make_aware(value, self.app.timezone)
            else:
                # Of a zone of dateutil or pytz, an entry would store only the offset.
                aware = in_named_zone(value)
            in_range = aware.astimezone(UTC).year > 1 and aware.year > 1
        except OverflowError:
            in_range = False
        if not in_range:
            raise ValueError(f"{name} {value} is out of range: it must be in the years 2 to 9999")
        return aware

    def _parts(self) -> Parts:
        return Parts(
            freq=self.freq,
            interval=self.interval,
            wkst=_wkst(self.wkst),
            byweekday=_weekdays(self.byweekday, self.freq),
            **{name: _numbers(name, getattr(self, name)) for name in RANGES},
        )

    @cached_property
    def rrule(self) -> Any:
        """The same rule as dateutil's object, for code that uses celery-redbeat's attribute."""
        return dateutil_rrule(**{name: getattr(self, name) for name in RRULE_FIELDS})

    def runs_after(self, after: datetime, dst: DstPolicy = DEFAULT_DST) -> Iterator[datetime]:
        """Yield the occurrences strictly after *after* (aware), in UTC, ascending, each once."""
        return self.recurrence.after(after, dst)

    @property
    def earliest(self) -> datetime:
        """DTSTART (UTC)."""
        return self.recurrence.begin

    def starting_as(self, other: Self) -> Self:
        """Return this rule with the start of *other*, if it has no start of its own.

        Then a comparison of the two shows only differences that somebody wrote. Where the zones
        differ, the schedules differ too: the rule stays as it is.
        """
        zones = [
            iana_name(rule.dtstart.tzinfo) or rule.dtstart.utcoffset() for rule in (self, other)
        ]
        if not self.starts_when_made or zones[0] != zones[1]:
            return self
        arguments = {name: getattr(self, name) for name in RRULE_FIELDS} | {
            "dtstart": other.dtstart
        }
        return self.__class__(**arguments, nowfun=self.nowfun, app=self._app)

    def _identity(self) -> tuple[object, ...]:
        rule = self.recurrence
        zone = iana_name(rule.dtstart.tzinfo) or rule.dtstart.utcoffset()
        return rule.parts, rule.dtstart.astimezone(UTC), zone, rule.count, rule.until

    def __repr__(self) -> str:
        return f"<rrule: {', '.join(f'{name}: {getattr(self, name)}' for name in RRULE_FIELDS)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the app, like Celery's own schedules: it is slow or impossible to pickle.
        arguments = {name: getattr(self, name) for name in (*RRULE_FIELDS, "nowfun")}
        return _rebuilt, (self.__class__, arguments, self.starts_when_made)


def _rebuilt(cls: type[rrule], arguments: dict[str, Any], starts_when_made: bool) -> rrule:
    rule = cls(**arguments)
    rule.starts_when_made = starts_when_made
    return rule


def adopted(schedule: object) -> rrule | None:
    """Return *schedule* as an :class:`rrule`; None where it is not a recurrence rule.

    Converts a rule of celery-redbeat's own class.
    """
    if isinstance(schedule, rrule):
        return schedule
    if isinstance(schedule, BaseSchedule) and all(hasattr(schedule, name) for name in RRULE_FIELDS):
        return rrule(
            **{name: getattr(schedule, name) for name in RRULE_FIELDS}, nowfun=schedule.nowfun
        )
    return None


def _freq(value: object) -> int:
    if isinstance(value, str) and value.upper() in rrule.FREQ_MAP:
        return int(rrule.FREQ_MAP[value.upper()])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 6:
        return value
    names = ", ".join(rrule.FREQ_MAP)
    raise ValueError(f"freq {shown(value)} is none of {names} (0 to 6)")


def _whole(name: str, value: object, low: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= _MAX_NUMBER:
        return value
    raise ValueError(f"{name} must be a whole number from {low} to {_MAX_NUMBER}: {shown(value)}")


def _jsonable(value: Any) -> Any:
    """Return a BY part unchanged, but as a list where JSON has no such collection."""
    if value is None or isinstance(value, int | str | list | tuple | weekday):
        return value
    if not isinstance(value, Iterable) or isinstance(value, bytes | dict):
        return value
    return sorted(value) if isinstance(value, set | frozenset) else list(value)


def _items(name: str, value: Any) -> list[Any]:
    if value is None:
        return []
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) > _MAX_ITEMS:
        raise ValueError(f"{name} has {len(items)} values; at most {_MAX_ITEMS} are read")
    return items


def _numbers(name: str, value: Any) -> Numbers:
    low, high, signed = RANGES[name]
    items = _items(name, value)
    for item in items:
        whole = isinstance(item, int) and not isinstance(item, bool)
        if whole and (low <= item <= high or (signed and low <= -item <= high)):
            continue
        also = f" or {-high} to {-low}" if signed and low else ""
        least = -high if signed and not low else low
        raise ValueError(f"{name} holds {shown(item)}, which is not within {least} to {high}{also}")
    return tuple(sorted(set(items)))


def _weekdays(value: Any, freq: int) -> tuple[tuple[int, int], ...]:
    weekdays: set[tuple[int, int]] = set()
    for item in _items("byweekday", value):
        day = item.weekday if isinstance(item, weekday) else item
        n = (item.n or 0) if isinstance(item, weekday) else 0
        if not _is_weekday(day) or not isinstance(n, int) or not -53 <= n <= 53:
            raise ValueError(
                f"byweekday holds {shown(item)}; a weekday is 0 (Monday) to 6 (Sunday), "
                "with n from 1 to 53 or -1 to -53"
            )
        # Below a month "the second Monday" has no meaning; dateutil reads it as "Mondays".
        weekdays.add((day, n if freq <= MONTHLY else 0))
    return tuple(sorted(weekdays))


def _wkst(value: Any) -> int:
    day = value.weekday if isinstance(value, weekday) else value
    if day is None:
        return 0
    if not _is_weekday(day):
        raise ValueError(f"wkst {shown(value)} is no weekday: 0 (Monday) to 6 (Sunday)")
    return int(day)


def _is_weekday(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 6


def shown(value: object) -> str:
    """Return *value* as a short text on one line, for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more digits than Python writes out
        text = f"a very large {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
