"""Runs one batch, or a pipeline of batches while many entries are due."""

from __future__ import annotations

import time
from dataclasses import replace

from celery.utils.log import get_logger
from redis import exceptions

from redbeat_core.broker.delivery import EXACTLY_ONCE
from redbeat_core.storage.leader_store import Claim
from redbeat_core.storage.size_limits import LARGE, may_be_for_size, refusal

from .batch import Batch
from .batch_work import FIRST_BATCH, PIPELINE_SECONDS, BatchResult, BatchWork
from .context import BeatContext
from .isolation import Isolation, is_unexpected

logger = get_logger("celery.beat")


class BatchRunner:
    """Runs the batches of one scheduler."""

    def __init__(self, context: BeatContext) -> None:
        self._context = context
        self._store = context.store
        self.batch = Batch(context)
        self._isolation = Isolation(context, self.batch)
        #: Size of the next claim.
        self._limit = FIRST_BATCH

    def run(self) -> BatchResult:
        """One batch, or some while they are full."""
        batch = self.batch
        batch.outstanding = None
        try:
            return self._run()
        except Exception as exc:
            if batch.outstanding is not None and self._was_too_large(batch.outstanding, exc):
                return BatchResult(held=True, more=True)
            if not is_unexpected(exc):
                raise
            self._limit = FIRST_BATCH
            batch.all_committed = False
            return self._isolation.one_by_one(exc)

    def _run(self) -> BatchResult:
        batch, context = self.batch, self._context
        backoff, publisher = batch.backoff, context.publisher
        now = context.clock.now()
        if backoff.broker_until and backoff.broker_waits(now):
            return BatchResult(held=True, next_at=backoff.broker_until)
        limit = min(self._limit, context.config.batch_size)
        started = time.monotonic()
        claim = batch.claim(now, limit)
        if not claim.held:
            return BatchResult(held=False, holder=claim.holder)
        context.lease.touched(started)
        if claim.trouble != batch.triggers.trouble:
            batch.triggers.report(claim.trouble)
        if len(claim.due) >= limit and publisher.mode == EXACTLY_ONCE:
            # If this fails, it may have been too much for the server.
            batch.all_committed = False
            self._limit = max(limit // 2, 1)
            result = self._run_pipelined(claim, now, limit)
            self._limit = limit * 2
            return result
        full = claim.more or len(claim.requests) >= limit
        self._limit = min(limit * 2, context.config.batch_size) if full else FIRST_BATCH
        if not claim.more and (backoff.waits or batch.uncommitted.results):
            claimed = {due.name for due in claim.due}
            claimed |= {request.stream_id for request in claim.requests}
            backoff.keep_only(claimed | batch.excluded)
            batch.uncommitted.keep_only(claimed | (batch.excluded - batch.loader.invalid.keys()))
        if not (claim.due or claim.requests):
            return BatchResult(held=True, next_at=batch.next_at(claim))
        work = batch.work_of(claim, now)
        if not (work.runs or work.bulk or work.steps):
            more = claim.more or bool(work.deferred)
            return BatchResult(held=True, next_at=batch.next_at(claim), more=more)
        down = batch.prepare(work, now)
        batch.all_committed = bool(work.bulk) and not (
            claim.more or claim.requests or work.deferred or work.runs or work.steps
        )
        next_limit = self._limit
        # If this fails, it may have been too much for the server.
        self._limit = max(min(limit, len(claim.due)) // 2, 1)
        held = batch.dispatch(work)
        self._limit = next_limit
        if batch.all_committed:
            # Only bulk runs: what is due next is known without asking.
            return BatchResult(held=held, next_at=batch.next_at(claim, work.bulk))
        return BatchResult(held=held, next_at=backoff.broker_until or None, more=not down)

    def _was_too_large(self, work: BatchWork, exc: Exception) -> bool:
        """Whether the size of the commit may have caused *exc*: then the next batches are smaller,
        and a single run that is too large waits.

        :raises RedisError: the server is unreachable.
        """
        runs, size = work.committed, self._store.last_size
        if not runs or size < LARGE or not may_be_for_size(exc):
            return False
        lost = not isinstance(exc, exceptions.ResponseError)
        reason = refusal(self._store.client, size, str(exc), lost=lost)
        if not reason:
            return False
        self._limit = max(len(runs) // 2, 1)
        if len(runs) == 1:
            self.batch.not_committed(runs[0], reason)
        else:
            logger.info("beat: %d runs at once are too much (%s), making fewer", len(runs), reason)
        return True

    def _run_pipelined(self, claim: Claim, now: float, limit: int) -> BatchResult:
        """Dispatch *claim* and what is due after it, for :data:`PIPELINE_SECONDS` at most; for the
        exactly-once mode, where no message is out before its commit.

        The server commits one batch and claims the one after the next while this process makes the
        one in between, so that neither waits for the other. What is claimed ahead may change until
        its commit, as always; the commit compares it.

        :param now: when it was claimed, Unix seconds.
        :param limit: how many it was to take.
        """
        batch, context = self.batch, self._context
        store = context.store
        most = context.config.batch_size
        until = time.monotonic() + PIPELINE_SECONDS
        outstanding: list[tuple[BatchWork, int]] = []
        with store.scripts.pipeline() as pipeline:

            def end_last() -> bool:
                """Take the reply to the commit that is outstanding; False: the lease was lost."""
                if not outstanding:
                    return True
                last, count = outstanding.pop()
                return batch.commit_ended(last, lambda: store.committed(pipeline.reply(), count))

            while True:
                started = time.monotonic()
                claimed_at = context.clock.now()
                # Asked to end, this beat hands over what it has not begun.
                goes_on = claim.more and started < until and not context.is_ending()
                if goes_on:
                    limit = min(limit * 2, most)
                    # They come first, and so may those that cannot run.
                    passing = len(claim.due) + len(batch.loader.invalid)
                    batch.claim(claimed_at, limit, passing=passing, pipeline=pipeline)
                work = batch.work_of(claim, now)
                down = batch.prepare(work, now)
                batch.publish(work)
                if not end_last():
                    return BatchResult(held=False)
                if ready := batch.commit_steps(work):
                    batch.send_commit(work, ready, pipeline)
                    outstanding.append((work, len(ready)))
                if down or not goes_on:
                    break
                claim = store.claimed(pipeline.reply(), limit)
                now = claimed_at
                if not claim.held:
                    return BatchResult(held=False, holder=claim.holder)
                claim = replace(claim, due=(*work.deferred, *claim.due))
                context.lease.touched(started)
            held = end_last()
        waits_until = batch.backoff.broker_until if down else None
        return BatchResult(held=held, next_at=waits_until, more=not down)
