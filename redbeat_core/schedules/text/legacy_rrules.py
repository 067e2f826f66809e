"""Detects rules from which celery-redbeat dropped the zone or the weekday number on storing.

Pure. Such an entry keeps running as it is stored, because the original rule can only be guessed.
The functions return warnings for the operator, who can repair the rule by an ordinary edit of the
schedule.
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
    """A warning that the stored schedule may differ from the schedule that its author gave.

    :ivar text: the possible difference, as a sentence.
    :ivar proposal: a guess at the original schedule; None: the stored rule does not allow one.
    :ivar edit: *proposal* as text that can be typed; empty without a proposal.
    """

    text: str
    proposal: BaseSchedule | None = None
    edit: str = ""


def meant_in_utc(schedule: BaseSchedule | None) -> str | None:
    """Return the field ``zone`` for an entry whose rule starts in UTC; None for other schedules.

    celery-redbeat stores a rule of London in winter as a rule in UTC. The definition, which
    celery-redbeat reads too, is the same for both. This field says that the author gave the rule
    in UTC. It contains the start, so that it does not apply to a rule that another program writes
    later.
    """
    rule = adopted(schedule)
    if rule is None or rule.read_as_offset:
        return None
    start = rule.recurrence.dtstart
    if start.utcoffset() or iana_name(start.tzinfo) is not None:
        return None
    return f"UTC {_seconds(start)}"


def warnings_of(
    schedule: BaseSchedule | None, app_zone: tzinfo, now: datetime, zone: str | None = None
) -> tuple[ScheduleWarning, ...]:
    """Return the warnings for *schedule*; empty for most schedules.

    :param app_zone: the zone that the app is configured for.
    :param now: the warnings name the next change of the clock after this time.
    :param zone: the entry's field ``zone``, see :func:`meant_in_utc`.
    """
    rule = adopted(schedule)
    if rule is None:
        return ()
    start = rule.recurrence.dtstart
    offset = start.utcoffset() or ZERO
    if not offset and zone == f"UTC {_seconds(start)}":
        return ()
    has_fixed_offset = iana_name(start.tzinfo) is None and _depends_on_local_time(rule)
    if not has_fixed_offset and not _lost_weekday_number(rule):
        return ()
    warnings: list[ScheduleWarning] = []
    if has_fixed_offset:
        warning = _offset_warning(rule, app_zone, now.astimezone(UTC).toordinal())
        warnings += [warning] if warning is not None else []
    if _lost_weekday_number(rule):
        warnings.append(_weekday_number_warning(rule))
    return tuple(warnings)


def _depends_on_local_time(rule: rrule) -> bool:
    """Whether the runs of *rule* depend on the local time (the wall clock) of its zone."""
    return rule.freq <= DAILY or not rule.recurrence.parts.plain


def _weekday_number_warning(rule: rrule) -> ScheduleWarning:
    """Return the warning for a rule that may have lost the number of its weekdays."""
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


def _lost_weekday_number(rule: rrule) -> bool:
    """Whether celery-redbeat may have dropped the number of a weekday (the 1 of ``1MO``)."""
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
def _offset_warning(rule: rrule, zone: tzinfo, today: int) -> ScheduleWarning | None:
    """Return the warning for a rule with a fixed offset; None if the app's zone never differs.

    :param today: the ordinal of the day in UTC, so that the cache is valid for one day.
    """
    start = rule.recurrence.dtstart
    name = offset_name(start.utcoffset() or ZERO)
    offset = f"fixed offset {name[:3]}:{name[3:5]}"
    if offset_at(start, zone) != start.utcoffset() or iana_name(zone) is None:
        if not start.utcoffset():
            # The app's zone has another offset, so the author must have given the rule in UTC.
            return None
        return ScheduleWarning(f"{offset}: does not follow daylight saving, nor the app's zone")
    now = datetime.fromordinal(today).replace(tzinfo=UTC)
    change = next_change(zone, now, now + _YEAR)
    if change is None and offset_at(now, zone) == start.utcoffset():
        # A zone without daylight saving, as Asia/Kolkata: the offset gives the same runs.
        return None
    when = f" on {change.astimezone(zone):%Y-%m-%d}" if change is not None else ""
    fields = {name: getattr(rule, name) for name in RRULE_FIELDS}
    fields["dtstart"] = start.replace(tzinfo=zone, fold=start.astimezone(zone).fold)
    proposal = rrule(**fields)
    if not start.utcoffset():
        text = _utc_warning_text(zone, now, change, when)
        return ScheduleWarning(text, proposal, format_rule(proposal))
    if offset_at(now, zone) == start.utcoffset():
        text = f"{offset}: will move at the next daylight-saving change{when}"
    else:
        text = f"{offset}: runs at other hours now than its clock said, until the change{when}"
    return ScheduleWarning(f"{text}; {zone} was meant?", proposal, format_rule(proposal))


def _utc_warning_text(zone: tzinfo, now: datetime, change: datetime | None, when: str) -> str:
    """Return the warning for a rule stored in UTC, whose author gave it in UTC or in *zone*."""
    if offset_at(now, zone) or change is None:
        effect = f"runs at other hours now than its clock said, until the change{when}"
    else:
        size = duration(abs(offset_at(change, zone)))
        jump = "an hour" if size == "hour" else size
        effect = f"will move by {jump} at the next daylight-saving change{when}"
    return f"stored in UTC: if {zone} was meant, it {effect}; if UTC was, save it once more"


def _seconds(start: datetime) -> int:
    return calendar.timegm(start.utctimetuple())
