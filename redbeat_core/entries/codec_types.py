"""Converts schedules and datetimes to JSON objects with a ``__type__``, and back.

Pure. Use it through :mod:`redbeat_core.decoder`, whose docstring describes the format.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, TypeGuard

from celery.schedules import ParseException, crontab, crontab_parser, schedule, solar
from dateutil.rrule import weekday

from redbeat_core.schedules.recurrence.zones import find_zone, iana_name
from redbeat_core.schedules.types import solar as sun
from redbeat_core.schedules.types.once import anchored_interval, once
from redbeat_core.schedules.types.rrule import RRULE_FIELDS, adopted, rrule, shown
from redbeat_core.schedules.types.rrule_set import rrule_set
from redbeat_core.schedules.types.zoned_crontab import zoned_crontab

#: The keys of an ``rrule`` object, in the order in which they are written.
_RULE_KEYS = tuple(name for name in RRULE_FIELDS if name not in ("dtstart", "until"))
#: The fields of a rule set; their JSON keys lack the final "s".
_SET_FIELDS = ("rules", "rdates", "exrules", "exdates")


class DecodeError(ValueError):
    """An entry is invalid and cannot run; the message gives the reason and a correct form."""


def to_timestamp(dt: datetime) -> int:
    """Return the whole Unix seconds of *dt*; a naive *dt* is in UTC."""
    return calendar.timegm(dt.utctimetuple())


def from_timestamp(seconds: float, tz_minutes: float = 0) -> datetime:
    """Return the time *seconds* after the epoch, at a UTC offset of *tz_minutes*."""
    zone = timezone(timedelta(minutes=tz_minutes)) if tz_minutes else UTC
    return datetime.fromtimestamp(seconds, tz=zone)


def get_utcoffset_minutes(dt: datetime) -> float:
    """Return the UTC offset of *dt* in minutes; 0 for a naive *dt*."""
    offset = dt.utcoffset()
    return offset.total_seconds() / 60 if offset else 0


def to_wire(obj: object) -> dict[str, Any] | None:
    """Return the JSON object for *obj*; None if this format has no type for it."""
    if isinstance(obj, datetime):
        return _datetime_to_wire(obj)
    if isinstance(obj, crontab):
        zone = {"tz": obj.zone} if isinstance(obj, zoned_crontab) else {}
        kind = "crontab-tz" if zone else "crontab"
        return {"__type__": kind} | {name: _original_field(obj, name) for name in _CRONTAB} | zone
    if isinstance(obj, weekday):
        wire = {"__type__": "weekday", "wkday": obj.weekday}
        return wire | {"n": obj.n} if obj.n else wire
    if isinstance(obj, schedule):
        every = obj.run_every.total_seconds()
        if isinstance(obj, anchored_interval):
            return {"__type__": "interval-from", "every": every, "from": obj.anchor}
        return {"__type__": "interval", "every": every, "relative": bool(obj.relative)}
    if isinstance(obj, once):
        return {"__type__": "once", "at": obj.at}
    if isinstance(obj, rrule_set):
        parts = {name[:-1]: list(getattr(obj, name)) for name in _SET_FIELDS}
        return {"__type__": "rrule-set", **parts}
    if isinstance(obj, solar):
        return {"__type__": "solar", "event": obj.event, "lat": obj.lat, "lon": obj.lon}
    rule = adopted(obj)
    return None if rule is None else _rule_to_wire(rule)


def _original_field(source: crontab, name: str) -> Any:
    """Return a field as its author gave it, but a set as a list.

    JSON has no sets, and celery-redbeat cannot store one.
    """
    value = getattr(source, f"_orig_{name}")
    return value if isinstance(value, str | int | list) else sorted(value)


def from_wire(wire: dict[str, Any]) -> Any:
    """Return the object for the JSON object *wire*, or *wire* itself if its type is unknown.

    :raises DecodeError: a field of a known type is missing, unknown or invalid.
    """
    kind = wire.get("__type__")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        return wire
    fields = {key: value for key, value in wire.items() if key != "__type__"}
    try:
        return read(fields)
    except (ValueError, TypeError, OverflowError, OSError, ArithmeticError) as exc:
        raise DecodeError(f"{kind}: {exc}") from None


def _datetime_to_wire(dt: datetime) -> dict[str, Any]:
    zone: str | float = "UTC"
    if dt.tzinfo is not None:
        key = getattr(dt.tzinfo, "key", None)
        zone = key if isinstance(key, str) else (dt.utcoffset() or timedelta()).total_seconds()
    wire = {
        "__type__": "datetime",
        "year": dt.year,
        "month": dt.month,
        "day": dt.day,
        "hour": dt.hour,
        "minute": dt.minute,
        "second": dt.second,
        "microsecond": dt.microsecond,
        "timezone": zone,
    }
    # celery-redbeat reads `fold`, too, though it forgets to write it.
    return wire | {"fold": 1} if dt.fold and isinstance(zone, str) else wire


def _rule_to_wire(rule: rrule) -> dict[str, Any]:
    zone = iana_name(rule.dtstart.tzinfo)
    wire: dict[str, Any] = {"__type__": "rrule" if zone is None else "rrule-tz"}
    wire |= {name: getattr(rule, name) for name in _RULE_KEYS}
    if zone is None:
        wire["dtstart"] = to_timestamp(rule.dtstart)
        wire["dtstart_tz"] = get_utcoffset_minutes(rule.dtstart)
    else:
        local = rule.dtstart.replace(tzinfo=None, microsecond=0, fold=0)
        wire |= {"dtstart": local.isoformat(), "tz": zone}
        if rule.dtstart.fold:
            wire["fold"] = 1
    if rule.until:
        wire["until"] = to_timestamp(rule.until)
        wire["until_tz"] = get_utcoffset_minutes(rule.until)
    return wire


def _read_datetime(fields: dict[str, Any]) -> datetime:
    names = ("year", "month", "day", "hour", "minute", "second", "microsecond", "fold", "timezone")
    _check_fields(fields, names, required=("year", "month", "day"))
    zone = fields.pop("timezone", "UTC")
    numbers = {name: _int(name, value) for name, value in fields.items()}
    if isinstance(zone, str):
        return datetime(**numbers, tzinfo=find_zone(zone))
    if not _is_number(zone):
        raise DecodeError(
            f'timezone {shown(zone)} is neither a name, as in "Europe/Berlin", '
            "nor an offset in seconds"
        )
    return datetime(**numbers, tzinfo=_offset("timezone", zone))


def _read_interval(fields: dict[str, Any]) -> schedule:
    _check_fields(fields, ("every", "relative"), required=("every", "relative"))
    if fields["relative"] not in (True, False, None):
        raise DecodeError(f"relative must be true or false, not {shown(fields['relative'])}")
    return schedule(
        run_every=interval_of("every", fields["every"]), relative=bool(fields["relative"])
    )


def interval_of(name: str, value: object) -> timedelta:
    """Return the interval of *value* seconds.

    :raises DecodeError: *value* is no number, or no finite interval of at least a microsecond.
    """
    if not _is_number(value):
        raise DecodeError(f"{name} must be a number of seconds, not {shown(value)}")
    if not 0 < value <= timedelta.max.total_seconds():
        raise DecodeError(
            f"{name} is {shown(value)}: an interval is more than 0 seconds, and finite"
        )
    every = timedelta(seconds=value)
    if not every:
        raise DecodeError(f"{name} is {shown(value)}: the shortest interval is a microsecond")
    return every


#: The fields of a crontab: the number of values, and the lowest value.
_CRONTAB = {
    "minute": (60, 0),
    "hour": (24, 0),
    "day_of_week": (7, 0),
    "day_of_month": (31, 1),
    "month_of_year": (12, 1),
}
#: The longest field, in characters or in list items: longer than a list of all minutes, and
#: short enough to expand fast.
_MAX_FIELD = 1000


def _read_crontab(fields: dict[str, Any]) -> crontab:
    _check_fields(fields, tuple(_CRONTAB))
    # The cache key includes the types: 1, 1.0 and True are equal, but only 1 is a valid field.
    key = tuple((name, type(value), value) for name, value in fields.items())
    try:
        cached = _cached_crontab(key)
    except TypeError:  # a list is not hashable
        return _new_crontab(fields)
    # Each caller gets its own object. All objects of the same text share the sets of minutes,
    # hours and so on: these sets take seven kilobytes, and most of the time of making a crontab.
    copy = crontab.__new__(crontab)
    copy.__dict__.update(cached.__dict__)
    return copy


@lru_cache(maxsize=4096)
def _cached_crontab(key: tuple[tuple[str, type, Any], ...]) -> crontab:
    return _new_crontab({name: value for name, _, value in key})


def _new_crontab(fields: dict[str, Any]) -> crontab:
    for name, value in fields.items():
        if not _is_crontab_field(name, value):
            size, low = _CRONTAB[name]
            raise DecodeError(
                f"{name} {shown(value)} is no crontab field: it holds {low} to {low + size - 1}, "
                'written as in 1, "*", "*/2", "1-5", "1,3" or [1, 3]'
            )
    return crontab(**fields)


def _is_crontab_field(name: str, value: object) -> bool:
    size, low = _CRONTAB[name]
    if isinstance(value, str):
        if len(value) > _MAX_FIELD:
            return False
        try:
            return bool(crontab_parser(size, low).parse(value))
        except (ParseException, ValueError, KeyError, IndexError, OverflowError):
            return False
    numbers = value if isinstance(value, list) else [value]
    return 0 < len(numbers) <= _MAX_FIELD and all(
        isinstance(n, int) and not isinstance(n, bool) and low <= n < low + size for n in numbers
    )


def _read_zoned_crontab(fields: dict[str, Any]) -> zoned_crontab:
    zone = fields.pop("tz", None)
    if not isinstance(zone, str):
        raise DecodeError(f'tz must be the name of a zone, as in "Europe/Paris", not {shown(zone)}')
    _read_crontab(fields)
    return zoned_crontab(**fields, tz=zone)


def _read_anchored(fields: dict[str, Any]) -> anchored_interval:
    _check_fields(fields, ("every", "from"), required=("every", "from"))
    return anchored_interval(
        interval_of("every", fields["every"]), _datetime("from", fields["from"])
    )


def _read_once(fields: dict[str, Any]) -> once:
    _check_fields(fields, ("at",), required=("at",))
    return once(_datetime("at", fields["at"]))


def _datetime(name: str, value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    raise DecodeError(f"{name} must be an object of the __type__ datetime, not {shown(value)}")


def _read_set(fields: dict[str, Any]) -> rrule_set:
    _check_fields(fields, tuple(name[:-1] for name in _SET_FIELDS))
    for name, values in fields.items():
        if not isinstance(values, list):
            raise DecodeError(f"{name} must be a list, not {shown(values)}")
        if name.endswith("date"):
            for value in values:
                _datetime(name, value)
    return rrule_set(**{f"{name}s": values for name, values in fields.items()})


def _read_solar(fields: dict[str, Any]) -> solar:
    _check_fields(fields, ("event", "lat", "lon"), required=("event", "lat", "lon"))
    return sun.solar(**fields)


def _read_weekday(fields: dict[str, Any]) -> weekday:
    _check_fields(fields, ("wkday", "n"), required=("wkday",))
    day, n = _int("wkday", fields["wkday"]), fields.get("n")
    if not 0 <= day <= 6:
        raise DecodeError(f"wkday {shown(day)} is no weekday: 0 (Monday) to 6 (Sunday)")
    if n is None:
        return weekday(day)
    if not 1 <= abs(_int("n", n)) <= 53:
        raise DecodeError(f"n {shown(n)} is not within 1 to 53 or -1 to -53")
    return weekday(day, n)


def _read_rule(fields: dict[str, Any]) -> rrule:
    _check_fields(
        fields, (*_RULE_KEYS, "dtstart", "dtstart_tz", "until", "until_tz"), required=("freq",)
    )
    fields["dtstart"] = _pop_time(fields, "dtstart")
    fields["until"] = _pop_time(fields, "until")
    rule = rrule(**fields)
    rule.read_as_offset = True
    return rule


def _read_zoned_rule(fields: dict[str, Any]) -> rrule:
    allowed = (*_RULE_KEYS, "dtstart", "tz", "fold", "until", "until_tz")
    _check_fields(fields, allowed, required=("freq", "dtstart", "tz"))
    zone = fields.pop("tz")
    start = fields["dtstart"]
    fold = fields.pop("fold", 0)
    if not isinstance(zone, str) or not isinstance(start, str) or fold not in (0, 1):
        raise DecodeError(
            'dtstart and tz must be texts, as in "2026-01-05T09:00:00" and "Europe/Paris", '
            "and fold 0 or 1"
        )
    local = datetime.fromisoformat(start)
    if local.tzinfo is not None:
        raise DecodeError(f"dtstart {shown(start)} must be a local time: its zone is in tz")
    fields["dtstart"] = local.replace(tzinfo=find_zone(zone), fold=int(fold))
    fields["until"] = _pop_time(fields, "until")
    return rrule(**fields)


def _pop_time(fields: dict[str, Any], name: str) -> datetime | None:
    """Return the time of the fields *name* and *name*``_tz``, and remove the latter."""
    value = fields.get(name)
    minutes = fields.pop(f"{name}_tz", 0)
    if value is None:
        return None
    if not _is_number(value) or not _is_number(minutes):
        raise DecodeError(
            f"{name} and {name}_tz must be numbers: Unix seconds, and minutes from UTC"
        )
    _offset(f"{name}_tz", minutes * 60)
    try:
        return from_timestamp(value, minutes)
    except (ValueError, OverflowError, OSError):
        raise DecodeError(f"{name} {shown(value)} is not within the years 1 to 9999") from None


def _offset(name: str, seconds: float) -> timezone:
    if not -86400 < seconds < 86400:
        raise DecodeError(f"{name} {shown(seconds)} is not within a day of UTC")
    # Rounded to whole seconds, because the text of a zone has no fractions.
    return timezone(timedelta(seconds=round(seconds)))


_READERS = {
    "datetime": _read_datetime,
    "interval": _read_interval,
    "crontab": _read_crontab,
    "weekday": _read_weekday,
    "rrule": _read_rule,
    "rrule-tz": _read_zoned_rule,
    "rrule-set": _read_set,
    "crontab-tz": _read_zoned_crontab,
    "interval-from": _read_anchored,
    "once": _read_once,
    "solar": _read_solar,
}


def _check_fields(
    fields: Mapping[str, Any], allowed: tuple[str, ...], required: tuple[str, ...] = ()
) -> None:
    for name in fields:
        if name not in allowed:
            raise DecodeError(f"unknown field {shown(name)}; it takes {', '.join(allowed)}")
    for name in required:
        if name not in fields:
            raise DecodeError(f"the field '{name}' is missing")


def _is_number(value: object) -> TypeGuard[float]:
    """Whether *value* is a number, and neither a boolean nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _int(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise DecodeError(f"{name} must be a whole number, not {shown(value)}")
