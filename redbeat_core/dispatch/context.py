"""The objects that all parts of one beat share; the scheduler builds them once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from celery import Celery
from celery.beat import Scheduler

from redbeat_core.broker.publisher import Publisher
from redbeat_core.clock import Clock
from redbeat_core.entry import RedBeatSchedulerEntry
from redbeat_core.leadership.lease import Lease
from redbeat_core.settings.config import RedBeatConfig
from redbeat_core.storage.leader_store import LeaderStore

from .lazy_args import LazyArguments


@dataclass(frozen=True, slots=True)
class BeatContext:
    """One beat's app, settings and connections.

    :ivar lazy: the functions in the arguments of entries.
    :ivar scheduler: the Celery scheduler, for its publishing methods and its ``Entry``.
    :ivar lock_key: the key of the lease; None: no lease.
    :ivar lock_timeout: the length of the lease, in seconds.
    :ivar is_ending: whether this beat must end: it finishes the work in progress, and starts no
        more.
    """

    app: Celery
    config: RedBeatConfig
    store: LeaderStore
    clock: Clock
    lease: Lease
    publisher: Publisher
    lazy: LazyArguments
    scheduler: Scheduler
    lock_key: str | None
    lock_timeout: float
    is_ending: Callable[[], bool]

    @property
    def entry_class(self) -> type[RedBeatSchedulerEntry]:
        """The scheduler's class of entries, which may be a class of the app."""
        entry_class: type[RedBeatSchedulerEntry] = self.scheduler.Entry
        return entry_class
