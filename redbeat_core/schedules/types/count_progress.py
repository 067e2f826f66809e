"""The field ``progress`` of an entry: up to when the rules of its schedule with a COUNT were
counted, so that a scheduler continues from there instead of counting from DTSTART.

Pure. The part of each rule is signed with the rule itself: a part of another rule, or one that was
changed by hand, is ignored, and the rule is counted again.
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
    """The rules of a schedule that have a COUNT."""
    if isinstance(timing, rrule_set):
        return [rule for rule in (*timing.rules, *timing.exrules) if rule.count is not None]
    if type(timing) in (schedule, crontab):
        return []
    rule = adopted(timing)
    return [rule] if rule is not None and rule.count is not None else []


def progress_text(timing: BaseSchedule, moment: datetime | None) -> str:
    """Return the field for a schedule that was counted up to *moment* (aware); empty where no rule
    has a COUNT, or where *moment* is None.
    """
    found: list[list[object]] = []
    if moment is None:
        return ""
    for rule in counted_rules(timing):
        try:
            at, number = rule.recurrence.counted(moment)
        except OverflowError:
            # On the last day of the calendar there is nothing to go on from.
            return ""
        found.append([at.isoformat(), number, _signature(rule, at.isoformat(), number)])
    return json.dumps(found) if found else ""


def restore_progress(timing: BaseSchedule, text: str | None) -> int:
    """Continue counting from the field *text*, as far as it belongs to this schedule; never raises
    for its content.

    :returns: the number of rules that continue from it.
    """
    rules = counted_rules(timing) if text else []
    taken = 0
    with suppress(ValueError, TypeError, RecursionError):
        for at, number, signature in json.loads(text or "[]") if rules else ():
            for rule in rules:
                if type(number) is int and signature == _signature(rule, at, number):
                    taken += rule.recurrence.restore_progress(datetime.fromisoformat(at), number)
    return taken


def _signature(rule: rrule, at: str, number: int) -> str:
    signed = repr((rule._identity(), at, number)).encode(errors="replace")
    return blake2b(signed, digest_size=8).hexdigest()
