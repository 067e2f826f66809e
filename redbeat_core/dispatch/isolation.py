"""Isolates unexpected errors: none of them ends beat.

An error within a batch becomes a failed run of the entry (or the run-now request) that raises it:
the batch is dispatched again one by one, which shows which entry raises it. An error that no entry
causes is logged once with its traceback, and the loop continues.

Dispatching a batch again loses and doubles nothing beyond what the delivery mode allows. In the
exactly-once mode no message is out before its commit, and a commit whose reply was lost has changed
the scores that the next commit compares. In the at-least-once mode
:class:`~redbeat_core.dispatch.uncommitted.UncommittedMessages` holds the messages that are out.
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

from redbeat_core.storage.commit_steps import ClaimedEntry, ClaimedTrigger
from redbeat_core.storage.connection import TROUBLE
from redbeat_core.storage.errors import error_text
from redbeat_core.storage.leader_store import Claim
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
    """Whether the content of an entry may have caused *exc*: the state of Redis did not, unless the
    code of the commit script raised it.
    """
    if type(exc) is exceptions.ResponseError:
        return _OF_A_SCRIPT.match(str(exc)) is not None
    return not isinstance(exc, TROUBLE)


class Isolation:
    """Dispatches the entries of a batch one by one, for one scheduler."""

    def __init__(self, context: BeatContext, batch: Batch) -> None:
        self._context = context
        self._batch = batch
        self._failures = batch.failures

    def one_by_one(self, cause: Exception) -> BatchResult:
        """Dispatch each due entry and request by itself, after *cause* ended a batch.

        :raises Exception: *cause*, where none of them raises; or an error that none of them causes.
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
                self._failures.not_made(due, exc)
                blamed = True
            # What this raises is nobody's.
            batch.work_of(replace(claim, due=(), requests=()), now)
            counting: set[str] = set()
            both: list[ClaimedEntry | ClaimedTrigger] = [*claim.requests, *claim.due]
            for one in both:
                if context.is_ending():
                    return BatchResult(held=True)
                if isinstance(one, ClaimedEntry) and one.name in counting:
                    # It was claimed before a request's run counted as its last one: next time.
                    continue
                work = self._own(one, partial(self._sorted, claim, one, now))
                # What this raises is nobody's.
                if work is not None and batch.prepare(work, now):
                    return BatchResult(held=True, next_at=batch.backoff.broker_until)
                held = None if work is None else self._own(one, partial(batch.dispatch, work))
                if held is None or work is None:
                    blamed = True
                elif not held:
                    return BatchResult(held=False)
                else:
                    counting.update(run.name for run in work.runs if run.step.meta)
            if blamed or not claim.more:
                break
        if not blamed:
            raise cause
        return BatchResult(held=True, more=True)

    def _sorted(self, claim: Claim, one: ClaimedEntry | ClaimedTrigger, now: float) -> BatchWork:
        if isinstance(one, ClaimedEntry):
            return self._batch.work_of(replace(claim, due=(one,), requests=()), now)
        return self._batch.work_of(replace(claim, due=(), requests=(one,)), now)

    def _own(self, one: ClaimedEntry | ClaimedTrigger, work: Callable[[], _T]) -> _T | None:
        """Return the result of *work*; None where it raises, and then *one* is reported."""
        try:
            return work()
        except Exception as exc:
            if not is_unexpected(exc):
                raise
            self._failures.not_made(one, exc)
            return None

    def _claim(self, now: float) -> tuple[Claim, list[tuple[ClaimedEntry, Exception]]]:
        """Return what is due; and what cannot even be decoded, with the error."""
        batch, most = self._batch, self._context.config.batch_size
        try:
            return batch.claim(now, most), []
        except Exception as exc:
            if not is_unexpected(exc):
                raise
        names = self._context.store.due_names(now)
        # Behind them all there is nothing to decode: what this raises is nobody's.
        claim = batch.claim(now, 1, passing=len(names) + most)
        due: list[ClaimedEntry] = []
        undecoded: list[tuple[ClaimedEntry, Exception]] = []
        waiting = {*batch.loader.invalid, *batch.backoff.held_back()}
        for place, (name, score) in enumerate(names):
            if name in waiting or len(due) + len(undecoded) >= most:
                continue
            try:
                single = batch.claim(now, 1, passing=place)
            except Exception as exc:
                if not is_unexpected(exc):
                    raise
                undecoded.append((ClaimedEntry(name, [score_text(score)]), exc))
                continue
            due += [one for one in single.due if one.name == name]
        return replace(claim, due=tuple(due), requests=(), more=True), undecoded


class UnexpectedErrors:
    """Logs the errors that no entry causes: each once, with its traceback, and again when the error
    changes; repetitions are counted.

    :ivar met_before: by step: the error, and its number since it was logged.
    """

    def __init__(self) -> None:
        self.met_before: dict[str, tuple[str, int]] = {}

    def met(self, what: str, exc: Exception) -> None:
        """The step *what* (the subject of a sentence) failed with *exc*, and is retried."""
        text = f"{type(exc).__name__}: {error_text(exc)}"
        known, count = self.met_before.get(what, ("", 0))
        same = _NUMBERS.sub("#", text)
        if same == known:
            self.met_before[what] = known, count + 1
            return
        self._tell_count(what)
        self.met_before[what] = same, 0
        logger.error("beat: %s failed, trying again: %s", what, text, exc_info=exc)

    def over(self, what: str) -> None:
        """The step *what* succeeded."""
        if what in self.met_before:
            self._tell_count(what)
            del self.met_before[what]
            logger.warning("beat: %s works again", what)

    def _tell_count(self, what: str) -> None:
        count = self.met_before[what][1] if what in self.met_before else 0
        if count:
            logger.error("beat: %s failed %d more times in the same way", what, count)
