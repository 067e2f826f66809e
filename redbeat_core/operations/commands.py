"""Changes entries for an operator: pause, resume, trigger, edit, delete.

The console and the command line write only through this module. Every operation names its actor,
may require the version that the operator saw, and is one atomic call with its event.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from redbeat_core import events
from redbeat_core.entries.codec import DecodeError, encode_definition
from redbeat_core.entries.policy import PolicyError, decode_policy, edited
from redbeat_core.entries.record import EntryRecord, json_object
from redbeat_core.entries.trigger import RequestError, Trigger
from redbeat_core.planning.after_edit import after_policy_edit
from redbeat_core.schedules.text.compare import format_or_repr
from redbeat_core.schedules.text.legacy_rrules import meant_in_utc
from redbeat_core.storage.schedule_store import MOST_REQUESTS, VersionConflict, score_text

from .compare_and_set import CompareAndSet, default_actor, present
from .errors import (
    ConflictError,
    InvalidEntryError,
    InvalidRequestError,
    NotFoundError,
    OperationError,
    ReadOnlyError,
    TooManyRequestsError,
)

__all__ = [
    "TRIGGER_EXPIRES",
    "ConflictError",
    "InvalidEntryError",
    "InvalidRequestError",
    "NotFoundError",
    "OperationError",
    "Operations",
    "ReadOnlyError",
    "TooManyRequestsError",
    "default_actor",
]

#: Seconds after which a request that no scheduler claimed is reported as missed, unless the
#: scheduler's redbeat_trigger_expires has another value.
TRIGGER_EXPIRES = 3600.0


class Operations(CompareAndSet):
    """The operations of one operator."""

    def pause(self, name: str, *, version: str | None = None, note: str = "") -> EntryRecord:
        """Pause an entry until it is resumed; pausing a paused entry changes the note.

        :raises OperationError: the operation is refused.
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
        """Resume a paused or disabled entry from its next nominal time on, without catch-up of the
        runs that became due during the pause.

        :raises OperationError: the operation is refused.
        """

        def change(record: EntryRecord) -> dict[str, Any]:
            definition = {**self._definition(record), "enabled": True}
            planned = self._plan(definition["schedule"], record)
            return {
                "steps": [
                    ("set", "definition", _encode(definition)),
                    ("drop", "state", "paused"),
                    ("set", "due", planned.due_field(self._clock())),
                ],
                "score": planned.score,
                "types": (events.ENTRY_RESUMED, events.ENTRY_RESUMED),
            }

        return self._change(name, version, note, change)

    def edit_schedule(
        self, name: str, schedule: Any, *, version: str | None = None, note: str = ""
    ) -> EntryRecord:
        """Replace the schedule of an entry; this repairs an entry of which only the schedule is
        invalid. The entry does not run at once: an interval continues from the last run, any
        other schedule from now.

        :raises OperationError: the operation is refused.
        """

        def change(record: EntryRecord) -> dict[str, Any]:
            before = self._repairable(record)
            definition = {**before, "schedule": schedule}
            state = json_object(record.state)
            if name in self.store.statics():
                earlier = state.get("override")
                replaced = earlier.get("replaced") if isinstance(earlier, dict) else None
                override = {"by": self.actor, "at": self._clock(), "note": note}
                override["replaced"] = replaced or format_or_repr(before["schedule"])
                state["override"] = override
            text = _encode(definition)
            planned = self._plan(schedule, record)
            if planned.finished:
                limits = "" if record.policy is None else " that the entry's policy allows"
                raise InvalidEntryError(
                    f"this schedule has no run to come{limits}: nothing was written"
                )
            zone = meant_in_utc(schedule)
            if definition["enabled"]:
                score = planned.score
                due_field = planned.due_field(self._clock())
            else:
                score = -1.0
                due_field = score_text(-1)
            return {
                "steps": [
                    ("set", "definition", text),
                    ("set", "due", due_field),
                    *([("set", "state", json.dumps(state))] if state else []),
                    *([("set", "zone", zone)] if zone else []),
                ],
                "score": score,
                "types": (events.ENTRY_UPDATED, events.ENTRY_UPDATED),
            }

        return self._change(name, version, note, change)

    def edit_policy(
        self,
        name: str,
        changes: Mapping[str, Any],
        *,
        reset: Iterable[str] | None = (),
        version: str | None = None,
        note: str = "",
    ) -> EntryRecord:
        """Change the policy of an entry. The entry does not run at once.

        :param changes: members of :class:`redbeat_core.entries.policy.Policy`, with their values.
        :param reset: members that return to the default of the settings; None: all of them.
        :raises OperationError: the operation is refused.
        """
        dropped = None if reset is None else tuple(reset)

        def change(record: EntryRecord) -> dict[str, Any]:
            definition = self._definition(record)
            try:
                policy = edited(record.policy, changes, dropped)
                before = decode_policy(None if dropped is None else record.policy, self._defaults())
            except PolicyError as exc:
                raise InvalidEntryError(f"{exc}: nothing was written") from None
            steps = [("set", "policy", policy) if policy else ("del", "policy", "")]
            arguments: dict[str, Any] = {"types": (events.ENTRY_UPDATED, events.ENTRY_UPDATED)}
            if name in self.store.statics():
                steps.append(("set", "state", self._overridden(record, note)))
            timing = definition["schedule"]
            planned = None
            if definition["enabled"]:
                ran = self._ran(timing, record)
                after = self._policy(policy)
                planned = after_policy_edit(record, timing, *ran, before, after, self._now())
            if planned is not None:
                steps.append(("set", "due", planned.due_field(self._clock())))
                # A run may have been made meanwhile, which does not change the version.
                arguments |= {"score": planned.score, "expect_score": record.score}
            return {**arguments, "steps": steps}

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
        """Request one run now, beside the schedule; a paused entry runs too, and stays paused.

        The entry's next run does not change. ``last_run_at`` and ``total_run_count`` include the
        run only with *count_run*.

        :param args: the arguments of this run, in place of the entry's.
        :param kwargs: the keyword arguments of this run, in place of the entry's.
        :param queue: the queue of this run's message, in place of the entry's.
        :param expires: seconds after which a request that no scheduler claimed is reported as
            missed; None: ``redbeat_trigger_expires``.
        :param count_run: record the run as the entry's last one.
        :returns: the request's id, which the run's events and message contain as ``trigger``.
        :raises OperationError: the operation is refused.
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
            done = self.store.request_run(name, text, expect=version or "", data=made.event_data())
        except RequestError as exc:
            raise InvalidRequestError(f"{exc}: nothing is requested") from None
        except VersionConflict as exc:
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
        """Delete an entry, also an invalid one. The next start of beat creates a static entry
        again, unless it is removed from the code.

        :raises OperationError: the operation is refused.
        """
        self._check(name)
        data = {"actor": self.actor, "note": note}
        try:
            existed = self.store.delete(name, expect=version or "", data=data)
        except VersionConflict as exc:
            raise ConflictError(name, version or "", present(exc.current)) from None
        if not existed:
            raise self._not_found(name)

    def _overridden(self, record: EntryRecord, note: str) -> str:
        """Return the state of a static entry whose policy replaces that of the code."""
        state = json_object(record.state)
        earlier = state.get("policy_override")
        override = {"by": self.actor, "at": self._clock(), "note": note}
        replaced = earlier.get("replaced") if isinstance(earlier, dict) else record.policy
        override["replaced"] = replaced
        return json.dumps({**state, "policy_override": override})


def _encode(definition: dict[str, Any]) -> str:
    try:
        return encode_definition(definition)
    except (DecodeError, TypeError, ValueError) as exc:
        raise InvalidEntryError(f"this cannot be stored: {exc}") from None
