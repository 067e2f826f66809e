"""Exports the JSON encoder and decoder of entries under celery-redbeat's module name."""

from __future__ import annotations

from datetime import datetime

from redbeat_core.entries.codec import (
    DecodeError,
    RedBeatJSONDecoder,
    RedBeatJSONEncoder,
    crontab,
    from_timestamp,
    get_utcoffset_minutes,
    rrule,
    schedule,
    to_timestamp,
    weekday,
)

__all__ = [
    "DecodeError",
    "RedBeatJSONDecoder",
    "RedBeatJSONEncoder",
    "crontab",
    "datetime",
    "from_timestamp",
    "get_utcoffset_minutes",
    "rrule",
    "schedule",
    "to_timestamp",
    "weekday",
]
