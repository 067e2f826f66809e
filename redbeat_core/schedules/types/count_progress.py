"""The field ``progress`` of an entry: how far the rules of its schedule that have a COUNT were
counted, so that a scheduler goes on from there and does not count from DTSTART.

Pure. Each rule's part is signed with the rule itself: what was counted for another rule, or was
changed by hand, is passed over, and counted anew.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b

from celery.schedules import BaseSchedule

from .rrule import adopted, rrule
from .rrule_set import rrule_set


def counted_rules(timing: BaseSchedule) -> list[rrule]:
    """The rules of a schedule that have a COUNT."""
    if isinstance(timing, rrule_set):
        return [rule for rule in (*timing.rules, *timing.exrules) if rule.count is not None]
    rule = adopted(timing)
    return [rule] if rule is not None and rule.count is not None else []


def progress_text(timing: BaseSchedule, moment: datetime | None) -> str:
    """The field for a schedule that was counted up to *moment* (aware); empty where it has no
    COUNT, and for no moment at all."""
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
    """Go on counting from there, as far as the field is of this schedule; never raises for what it
    holds.

    :returns: for how many rules it was.
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
