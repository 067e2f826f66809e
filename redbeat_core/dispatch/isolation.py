"""What becomes of an error that no other code expects: it ends no beat.

An error within a batch becomes a failed run of the entry (or the run-now request) that raises it:
the batch is made again one by one, which shows whose it is. An error that is nobody's is logged
once with its traceback, and the loop goes on.

Making a batch again loses and doubles nothing beyond what the delivery mode allows. In the
exactly-once mode nothing is out before its commit, and a commit whose answer is unknown changed
the scores that the next one compares. In the at-least-once mode
:class:`~redbeat_core.dispatch.uncommitted.UncommittedMessages` knows what is out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from celery.utils.log import get_logger
from redis import exceptions

from redbeat_core.storage.connection import TROUBLE
from redbeat_core.storage.errors import error_text
from redbeat_core.storage.leader_store import Claim, ClaimedTrigger, DueEntry
from redbeat_core.storage.schedule_store import score_text

from .batch import Batch
from .batch_work import BatchResult, BatchWork
from .context import BeatContext

logger = get_logger("celery.beat")

_T = TypeVar("_T")

#: How many claims are made again one by one: the batches in a row are two of them at most, the one
#: that is being made and the one whose commit is under way.
_CLAIMS = 3
#: An error of the code of a script; not one that a command in it met, which begins with a code, or
#: has it within on old servers.
_OF_A_SCRIPT = re.compile(r"(?!.*\b([A-Z]{5,} |OOM |BUSY |maxmemory)).*user_script", re.DOTALL)
#: What differs each time in a text that says the same.
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")


def is_unexpected(exc: Exception) -> bool:
    """Whether *exc* may come of what an entry holds: it does not say how Redis is, but for an
    error in the code of the script that commits."""
    if type(exc) is exceptions.ResponseError:
        return _OF_A_SCRIPT.match(str(exc)) is not None
    return not isinstance(exc, TROUBLE)


class Isolation:
    """Makes batches one by one, for one scheduler."""

    def __init__(self, context: BeatContext, batch: Batch) -> None:
        self._context = context
        self._batch = batch
        self._unsent = batch.unsent

    def one_by_one(self, cause: Exception) -> BatchResult:
        """Dispatch by itself each entry and request that is due, after *cause* ended a batch.

        :raises Exception: *cause*, where none of them raises; or what is raised without any.
        """
        context, batch = self._context, self._batch
        blamed = False
        for _ in range(_CLAIMS):
            started, now = time.monotonic(), context.clock.now()
            claim, undecoded = self._claim(now)
            if not claim.held:
                return BatchResult(held=False, holder=claim.holder)
            context.lease.touched(started)
            for due, exc in undecoded:
                self._unsent.not_made(due, exc)
                blamed = True
            # What this raises is nobody's.
            batch.sort(replace(claim, due=(), requests=()), now)
            counting: set[str] = set()
            both: list[DueEntry | ClaimedTrigger] = [*claim.requests, *claim.due]
            for one in both:
                if context.is_ending():
                    return BatchResult(held=True)
                if isinstance(one, DueEntry) and one.name in counting:
                    # It was claimed before a request's run counted as its last one: next time.
                    continue
                found = self._own(one, partial(self._sorted, claim, one, now))
                # What this raises is nobody's.
                if found is not None and batch.prepare(found, now):
                    return BatchResult(held=True, next_at=batch.postponed.broker_until)
                held = None if found is None else self._own(one, partial(batch.dispatch, found))
                if held is None or found is None:
                    blamed = True
                elif not held:
                    return BatchResult(held=False)
                else:
                    counting.update(job.name for job in found.jobs if job.step.meta)
            if blamed or not claim.more:
                break
        if not blamed:
            raise cause
        return BatchResult(held=True, more=True)

    def _sorted(self, claim: Claim, one: DueEntry | ClaimedTrigger, now: float) -> BatchWork:
        if isinstance(one, DueEntry):
            return self._batch.sort(replace(claim, due=(one,), requests=()), now)
        return self._batch.sort(replace(claim, due=(), requests=(one,)), now)

    def _own(self, one: DueEntry | ClaimedTrigger, work: Callable[[], _T]) -> _T | None:
        """What *work* gives; None, and *one* is reported, where it raises."""
        try:
            return work()
        except Exception as exc:
            if not is_unexpected(exc):
                raise
            self._unsent.not_made(one, exc)
            return None

    def _claim(self, now: float) -> tuple[Claim, list[tuple[DueEntry, Exception]]]:
        """What is due; and what cannot even be decoded, with the error."""
        batch, most = self._batch, self._context.config.batch_size
        try:
            return batch.claim(now, most), []
        except Exception as exc:
            if not is_unexpected(exc):
                raise
        names = self._context.store.due_names(now)
        # Behind them all there is nothing to decode: what this raises is nobody's.
        claim = batch.claim(now, 1, passing=len(names) + most)
        due: list[DueEntry] = []
        undecoded: list[tuple[DueEntry, Exception]] = []
        waiting = {*batch.loader.invalid, *batch.postponed.held_back()}
        for place, (name, score) in enumerate(names):
            if name in waiting or len(due) + len(undecoded) >= most:
                continue
            try:
                single = batch.claim(now, 1, passing=place)
            except Exception as exc:
                if not is_unexpected(exc):
                    raise
                undecoded.append((DueEntry(name, [score_text(score)]), exc))
                continue
            due += [one for one in single.due if one.name == name]
        return replace(claim, due=tuple(due), requests=(), more=True), undecoded


class UnexpectedErrors:
    """Logs the errors that no entry is to blame for: each once, with its traceback, and again when
    it is another one; in between they are only counted."""

    def __init__(self) -> None:
        #: By what failed: the error, and how often it was met since it was logged.
        self._known: dict[str, tuple[str, int]] = {}

    def met(self, what: str, exc: Exception) -> None:
        """*what* (the subject of a sentence) failed with *exc*, and is tried again."""
        text = f"{type(exc).__name__}: {error_text(exc)}"
        known, count = self._known.get(what, ("", 0))
        same = _NUMBERS.sub("#", text)
        if same == known:
            self._known[what] = known, count + 1
            return
        self._tell_count(what)
        self._known[what] = same, 0
        logger.error("beat: %s failed, trying again: %s", what, text, exc_info=exc)

    def over(self, what: str) -> None:
        """*what* went well."""
        if what in self._known:
            self._tell_count(what)
            del self._known[what]
            logger.warning("beat: %s works again", what)

    def _tell_count(self, what: str) -> None:
        count = self._known[what][1] if what in self._known else 0
        if count:
            logger.error("beat: %s failed %d more times in the same way", what, count)
