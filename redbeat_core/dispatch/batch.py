"""One batch of the leader: claim, plan, publish, commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery.utils.log import get_logger

from redbeat_core.broker.delivery import AT_LEAST_ONCE, AT_MOST_ONCE, PublishResult
from redbeat_core.planning.plan import counted, plan
from redbeat_core.schedules.types.count_progress import progress_text
from redbeat_core.storage.commit_steps import BulkRun, CommitStep
from redbeat_core.storage.errors import error_text
from redbeat_core.storage.leader_store import Claim, ServerChangedError
from redbeat_core.storage.scripts import ScriptPipeline

from .batch_work import BatchWork
from .bulk import BulkDispatch
from .context import BeatContext
from .due_entry import DueEntry
from .entry_loader import EntryLoader
from .failures import PublishFailures, RetryBackoff
from .messages.make import MessageSender
from .messages.template_cache import TemplateCache
from .runs import PendingRun, commit_step, failure_event, no_run_events
from .triggers import TriggeredRuns
from .uncommitted import UncommittedMessages

logger = get_logger("celery.beat")


class Batch:
    """The steps of a batch, for one scheduler.

    :ivar outstanding: the work of the commit whose reply is outstanding.
    :ivar all_committed: whether the last batch was committed without a failure.
    :ivar excluded: the entries and requests that were excluded from the last claim.
    """

    def __init__(self, context: BeatContext) -> None:
        self._context = context
        self._store = context.store
        self.backoff = RetryBackoff(context.clock.now)
        self.failures = PublishFailures(context.store, self.backoff)
        self.loader = EntryLoader(context, self.failures)
        self.triggers = TriggeredRuns(context, self.loader, self.backoff)
        self.templates = TemplateCache(context)
        self.bulk = BulkDispatch(context, self.templates)
        self.sender = MessageSender(context, self.templates, self.backoff)
        self.uncommitted = UncommittedMessages(context)
        self.outstanding: BatchWork | None = None
        self.all_committed = False
        self.excluded: Set[str] = frozenset()

    def forget(self) -> None:
        """Forget what was learned while leading: another beat led since."""
        self.loader.invalid.clear()
        self.backoff.clear()

    def claim(self, now: float, limit: int, **pipelined: Any) -> Claim:
        """Claim what is due at *now*, Unix seconds; see :meth:`LeaderStore.claim`."""
        context = self._context
        held_back = self.backoff.held_back() if self.backoff.waits else {}
        excluded = {**self.loader.invalid, **held_back}
        self.excluded = excluded.keys()
        token, length, lock = context.lease.token, context.lock_timeout, context.lock_key
        return self._store.claim(token, length, now, limit, excluded, lock, **pipelined)

    def prepare(self, work: BatchWork, now: float) -> str:
        """Check that the broker takes messages; returns why it does not."""
        publisher = self._context.publisher
        server = publisher.server
        down = publisher.prepare() if work.runs or work.bulk else ""
        if down or publisher.server != server:
            # The templates are for the broker as it was.
            work.bulk.clear()
        if down:
            self.failures.broker_down(down, work.runs, now, self.loader.invalid)
            work.runs.clear()
        return down

    def next_at(self, claim: Claim, committed: Sequence[BulkRun] = ()) -> float | None:
        """When there is something to do next, Unix seconds; None when nothing is.

        :param committed: runs of *claim* that are committed.
        """
        times = [score for run in committed if (score := float(run.item.score)) >= 0]
        if claim.next_score is not None:
            times.append(claim.next_score)
        if self.backoff.waits and (retry_at := self.backoff.next_at()) is not None:
            times.append(retry_at)
        return min(times, default=None)

    # From what was claimed to runs

    def work_of(self, claim: Claim, now: float) -> BatchWork:
        """Decide what to do about each entry and request of *claim*."""
        self.templates.begin_batch()
        bulk = self.bulk
        bulk.begin_batch(now)
        work = BatchWork()
        counting: set[str] = set()
        for item in self.triggers.runs(claim.requests) if claim.requests else ():
            _add(work, item)
            if isinstance(item, PendingRun) and item.step.meta:
                # It counts as the entry's last run, and goes first; the entry's own comes after.
                counting.add(item.name)
        for claimed in claim.due:
            if claimed.name in counting:
                continue
            due: DueEntry | None = None
            try:
                run = bulk.make(claimed)
                deferred = run is None and bulk.should_defer(due := DueEntry(claimed))
            except Exception:
                # The other way reports what is wrong with it.
                run, deferred = None, False
            if run is not None:
                work.bulk.append(run)
            elif deferred:
                work.deferred.append(claimed)
            else:
                _add(work, self._pending_run(due or DueEntry(claimed), now))
        work.templates = bulk.templates
        return work

    def _pending_run(self, due: DueEntry, now: float) -> PendingRun | CommitStep | None:
        record = due.record
        loaded = self.loader.load(record)
        if loaded is None:
            return None
        entry, policy = loaded
        at = datetime.fromtimestamp(now, UTC)
        try:
            decided = plan(
                record,
                due.definition,
                entry.last_run_at,
                at,
                self._context.app.conf.beat_cron_starting_deadline,
                policy,
                entry.total_run_count,
            )
            progress = ""
            if due.counts:
                progress = progress_text(entry.schedule, decided.next and min(decided.next, at))
        except MemoryError as exc:
            self.failures.not_loaded(record, exc)
            return None
        except Exception as exc:
            # A schedule that decodes and cannot be computed; custom types may raise anything.
            self.loader.report_invalid(record, f"its next run cannot be computed: {exc}")
            return None
        score, due_field = decided.placed(now)
        step = CommitStep(
            due.claimed,
            score=score,
            due_field=due_field,
            counts=counted(record.counts, decided.gaps) if decided.gaps else "",
            progress=progress,
        )
        if decided.nominal is None:
            return replace(step, events=no_run_events(self._store, step, decided))
        nominal = decided.nominal.timestamp()
        return PendingRun(due.name, entry, repr(nominal), nominal, step, due=due, plan=decided)

    # From runs to committed steps

    def dispatch(self, work: BatchWork) -> bool:
        """Publish and commit in the order of the delivery mode; False when the lease was lost."""
        if self._context.publisher.mode == AT_MOST_ONCE:
            return self._commit_first(work.runs, work.steps)
        if not self.publish(work):
            return False
        ready = self.commit_steps(work)
        return not ready or self.commit_ended(work, lambda: self.send_commit(work, ready))

    def publish(self, work: BatchWork) -> bool:
        """Publish the runs of *work*; False when the lease ended meanwhile."""
        context, runs = self._context, work.runs
        publisher = context.publisher
        leased = publisher.mode == AT_LEAST_ONCE
        if not runs:
            return not leased or context.lease.held
        tried: list[PublishResult] = []
        lost = False
        for run in runs:
            if context.is_ending():
                # The rest of the batch is the next leader's.
                break
            # A process that was stopped for a while must not go on publishing.
            lost = leased and not context.lease.held
            if lost:
                break
            known = self.uncommitted.result_of(run) if leased else None
            tried.append(known or self.sender.send(run))
            if tried[-1].broker_down:
                break
        lost = lost or (leased and not context.lease.held)
        results = list(zip(runs, publisher.wait_for_confirms(tried, push=not lost), strict=False))
        if leased:
            self.uncommitted.add(results)
        waiting, down = runs[len(tried) :], ""
        for run, result in results:
            if not result.error:
                work.published.append((run, result))
                if self.backoff.waits:
                    self.backoff.succeeded(run.waiting_key)
            elif result.broker_down:
                waiting, down = [*waiting, run], result.error
            else:
                work.steps.append(self.failures.failed(run, result.error))
        if lost:
            return False
        if down:
            others = {run.name for run, _ in work.published}.union(self.loader.invalid)
            self.failures.broker_down(down, waiting, context.clock.now(), others)
        elif self.backoff.broker_until:
            self.backoff.broker_works()
        return True

    def commit_steps(self, work: BatchWork) -> list[BulkRun | CommitStep]:
        """The items of the commit of *work*."""
        if not work.published:
            return [*work.bulk, *work.steps]
        requested: list[BulkRun | CommitStep] = []
        due: list[BulkRun | CommitStep] = []
        published = []
        for run, result in work.published:
            step = self._step_of(work.steps, run, result)
            if step is not None:
                published.append((run, result))
                (due if run.trigger_id is None else requested).append(step)
        work.published = published
        return [*requested, *work.bulk, *due, *work.steps]

    def _step_of(
        self, steps: list[CommitStep], run: PendingRun, result: PublishResult
    ) -> BulkRun | CommitStep | None:
        """The step that commits *run*; None, with a report among *steps*, where it cannot be made:
        the clock of an `Entry` may be the app's own."""
        try:
            return self.bulk.complete(run, result) or commit_step(self._store, run, result)
        except Exception as exc:
            steps.append(self.failures.failed(run, f"{type(exc).__name__}: {error_text(exc)}"))
            return None

    def send_commit(
        self,
        work: BatchWork,
        ready: list[BulkRun | CommitStep],
        pipeline: ScriptPipeline | None = None,
    ) -> list[str] | None:
        """Commit *ready*, the items of *work*; see :meth:`LeaderStore.commit`."""
        context = self._context
        self.outstanding = work
        return self._store.commit(
            context.lease.token,
            ready,
            context.lock_key,
            server=context.publisher.server,
            templates=work.templates,
            pipeline=pipeline,
        )

    def commit_ended(self, work: BatchWork, commit: Callable[[], list[str] | None]) -> bool:
        """Take the results of a *commit*, for each run; False when the lease was lost."""
        try:
            results = commit()
        except ServerChangedError:
            logger.warning("beat: The schedule moved to another server, reading it again")
            self._context.publisher.close()
            self.all_committed = False
            return True
        self.outstanding = None
        if results is None:
            return False
        for run, result in zip(work.committed, results, strict=False):
            if isinstance(run, PendingRun):
                if self.uncommitted.results:
                    self.uncommitted.committed(run, result)
                if result != "ok":
                    self.not_committed(run, result)
            elif result != "ok":
                self.not_committed(run, result)
            else:
                self.loader.invalid.pop(run.due.name, None)
                self.backoff.waits.pop(run.due.name, None)
        return True

    def not_committed(self, run: BulkRun | PendingRun, reason: str) -> None:
        """Report *run* as failed for *reason*; one that is stale is only planned again."""
        self.all_committed = False
        name = run.due.name if isinstance(run, BulkRun) else run.name
        if reason == "stale":
            logger.info("beat: %r was changed meanwhile, its run is planned again", name)
            return
        now = self._context.clock.now()
        failed = self._pending_run(DueEntry(run.due), now) if isinstance(run, BulkRun) else run
        if isinstance(failed, PendingRun):
            step = self.failures.failed(failed, reason)
            self._store.commit(self._context.lease.token, [step], self._context.lock_key)

    def _commit_first(self, runs: list[PendingRun], steps: list[CommitStep]) -> bool:
        """celery-redbeat's order: what is not published after the commit is lost."""
        context = self._context
        task_id = self.sender.task_id
        advanced = [
            commit_step(self._store, run, PublishResult(task_id(run), [])) for run in runs
        ] + steps
        if not advanced:
            return True
        results = self._store.commit(context.lease.token, advanced, context.lock_key)
        if results is None:
            return False
        ready = [run for run, result in zip(runs, results, strict=False) if result == "ok"]
        for run, result in zip(runs, results, strict=False):
            if result != "ok":
                self.not_committed(run, result)
        published = context.publisher.wait_for_confirms([self.sender.send(run) for run in ready])
        texts = [
            failure_event(self._store, run, f"{result.error} (at-most-once: it is not repeated)")
            for run, result in zip(ready, published, strict=True)
            if result.error
        ]
        if texts:
            self._store.commit("", [CommitStep(events=[text]) for text in texts])
        return True


def _add(work: BatchWork, item: PendingRun | CommitStep | None) -> None:
    if isinstance(item, PendingRun):
        work.runs.append(item)
    elif item is not None:
        work.steps.append(item)
