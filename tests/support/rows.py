"""Entries as records, and rows of them, without a server."""

from __future__ import annotations

import json
from typing import Any

from redbeat_core.entries.record import EntryRecord
from redbeat_tui.live.row import Row

#: 2025-11-23 12:00:00 UTC.
NOW = 1763899200.0

EVERY_MINUTE = {"__type__": "interval", "every": 60, "relative": False}
AT_NINE = {
    "__type__": "crontab",
    "minute": "0",
    "hour": "9",
    "day_of_week": "*",
    "day_of_month": "*",
    "month_of_year": "*",
}


def definition(name: str, **changed: Any) -> str:
    """The JSON of an entry."""
    fields = {
        "name": name,
        "task": "shop.tasks.work",
        "args": None,
        "kwargs": None,
        "options": {},
        "schedule": EVERY_MINUTE,
        "enabled": True,
    }
    return json.dumps(fields | changed)


def meta(last_run: float | None, runs: int = 1) -> str:
    """The JSON of an entry's last run."""
    if last_run is None:
        return json.dumps({"last_run_at": None, "total_run_count": runs})
    whole = int(last_run)
    day, seconds = divmod(whole - int(NOW) + 12 * 3600, 86400)
    moment = {
        "__type__": "datetime",
        "year": 2025,
        "month": 11,
        "day": 23 + day,
        "hour": seconds // 3600,
        "minute": seconds // 60 % 60,
        "second": seconds % 60,
        "microsecond": 0,
        "timezone": "UTC",
    }
    return json.dumps({"last_run_at": moment, "total_run_count": runs})


def outcome(status: str, at: float = NOW, **more: Any) -> str:
    """The JSON of how a run ended."""
    return json.dumps({"status": status, "at": at, "task_id": "task-1"} | more)


def paused(note: str = "", by: str = "anna@ops") -> str:
    """The state of an entry that an operator paused."""
    return json.dumps({"paused": {"by": by, "at": NOW, "note": note}})


def record(name: str, due: float | None = 60.0, **fields: Any) -> EntryRecord:
    """An entry.

    :param due: seconds from :data:`NOW`; None: not scheduled.
    :param fields: of the record; those of the definition as ``task=...``, ``schedule=...`` and
        ``enabled=...``.
    """
    inner = {key: fields.pop(key) for key in ("task", "schedule", "enabled") if key in fields}
    fields.setdefault("definition", definition(name, **inner))
    return EntryRecord(name, score=None if due is None else NOW + due, **fields)


def row(name: str, due: float | None = 60.0, **fields: Any) -> Row:
    """The row of :func:`record`."""
    return Row(record(name, due, **fields))
