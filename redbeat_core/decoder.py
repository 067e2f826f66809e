"""The JSON encoder and decoder of entries, under the module name that celery-redbeat has."""

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
