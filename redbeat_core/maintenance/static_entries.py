"""Writes the static entries, those of ``beat_schedule``, into Redis; only the leader does this.

The code is the source of a static entry's definition and policy, with two exceptions, which
persist over restarts: an operator's pause; and an operator's edit of the schedule or the policy,
as long as the code still has the value that the operator replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from celery.utils.log import get_logger

from redbeat_core.entries.codec import DecodeError, decode_definition, encode_definition
from redbeat_core.entries.names import InvalidNameError
from redbeat_core.entries.record import EntryRecord, json_object
from redbeat_core.entry import RedBeatSchedulerEntry
from redbeat_core.schedules.text.compare import is_text_of, started_as
from redbeat_core.schedules.text.legacy_rrules import meant_in_utc
from redbeat_core.storage.errors import is_passing
from redbeat_core.storage.schedule_store import MISSING, ScheduleStore, VersionConflict

logger = get_logger("celery.beat")

#: Most attempts to write an entry that others change at the same time.
_ATTEMPTS = 5


def remove_gone(store: ScheduleStore, wanted: Collection[str]) -> None:
    """Delete the static entries whose names are not among *wanted*, the names in the code."""
    gone = sorted(store.statics().difference(wanted))
    for name in gone:
        logger.info("beat: Deleting the static entry %r, the code does not have it any more", name)
    store.delete_statics(gone, {"actor": "beat_schedule"})


def make_entries(
    wanted: Mapping[str, Any], make: Callable[[str, Any], RedBeatSchedulerEntry]
) -> dict[str, RedBeatSchedulerEntry]:
    """Return the entries of these items of ``beat_schedule`` by name; log each invalid one.

    :param make: makes an entry from a name and its item.
    """
    entries: dict[str, RedBeatSchedulerEntry] = {}
    for name, item in wanted.items():
        try:
            entry = make(name, item)
            entry.checked_definition()
            entry.checked_policy()
            entries[name] = entry
        except Exception as exc:
            # One invalid entry must not prevent the others; the code in it may raise any error.
            kind = (
                "" if isinstance(exc, InvalidNameError | DecodeError) else f"{type(exc).__name__}: "
            )
            logger.error("beat: The entry %r of beat_schedule is left out: %s%s", name, kind, exc)
    return entries


def sync(store: ScheduleStore, entries: dict[str, RedBeatSchedulerEntry]) -> list[str]:
    """Write those of these entries that differ; return the names of all that Redis has now.

    :raises RedisError: the server refuses all writes at present.
    """
    waiting = list(entries)
    for _ in range(_ATTEMPTS):
        waiting = _write(store, entries, waiting)
        if not waiting:
            break
    for name in waiting:
        del entries[name]
        logger.error("beat: Could not write the static entry %r: others keep changing it", name)
    return list(entries)


def _write(
    store: ScheduleStore,
    entries: dict[str, RedBeatSchedulerEntry],
    names: list[str],
) -> list[str]:
    """Write *names* of *entries*; remove from *entries* those that cannot be written.

    :returns: the names of entries that others changed meanwhile: they need another attempt.
    :raises RedisError: the server refuses all writes at present.
    """
    pairs = zip(names, store.records(names), strict=True)
    changes = [_change(entries[name], record) for name, record in pairs]
    changed: list[str] = []
    for name, problem in store.save_many(change for change in changes if change):
        if isinstance(problem, VersionConflict):
            changed.append(name)
        elif problem is not None:
            if is_passing(problem):
                raise problem
            del entries[name]
            logger.error("beat: Could not write the static entry %r: %s", name, problem)
    return changed


def _change(entry: RedBeatSchedulerEntry, record: EntryRecord) -> dict[str, Any] | None:
    """Return the change that writes *entry*; None if *record* is equal to it."""
    if record.definition is None:
        return {**entry.save_change(), "expect": "new" if record.fault == MISSING else ""}
    state = json_object(record.state)
    steps: list[tuple[str, str, str]] = []
    try:
        stored = decode_definition(record.definition)
        entry.last_run_at = RedBeatSchedulerEntry.decode_meta(record.meta)["last_run_at"]
    except DecodeError:
        stored = {}
    if stored and isinstance(state.get("paused"), dict):
        entry.enabled = False
    override = state.get("override")
    if stored and isinstance(override, dict):
        if is_text_of(entry.schedule, override.get("replaced")):
            entry.schedule = stored["schedule"]
        else:
            logger.info(
                "beat: %r has a new schedule in the code, which replaces the operator's edit",
                entry.name,
            )
            steps.append(("drop", "state", "override"))
    elif stored:
        entry.schedule = started_as(entry.schedule, stored["schedule"])
    text = encode_definition(entry.definition)
    change: dict[str, Any] = {
        "name": entry.name,
        "steps": [
            *_policy_steps(entry, record, state.get("policy_override")),
            *_zone_steps(entry, record),
        ],
        "expect": record.version,
        "data": {"actor": "beat_schedule"},
    }
    if text == record.definition and not steps and record.score is not None:
        if not change["steps"]:
            return None
        if record.score >= 0 or not entry.enabled:
            # The next due time stays; the new policy decides then whether the run is made.
            return change
    score, due_field, extra = entry.place()
    change["steps"] += [*steps, ("set", "definition", text), ("set", "due", due_field)]
    return {**change, "score": score, **extra}


def _policy_steps(
    entry: RedBeatSchedulerEntry, record: EntryRecord, override: object
) -> list[tuple[str, str, str]]:
    """Return the steps that write the policy of the code, unless an operator replaced exactly
    that policy."""
    policy = entry.checked_policy()
    steps: list[tuple[str, str, str]] = []
    if isinstance(override, dict):
        if override.get("replaced") == policy:
            return steps
        logger.info(
            "beat: %r has a new policy in the code, which replaces the operator's edit", entry.name
        )
        steps.append(("drop", "state", "policy_override"))
    if record.policy != policy:
        steps.append(("del", "policy", "") if policy is None else ("set", "policy", policy))
    return steps


def _zone_steps(entry: RedBeatSchedulerEntry, record: EntryRecord) -> list[tuple[str, str, str]]:
    """Return the step that records UTC as the zone of a rule that the code gives in UTC."""
    zone = meant_in_utc(entry.schedule)
    return [] if zone in (None, record.zone) else [("set", "zone", zone or "")]
