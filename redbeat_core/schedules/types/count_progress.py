"""Writes and reads the field ``progress`` of an entry: the occurrences counted for its COUNT rules.

Pure. With this field a scheduler continues to count from a saved instant instead of from DTSTART.
A digest of the rule signs each part of the field. A part of another rule, or one that somebody
edited, is ignored, and that rule is counted from DTSTART again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b

from celery.schedules import BaseSchedule, crontab, schedule

from .rrule import adopted, rrule
from .rrule_set import rrule_set


def counted_rules(timing: BaseSchedule) -> list[rrule]:
    """Return the rules of a schedule that have a COUNT."""
    if isinstance(timing, rrule_set):
        return [rule for rule in (*timing.rules, *timing.exrules) if rule.count is not None]
    if type(timing) in (schedule, crontab):
        return []
    rule = adopted(timing)
    return [rule] if rule is not None and rule.count is not None else []


def progress_text(timing: BaseSchedule, at: datetime | None) -> str:
    """Return the field ``progress`` of a schedule, counted up to *at* (aware).

    :returns: empty where no rule has a COUNT, and where *at* is None.
    """
    parts: list[list[object]] = []
    if at is None:
        return ""
    for rule in counted_rules(timing):
        try:
            counted_to, number = rule.recurrence.counted(at)
        except OverflowError:
            # On the last day of the calendar there is no instant to continue from.
            return ""
        text = counted_to.isoformat()
        parts.append([text, number, _signature(rule, text, number)])
    return json.dumps(parts) if parts else ""


def restore_progress(timing: BaseSchedule, text: str | None) -> int:
    """Continue counting the rules of *timing* from the field ``progress``.

    Ignores invalid text and parts of other rules; raises nothing for them.

    :returns: the number of rules that continue from the field.
    """
    rules = counted_rules(timing) if text else []
    restored = 0
    with suppress(ValueError, TypeError, RecursionError):
        for at, number, signature in json.loads(text or "[]") if rules else ():
            for rule in rules:
                if type(number) is int and signature == _signature(rule, at, number):
                    restored += rule.recurrence.restore_progress(datetime.fromisoformat(at), number)
    return restored


def _signature(rule: rrule, at: str, number: int) -> str:
    signed = repr((rule._identity(), at, number)).encode(errors="replace")
    return blake2b(signed, digest_size=8).hexdigest()
