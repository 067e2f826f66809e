"""RedBeatScheduler: celery beat's tick loop over a schedule in Redis."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import celery
from celery import Celery
from celery.beat import Scheduler
from celery.utils.log import LoggingProxy, get_logger

from redbeat_core.broker.delivery import AT_LEAST_ONCE
from redbeat_core.broker.publisher import Publisher
from redbeat_core.dispatch.context import BeatContext
from redbeat_core.dispatch.isolation import UnexpectedErrors
from redbeat_core.dispatch.lazy_args import LazyArguments
from redbeat_core.dispatch.messages.celery_hooks import overridden
from redbeat_core.dispatch.runner import BatchRunner
from redbeat_core.leadership.lease import Lease, make_token
from redbeat_core.leadership.wakeup import Wakeup
from redbeat_core.maintenance import static_entries
from redbeat_core.maintenance.reconcile import Reconciler
from redbeat_core.settings.config import (
    DEFAULT_LOCK_TIMEOUT,
    ConfigError,
    RedBeatConfig,
    ensure_conf,
)
from redbeat_core.storage import connection
from redbeat_core.storage.connection import (
    REDBEAT_REDIS_KEY,
    TROUBLE,
    ConnectionProblem,
    RetryingConnection,
    explain,
    get_redis,
    safe_url,
)
from redbeat_core.storage.errors import is_read_only
from redbeat_core.storage.leader_store import LeaderStore

from .backoff import next_wait
from .clock import Clock
from .entry import RedBeatSchedulerEntry
from .signals import exit_on_default_sigterm, interrupts_held_back, wait_for

logger = get_logger("celery.beat")

__all__ = [
    "REDBEAT_REDIS_KEY",
    "RedBeatConfig",
    "RedBeatScheduler",
    "RedBeatSchedulerEntry",
    "RetryingConnection",
    "acquire_distributed_beat_lock",
    "ensure_conf",
    "get_redis",
]

#: Seconds between looks at the schedule when no event calls: what programs wrote that emit none
#: (celery-redbeat, redis-cli) is found within this.
LOOK_EVERY = 1.0
#: Seconds between attempts while Redis is away: the first, and the most.
_AWAY_FIRST, _AWAY_MOST = 0.1, 2.0
#: What may fail for a reason that is nobody's, as it is called in the log.
_A_STEP, _STATICS, _A_LOOK = (
    "The look at what is due",
    "Bringing beat_schedule into Redis",
    "The look at all entries",
)


class RedBeatScheduler(Scheduler):
    """A Celery beat scheduler whose schedule lives in Redis.

    Use it with ``celery beat -S redbeat_core.RedBeatScheduler``. Nothing is written before this
    beat leads.
    """

    Entry = RedBeatSchedulerEntry

    #: Length of the lease in seconds where ``redbeat_lock_timeout`` is not set.
    lock_timeout: float = DEFAULT_LOCK_TIMEOUT

    def __init__(
        self,
        app: Celery,
        lock_key: str | None = None,
        lock_timeout: float | None = None,
        lazy: bool = False,
        **kwargs: Any,
    ) -> None:
        try:
            config = ensure_conf(app)
            client = connection.raw_client(get_redis(app))
            if not lazy:
                connection.check_server(
                    client, config.key_prefix, config.key_expiry_check, config.redis_url
                )
        except (ConfigError, ConnectionProblem) as exc:
            raise _refusal(exc) from None
        # The static entries are installed when this beat begins to lead, not before.
        super().__init__(app, lazy=True, **kwargs)
        self.lock_key = lock_key or config.lock_key
        self.lock_timeout = lock_timeout or config.lock_timeout or self.lock_timeout
        self.config = config
        self._event = threading.Event()
        self._interrupts: Sequence[int] = ()
        self._standby_wait = 0.0
        #: How many static entries were brought in when this beat began to lead.
        self._static_count = 0
        self.clock = Clock()
        # For the entries that this beat writes.
        app.redbeat_clock = self.clock
        token = make_token()
        self.store = LeaderStore(
            client,
            config.keys,
            source=f"/redbeat/beat/{token}",
            log_length=config.log_length,
            clock=self.clock.now,
        )
        self.lease = Lease(
            self.store,
            self.lock_key,
            self.lock_timeout,
            self._facts,
            on_lost=self._event.set,
            clock=self.clock,
            token=token,
        )
        self.dispatcher = Publisher(app, config.delivery, client)
        self.lazy = LazyArguments()
        self.runner = BatchRunner(
            BeatContext(
                app=app,
                config=config,
                store=self.store,
                clock=self.clock,
                lease=self.lease,
                publisher=self.dispatcher,
                lazy=self.lazy,
                scheduler=self,
                lock_key=self.lock_key,
                lock_timeout=self.lock_timeout,
                is_ending=lambda: self.ending,
            )
        )
        self.batch = self.runner.batch
        self._wakeup = Wakeup(self.store, self.store.source, self._event.set)
        plain = self.Entry is RedBeatSchedulerEntry
        self._auditor = Reconciler(self.store, self.batch.loader, plain=plain)
        self._warn_of_unused_hooks()
        self._leading = False
        self._installed = False
        self._standing_by_for = ""
        self._away_wait = self._error_wait = 0.0
        self._errors = UnexpectedErrors()
        self._install_at = 0.0
        self._closed = False

    # Celery's interface

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due and wait for what comes: the next due time, a change, a demotion, or
        the end of the loop interval.

        :returns: seconds to sleep before the next call; always 0, the waiting is done here,
            where a change can end it.
        """
        self._start()
        with interrupts_held_back() as self._interrupts:
            self._event.clear()
            pause = self._step()
        if pause > 0:
            wait_for(self._event, pause)
        return 0

    @property
    def ending(self) -> bool:
        """Whether this beat was told to end: what it has begun is finished, and no more begun."""
        return bool(self._interrupts)

    def close(self) -> None:
        """Give the lease back and close the connections; may be called more than once."""
        if not self._closed:
            self._closed = True
            self._wakeup.stop()
            if self._leading and self.lock_key:
                logger.info("beat: Releasing lock")
            self._leading = False
            self.lease.stop()
            self.dispatcher.close()
        super().close()

    def setup_schedule(self) -> None:
        """Bring the static entries of ``beat_schedule`` into Redis; called when leading."""
        self._static_count = 0
        wanted = dict(self.app.redbeat_conf.schedule or {})
        static_entries.remove_gone(self.store, wanted)
        # celery asks for its clean-up of results in the same form.
        self.install_default_entries(wanted)
        self.update_from_dict(wanted)

    def update_from_dict(self, dict_: dict[str, Any]) -> None:
        """Write these entries where they differ from what Redis has, as static ones."""
        entries = static_entries.make_entries(
            dict_, lambda name, item: self.lazy.taken_from(self._maybe_entry(name, item))
        )
        written = static_entries.sync(self.store, entries)
        self._static_count += len(written)
        self.store.add_statics(name for name in written if name in self.config.schedule)

    @property
    def schedule(self) -> dict[str, RedBeatSchedulerEntry]:
        """What is due now, and the one entry that is due next, by name."""
        now = self.clock.now()
        scores = self.store.scores()
        due = [name for name, score in scores.items() if 0 <= score <= now]
        later = {name: score for name, score in scores.items() if score > now}
        records = self.store.records(due + sorted(later, key=later.__getitem__)[:1])
        entries = (self.batch.loader.load(record) for record in records)
        return {entry.name: entry for entry in entries if entry is not None}

    @property
    def lock(self) -> Lease | None:
        """The lease while this beat has it."""
        return self.lease if self._leading and self.lock_key else None

    @property
    def info(self) -> str:
        """For celery beat's banner."""
        lines = [f"       . redis -> {safe_url(self.config.redis_url)}"]
        if self.lock_key:
            lines.append(f"       . lock -> `{self.lock_key}` {self.lock_timeout:g} seconds")
        lines.append(f"       . delivery -> {self.config.delivery}")
        return "\n".join(lines)

    # The loop

    def _start(self) -> None:
        if self._closed:
            # celery may tick again after a sync from its signal handler.
            raise SystemExit
        exit_on_default_sigterm()
        self.lease.start()
        self._wakeup.start()

    def _step(self) -> float:
        """One look at Redis; returns seconds to wait."""
        try:
            pause = self._lead() if self._is_leader() else self._stand_by()
        except TROUBLE as exc:
            return self._away(exc)
        except Exception as exc:
            return self._unexpected(exc)
        self._error_wait = 0.0
        self._errors.over(_A_STEP)
        if self._away_wait:
            self._away_wait = 0.0
            logger.warning("beat: Redis is back")
        return float(min(pause, self.max_interval))

    def _is_leader(self) -> bool:
        if self._leading and self.lease.held:
            return True
        if self._leading:
            self._demote("the lease ran out")
        attempt = self.lease.acquire()
        if not attempt.held:
            self._standby_wait = attempt.wait
            if attempt.holder != self._standing_by_for:
                self._standing_by_for = attempt.holder
                logger.info("beat: Standing by, %s leads", attempt.holder)
            return False
        self._leading, self._installed, self._standing_by_for = True, False, ""
        mode = self.dispatcher.choose_mode()
        logger.info("beat: Acquired lock, leading as %s", self.lease.token)
        logger.info("beat: Delivery is %s: %s", mode, self.dispatcher.reason)
        if not self.lock_key and mode == AT_LEAST_ONCE:
            logger.warning(
                "beat: Without a lock (redbeat_lock_key) and with delivery %s several beats may "
                "each enqueue a run, with the same task id",
                mode,
            )
        # Who leads was told before the mode was known.
        self.lease.describe()
        return True

    def _stand_by(self) -> float:
        # The release event ends this at once; without it, the lease ends by itself.
        return min(self._standby_wait + 0.005, self.lease.interval)

    def _demote(self, reason: str) -> None:
        self._leading = False
        self.lease.lose()
        self.batch.forget()
        self._auditor.forget()
        logger.warning("beat: No longer leading (%s), standing by", reason)

    def _lead(self) -> float:
        if not self._installed and time.monotonic() >= self._install_at:
            self._installed = self._maintain(_STATICS, self.setup_schedule)
            if not self._installed:
                self._install_at = time.monotonic() + _AWAY_MOST
        result = self.runner.run()
        if not result.held:
            self._demote(f"{result.holder or 'nobody'} has the lease")
            return 0
        if result.more:
            return 0
        if result.next_at is None and not self.lock_key and self._static_count:
            # Redis may have lost its data; elsewhere the loss of the lease tells.
            self._installed = False
        self._maintain(_A_LOOK, self._auditor.look)
        due_in = LOOK_EVERY if result.next_at is None else result.next_at - self.clock.now()
        return max(0.0, min(due_in, LOOK_EVERY))

    def _maintain(self, what: str, work: Callable[[], None]) -> bool:
        """Do *work*, which the dispatching of entries does not wait for; whether it went well."""
        try:
            work()
        except TROUBLE:
            raise
        except Exception as exc:
            self._errors.met(what, exc)
            return False
        self._errors.over(what)
        return True

    def _unexpected(self, exc: Exception) -> float:
        # Ending beat would help nobody: the next one to lead would meet it, too.
        self._errors.met(_A_STEP, exc)
        self._error_wait = next_wait(self._error_wait, _AWAY_FIRST, _AWAY_MOST)
        return float(min(self._error_wait, self.max_interval))

    def _away(self, exc: Exception) -> float:
        problem = explain(exc, self.config.redis_url)
        if not self._away_wait:
            logger.error("beat: %s; trying again until it answers", problem)
            logger.debug("beat: the error was", exc_info=exc)
        if is_read_only(exc):
            self._reconnect(str(problem))
        self._away_wait = next_wait(self._away_wait, _AWAY_FIRST, _AWAY_MOST)
        return self._away_wait

    def _reconnect(self, reason: str) -> None:
        """Let go of all connections: where the address leads to another server now, the old one
        keeps them and stays a replica."""
        if not connection.is_cluster(self.store.client):
            # Those in use are another thread's, and come back here as soon as they fail, too.
            self.store.client.connection_pool.disconnect(inuse_connections=False)
        self._wakeup.reconnect()
        self.dispatcher.close(reason)

    def _warn_of_unused_hooks(self) -> None:
        """celery-redbeat's loop calls methods that this one has no use for."""
        unused = [
            *overridden(type(self), RedBeatScheduler, ("maybe_due", "reserve")),
            *overridden(self.Entry, RedBeatSchedulerEntry, ("is_due", "next", "_next_instance")),
        ]
        if unused:
            logger.warning(
                "beat: %s: this scheduler does not call these; it asks the schedule itself, and "
                "advances entries in one step with their message",
                ", ".join(unused),
            )

    def _facts(self) -> dict[str, Any]:
        return {
            "role": "leader" if self._leading else "standby",
            "delivery": self.dispatcher.mode,
            "timezone": str(self.app.timezone),
            "lease": self.lock_timeout,
            "max_interval": self.max_interval,
            "celery": celery.__version__,
        }


def _refusal(problem: Exception) -> SystemExit:
    """What to raise to end beat with *problem* as its last word; celery would show a traceback
    for anything but SystemExit."""
    if isinstance(sys.stderr, LoggingProxy):
        # Logged as a mere warning otherwise, which --loglevel may hide.
        logger.critical("beat: %s", problem)
        return SystemExit(1)
    return SystemExit(f"beat: {problem}")


def acquire_distributed_beat_lock(sender: Any = None, **_: Any) -> None:
    """Try to lead now. Kept for those who import it from celery-redbeat, where it is beat's
    start-up handler; here the scheduler does it in its loop."""
    if sender is not None and sender.scheduler.lock_key:
        sender.scheduler.lease.acquire()
