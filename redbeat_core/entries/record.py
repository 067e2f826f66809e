"""One entry as Redis holds it: :class:`EntryRecord`.

Pure. A record is undecoded text, so that making one cannot fail.
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

#: The fields of an entry's hash that are read, in the order in which the store asks for them.
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
        """The version that a compare-and-set compares: it changes with the definition, the policy
        and an operator's changes, and not with runs.
        """
        return version_of(self.definition, self.policy, self.state)

    def patched(self, fields: Mapping[str, str | None], score: float | None) -> EntryRecord:
        """Return this record after a change that set *fields* (None: removed) and *score*."""
        known: dict[str, Any] = {
            name: value for name, value in fields.items() if name in HASH_FIELDS
        }
        if "definition" in known:
            known["fault"] = None
        return replace(self, score=score, **known)


def version_of(definition: str | None, policy: str | None, state: str | None) -> str:
    """Return the version of an entry with these fields. ``version_of()`` in the Lua scripts is its
    twin.
    """
    text = "\0".join((definition or "", policy or "", state or ""))
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no text that Redis gave, but an event may hold anything
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

    :raises DecodeError: it is invalid, with the reason.
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
    """Copy *value* with all lists and dicts within: the receiver may change the copy."""
    if type(value) is dict:
        return {name: own_copy(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(own_copy, value))
    return value


def named_definition(text: str, name: str) -> dict[str, Any]:
    """Return the decoded definition *text* of the entry *name*; cached, so do not change it.

    :raises DecodeError: it is invalid, with the reason.
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
    """Give *schedule* the app in whose time zone it runs.

    Decoded schedules are shared between the records with the same text, and Celery's schedules keep
    the zone of the first app they had.
    """
    if schedule._app is not app:
        schedule.app = app
        for kept in ("tz", "utc_enabled"):
            schedule.__dict__.pop(kept, None)
    return schedule


def json_object(text: str | None) -> dict[str, Any]:
    """Parse *text* as a JSON object; empty when it is none."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
