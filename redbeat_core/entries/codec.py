"""Encodes and decodes the JSON wire format of entries, which is celery-redbeat's byte for byte.

Pure. Values that celery-redbeat 2.4 can express are written exactly as it writes them, key order
included. The other values are written so that this project loses nothing:

- ``{"__type__": "weekday", "wkday": 4, "n": -1}``: ``n`` is written only if it is set (last
  Friday). celery-redbeat reads ``n``, but never writes it.
- ``{"__type__": "rrule-tz", ..., "dtstart": "2026-01-05T09:00:00", "tz": "Europe/Paris"}``:
  a rule whose DTSTART is in an IANA zone other than UTC. ``dtstart`` is the local time there
  (with ``"fold": 1`` for the second pass of a repeated hour). All other fields are as in ``rrule``,
  which can hold a fixed offset only, so that 09:00 in Paris would move by an hour in summer.
  celery-redbeat cannot read it.

Only this project has the following types, and celery-redbeat cannot read them:

- ``crontab-tz``: the fields of ``crontab``, and ``tz``, the name of its zone;
- ``rrule-set``: lists of ``rule`` and ``exrule`` (each an ``rrule`` or ``rrule-tz``), and of
  ``rdate`` and ``exdate`` (each a ``datetime``);
- ``interval-from``: ``every`` in seconds, and ``from``, a ``datetime``;
- ``once``: ``at``, a ``datetime``;
- ``solar``: ``event``, ``lat`` and ``lon`` as Celery's class has them.

The decoder checks all fields. It raises a :class:`DecodeError` with the reason for a value that
celery-redbeat or Celery could not run, and never raises another error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery.schedules import BaseSchedule, crontab, schedule
from dateutil.rrule import weekday

from redbeat_core.schedules.recurrence.zones import find_zone
from redbeat_core.schedules.types.rrule import rrule, shown

from .codec_types import (
    DecodeError,
    from_timestamp,
    from_wire,
    get_utcoffset_minutes,
    interval_of,
    to_timestamp,
    to_wire,
)
from .names import check_name

__all__ = [
    "DecodeError",
    "RedBeatJSONDecoder",
    "RedBeatJSONEncoder",
    "crontab",
    "decode_definition",
    "decode_meta",
    "encode_definition",
    "encode_meta",
    "from_timestamp",
    "get_utcoffset_minutes",
    "rrule",
    "schedule",
    "to_timestamp",
    "weekday",
]

#: The keys of a definition in the order in which they are written, with their defaults.
_DEFINITION: dict[str, Any] = {
    "name": None,
    "task": None,
    "args": None,
    "kwargs": {},
    "options": {},
    "schedule": None,
    "enabled": True,
}
_META = ("last_run_at", "total_run_count")
#: celery-redbeat also takes these in a definition; they change nothing about a run.
_HARMLESS = frozenset({*_META, "relative"})
#: The longest JSON text in characters: longer than any message that a broker accepts, and short
#: enough to read at once.
_MAX_TEXT = 16 * 1024 * 1024
_TYPES = "interval, interval-from, crontab, crontab-tz, rrule, rrule-tz, rrule-set, once or solar"


#: Matches the meta that celery-redbeat and this project write at each run. The match takes a
#: fraction of the time of the JSON decoder.
_WRITTEN_META = re.compile(
    r'\{"last_run_at": \{"__type__": "datetime", "year": YEAR, "month": NUMBER, "day": NUMBER, '
    r'"hour": NUMBER, "minute": NUMBER, "second": NUMBER, "microsecond": NUMBER, '
    r'"timezone": "([A-Za-z0-9_+/-]+)"\}(?:, "total_run_count": NUMBER)?\}'
    # JSON has no leading zeros; a number of more digits is left to the decoder.
    .replace("YEAR", "([1-9][0-9]{3})").replace("NUMBER", "(0|[1-9][0-9]{0,17})")
)


class RedBeatJSONEncoder(json.JSONEncoder):
    """``json.dumps(value, cls=RedBeatJSONEncoder)`` writes schedules and datetimes."""

    def default(self, obj: Any) -> Any:
        wire = to_wire(obj)
        return super().default(obj) if wire is None else wire


class RedBeatJSONDecoder(json.JSONDecoder):
    """``json.loads(text, cls=RedBeatJSONDecoder)`` reads schedules and datetimes.

    An object of an unknown ``__type__`` stays a dict, as in celery-redbeat.

    :raises DecodeError: a field of a known type is missing, unknown or invalid.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, object_hook=self.dict_to_object, **kwargs)

    def dict_to_object(self, d: dict[str, Any]) -> Any:
        """Return the object for *d*, or *d* itself if its type is unknown."""
        return from_wire(d)


class _SharingDecoder(RedBeatJSONDecoder):
    """Returns the same object for equal schedules, because many entries have equal schedules."""

    def dict_to_object(self, d: dict[str, Any]) -> Any:
        kind = d.get("__type__")
        if kind not in _SHARED_TYPES:
            # Most objects are arguments and options.
            return d if kind is None else from_wire(d)
        text = repr(d)
        shared = _SHARED.get(text)
        if shared is None:
            if len(_SHARED) >= _MAX_SHARED:
                _SHARED.clear()
            shared = _SHARED[text] = from_wire(d)
        return shared


_SHARED_TYPES = ("interval", "crontab", "rrule", "rrule-tz")
_SHARED: dict[str, Any] = {}
_MAX_SHARED = 10_000
_DECODER = RedBeatJSONDecoder()
_SHARING = _SharingDecoder()


def encode_definition(definition: Mapping[str, Any]) -> str:
    """Return the definition as celery-redbeat writes it: all keys, in its order.

    :raises TypeError: a value has no JSON form.
    """
    fields = {key: definition.get(key, default) for key, default in _DEFINITION.items()}
    return json.dumps(fields | definition.get("__unknown__", {}), cls=RedBeatJSONEncoder)


def encode_meta(meta: Mapping[str, Any]) -> str:
    """Return the meta as celery-redbeat writes it.

    The text has ``last_run_at`` and ``total_run_count``, each if *meta* has it, in this order.
    """
    last = meta.get("last_run_at")
    count = meta.get("total_run_count")
    zone = getattr(last.tzinfo, "key", None) if isinstance(last, datetime) else None
    usual = isinstance(zone, str) and type(count) is int
    if usual and isinstance(last, datetime) and not last.fold:
        # The scheduler writes this at each run; the template takes a fraction of the time.
        return (
            f'{{"last_run_at": {{"__type__": "datetime", "year": {last.year}, '
            f'"month": {last.month}, "day": {last.day}, "hour": {last.hour}, '
            f'"minute": {last.minute}, "second": {last.second}, '
            f'"microsecond": {last.microsecond}, "timezone": {json.dumps(zone)}}}, '
            f'"total_run_count": {count}}}'
        )
    return json.dumps({key: meta[key] for key in _META if key in meta}, cls=RedBeatJSONEncoder)


def decode_definition(text: str, *, shared: bool = False) -> dict[str, Any]:
    """Decode the ``definition`` of an entry.

    :param shared: other entries may share the returned schedule: do not change it.
    :returns: name, task, args (a list or None), kwargs, options, schedule, enabled; and
        ``__unknown__``, the fields that are kept but not used.
    :raises DecodeError: the definition is invalid; the message gives the reason.
    """
    given = _object("definition", text, _SHARING if shared else _DECODER)
    unknown = {key: given.pop(key) for key in tuple(given) if key in _HARMLESS}
    for key in given:
        if key not in _DEFINITION:
            raise DecodeError(
                f"unknown field {shown(key)} in the definition; it holds {', '.join(_DEFINITION)}"
            )
    definition = {key: given.get(key, default) for key, default in _DEFINITION.items()}
    for key in ("name", "task"):
        definition[key] = _text(key, definition[key])
    if definition["name"].startswith(":"):
        try:
            check_name(definition["name"])
        except ValueError as exc:
            raise DecodeError(str(exc)) from None
    if not isinstance(definition["args"], list | None):
        raise DecodeError(f'args must be a list, as in [1, "a"], not {shown(definition["args"])}')
    for key in ("kwargs", "options"):
        definition[key] = {} if definition[key] is None else definition[key]
        if not isinstance(definition[key], dict):
            raise DecodeError(
                f'{key} must be an object, as in {{"key": 1}}, not {shown(definition[key])}'
            )
    if definition["enabled"] not in (True, False, None) or isinstance(definition["enabled"], float):
        raise DecodeError(f"enabled must be true or false, not {shown(definition['enabled'])}")
    definition["enabled"] = bool(definition["enabled"])
    if "schedule" not in given:
        raise DecodeError("the definition has no 'schedule'")
    definition["schedule"] = _schedule(definition["schedule"])
    definition["__unknown__"] = unknown
    return definition


def decode_meta(text: str | None) -> dict[str, Any]:
    """Decode the ``meta`` of an entry: last_run_at (aware, or None), total_run_count.

    :param text: None or empty for an entry without a meta: it has never run.
    :raises DecodeError: the meta is invalid; the message gives the reason.
    """
    if not text:
        return {"last_run_at": None, "total_run_count": 0}
    if written := _WRITTEN_META.fullmatch(text):
        *numbers, zone, count = written.groups()
        try:
            last_run_at = datetime(*map(int, numbers), tzinfo=find_zone(zone))  # type: ignore[misc, arg-type]
            return {"last_run_at": last_run_at, "total_run_count": int(count or 0)}
        except (ValueError, OverflowError):
            # The code below raises the error with a better message.
            pass
    meta = _object("meta", text)
    for key in meta:
        if key not in _META:
            raise DecodeError(
                f"unknown field {shown(key)} in the meta; it holds {', '.join(_META)}"
            )
    if "last_run_at" not in meta:
        raise DecodeError("the meta has no 'last_run_at'; it is null for an entry that never ran")
    last = meta["last_run_at"]
    count = meta.get("total_run_count") or 0
    if not isinstance(last, datetime | None):
        raise DecodeError(f"last_run_at must be a datetime or null, not {shown(last)}")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 2**63:
        raise DecodeError(f"total_run_count must be a whole number from 0, not {shown(count)}")
    return {"last_run_at": last, "total_run_count": count}


def _object(what: str, text: str, decoder: json.JSONDecoder = _DECODER) -> dict[str, Any]:
    if len(text) > _MAX_TEXT:
        raise DecodeError(f"the {what} has {len(text)} characters; at most {_MAX_TEXT} are read")
    if not _is_utf8(text):
        raise DecodeError(f"the {what} holds bytes that are not UTF-8")
    try:
        value = decoder.decode(text)
    except DecodeError:
        raise
    except json.JSONDecodeError as exc:
        problem = exc.msg.removesuffix(" at")
        raise DecodeError(f"the {what} is not JSON: {problem} at character {exc.pos + 1}") from None
    except ValueError:
        raise DecodeError(f"the {what} holds a number of too many digits") from None
    except RecursionError:
        raise DecodeError(f"the {what} is nested too deeply") from None
    if not isinstance(value, dict):
        raise DecodeError(f"the {what} must be a JSON object, not {shown(value)}")
    return value


def _text(key: str, value: object) -> str:
    if value is None:
        raise DecodeError(f"the definition has no '{key}'")
    if not isinstance(value, str) or not value:
        raise DecodeError(f"{key} must be a text that is not empty, not {shown(value)}")
    if not _is_utf8(value):
        raise DecodeError(f"{key} {shown(value)} holds half a character")
    return value


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _schedule(value: object) -> BaseSchedule:
    if isinstance(value, BaseSchedule):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Celery and celery-redbeat accept a bare number of seconds.
        return schedule(run_every=interval_of("schedule", value))
    if not isinstance(value, dict):
        raise DecodeError(
            f"schedule must be an object with a __type__ of {_TYPES}, not {shown(value)}"
        )
    if "__type__" not in value:
        raise DecodeError(f"the schedule has no __type__, which is {_TYPES}")
    raise DecodeError(f"unknown schedule type {shown(value['__type__'])}: it is {_TYPES}")
