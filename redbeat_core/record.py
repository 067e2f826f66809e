"""One entry as Redis holds it (:class:`EntryRecord`) and as it reads (:class:`EntryView`).

Pure. A record is undecoded text, so that making one cannot fail; :func:`decode_record` turns
it into a view whose ``error`` says why the scheduler cannot run it, instead of raising.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .decoder import DecodeError, decode_definition, decode_meta
from .old_rules import ScheduleWarning, warnings_of
from .policy import PLAIN, Policy, decode_policy
from .progress_text import take_up
from .rules import rrule

if TYPE_CHECKING:
    from celery import Celery
    from celery.schedules import BaseSchedule

#: The fields of an entry's hash that are read, in the order in which the store asks for them.
FIELDS = ("definition", "meta", "policy", "state", "outcome", "due", "counts", "zone", "progress")


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """What Redis holds of one entry, as text.

    :ivar name: the key without the prefix.
    :ivar score: next due time in Unix seconds; negative: not scheduled; None: not in the
        sorted set at all.
    :ivar definition: JSON, as celery-redbeat writes it.
    :ivar meta: JSON, ``last_run_at`` and ``total_run_count``.
    :ivar policy: JSON of ours.
    :ivar state: JSON of ours: what an operator did (``paused``, ``override``).
    :ivar outcome: JSON of ours: how the last run ended, as its worker reported it.
    :ivar due: the score that this project wrote last, as text. A score that differs was
        written by another program. After it, where that is another time, the nominal time of
        the run that is due then; after -1, since when the entry is finished.
    :ivar counts: JSON of ours: how many nominal times got no run (``missed``, ``skipped``).
    :ivar zone: what is known of the zone of a rule beyond its definition, see
        :func:`.old_rules.meant_in_utc`.
    :ivar progress: JSON of ours: how far a rule with COUNT was counted.
    :ivar fault: why Redis could not give the hash (wrong type, missing), else None.
    """

    name: str
    score: float | None = None
    definition: str | None = None
    meta: str | None = None
    policy: str | None = None
    state: str | None = None
    outcome: str | None = None
    due: str | None = None
    counts: str | None = None
    zone: str | None = None
    progress: str | None = None
    fault: str | None = None

    @property
    def version(self) -> str:
        """What a compare-and-set compares: changes with the definition, the policy and what
        operators did, not with runs."""
        return version_of(self.definition, self.policy, self.state)

    def patched(self, fields: Mapping[str, str | None], score: float | None) -> EntryRecord:
        """This record after a change that set *fields* (None: removed) and *score*."""
        known: dict[str, Any] = {name: value for name, value in fields.items() if name in FIELDS}
        if "definition" in known:
            known["fault"] = None
        return replace(self, score=score, **known)


def version_of(definition: str | None, policy: str | None, state: str | None) -> str:
    """The version of an entry with these fields. ``version()`` in the Lua scripts is its twin."""
    text = "\0".join((definition or "", policy or "", state or ""))
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no text that Redis gave, but an event may hold anything
        raw = text.encode("utf-8", "surrogatepass")
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause.

    :ivar by: who, as ``user@host``.
    :ivar at: when (UTC).
    :ivar note: why, in the operator's words.
    """

    by: str
    at: datetime | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last run of an entry went, as its worker reported it.

    :ivar status: ``started``, ``succeeded``, ``errored``, ``retried`` or ``revoked``.
    :ivar at: when that was (UTC).
    :ivar task_id: the Celery task id.
    :ivar runtime: seconds, where known.
    :ivar error: the exception in a line, where there was one.
    :ivar worker: the worker's node name.
    """

    status: str
    at: datetime | None
    task_id: str = ""
    runtime: float | None = None
    error: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many nominal times of an entry got no run.

    :ivar missed: too late, or stood for by another run.
    :ivar skipped: on purpose.
    """

    missed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry, decoded.

    :ivar error: why the entry cannot run; the other fields then hold what could be read.
    :ivar next_run_at: the next due time (UTC), None when not scheduled.
    :ivar schedule: a Celery schedule, None when unreadable.
    :ivar warnings: what celery-redbeat may have lost of the schedule; known only with an app.
    :ivar policy: its own, on top of the defaults without settings.
    """

    name: str
    version: str
    task: str = ""
    schedule: BaseSchedule | None = None
    args: Any = None
    kwargs: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    last_run_at: datetime | None = None
    total_run_count: int = 0
    next_run_at: datetime | None = None
    pause: Pause | None = None
    override: Mapping[str, Any] | None = None
    outcome: Outcome | None = None
    error: str | None = None
    definition: str | None = None
    policy: Policy = PLAIN
    counts: Counts = Counts()
    warnings: tuple[ScheduleWarning, ...] = ()

    @property
    def finished(self) -> bool:
        """Enabled and readable, but with no run to come."""
        return self.enabled and self.error is None and self.next_run_at is None


@lru_cache(maxsize=20000)
def _definition(text: str) -> dict[str, Any] | DecodeError:
    try:
        return decode_definition(text, shared=True)
    except DecodeError as exc:
        return exc


def definition_of(record: EntryRecord) -> dict[str, Any]:
    """The decoded definition of *record*; cached by its text, so do not change it.

    :raises DecodeError: it cannot run, with the reason.
    """
    if record.fault:
        wrong_type = "WRONGTYPE" in record.fault
        raise DecodeError(
            "its key is no hash but holds another Redis type" if wrong_type else record.fault
        )
    if not record.definition:
        raise DecodeError("the hash has no 'definition' field")
    return named_definition(record.definition, record.name)


def own_copy(value: Any) -> Any:
    """*value* with lists and dicts of its own all the way down: whoever gets it may change it."""
    if type(value) is dict:
        return {name: own_copy(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(own_copy, value))
    return value


def named_definition(text: str, name: str) -> dict[str, Any]:
    """The decoded definition *text* of the entry *name*; cached, so do not change it.

    :raises DecodeError: it cannot run, with the reason.
    """
    definition = _definition(text)
    if isinstance(definition, DecodeError):
        raise definition
    if definition["name"] != name:
        raise DecodeError(
            f"the definition is named {definition['name']!r} but is stored under "
            f"{name!r}: its runs would be recorded at another key"
        )
    return definition


def bind(schedule: BaseSchedule, app: Celery) -> BaseSchedule:
    """Give *schedule* the app whose time zone it is meant in.

    Decoded schedules are shared between the records with the same text, and Celery's schedules
    keep the zone of the first app they had.
    """
    if schedule._app is not app:
        schedule.app = app
        for kept in ("tz", "utc_enabled"):
            schedule.__dict__.pop(kept, None)
    return schedule


def decode_record(
    record: EntryRecord, app: Celery | None = None, now: datetime | None = None
) -> EntryView:
    """Decode *record*. Never raises for what is in it: ``error`` holds the reason.

    :param app: gives crontabs their time zone; without one Celery's current app does.
    :param now: for ``warnings``; None: the time it is.
    """
    state = json_object(record.state)
    common: dict[str, Any] = {
        "name": record.name,
        "version": record.version,
        "definition": record.definition,
        "pause": _pause(state.get("paused")),
        "override": state.get("override") if isinstance(state.get("override"), dict) else None,
        "outcome": _outcome(json_object(record.outcome)),
        "next_run_at": from_score(record.score),
        "counts": counts_of(record),
    }
    try:
        definition = definition_of(record)
        common["policy"] = decode_policy(record.policy)
    except DecodeError as exc:
        loose = json_object(record.definition)
        task, enabled = loose.get("task"), loose.get("enabled", True)
        return EntryView(
            **common,
            task=task if isinstance(task, str) else "",
            enabled=enabled is not False,
            error=str(exc),
        )
    common |= {
        "task": definition["task"],
        "schedule": definition["schedule"],
        "args": definition.get("args"),
        "kwargs": definition.get("kwargs"),
        "options": definition.get("options") or {},
        "enabled": definition.get("enabled", True),
    }
    if app is not None:
        bind(common["schedule"], app)
        take_up(common["schedule"], record.progress)
        if isinstance(common["schedule"], rrule):
            moment = datetime.now(UTC) if now is None else now
            common["warnings"] = warnings_of(
                common["schedule"], app.timezone, moment, meant=record.zone
            )
    try:
        meta = decode_meta(record.meta)
    except DecodeError as exc:
        return EntryView(**common, error=str(exc))
    return EntryView(
        **common,
        last_run_at=meta["last_run_at"],
        total_run_count=meta["total_run_count"],
    )


def counts_of(record: EntryRecord) -> Counts:
    """How many nominal times got no run so far; none of a kind that cannot be read."""
    known = json_object(record.counts)
    found = (known.get(kind) for kind in ("missed", "skipped"))
    return Counts(*(one if type(one) is int and 0 <= one < 2**63 else 0 for one in found))


def json_object(text: str | None) -> dict[str, Any]:
    """*text* as a JSON object; empty when it is none."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def from_score(score: float | None) -> datetime | None:
    """A sorted-set score as a UTC time; None for 'not scheduled' and for what no clock shows."""
    if score is None or score < 0:
        return None
    try:
        return datetime.fromtimestamp(score, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _moment(value: object) -> datetime | None:
    return from_score(_number(value))


def _number(value: object) -> float | None:
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has integers of any size
        return None


def _pause(value: object) -> Pause | None:
    if not isinstance(value, dict):
        return None
    return Pause(str(value.get("by", "")), _moment(value.get("at")), str(value.get("note") or ""))


def _outcome(value: dict[str, Any]) -> Outcome | None:
    if not isinstance(value.get("status"), str):
        return None
    return Outcome(
        status=value["status"],
        at=_moment(value.get("at")),
        task_id=str(value.get("task_id", "")),
        runtime=_number(value.get("runtime")),
        error=str(value.get("error") or ""),
        worker=str(value.get("worker") or ""),
    )
