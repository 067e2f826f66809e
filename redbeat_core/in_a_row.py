"""Many batches, one after the other, where more is due at once than one batch takes.

The server commits one and claims the one after the next while this process makes the one in
between, so that neither waits for the other. What is claimed ahead may change until its commit,
as always; the commit looks.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .claims import Claim
from .found import IN_A_ROW, Found, Result

if TYPE_CHECKING:
    from .batch import BatchRunner
    from .schedulers import RedBeatScheduler


def run_in_a_row(
    batch: BatchRunner, scheduler: RedBeatScheduler, claim: Claim, now: float, limit: int
) -> Result:
    """Dispatch *claim* and what is due after it, for :data:`IN_A_ROW` seconds at most; for the
    exactly-once mode, where nothing is out before its commit.

    :param now: when it was claimed, Unix seconds.
    :param limit: how many it was to take.
    """
    store, most = scheduler.store, scheduler.config.batch_size
    until = time.monotonic() + IN_A_ROW
    under_way: list[tuple[Found, int]] = []
    with store.scripts.ahead() as ahead:

        def end_last() -> bool:
            """Take the answer to the commit that was asked for; False: the lease was lost."""
            if not under_way:
                return True
            last, count = under_way.pop()
            return batch.ended(last, lambda: store.committed(ahead.answer(), count))

        while True:
            started, asked_at = time.monotonic(), scheduler.clock.now()
            # Told to end, this beat hands over what it has not begun.
            goes_on = claim.more and started < until and not scheduler.ending
            if goes_on:
                limit = min(limit * 2, most)
                # They come first, and so may those that cannot run.
                passing = len(claim.due) + len(batch.invalid.known)
                batch.claim(asked_at, limit, passing=passing, ahead=ahead)
            found = batch.sort(claim, now)
            down = batch.prepare(found, now)
            found.sent = batch.publish(found.jobs, found.steps) or []
            if not end_last():
                return Result(held=False)
            if ready := batch.ready(found):
                batch.ask_commit(found, ready, ahead)
                under_way.append((found, len(ready)))
            if down or not goes_on:
                break
            claim, now = store.claimed(ahead.answer(), limit), asked_at
            if not claim.held:
                return Result(held=False, holder=claim.holder)
            claim = replace(claim, due=(*found.put_off, *claim.due))
            scheduler.lease.touched(started)
        held = end_last()
    waits_until = batch.postponed.broker_until if down else None
    return Result(held=held, next_at=waits_until, more=not down)
