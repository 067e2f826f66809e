"""What an operator may do to an entry: pause, resume, trigger, edit, delete.

The console and the command line call this and nothing else to write. Every verb names its
actor, may check the version that the operator saw, and is one atomic call with its event.
"""

from __future__ import annotations

import getpass
import json
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.app import app_or_default
from redis.exceptions import ResponseError

from . import events
from .decoder import DecodeError, decode_meta, encode_definition
from .entry import DEFINITION
from .keys import InvalidNameError, check_name
from .planning import next_after_edit
from .record import EntryRecord, bind, definition_of, json_object
from .statics import format_or_repr
from .store import MOST_REQUESTS, ScheduleStore, score_text
from .store import ConflictError as StoreConflict
from .triggers import RequestError, Trigger

#: Seconds after which a request that no scheduler took is reported as missed, unless the
#: scheduler's redbeat_trigger_expires says otherwise.
TRIGGER_EXPIRES = 3600.0
#: How often a verb without a version starts over when somebody was faster.
_ATTEMPTS = 5
#: Put in place of a schedule that cannot be read, to see whether the rest can.
_ANY_SCHEDULE = {"__type__": "interval", "every": 60.0, "relative": False}


class OperationError(Exception):
    """An operation that was refused; the message says why. Nothing was written."""


class ReadOnlyError(OperationError):
    """Writing is switched off."""


class NotFoundError(OperationError):
    """There is no such entry."""


class InvalidEntryError(OperationError):
    """The entry (or what it would become) cannot run."""


class InvalidRequestError(OperationError):
    """A run-now request that cannot be."""


class TooManyRequestsError(OperationError):
    """So many run-now requests wait that no more are taken."""


class ConflictError(OperationError):
    """The entry is no longer what the operator saw.

    :ivar seen_version: the version that the operator saw.
    :ivar current: the entry as it is now; None when it is gone.
    """

    def __init__(self, name: str, seen_version: str, current: EntryRecord | None) -> None:
        what = "is gone" if current is None else "was changed by somebody else"
        super().__init__(
            f"{name!r} {what} since you saw it; nothing was written. Look at it again and repeat"
        )
        self.seen_version = seen_version
        self.current = current


def default_actor() -> str:
    """``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class Operations:
    """The verbs, for one operator.

    :param app: gives time zones; without one Celery's current app does.
    :param actor: who acts, as ``user@host``.
    :param read_only: refuse every verb.
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

    def pause(self, name: str, *, version: str | None = None, note: str = "") -> EntryRecord:
        """Stop an entry from running until it is resumed; repeating it changes the note.

        :raises OperationError: it was refused.
        """

        def change(record: EntryRecord) -> dict[str, Any]:
            definition = self._definition(record)
            paused = {"by": self.actor, "at": self._clock(), "note": note}
            return {
                "steps": [
                    ("set", "definition", _encode({**definition, "enabled": False})),
                    ("set", "state", json.dumps({**json_object(record.state), "paused": paused})),
                    ("set", "due", score_text(-1)),
                ],
                "score": -1.0,
                "types": (events.ENTRY_PAUSED, events.ENTRY_PAUSED),
            }

        return self._change(name, version, note, change)

    def resume(self, name: str, *, version: str | None = None, note: str = "") -> EntryRecord:
        """Let a paused or disabled entry run again, from its next nominal time on: what came due
        during the pause is not made up for.

        :raises OperationError: it was refused.
        """

        def change(record: EntryRecord) -> dict[str, Any]:
            definition = {**self._definition(record), "enabled": True}
            score = self._score(definition["schedule"], record)
            return {
                "steps": [
                    ("set", "definition", _encode(definition)),
                    ("drop", "state", "paused"),
                    ("set", "due", score_text(score)),
                ],
                "score": score,
                "types": (events.ENTRY_RESUMED, events.ENTRY_RESUMED),
            }

        return self._change(name, version, note, change)

    def edit_schedule(
        self, name: str, schedule: Any, *, version: str | None = None, note: str = ""
    ) -> EntryRecord:
        """Give an entry another schedule; one that cannot run for nothing but its schedule is
        repaired by it. It never runs at once: an interval goes on from the last run, the others
        from now.

        :raises OperationError: it was refused.
        """

        def change(record: EntryRecord) -> dict[str, Any]:
            before = self._repairable(record)
            definition = {**before, "schedule": schedule}
            state = json_object(record.state)
            if name in self.store.statics():
                known = state.get("override")
                replaced = known.get("replaced") if isinstance(known, dict) else None
                override = {"by": self.actor, "at": self._clock(), "note": note}
                override["replaced"] = replaced or format_or_repr(before["schedule"])
                state["override"] = override
            text = _encode(definition)
            due = self._score(schedule, record)
            if due < 0:
                raise InvalidEntryError("this schedule has no run to come: nothing was written")
            score = due if definition["enabled"] else -1.0
            return {
                "steps": [
                    ("set", "definition", text),
                    ("set", "due", score_text(score)),
                    *([("set", "state", json.dumps(state))] if state else []),
                ],
                "score": score,
                "types": (events.ENTRY_UPDATED, events.ENTRY_UPDATED),
            }

        return self._change(name, version, note, change)

    def trigger(
        self,
        name: str,
        *,
        version: str | None = None,
        note: str = "",
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        expires: float | None = None,
        count_run: bool = False,
    ) -> str:
        """Ask for one run now, beside the schedule; also of a paused entry, which stays paused.

        The entry's next run stays where it is, and the run is not its last one in the sense of
        ``last_run_at`` and ``total_run_count`` unless it is to count.

        :param args: for this run, in place of the entry's.
        :param kwargs: the same.
        :param queue: where the message of this run goes.
        :param expires: seconds after which a request that no scheduler took is reported as
            missed; None: what ``redbeat_trigger_expires`` says.
        :param count_run: count as the entry's last run.
        :returns: the request's id: the events of the run and its message carry it as
            ``trigger``.
        :raises OperationError: it was refused.
        """
        self._check(name)
        self._definition(self._record(name))
        made = Trigger(
            id=secrets.token_hex(8),
            name=name,
            at=self._clock(),
            args=args,
            kwargs=kwargs,
            queue=queue,
            expires=expires,
            count_run=count_run,
            actor=self.actor,
            note=note,
        )
        try:
            text = made.as_json()
            done = self.store.request_run(name, text, expect=version or "", data=made.told())
        except RequestError as exc:
            raise InvalidRequestError(f"{exc}: nothing is requested") from None
        except StoreConflict as exc:
            raise ConflictError(name, version or "", exc.current) from None
        except ResponseError as exc:
            raise OperationError(f"Redis refused the request: {exc}") from None
        if done == "full":
            raise TooManyRequestsError(
                f"{MOST_REQUESTS} run-now requests wait already: does a beat of this project lead? "
                "Nothing is requested"
            )
        if done == "gone":
            raise self._not_found(name)
        return made.id

    def delete(self, name: str, *, version: str | None = None, note: str = "") -> None:
        """Delete an entry, also one that cannot run. A static one comes back when beat starts
        again, unless it is taken out of the code.

        :raises OperationError: it was refused.
        """
        self._check(name)
        data = {"actor": self.actor, "note": note}
        try:
            known = self.store.delete(name, expect=version or "", data=data)
        except StoreConflict as exc:
            raise ConflictError(name, version or "", _present(exc.current)) from None
        if not known:
            raise self._not_found(name)

    def _change(
        self,
        name: str,
        version: str | None,
        note: str,
        change: Callable[[EntryRecord], dict[str, Any]],
    ) -> EntryRecord:
        self._check(name)
        current: EntryRecord | None = None
        for _ in range(1 if version else _ATTEMPTS):
            record = self._record(name)
            if version and record.version != version:
                raise ConflictError(name, version, record)
            arguments = change(record)
            data = {"actor": self.actor, "note": note}
            try:
                done = self.store.change(name, expect=record.version, data=data, **arguments)
            except StoreConflict as exc:
                current = exc.current
                continue
            assert done is not None
            return done
        raise ConflictError(name, version or "", _present(current))

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
            known = definition_of(record)
        except DecodeError as exc:
            raise InvalidEntryError(
                f"{record.name!r} cannot run ({exc}); repair its definition in Redis, or delete it"
            ) from None
        return _complete(known)

    def _repairable(self, record: EntryRecord) -> dict[str, Any]:
        """The definition, or what it is but for its schedule, if only that is broken."""
        try:
            definition_of(record)
        except DecodeError:
            loose = {**json_object(record.definition), "schedule": _ANY_SCHEDULE}
            repaired = replace(record, definition=json.dumps(loose))
            with suppress(DecodeError):
                return _complete(definition_of(repaired))
        return self._definition(record)

    def _score(self, schedule: Any, record: EntryRecord) -> float:
        bind(schedule, self.app)
        try:
            last_run_at = decode_meta(record.meta)["last_run_at"]
        except DecodeError as exc:
            raise InvalidEntryError(f"{record.name!r} has a broken meta: {exc}") from None
        due = next_after_edit(schedule, last_run_at, datetime.fromtimestamp(self._clock(), UTC))
        return -1.0 if due is None else due.timestamp()


def _complete(known: dict[str, Any]) -> dict[str, Any]:
    """The members of a definition, all of them, in celery-redbeat's order."""
    definition = {member: known.get(member) for member in DEFINITION}
    definition["enabled"] = known.get("enabled", True)
    return definition


def _present(record: EntryRecord | None) -> EntryRecord | None:
    gone = record is not None and record.score is None and record.definition is None
    return None if gone else record


def _encode(definition: dict[str, Any]) -> str:
    try:
        return encode_definition(definition)
    except (DecodeError, TypeError, ValueError) as exc:
        raise InvalidEntryError(f"this cannot be stored: {exc}") from None
