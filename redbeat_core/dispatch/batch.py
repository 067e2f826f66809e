"""One batch of the leader: claim, plan, publish, commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery.utils.log import get_logger

from redbeat_core.broker.delivery import AT_LEAST_ONCE, AT_MOST_ONCE, PublishResult
from redbeat_core.entries.record import definition_of
from redbeat_core.planning.plan import counted, plan
from redbeat_core.schedules.types.count_progress import progress_text
from redbeat_core.storage.errors import error_text
from redbeat_core.storage.leader_store import (
    BulkRun,
    Claim,
    CommitStep,
    DueEntry,
    ServerChangedError,
)
from redbeat_core.storage.scripts import ScriptPipeline

from .batch_work import BatchWork
from .bulk import BulkDispatch
from .context import BeatContext
from .entry_loader import EntryLoader
from .failures import PublishFailures, waiting_key
from .messages.learned import TemplateCache
from .messages.make import MessageSender
from .retry_backoff import RetryBackoff
from .runs import PendingRun, failure, finish, moved
from .triggers import TriggeredRuns
from .uncommitted import UncommittedMessages

logger = get_logger("celery.beat")


class Batch:
    """The steps of a batch, for one scheduler.

    :ivar asked: the work whose commit was sent and has no answer yet.
    :ivar all_committed: whether the last batch was committed without a failure.
    :ivar passed_over: the entries and requests that the last claim left out.
    """

    def __init__(self, context: BeatContext) -> None:
        self._context = context
        self._store = context.store
        self.postponed = RetryBackoff(context.clock.now)
        self.unsent = PublishFailures(context.store, self.postponed)
        self.loader = EntryLoader(context, self.unsent)
        self.requests = TriggeredRuns(context, self.loader, self.postponed)
        self._templates = TemplateCache(context)
        self._filling = BulkDispatch(context, self._templates)
        self._sending = MessageSender(context, self._templates, self.postponed)
        self.published = UncommittedMessages(context)
        self.asked: BatchWork | None = None
        self.all_committed = False
        self.passed_over: Set[str] = frozenset()

    def forget(self) -> None:
        """Forget what was learnt while leading: another beat led since."""
        self.loader.invalid.clear()
        self.postponed.clear()

    def claim(self, now: float, limit: int, **ahead: Any) -> Claim:
        """Ask for what is due; see :meth:`LeaderStore.claim` for *ahead*."""
        context = self._context
        known = {**self.loader.invalid, **self.postponed.held_back()}
        self.passed_over = known.keys()
        token, length, lock = context.lease.token, context.lock_timeout, context.lock_key
        return self._store.claim(token, length, now, limit, known, lock, **ahead)

    def prepare(self, found: BatchWork, now: float) -> str:
        """Look to the broker; returns why nothing can be published."""
        dispatcher = self._context.publisher
        server = dispatcher.server
        down = dispatcher.prepare() if found.jobs or found.filled else ""
        if down or dispatcher.server != server:
            # What was filled is for the broker as it was.
            found.filled.clear()
        if down:
            self.unsent.broker_down(down, found.jobs, now, self.loader.invalid)
            found.jobs.clear()
        return down

    def next_at(self, claim: Claim, filled: Sequence[BulkRun] = ()) -> float | None:
        """When there is something to do next, Unix seconds; None when nothing is.

        :param filled: runs of *claim* that are committed.
        """
        scores = (one.score for one in filled)
        times = (self.postponed.next_at(), claim.next_score, *(at for at in scores if at >= 0))
        return min((at for at in times if at is not None), default=None)

    # From what was claimed to jobs

    def sort(self, claim: Claim, now: float) -> BatchWork:
        """What to do about each thing that was claimed."""
        self._templates.begin_batch()
        self._filling.begin_batch(now)
        found = BatchWork()
        requested = self.requests.items(claim.requests)
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

    def dispatch(self, found: BatchWork) -> bool:
        """Publish and commit in the order of the delivery mode; False when the lease was lost."""
        if self._context.publisher.mode == AT_MOST_ONCE:
            return self._commit_first(found.jobs, found.steps)
        if (sent := self.publish(found.jobs, found.steps)) is None:
            return False
        found.sent = sent
        return self._commit(found)

    def _due_job(self, due: DueEntry, now: float) -> PendingRun | CommitStep | None:
        record = due.record
        entry = self.loader.load(record)
        if entry is None:
            return None
        at = datetime.fromtimestamp(now, UTC)
        try:
            planned = plan(
                record,
                definition_of(record),
                entry.last_run_at,
                at,
                self._context.app.conf.beat_cron_starting_deadline,
                self.loader.policy_of(record),
                entry.total_run_count,
            )
            progress = progress_text(entry.schedule, planned.next and min(planned.next, at))
        except MemoryError as exc:
            self.unsent.not_read(record, exc)
            return None
        except Exception as exc:
            # A schedule that decodes and cannot be computed; custom types may raise anything.
            self.loader.report_invalid(record, f"its next run cannot be computed: {exc}")
            return None
        counts = counted(record.counts, planned.gaps) if planned.gaps else ""
        step = CommitStep(
            due, score=planned.score, mark=planned.mark(now), counts=counts, progress=progress
        )
        if planned.nominal is None:
            return replace(step, events=moved(self._store, step, planned))
        nominal = planned.nominal.timestamp()
        return PendingRun(record.name, entry, repr(nominal), nominal, step, plan=planned)

    # From jobs to committed steps

    def publish(
        self, jobs: list[PendingRun], steps: list[CommitStep]
    ) -> list[tuple[PendingRun, PublishResult]] | None:
        """Publish; None when the lease ended on the way."""
        dispatcher = self._context.publisher
        tried: list[PublishResult] = []
        lost = False
        for job in jobs:
            if self._context.is_ending():
                # What is left of the batch is nobody's yet: the next leader makes it.
                break
            # A process that was stopped for a while must not go on sending.
            lost = dispatcher.mode == AT_LEAST_ONCE and not self._context.lease.held
            if lost:
                break
            tried.append(self.published.known(job) or self._sending.send(job))
            if tried[-1].broker_down:
                break
        lost = lost or (dispatcher.mode == AT_LEAST_ONCE and not self._context.lease.held)
        done: list[tuple[PendingRun, PublishResult]] = []
        waiting, down = jobs[len(tried) :], ""
        settled = list(zip(jobs, dispatcher.wait_for_confirms(tried, push=not lost), strict=False))
        self.published.note(settled)
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
            others = {job.name for job, _ in done}.union(self.loader.invalid)
            self.unsent.broker_down(down, waiting, self._context.clock.now(), others)
        elif jobs:
            self.postponed.broker_works()
        return done

    def _commit(self, found: BatchWork) -> bool:
        """Commit; False when the lease was lost."""
        ready = self.ready(found)
        return not ready or self.ended(found, lambda: self.ask_commit(found, ready))

    def ready(self, found: BatchWork) -> list[BulkRun | CommitStep]:
        """What is to be committed."""
        made = [(job, sent, self._finished(found.steps, job, sent)) for job, sent in found.sent]
        found.sent = [(job, sent) for job, sent, step in made if step is not None]
        published = [step for *_, step in made if step is not None]
        return [*found.in_order(published), *found.steps]

    def _finished(
        self, steps: list[CommitStep], job: PendingRun, sent: PublishResult
    ) -> BulkRun | CommitStep | None:
        """The step that commits *job*; None, with a note among *steps*, where it cannot be made:
        the clock of an `Entry` may be the app's own."""
        try:
            return self._filling.complete(job, sent) or finish(self._store, job, sent)
        except Exception as exc:
            steps.append(self.unsent.failed(job, f"{type(exc).__name__}: {error_text(exc)}"))
            return None

    def ask_commit(
        self,
        found: BatchWork,
        ready: list[BulkRun | CommitStep],
        ahead: ScriptPipeline | None = None,
    ) -> list[str] | None:
        """Commit what is ready; see :meth:`LeaderStore.commit`."""
        context = self._context
        self.asked = found
        return self._store.commit(
            context.lease.token,
            ready,
            context.lock_key,
            server=context.publisher.server,
            forms=found.forms,
            ahead=ahead,
        )

    def ended(self, found: BatchWork, commit: Callable[[], list[str] | None]) -> bool:
        """Do what is to be done about how a commit went; False when the lease was lost."""
        try:
            results = commit()
        except ServerChangedError:
            logger.warning("beat: The schedule moved to another server, looking at it anew")
            self._context.publisher.close()
            self.all_committed = False
            return True
        self.asked = None
        if results is None:
            return False
        for one, result in zip(found.made, results, strict=False):
            if isinstance(one, PendingRun):
                self.published.ended(one, result)
            if result != "ok":
                self.not_committed(one, result)
            elif isinstance(one, BulkRun):
                self.loader.forget([one.due.name])
                self.postponed.succeeded(one.due.name)
        return True

    def not_committed(self, made: BulkRun | PendingRun, reason: str) -> None:
        """Report the run *made* as failed for *reason*; a stale one is only looked at again."""
        self.all_committed = False
        name = made.due.name if isinstance(made, BulkRun) else made.name
        if reason == "stale":
            logger.info("beat: %r was changed meanwhile, its run is looked at anew", name)
            return
        now = self._context.clock.now()
        job = self._due_job(made.due, now) if isinstance(made, BulkRun) else made
        if isinstance(job, PendingRun):
            failed = self.unsent.failed(job, reason)
            self._store.commit(self._context.lease.token, [failed], self._context.lock_key)

    def _commit_first(self, jobs: list[PendingRun], steps: list[CommitStep]) -> bool:
        """celery-redbeat's order: what is not published after the commit is lost."""
        context = self._context
        task_id = self._sending.task_id
        advanced = [
            finish(self._store, job, PublishResult(task_id(job), [])) for job in jobs
        ] + steps
        if not advanced:
            return True
        results = self._store.commit(context.lease.token, advanced, context.lock_key)
        if results is None:
            return False
        ready = [job for job, result in zip(jobs, results, strict=False) if result == "ok"]
        for job, result in zip(jobs, results, strict=False):
            if result != "ok":
                self.not_committed(job, result)
        sent = context.publisher.wait_for_confirms([self._sending.send(job) for job in ready])
        notes = [
            failure(self._store, job, f"{one.error} (at-most-once: it is not repeated)")
            for job, one in zip(ready, sent, strict=True)
            if one.error
        ]
        if notes:
            self._store.commit("", notes)
        return True
