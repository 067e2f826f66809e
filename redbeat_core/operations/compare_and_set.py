"""Changes an entry only if it still has the version that was read, else retries.

Only :mod:`redbeat_core.operations.commands` uses this.
"""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.app import app_or_default

from redbeat_core.entries.codec import DecodeError, decode_meta
from redbeat_core.entries.names import InvalidNameError, check_name
from redbeat_core.entries.policy import PLAIN, Policy, PolicyError, decode_policy
from redbeat_core.entries.record import EntryRecord, bind, definition_of, json_object
from redbeat_core.entry import DEFINITION
from redbeat_core.planning.after_edit import after_edit
from redbeat_core.planning.plan import Plan
from redbeat_core.settings.config import ConfigError, ensure_conf
from redbeat_core.storage.schedule_store import ScheduleStore, VersionConflict

from .errors import (
    ConflictError,
    InvalidEntryError,
    NotFoundError,
    ReadOnlyError,
)

#: Most attempts of an operation, if others change the entry at the same time.
_ATTEMPTS = 5
#: Replaces an invalid schedule, to test whether the rest of a definition is valid.
_ANY_SCHEDULE = {"__type__": "interval", "every": 60.0, "relative": False}


def default_actor() -> str:
    """Return ``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class CompareAndSet:
    """Reads, checks and changes entries for one operator.

    :param app: the app whose time zone and settings apply; None: Celery's current app.
    :param actor: the operator, as ``user@host``.
    :param read_only: refuse every operation.
    :param clock: returns the time, Unix seconds.
    """

    def __init__(
        self,
        store: ScheduleStore,
        *,
        app: Celery | None = None,
        actor: str | None = None,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.app = app_or_default(app)
        self.actor = actor or default_actor()
        self.read_only = read_only
        self._clock = clock

    def _change(
        self,
        name: str,
        version: str | None,
        note: str,
        change: Callable[[EntryRecord], dict[str, Any]],
    ) -> EntryRecord:
        self._check(name)
        current: EntryRecord | None = None
        for _ in range(_ATTEMPTS):
            record = self._record(name)
            if version and record.version != version:
                raise ConflictError(name, version, record)
            arguments = change(record)
            data = {"actor": self.actor, "note": note}
            try:
                done = self.store.change(name, expect=record.version, data=data, **arguments)
            except VersionConflict as exc:
                current = exc.current
                continue
            assert done is not None
            return done
        raise ConflictError(name, version or "", present(current))

    def _check(self, name: str) -> None:
        if self.read_only:
            raise ReadOnlyError("this is read-only: start without --read-only to change anything")
        try:
            check_name(name)
        except InvalidNameError as exc:
            raise NotFoundError(str(exc)) from None

    def _record(self, name: str) -> EntryRecord:
        record = self.store.get(name)
        if record is None:
            raise self._not_found(name)
        return record

    def _not_found(self, name: str) -> NotFoundError:
        return NotFoundError(
            f"there is no entry {name!r} below the prefix {self.store.keys.prefix!r}"
        )

    def _definition(self, record: EntryRecord) -> dict[str, Any]:
        try:
            definition = definition_of(record)
        except DecodeError as exc:
            raise InvalidEntryError(
                f"{record.name!r} cannot run ({exc}); repair its definition in Redis, or delete it"
            ) from None
        return _complete(definition)

    def _repairable(self, record: EntryRecord) -> dict[str, Any]:
        """Return the definition; if only its schedule is invalid, with another schedule."""
        try:
            definition_of(record)
        except DecodeError:
            loose = {**json_object(record.definition), "schedule": _ANY_SCHEDULE}
            repaired = replace(record, definition=json.dumps(loose))
            with suppress(DecodeError):
                return _complete(definition_of(repaired))
        return self._definition(record)

    def _plan(self, schedule: Any, record: EntryRecord) -> Plan:
        """Return the plan of the entry's next run by *schedule*."""
        last_run_at, runs = self._ran(schedule, record)
        policy = self._policy(record.policy)
        return after_edit(record.name, schedule, last_run_at, runs, policy, self._now())

    def _ran(self, schedule: Any, record: EntryRecord) -> tuple[datetime | None, int]:
        """Return when the entry ran last, and how often; bind *schedule* to the app."""
        bind(schedule, self.app)
        try:
            meta = decode_meta(record.meta)
        except DecodeError as exc:
            raise InvalidEntryError(f"{record.name!r} has a broken meta: {exc}") from None
        return meta["last_run_at"], meta["total_run_count"]

    def _policy(self, text: str | None) -> Policy:
        try:
            return decode_policy(text, self._defaults())
        except PolicyError as exc:
            raise InvalidEntryError(f"{exc}; set the policy again, or reset it") from None

    def _defaults(self) -> Policy:
        """Return the default policy of the app's settings."""
        try:
            return ensure_conf(self.app).policy
        except ConfigError:
            # A console that was started with a URL, without an app, may meet this.
            return PLAIN

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _complete(definition: dict[str, Any]) -> dict[str, Any]:
    """Return *definition* with all members, in celery-redbeat's order."""
    complete = {member: definition.get(member) for member in DEFINITION}
    complete["enabled"] = definition.get("enabled", True)
    return complete


def present(record: EntryRecord | None) -> EntryRecord | None:
    """Return *record*, or None if the entry does not exist any more."""
    gone = record is not None and record.score is None and record.definition is None
    return None if gone else record
