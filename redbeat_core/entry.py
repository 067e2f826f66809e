"""RedBeatSchedulerEntry: one scheduled task, with celery-redbeat's documented API."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from copy import copy, deepcopy
from datetime import MINYEAR, UTC, datetime, timedelta
from typing import Any

from celery import Celery
from celery.app import app_or_default
from celery.beat import ScheduleEntry

from redbeat_core.entries.codec import (
    decode_definition,
    decode_meta,
    encode_definition,
    encode_meta,
)
from redbeat_core.entries.names import check_name
from redbeat_core.entries.policy import Policy, as_members, encode_policy, members_of
from redbeat_core.entries.record import EntryRecord, bind, definition_of, own_copy
from redbeat_core.planning.plan import Plan
from redbeat_core.schedules.text.legacy_rrules import meant_in_utc
from redbeat_core.schedules.types.count_progress import restore_progress
from redbeat_core.schedules.types.next_run import next_look
from redbeat_core.settings.config import ensure_conf
from redbeat_core.storage.schedule_store import (
    MISSING,
    ScheduleStore,
    VersionConflict,
    score_text,
    store_for,
)

from . import events
from .clock import Clock
from .schedules import rrule

#: The members of a definition, in celery-redbeat's order.
DEFINITION = ("name", "task", "args", "kwargs", "options", "schedule", "enabled")
#: How long after its creation a rule with COUNT may be saved and still make its first run.
_JUST_MADE = timedelta(minutes=1)


class RedBeatSchedulerEntry(ScheduleEntry):
    """One scheduled task, stored in Redis.

    :param name: its name, unique under the key prefix.
    :param task: the name of its Celery task.
    :param schedule: a Celery schedule, our ``rrule``, seconds or a timedelta.
    :param enabled: False: it is stored in Redis and does not run.
    :param options: options of ``apply_async``: queue, priority, expires, ...
    :param policy: a :class:`redbeat_core.Policy`, or some of its members by name: the others then
        have the default of the settings; None: saving keeps the stored policy.
    """

    def __init__(
        self,
        name: str | None = None,
        task: str | None = None,
        schedule: Any = None,
        args: Any = None,
        kwargs: Any = None,
        enabled: bool = True,
        options: Any = None,
        policy: Policy | Mapping[str, Any] | None = None,
        **clsargs: Any,
    ) -> None:
        clsargs["app"] = app_or_default(clsargs.get("app"))
        super().__init__(
            name=str(name),
            task=task,
            schedule=schedule,
            args=args,
            kwargs=kwargs,
            options=options,
            **clsargs,
        )
        self.enabled = enabled
        self.policy = policy
        if self.schedule is not None:
            bind(self.schedule, self.app)
        self._unsaved_and_never_run = clsargs.get("last_run_at") is None
        ensure_conf(self.app)

    def __iter__(self) -> Any:
        # celery creates the next instance from these attributes.
        return iter({k: v for k, v in vars(self).items() if not k.startswith("_")}.items())

    @property
    def _store(self) -> ScheduleStore:
        return store_for(self.app)

    @staticmethod
    def load_definition(
        key: str, app: Celery | None = None, definition: str | None = None
    ) -> dict[str, Any]:
        """Return the decoded definition at *key*.

        :raises KeyError: there is no entry.
        :raises DecodeError: the definition is invalid.
        """
        if definition is None:
            store = store_for(app)
            record = store.get(store.keys.name(key))
            definition = record.definition if record else None
        if not definition:
            raise KeyError(key)
        return decode_definition(definition)

    @staticmethod
    def decode_definition(definition: str) -> dict[str, Any]:
        """Return the definition decoded from JSON."""
        return decode_definition(definition)

    @staticmethod
    def load_meta(key: str, app: Celery | None = None) -> dict[str, Any]:
        """Return the decoded meta at *key*; ``{'last_run_at': None, ...}`` if it has none."""
        store = store_for(app)
        record = store.get(store.keys.name(key))
        return decode_meta(record.meta if record else None)

    @staticmethod
    def decode_meta(meta: str | None, app: Celery | None = None) -> dict[str, Any]:
        """Return the meta decoded from JSON."""
        return decode_meta(meta)

    @staticmethod
    def generate_key(app: Celery, name: str) -> str:
        """Return the key of the entry with that name.

        :raises InvalidNameError: the name is empty or starts with ``:``.
        """
        return ensure_conf(app).keys.entry(name)

    @classmethod
    def from_key(cls, key: str, app: Celery | None = None) -> RedBeatSchedulerEntry:
        """Load the entry at *key*.

        :raises KeyError: there is no entry.
        :raises DecodeError: the entry is invalid.
        """
        store = store_for(app)
        record = store.get(store.keys.name(key))
        if record is None or (not record.definition and record.fault in (None, MISSING)):
            raise KeyError(key)
        entry = cls.from_record(record, app)
        # The caller may change these, and decoded definitions are shared.
        entry.args, entry.kwargs, entry.options = deepcopy(
            (entry.args, entry.kwargs, entry.options)
        )
        entry.schedule = bind(copy(entry.schedule), entry.app)
        entry.policy = members_of(record.policy) or None
        return entry

    @classmethod
    def from_record(cls, record: EntryRecord, app: Celery | None = None) -> RedBeatSchedulerEntry:
        """Return the entry of *record*. It shares its schedule with others: do not change that.

        :raises DecodeError: the record is invalid.
        """
        stored = definition_of(record)
        if record.progress:
            restore_progress(stored["schedule"], record.progress)
        definition: dict[str, Any] = dict.fromkeys(DEFINITION)
        for name in DEFINITION:
            definition[name] = stored.get(name)
        for part in ("args", "kwargs", "options"):
            # A receiver of a signal, or a task's own `apply_async`, may change its arguments.
            definition[part] = own_copy(definition[part])
        definition["enabled"] = stored.get("enabled", True)
        meta = decode_meta(record.meta)
        entry = cls(
            app=app,
            **definition,
            last_run_at=meta["last_run_at"],
            total_run_count=meta["total_run_count"],
        )
        # celery replaces a missing last run by the present time.
        entry.last_run_at = meta["last_run_at"]
        entry._unsaved_and_never_run = False
        return entry

    @property
    def due_at(self) -> datetime | None:
        """When the entry runs next: now if that time has passed; None if it never runs again."""
        if self.last_run_at is None:
            return self._now()
        due = next_look(self.schedule, self._aware(self.last_run_at))
        if due is None:
            return self._now() if self._has_only_its_making() else None
        return max(due, self._now())

    def _has_only_its_making(self) -> bool:
        """Whether the entry is new, and the only run of its rule with COUNT is at its creation."""
        rule = self.schedule
        return bool(
            self._unsaved_and_never_run
            and isinstance(rule, rrule)
            and rule.count
            and timedelta(0) <= self._now() - rule.dtstart < _JUST_MADE
        )

    def default_now(self) -> datetime:
        """Return the present time in its schedule's zone; within a beat, by the beat's clock, which
        decides what is due."""
        now: datetime = super().default_now()
        clock = getattr(self.app, "redbeat_clock", None)
        return clock.corrected(now) if isinstance(clock, Clock) else now

    _default_now = default_now

    def _now(self) -> datetime:
        return self._aware(self.default_now())

    def _aware(self, instant: datetime) -> datetime:
        aware: datetime = self.schedule.maybe_make_aware(instant)
        return aware.astimezone(UTC) if aware.tzinfo else aware.replace(tzinfo=UTC)

    @property
    def key(self) -> str:
        """The key of its hash in Redis."""
        return self.generate_key(app=self.app, name=self.name)

    @property
    def score(self) -> float:
        """:attr:`due_at` in Unix seconds; -1 when never again or when not enabled."""
        due_at = self.due_at if self.enabled else None
        return -1 if due_at is None else due_at.timestamp()

    @property
    def rank(self) -> int | None:
        """Its position in the order of the next runs, from 0; None: it is not stored."""
        return self._store.rank(self.name)

    @property
    def definition(self) -> dict[str, Any]:
        """The members of the stored ``definition``."""
        return {name: getattr(self, name) for name in DEFINITION}

    def checked_definition(self) -> str:
        """Return the JSON of the definition, after a test that it can be decoded again.

        :raises InvalidNameError: the name is empty or starts with ``:``.
        :raises DecodeError: the definition is invalid.
        :raises TypeError: one of its values has no JSON form.
        """
        check_name(self.name)
        text = encode_definition(self.definition)
        decode_definition(text)
        return text

    def checked_policy(self) -> str | None:
        """Return the JSON of the policy; None: the entry has no policy.

        :raises PolicyError: the policy is invalid.
        """
        given = self.policy
        members = as_members(given) if isinstance(given, Policy) else given
        return encode_policy(members) if members else None

    def save(self) -> RedBeatSchedulerEntry:
        """Store the entry: replace its definition, and keep the record of its runs.

        :raises InvalidNameError: the name is empty or starts with ``:``.
        :raises DecodeError: the definition is invalid.
        :raises TypeError: one of its values has no JSON form.
        """
        self._store.change(**self.save_change())
        self._unsaved_and_never_run = False
        return self

    def save_change(self) -> dict[str, Any]:
        """Return the arguments of :meth:`ScheduleStore.change` that save this entry."""
        text = self.checked_definition()
        score, due_field, extra = self.place()
        meta = {"last_run_at": self.last_run_at}
        steps = [
            ("set", "definition", text),
            ("setnx", "meta", encode_meta(meta)),
            ("set", "due", due_field),
        ]
        if (policy := self.checked_policy()) is not None:
            steps.append(("set", "policy", policy))
        if (zone := meant_in_utc(self.schedule)) is not None:
            steps.append(("set", "zone", zone))
        if self.enabled:
            # Enabling it in code ends an operator's pause.
            steps.append(("drop", "state", "paused"))
        return {"name": self.name, "steps": steps, "score": score, **extra}

    def delete(self) -> None:
        """Delete the entry from Redis."""
        self._store.delete(self.name)

    def _next_instance(
        self, last_run_at: datetime | None = None, only_update_last_run_at: bool = False
    ) -> RedBeatSchedulerEntry:
        entry: RedBeatSchedulerEntry = super()._next_instance(last_run_at=last_run_at)
        entry._unsaved_and_never_run = False
        if only_update_last_run_at:
            entry.total_run_count = self.total_run_count
        entry._store_meta()
        return entry

    __next__ = next = _next_instance

    def reschedule(self, last_run_at: datetime | None = None) -> None:
        """Record a run at *last_run_at* (default: now) and schedule the next run after it."""
        self.last_run_at = last_run_at or self.default_now()
        self._store_meta()

    def place(self) -> tuple[float, str, dict[str, Any]]:
        """Return the score, the field ``due``, and further arguments of
        :meth:`ScheduleStore.change`: an entry without a further run emits that it is finished,
        without which it would stop silently and never be deleted."""
        score = self.score
        if score >= 0 or not self.enabled:
            return score, score_text(score), {}
        finished = Plan(None, None, finished=True)
        extra = {"types": (events.ENTRY_FINISHED, events.ENTRY_FINISHED)}
        return score, finished.due_field(self._now().timestamp()), extra

    def _store_meta(self) -> None:
        score, due_field, extra = self.place()
        meta: Mapping[str, Any] = {
            "last_run_at": self.last_run_at,
            "total_run_count": self.total_run_count,
        }
        # If the entry was deleted meanwhile, this must not create a hash with only its meta.
        with suppress(VersionConflict):
            self._store.change(
                self.name,
                [("set", "meta", encode_meta(meta)), ("set", "due", due_field)],
                score=score,
                expect="known",
                **extra,
            )

    def is_due(self) -> tuple[bool, float | None]:
        """Return whether the entry is due now, and after how many seconds Celery must ask again."""
        if not self.enabled:
            return False, 5.0
        last_run_at = self.last_run_at or datetime(MINYEAR, 1, 2, tzinfo=self.schedule.tz)
        state: tuple[bool, float | None] = self.schedule.is_due(last_run_at)
        return state
