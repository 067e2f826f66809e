"""RedBeatScheduler: celery beat's scheduler and its tick loop, with the schedule in Redis."""

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

#: Seconds between claims while no event arrives: changes by programs that emit no events
#: (celery-redbeat, redis-cli) are detected within this time.
CLAIM_EVERY = 1.0
#: Seconds of the backoff while Redis is unreachable: the first wait and the longest.
_RETRY_FIRST, _RETRY_MOST = 0.1, 2.0
#: The steps of the loop, as the log names them when one fails and no entry causes it.
_DISPATCH = "The dispatch of due entries"
_STATICS = "Writing beat_schedule to Redis"
_RECONCILE = "The check of all entries"


class RedBeatScheduler(Scheduler):
    """A Celery beat scheduler whose schedule is stored in Redis.

    Use it with ``celery beat -S redbeat_core.RedBeatScheduler``. A beat writes entries only while
    it is the leader.
    """

    Entry = RedBeatSchedulerEntry

    #: Length of the lease in seconds if ``redbeat_lock_timeout`` is not set.
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
        # lazy: this beat writes the static entries when it becomes the leader, not before.
        super().__init__(app, lazy=True, **kwargs)
        self.lock_key = lock_key or config.lock_key
        self.lock_timeout = lock_timeout or config.lock_timeout or self.lock_timeout
        self.config = config
        self._event = threading.Event()
        self._interrupts: Sequence[int] = ()
        self._standby_wait = 0.0
        #: Number of static entries that this beat wrote when it became the leader.
        self._static_count = 0
        self.clock = Clock()
        # The entries that this beat writes use its clock.
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
        self.publisher = Publisher(app, config.delivery, client)
        self.lazy = LazyArguments()
        self.runner = BatchRunner(
            BeatContext(
                app=app,
                config=config,
                store=self.store,
                clock=self.clock,
                lease=self.lease,
                publisher=self.publisher,
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
        self._redis_wait = self._error_wait = 0.0
        self._errors = UnexpectedErrors()
        self._install_at = 0.0
        self._closed = False

    # Celery's interface

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Dispatch due entries, then wait for the next due time, a change, the loss of the lease
        or the end of the loop interval.

        :returns: seconds that Celery sleeps before the next call: always 0, because this method
            waits itself, and an event can end its wait.
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
        """Whether this beat received a signal to end: it completes its work and begins no more."""
        return bool(self._interrupts)

    def close(self) -> None:
        """Release the lease and close the connections; may be called more than once."""
        if not self._closed:
            self._closed = True
            self._wakeup.stop()
            if self._leading and self.lock_key:
                logger.info("beat: Releasing lock")
            self._leading = False
            self.lease.stop()
            self.publisher.close()
        super().close()

    def setup_schedule(self) -> None:
        """Write the static entries of ``beat_schedule`` to Redis; only the leader calls this."""
        self._static_count = 0
        wanted = dict(self.app.redbeat_conf.schedule or {})
        static_entries.remove_gone(self.store, wanted)
        # celery adds its own entry, which deletes expired results, in the same form.
        self.install_default_entries(wanted)
        self.update_from_dict(wanted)

    def update_from_dict(self, dict_: dict[str, Any]) -> None:
        """Write these entries as static ones, if they differ from those in Redis."""
        entries = static_entries.make_entries(
            dict_, lambda name, item: self.lazy.taken_from(self._maybe_entry(name, item))
        )
        written = static_entries.sync(self.store, entries)
        self._static_count += len(written)
        self.store.add_statics(name for name in written if name in self.config.schedule)

    @property
    def schedule(self) -> dict[str, RedBeatSchedulerEntry]:
        """The due entries and the one entry that is due next, by name."""
        now = self.clock.now()
        scores = self.store.scores()
        due = [name for name, score in scores.items() if 0 <= score <= now]
        later = {name: score for name, score in scores.items() if score > now}
        records = self.store.records(due + sorted(later, key=later.__getitem__)[:1])
        loaded = (self.batch.loader.load(record) for record in records)
        return {one.entry.name: one.entry for one in loaded if one is not None}

    @property
    def lock(self) -> Lease | None:
        """The lease while this beat holds it, else None."""
        return self.lease if self._leading and self.lock_key else None

    @property
    def info(self) -> str:
        """The lines about this scheduler in celery beat's banner."""
        lines = [f"       . redis -> {safe_url(self.config.redis_url)}"]
        if self.lock_key:
            lines.append(f"       . lock -> `{self.lock_key}` {self.lock_timeout:g} seconds")
        lines.append(f"       . delivery -> {self.config.delivery}")
        return "\n".join(lines)

    # The loop

    def _start(self) -> None:
        if self._closed:
            # celery may tick once more after its signal handler has closed the scheduler.
            raise SystemExit
        exit_on_default_sigterm()
        self.lease.start()
        self._wakeup.start()

    def _step(self) -> float:
        """Lead or stand by once; return the seconds to wait."""
        try:
            pause = self._lead() if self._is_leader() else self._stand_by()
        except TROUBLE as exc:
            return self._unreachable(exc)
        except Exception as exc:
            return self._unexpected(exc)
        self._error_wait = 0.0
        if self._errors.met_before:
            self._errors.over(_DISPATCH)
        if self._redis_wait:
            self._redis_wait = 0.0
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
        self._leading = True
        self._installed = False
        self._standing_by_for = ""
        mode = self.publisher.choose_mode()
        logger.info("beat: Acquired lock, leading as %s", self.lease.token)
        logger.info("beat: Delivery is %s: %s", mode, self.publisher.reason)
        if not self.lock_key and mode == AT_LEAST_ONCE:
            logger.warning(
                "beat: Without a lock (redbeat_lock_key) and with delivery %s several beats may "
                "each enqueue a run, with the same task id",
                mode,
            )
        # The acquisition published the facts before the mode was chosen.
        self.lease.describe()
        return True

    def _stand_by(self) -> float:
        # The event of a release ends this wait at once; without it, the lease expires.
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
                self._install_at = time.monotonic() + _RETRY_MOST
        result = self.runner.run()
        if not result.held:
            self._demote(f"{result.holder or 'nobody'} has the lease")
            return 0
        if result.more:
            return 0
        if result.next_at is None and not self.lock_key and self._static_count:
            # Redis may have lost its data. With a lock, the loss of the lease reveals that.
            self._installed = False
        self._maintain(_RECONCILE, self._auditor.look)
        due_in = CLAIM_EVERY if result.next_at is None else result.next_at - self.clock.now()
        return max(0.0, min(due_in, CLAIM_EVERY))

    def _maintain(self, step: str, work: Callable[[], None]) -> bool:
        """Do *work*; return whether it succeeded. Its failure does not stop the dispatch."""
        try:
            work()
        except TROUBLE:
            raise
        except Exception as exc:
            self._errors.met(step, exc)
            return False
        if self._errors.met_before:
            self._errors.over(step)
        return True

    def _unexpected(self, exc: Exception) -> float:
        # An end of this beat would not help: the next leader would raise the same error.
        self._errors.met(_DISPATCH, exc)
        self._error_wait = next_wait(self._error_wait, _RETRY_FIRST, _RETRY_MOST)
        return float(min(self._error_wait, self.max_interval))

    def _unreachable(self, exc: Exception) -> float:
        problem = explain(exc, self.config.redis_url)
        if not self._redis_wait:
            logger.error("beat: %s; retrying until it answers", problem)
            logger.debug("beat: the error was", exc_info=exc)
        if is_read_only(exc):
            self._reconnect(str(problem))
        self._redis_wait = next_wait(self._redis_wait, _RETRY_FIRST, _RETRY_MOST)
        return self._redis_wait

    def _reconnect(self, reason: str) -> None:
        """Close all connections: if the address leads to another server now, the open ones still
        lead to the old server, which stays a replica."""
        if not connection.is_cluster(self.store.client):
            # Another thread uses the others, and calls this too as soon as they fail.
            self.store.client.connection_pool.disconnect(inuse_connections=False)
        self._wakeup.reconnect()
        self.publisher.close(reason)

    def _warn_of_unused_hooks(self) -> None:
        """Log a warning about overridden methods that only celery-redbeat's loop calls."""
        unused = [
            *overridden(type(self), RedBeatScheduler, ("maybe_due", "reserve")),
            *overridden(self.Entry, RedBeatSchedulerEntry, ("is_due", "next", "_next_instance")),
        ]
        if unused:
            logger.warning(
                "beat: %s: this scheduler does not call these methods: it asks the schedule, "
                "and advances an entry in one step with its message",
                ", ".join(unused),
            )

    def _facts(self) -> dict[str, Any]:
        return {
            "role": "leader" if self._leading else "standby",
            "delivery": self.publisher.mode,
            "timezone": str(self.app.timezone),
            "lease": self.lock_timeout,
            "max_interval": self.max_interval,
            "celery": celery.__version__,
        }


def _refusal(problem: Exception) -> SystemExit:
    """Return the exception that ends beat with *problem* as its message: celery shows a traceback
    for any other exception than SystemExit."""
    if isinstance(sys.stderr, LoggingProxy):
        # Celery logs what is printed as a warning, which --loglevel may hide.
        logger.critical("beat: %s", problem)
        return SystemExit(1)
    return SystemExit(f"beat: {problem}")


def acquire_distributed_beat_lock(sender: Any = None, **_: Any) -> None:
    """Try once to acquire the lease. celery-redbeat has this function as beat's start-up handler,
    and applications import it; this scheduler acquires the lease in its loop."""
    if sender is not None and sender.scheduler.lock_key:
        sender.scheduler.lease.acquire()
