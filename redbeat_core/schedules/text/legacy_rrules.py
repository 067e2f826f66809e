"""Detects what celery-redbeat may have lost when it stored a rule.

Pure. Such an entry keeps running as it is stored: its original rule can be guessed but not known.
So a warning proposes a repair, which an operator may apply by an ordinary edit of the schedule.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from celery.schedules import BaseSchedule

from redbeat_core.schedules.recurrence.rule_parts import DAILY, MONTHLY, WEEKLY
from redbeat_core.schedules.recurrence.zones import ZERO, iana_name, next_change, offset_at
from redbeat_core.schedules.types.rrule import RRULE_FIELDS, WEEKDAYS, adopted, rrule

from .english import MONTHS, duration
from .rrule import format_rule
from .rrule_times import offset_name

#: A zone that keeps its offset for so long has no daylight saving.
_YEAR = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class ScheduleWarning:
    """A part of the stored schedule that may differ from the original.

    :ivar text: the warning, as a sentence.
    :ivar proposal: the probable original schedule; None: it cannot be guessed.
    :ivar edit: *proposal* as text to type; empty without one.
    """

    text: str
    proposal: BaseSchedule | None = None
    edit: str = ""


def meant_in_utc(schedule: BaseSchedule | None) -> str | None:
    """Return the field ``zone`` of an entry that is saved with a rule which starts in UTC; None for
    other schedules.

    celery-redbeat stores a winter rule of London as one in UTC, and in the definition, which it
    reads, too, the two look alike. This field marks a rule that was given in UTC. It names the
    start, so it does not hold for a rule that another program writes later.
    """
    rule = adopted(schedule)
    if rule is None or rule.read_as_offset:
        return None
    start = rule.recurrence.dtstart
    if start.utcoffset() or iana_name(start.tzinfo) is not None:
        return None
    return f"UTC {_seconds(start)}"


def warnings_of(
    schedule: BaseSchedule | None, app_zone: tzinfo, now: datetime, meant: str | None = None
) -> tuple[ScheduleWarning, ...]:
    """Return the warnings about *schedule*; none for most.

    :param app_zone: the zone that the app is configured for.
    :param now: the warning names the next clock change after it.
    :param meant: the entry's field ``zone``.
    """
    rule = adopted(schedule)
    if rule is None:
        return ()
    start = rule.recurrence.dtstart
    offset = start.utcoffset() or ZERO
    if not offset and meant == f"UTC {_seconds(start)}":
        return ()
    fixed = iana_name(start.tzinfo) is None and _by_the_clock(rule)
    if not fixed and not _lost_number(rule):
        return ()
    found: list[ScheduleWarning] = []
    if fixed:
        moved = _of_offset(rule, app_zone, now.astimezone(UTC).toordinal())
        found += [moved] if moved is not None else []
    if _lost_number(rule):
        found.append(_of_number(rule))
    return tuple(found)


def _by_the_clock(rule: rrule) -> bool:
    """Whether the wall clock decides when the rule occurs."""
    return rule.freq <= DAILY or not rule.recurrence.parts.plain


def _of_number(rule: rrule) -> ScheduleWarning:
    parts = rule.recurrence.parts
    days = [WEEKDAYS[day] for day, _ in parts.byweekday]
    period = "month" if rule.freq == MONTHLY else "year"
    within = f"each {period}" if parts.interval == 1 else f"every {parts.interval} {period}s"
    if parts.bymonth:
        within = f"{', '.join(MONTHS[month - 1] for month in parts.bymonth)} of {within}"
    last = ",".join(f"-1{day[:2]}" for day in days)
    text = (
        f"every {', '.join(days)} of {within}: celery-redbeat loses the number of a weekday. If "
        f"the last was meant, edit it to BYDAY={last}"
    )
    return ScheduleWarning(f"{text}; if not, to FREQ=WEEKLY" if parts.interval == 1 else text)


def _lost_number(rule: rrule) -> bool:
    parts = rule.recurrence.parts
    other = parts.bysetpos, parts.bymonthday, parts.byyearday, parts.byweekno, parts.byeaster
    return (
        rule.freq < WEEKLY
        and iana_name(rule.recurrence.dtstart.tzinfo) is None
        and bool(parts.byweekday)
        and not any(n for _, n in parts.byweekday)
        and not any(other)
    )


@lru_cache(maxsize=16384)
def _of_offset(rule: rrule, zone: tzinfo, today: int) -> ScheduleWarning | None:
    start = rule.recurrence.dtstart
    name = offset_name(start.utcoffset() or ZERO)
    offset = f"fixed offset {name[:3]}:{name[3:5]}"
    if offset_at(start, zone) != start.utcoffset() or iana_name(zone) is None:
        if not start.utcoffset():
            # It showed the right hours in UTC only.
            return None
        return ScheduleWarning(f"{offset}: does not follow daylight saving, nor the app's zone")
    now = datetime.fromordinal(today).replace(tzinfo=UTC)
    change = next_change(zone, now, now + _YEAR)
    if change is None and offset_at(now, zone) == start.utcoffset():
        # As in Asia/Kolkata: the offset is as good as the zone.
        return None
    when = f" on {change.astimezone(zone):%Y-%m-%d}" if change is not None else ""
    known = {name: getattr(rule, name) for name in RRULE_FIELDS}
    known["dtstart"] = start.replace(tzinfo=zone, fold=start.astimezone(zone).fold)
    proposal = rrule(**known)
    if not start.utcoffset():
        return ScheduleWarning(_of_utc(zone, now, change, when), proposal, format_rule(proposal))
    if offset_at(now, zone) == start.utcoffset():
        text = f"{offset}: will move at the next daylight-saving change{when}"
    else:
        text = f"{offset}: runs at other hours now than its clock said, until the change{when}"
    return ScheduleWarning(f"{text}; {zone} was meant?", proposal, format_rule(proposal))


def _of_utc(zone: tzinfo, now: datetime, change: datetime | None, when: str) -> str:
    """Of a rule that may as well have been meant in UTC."""
    if offset_at(now, zone) or change is None:
        words = f"runs at other hours now than its clock said, until the change{when}"
    else:
        size = duration(abs(offset_at(change, zone)))
        jump = "an hour" if size == "hour" else size
        words = f"will move by {jump} at the next daylight-saving change{when}"
    return f"stored in UTC: if {zone} was meant, it {words}; if UTC was, save it once more"


def _seconds(start: datetime) -> int:
    return calendar.timegm(start.utctimetuple())
