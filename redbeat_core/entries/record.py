"""The stored form of one entry (:class:`EntryRecord`), from which its :class:`EntryView` is made.

Pure. A record holds undecoded text, so that making one cannot fail. :func:`decode_record` decodes
it to a view; for an invalid entry it does not raise, but sets the view's ``error``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .codec import DecodeError, decode_definition

if TYPE_CHECKING:
    from celery import Celery
    from celery.schedules import BaseSchedule

#: The fields of an entry's hash that the store reads, in the order of its request.
HASH_FIELDS = (
    "definition",
    "meta",
    "policy",
    "state",
    "outcome",
    "due",
    "counts",
    "zone",
    "progress",
)


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """The data of one entry in Redis, as text.

    :ivar name: the key without the prefix.
    :ivar score: next due time in Unix seconds; negative: not scheduled; None: not in the
        sorted set at all.
    :ivar definition: JSON, as celery-redbeat writes it.
    :ivar meta: JSON, ``last_run_at`` and ``total_run_count``.
    :ivar policy: JSON of this project: the entry's policy.
    :ivar state: JSON of this project: the changes by an operator (``paused``, ``override``).
    :ivar outcome: JSON of this project: the result of the last run, as its worker reported it.
    :ivar due: the score that this project wrote last, as text. If the entry's score differs,
        another program wrote it. A second number may follow: after a time, the nominal time of
        the run that is due then, if it is another time; after -1, the time at which the entry
        finished.
    :ivar counts: JSON of this project: the number of nominal times without a run (``missed``,
        ``skipped``).
    :ivar zone: says that a rule which starts in UTC was given in UTC, see
        :func:`.old_rules.meant_in_utc`.
    :ivar progress: JSON of this project: how far the occurrences of a rule with COUNT were counted.
    :ivar fault: the reason why Redis did not return the hash (wrong type, missing), else None.
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
        """The version for compare-and-set.

        It changes with the definition, the policy and the state that operators set, but not with
        runs.
        """
        return version_of(self.definition, self.policy, self.state)

    def patched(self, fields: Mapping[str, str | None], score: float | None) -> EntryRecord:
        """Return this record after a change that set *fields* (None: removed) and *score*."""
        changes: dict[str, Any] = {
            name: value for name, value in fields.items() if name in HASH_FIELDS
        }
        if "definition" in changes:
            changes["fault"] = None
        return replace(self, score=score, **changes)


def version_of(definition: str | None, policy: str | None, state: str | None) -> str:
    """Return the version of an entry with these fields.

    ``version()`` in the Lua scripts computes the same; change both together.
    """
    text = "\0".join((definition or "", policy or "", state or ""))
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # impossible for a text from Redis, but possible for an event's
        raw = text.encode("utf-8", "surrogatepass")
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


@lru_cache(maxsize=20000)
def _definition(text: str) -> dict[str, Any] | DecodeError:
    try:
        return decode_definition(text, shared=True)
    except DecodeError as exc:
        return exc


def definition_of(record: EntryRecord) -> dict[str, Any]:
    """Return the decoded definition of *record*; cached by its text, so do not change it.

    :raises DecodeError: the entry is invalid; the message gives the reason.
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
    """Return a copy of *value* that the caller may change: all lists and dicts in it are new."""
    if type(value) is dict:
        return {name: own_copy(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(own_copy, value))
    return value


def named_definition(text: str, name: str) -> dict[str, Any]:
    """Return the decoded definition *text* of the entry *name*; cached, so do not change it.

    :raises DecodeError: the entry is invalid; the message gives the reason.
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
    """Set the app of *schedule*, so that it runs in the app's time zone; return *schedule*.

    Records with the same text share a decoded schedule, and Celery's schedules cache the zone of
    their first app.
    """
    if schedule._app is not app:
        schedule.app = app
        for cached in ("tz", "utc_enabled"):
            schedule.__dict__.pop(cached, None)
    return schedule


def json_object(text: str | None) -> dict[str, Any]:
    """Return *text* as a JSON object; empty if it is not one."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
