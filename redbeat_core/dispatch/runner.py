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
from .batch_work import FIRST_BATCH, IN_A_ROW, BatchResult, BatchWork
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
        batch.asked = None
        try:
            return self._run()
        except Exception as exc:
            if batch.asked is not None and self._was_too_large(batch.asked, exc):
                return BatchResult(held=True, more=True)
            if not is_unexpected(exc):
                raise
            self._limit = FIRST_BATCH
            batch.all_committed = False
            return self._isolation.one_by_one(exc)

    def _run(self) -> BatchResult:
        batch, context = self.batch, self._context
        now = context.clock.now()
        if batch.postponed.broker_waits(now):
            return BatchResult(held=True, next_at=batch.postponed.broker_until)
        limit = min(self._limit, context.config.batch_size)
        started = time.monotonic()
        claim = batch.claim(now, limit)
        if not claim.held:
            return BatchResult(held=False, holder=claim.holder)
        context.lease.touched(started)
        batch.requests.report(claim.trouble)
        if len(claim.due) >= limit and context.publisher.mode == EXACTLY_ONCE:
            # If this fails, it may have been too much for the server.
            batch.all_committed = False
            self._limit = max(limit // 2, 1)
            result = self._run_pipelined(claim, now, limit)
            self._limit = limit * 2
            return result
        full = claim.more or len(claim.requests) >= limit
        self._limit = min(limit * 2, context.config.batch_size) if full else FIRST_BATCH
        if not claim.more:
            came = {due.name for due in claim.due}
            came |= {request.stream_id for request in claim.requests}
            batch.postponed.keep_only(came | batch.passed_over)
            batch.published.keep_only(came | (batch.passed_over - batch.loader.invalid.keys()))
        if not (claim.due or claim.requests):
            return BatchResult(held=True, next_at=batch.next_at(claim))
        found = batch.sort(claim, now)
        if not (found.jobs or found.filled or found.steps):
            more = claim.more or bool(found.put_off)
            return BatchResult(held=True, next_at=batch.next_at(claim), more=more)
        down = batch.prepare(found, now)
        batch.all_committed = bool(found.filled) and not (
            claim.more or claim.requests or found.put_off or found.jobs or found.steps
        )
        following = self._limit
        # If this fails, it may have been too much for the server.
        self._limit = max(min(limit, len(claim.due)) // 2, 1)
        held = batch.dispatch(found)
        self._limit = following
        if batch.all_committed:
            # Nothing but the usual: what is due next is known without asking.
            return BatchResult(held=held, next_at=batch.next_at(claim, found.filled))
        return BatchResult(held=held, next_at=batch.postponed.broker_until or None, more=not down)

    def _was_too_large(self, found: BatchWork, exc: Exception) -> bool:
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
            self.batch.not_committed(made[0], reason)
        else:
            logger.info("beat: %d runs at once are too much (%s), making fewer", len(made), reason)
        return True

    def _run_pipelined(self, claim: Claim, now: float, limit: int) -> BatchResult:
        """Dispatch *claim* and what is due after it, for :data:`IN_A_ROW` seconds at most; for the
        exactly-once mode, where nothing is out before its commit.

        The server commits one batch and claims the one after the next while this process makes the
        one in between, so that neither waits for the other. What is claimed ahead may change until
        its commit, as always; the commit compares it.

        :param now: when it was claimed, Unix seconds.
        :param limit: how many it was to take.
        """
        batch, context = self.batch, self._context
        store = context.store
        most = context.config.batch_size
        until = time.monotonic() + IN_A_ROW
        under_way: list[tuple[BatchWork, int]] = []
        with store.scripts.ahead() as ahead:

            def end_last() -> bool:
                """Take the answer to the commit that was asked for; False: the lease was lost."""
                if not under_way:
                    return True
                last, count = under_way.pop()
                return batch.ended(last, lambda: store.committed(ahead.answer(), count))

            while True:
                started, asked_at = time.monotonic(), context.clock.now()
                # Told to end, this beat hands over what it has not begun.
                goes_on = claim.more and started < until and not context.is_ending()
                if goes_on:
                    limit = min(limit * 2, most)
                    # They come first, and so may those that cannot run.
                    passing = len(claim.due) + len(batch.loader.invalid)
                    batch.claim(asked_at, limit, passing=passing, ahead=ahead)
                found = batch.sort(claim, now)
                down = batch.prepare(found, now)
                found.sent = batch.publish(found.jobs, found.steps) or []
                if not end_last():
                    return BatchResult(held=False)
                if ready := batch.ready(found):
                    batch.ask_commit(found, ready, ahead)
                    under_way.append((found, len(ready)))
                if down or not goes_on:
                    break
                claim, now = store.claimed(ahead.answer(), limit), asked_at
                if not claim.held:
                    return BatchResult(held=False, holder=claim.holder)
                claim = replace(claim, due=(*found.put_off, *claim.due))
                context.lease.touched(started)
            held = end_last()
        waits_until = batch.postponed.broker_until if down else None
        return BatchResult(held=held, next_at=waits_until, more=not down)
