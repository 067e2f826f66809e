"""One batch of the leader: claim, plan, publish, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_logger
from redis import exceptions

from .claims import Advance, Claim, Due, Filled, ServerChangedError
from .decoder import DecodeError
from .dispatch import AT_LEAST_ONCE, AT_MOST_ONCE, EXACTLY_ONCE, Sent
from .filling import Filling
from .found import FIRST_BATCH, Found, Result
from .in_a_row import run_in_a_row
from .invalid import InvalidEntries
from .isolation import Isolation, is_unexpected
from .jobs import Job, failure, finish, moved
from .planning import counted, plan
from .policy import Policy, decode_policy
from .postponed import Postponed
from .progress_text import progress_text
from .published import Published
from .record import EntryRecord, definition_of
from .run_requests import RunRequests
from .scripts import Ahead
from .sending import Sending
from .templates import Templates
from .too_large import LARGE, may_be_for_size, refusal
from .unsent import Unsent, waiting_key
from .words import error_text

if TYPE_CHECKING:
    from .entry import RedBeatSchedulerEntry
    from .schedulers import RedBeatScheduler

logger = get_logger("celery.beat")


class BatchRunner:
    """Claims what is due and dispatches it, for one scheduler."""

    def __init__(self, scheduler: RedBeatScheduler) -> None:
        self._scheduler = scheduler
        self._store = scheduler.store
        self.invalid = InvalidEntries(scheduler.store)
        self.postponed = Postponed(scheduler.clock.now)
        self._requests = RunRequests(scheduler, self)
        self.unsent = Unsent(scheduler.store, self.postponed)
        self._templates = Templates(scheduler)
        self._filling = Filling(scheduler, self._templates)
        self._sending = Sending(scheduler, self._templates, self.postponed)
        self._published = Published(scheduler)
        self._isolation = Isolation(scheduler, self, self.unsent)

    def forget(self) -> None:
        """Forget what was learnt while leading: another beat led since."""
        self.invalid.known.clear()
        self.postponed.clear()

    #: How many are claimed next; whether all that was claimed last went as it was meant to.
    _limit, _settled = FIRST_BATCH, False

    #: What the last claim was not to bring; and the commit that has no answer yet.
    _passed_over: Set[str] = frozenset()
    _asked: Found | None = None

    def run(self) -> Result:
        """One batch."""
        self._asked = None
        try:
            return self._run()
        except Exception as exc:
            if self._asked is not None and self._was_too_large(self._asked, exc):
                return Result(held=True, more=True)
            if not is_unexpected(exc):
                raise
            self._limit, self._settled = FIRST_BATCH, False
            return self._isolation.one_by_one(exc)

    def _was_too_large(self, found: Found, exc: Exception) -> bool:
        """Whether *exc* may have come of the size of the commit: then it is done in parts, and a
        single run waits.

        :raises RedisError: the server is away altogether.
        """
        made, size = found.made, self._store.last_size
        if not made or size < LARGE or not may_be_for_size(exc):
            return False
        lost = not isinstance(exc, exceptions.ResponseError)
        reason = refusal(self._store.client, size, str(exc), lost=lost)
        if not reason:
            return False
        self._limit = max(len(made) // 2, 1)
        if len(made) == 1:
            self._not_committed(made[0], reason)
        else:
            logger.info("beat: %d runs at once are too much (%s), making fewer", len(made), reason)
        return True

    def _run(self) -> Result:
        now = self._scheduler.clock.now()
        if self.postponed.broker_waits(now):
            return Result(held=True, next_at=self.postponed.broker_until)
        scheduler = self._scheduler
        limit = min(self._limit, scheduler.config.batch_size)
        started = time.monotonic()
        claim = self.claim(now, limit)
        if not claim.held:
            return Result(held=False, holder=claim.holder)
        scheduler.lease.touched(started)
        self._requests.report(claim.trouble)
        if len(claim.due) >= limit and scheduler.dispatcher.mode == EXACTLY_ONCE:
            # If this fails, it may have been too much for the server.
            self._settled, self._limit = False, max(limit // 2, 1)
            result = run_in_a_row(self, scheduler, claim, now, limit)
            self._limit = limit * 2
            return result
        full = claim.more or len(claim.requests) >= limit
        self._limit = min(limit * 2, scheduler.config.batch_size) if full else FIRST_BATCH
        if not claim.more:
            came = {due.name for due in claim.due}
            came |= {request.stream_id for request in claim.requests}
            self.postponed.keep_only(came | self._passed_over)
            self._published.keep_only(came | (self._passed_over - self.invalid.known.keys()))
        if not (claim.due or claim.requests):
            return Result(held=True, next_at=self._next_at(claim))
        found = self.sort(claim, now)
        if not (found.jobs or found.filled or found.steps):
            more = claim.more or bool(found.put_off)
            return Result(held=True, next_at=self._next_at(claim), more=more)
        down = self.prepare(found, now)
        self._settled = bool(found.filled) and not (
            claim.more or claim.requests or found.put_off or found.jobs or found.steps
        )
        following, self._limit = self._limit, max(min(limit, len(claim.due)) // 2, 1)
        held = self.dispatch(found)
        self._limit = following
        if self._settled:
            # Nothing but the usual: what is due next is known without asking.
            return Result(held=held, next_at=self._next_at(claim, found.filled))
        return Result(held=held, next_at=self.postponed.broker_until or None, more=not down)

    def claim(self, now: float, limit: int, **ahead: Any) -> Claim:
        """Ask for what is due; see :meth:`ClaimStore.claim` for *ahead*."""
        scheduler = self._scheduler
        known = {**self.invalid.known, **self.postponed.held_back()}
        self._passed_over = known.keys()
        token, length, lock = scheduler.lease.token, scheduler.lock_timeout, scheduler.lock_key
        return self._store.claim(token, length, now, limit, known, lock, **ahead)

    def prepare(self, found: Found, now: float) -> str:
        """Look to the broker; returns why nothing can be published."""
        dispatcher = self._scheduler.dispatcher
        server = dispatcher.server
        down = dispatcher.prepare() if found.jobs or found.filled else ""
        if down or dispatcher.server != server:
            # What was filled is for the broker as it was.
            found.filled.clear()
        if down:
            self.unsent.broker_down(down, found.jobs, now, self.invalid.known)
            found.jobs.clear()
        return down

    def _next_at(self, claim: Claim, filled: Sequence[Filled] = ()) -> float | None:
        scores = (one.score for one in filled)
        times = (self.postponed.next_at(), claim.next_score, *(at for at in scores if at >= 0))
        return min((at for at in times if at is not None), default=None)

    # From what was claimed to jobs

    def sort(self, claim: Claim, now: float) -> Found:
        """What to do about each thing that was claimed."""
        self._templates.begin_batch()
        self._filling.begin_batch(now)
        found = Found()
        requested = self._requests.items(claim.requests)
        for item in requested:
            found.add(item)
        # A run on request that counts as the last one goes first; the entry's own comes after it.
        counting = {job.name for job in found.jobs if job.step.meta}
        for due in claim.due:
            if due.name in counting:
                continue
            try:
                filled = self._filling.fill(due)
                waits = filled is None and self._filling.waits_for_form(due)
            except Exception:
                # The long way says what is wrong with it.
                filled, waits = None, False
            if filled is not None:
                found.filled.append(filled)
            elif waits:
                found.put_off.append(due)
            else:
                found.add(self._due_job(due, now))
        found.forms = self._filling.forms
        return found

    def dispatch(self, found: Found) -> bool:
        """Publish and commit in the order of the delivery mode; False when the lease was lost."""
        if self._scheduler.dispatcher.mode == AT_MOST_ONCE:
            return self._commit_first(found.jobs, found.steps)
        if (sent := self.publish(found.jobs, found.steps)) is None:
            return False
        found.sent = sent
        return self._commit(found)

    def _due_job(self, due: Due, now: float) -> Job | Advance | None:
        record = due.record
        entry = self.entry_of(record)
        if entry is None:
            return None
        at = datetime.fromtimestamp(now, UTC)
        try:
            planned = plan(
                record,
                definition_of(record),
                entry.last_run_at,
                at,
                self._scheduler.app.conf.beat_cron_starting_deadline,
                self.policy_of(record),
                entry.total_run_count,
            )
            progress = progress_text(entry.schedule, planned.next and min(planned.next, at))
        except MemoryError as exc:
            self.unsent.not_read(record, exc)
            return None
        except Exception as exc:
            # A schedule that decodes and cannot be computed; custom types may raise anything.
            self.invalid.found(record, f"its next run cannot be computed: {exc}")
            return None
        counts = counted(record.counts, planned.gaps) if planned.gaps else ""
        step = Advance(
            due, score=planned.score, mark=planned.mark(now), counts=counts, progress=progress
        )
        if planned.nominal is None:
            return replace(step, events=moved(self._store, step, planned))
        nominal = planned.nominal.timestamp()
        return Job(record.name, entry, repr(nominal), nominal, step, plan=planned)

    def policy_of(self, record: EntryRecord) -> Policy:
        """The policy of the entry.

        :raises DecodeError: it cannot be read, with the reason.
        """
        defaults = self._scheduler.config.policy
        return defaults if record.policy is None else decode_policy(record.policy, defaults)

    def entry_of(self, record: EntryRecord) -> RedBeatSchedulerEntry | None:
        """The entry of *record*; None, and reported, when it cannot run."""
        try:
            entry = self._scheduler.Entry.from_record(record, self._scheduler.app)
            self.policy_of(record)
        except DecodeError as exc:
            self.invalid.found(record, str(exc))
            return None
        except Exception as exc:
            # The scheduler's `Entry` may be the app's own.
            self.unsent.not_read(record, exc)
            return None
        self.invalid.can_be_read(record)
        return entry

    # From jobs to committed steps

    def publish(self, jobs: list[Job], steps: list[Advance]) -> list[tuple[Job, Sent]] | None:
        """Publish; None when the lease ended on the way."""
        dispatcher = self._scheduler.dispatcher
        tried: list[Sent] = []
        lost = False
        for job in jobs:
            if self._scheduler.ending:
                # What is left of the batch is nobody's yet: the next leader makes it.
                break
            # A process that was stopped for a while must not go on sending.
            lost = dispatcher.mode == AT_LEAST_ONCE and not self._scheduler.lease.held
            if lost:
                break
            tried.append(self._published.known(job) or self._sending.send(job))
            if tried[-1].broker_down:
                break
        lost = lost or (dispatcher.mode == AT_LEAST_ONCE and not self._scheduler.lease.held)
        done: list[tuple[Job, Sent]] = []
        waiting, down = jobs[len(tried) :], ""
        settled = list(zip(jobs, dispatcher.settle(tried, push=not lost), strict=False))
        self._published.note(settled)
        for job, sent in settled:
            if not sent.error:
                done.append((job, sent))
                self.postponed.succeeded(waiting_key(job))
            elif sent.broker_down:
                waiting, down = [*waiting, job], sent.error
            else:
                steps.append(self.unsent.failed(job, sent.error))
        if lost:
            return None
        if down:
            others = {job.name for job, _ in done}.union(self.invalid.known)
            self.unsent.broker_down(down, waiting, self._scheduler.clock.now(), others)
        elif jobs:
            self.postponed.broker_works()
        return done

    def _commit(self, found: Found) -> bool:
        """Commit; False when the lease was lost."""
        ready = self.ready(found)
        return not ready or self.ended(found, lambda: self.ask_commit(found, ready))

    def ready(self, found: Found) -> list[Filled | Advance]:
        """What is to be committed."""
        made = [(job, sent, self._finished(found.steps, job, sent)) for job, sent in found.sent]
        found.sent = [(job, sent) for job, sent, step in made if step is not None]
        published = [step for *_, step in made if step is not None]
        return [*found.in_order(published), *found.steps]

    def _finished(self, steps: list[Advance], job: Job, sent: Sent) -> Filled | Advance | None:
        """The step that commits *job*; None, with a note among *steps*, where it cannot be made:
        the clock of an `Entry` may be the app's own."""
        try:
            return self._filling.complete(job, sent) or finish(self._store, job, sent)
        except Exception as exc:
            steps.append(self.unsent.failed(job, f"{type(exc).__name__}: {error_text(exc)}"))
            return None

    def ask_commit(
        self, found: Found, ready: list[Filled | Advance], ahead: Ahead | None = None
    ) -> list[str] | None:
        """Commit what is ready; see :meth:`ClaimStore.commit`."""
        scheduler = self._scheduler
        self._asked = found
        return self._store.commit(
            scheduler.lease.token,
            ready,
            scheduler.lock_key,
            server=scheduler.dispatcher.server,
            forms=found.forms,
            ahead=ahead,
        )

    def ended(self, found: Found, commit: Callable[[], list[str] | None]) -> bool:
        """Do what is to be done about how a commit went; False when the lease was lost."""
        try:
            results = commit()
        except ServerChangedError:
            logger.warning("beat: The schedule moved to another server, looking at it anew")
            self._scheduler.dispatcher.close()
            self._settled = False
            return True
        self._asked = None
        if results is None:
            return False
        for one, result in zip(found.made, results, strict=False):
            if isinstance(one, Job):
                self._published.ended(one, result)
            if result != "ok":
                self._not_committed(one, result)
            elif isinstance(one, Filled):
                self.invalid.forget([one.due.name])
                self.postponed.succeeded(one.due.name)
        return True

    def _not_committed(self, made: Filled | Job, reason: str) -> None:
        self._settled, name = False, made.due.name if isinstance(made, Filled) else made.name
        if reason == "stale":
            logger.info("beat: %r was changed meanwhile, its run is looked at anew", name)
            return
        now = self._scheduler.clock.now()
        job = self._due_job(made.due, now) if isinstance(made, Filled) else made
        if isinstance(job, Job):
            failed = self.unsent.failed(job, reason)
            self._store.commit(self._scheduler.lease.token, [failed], self._scheduler.lock_key)

    def _commit_first(self, jobs: list[Job], steps: list[Advance]) -> bool:
        """celery-redbeat's order: what is not published after the commit is lost."""
        scheduler = self._scheduler
        task_id = self._sending.task_id
        advanced = [finish(self._store, job, Sent(task_id(job), [])) for job in jobs] + steps
        if not advanced:
            return True
        results = self._store.commit(scheduler.lease.token, advanced, scheduler.lock_key)
        if results is None:
            return False
        ready = [job for job, result in zip(jobs, results, strict=False) if result == "ok"]
        for job, result in zip(jobs, results, strict=False):
            if result != "ok":
                self._not_committed(job, result)
        sent = scheduler.dispatcher.settle([self._sending.send(job) for job in ready])
        notes = [
            failure(self._store, job, f"{one.error} (at-most-once: it is not repeated)")
            for job, one in zip(ready, sent, strict=True)
            if one.error
        ]
        if notes:
            self._store.commit("", notes)
        return True
