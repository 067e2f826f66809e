"""Handles unexpected errors, so that none of them ends the beat.

After an error within a batch, its entries and run-now requests are dispatched one by one. That
shows which of them raises the error, and its run is reported as failed. An error without such an
entry or request is logged once with its traceback, and the loop continues.

Dispatching a batch again loses or doubles no run beyond what the delivery mode allows. In the
exactly-once mode no message is published before its commit, and a commit whose reply is unknown
changed the scores that the next commit compares. In the at-least-once mode
:class:`~redbeat_core.dispatch.uncommitted.UncommittedMessages` records the published messages.
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

#: The most claims that are dispatched one by one after an error. At most two batches are in work
#: at once: the batch in preparation and the batch whose commit is outstanding.
_CLAIMS = 3
#: Matches an error in the code of a Lua script, but not an error of a command that the script
#: called: that error starts with an error code, or contains it on old servers.
_SCRIPT_ERROR = re.compile(r"(?!.*\b([A-Z]{5,} |OOM |BUSY |maxmemory)).*user_script", re.DOTALL)
#: The numbers and addresses in an error text, which differ each time for the same error.
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")


def is_unexpected(exc: Exception) -> bool:
    """Whether the content of an entry may have caused *exc*.

    Errors of Redis and of the connection are expected, except for an error in the code of the
    commit script.
    """
    if type(exc) is exceptions.ResponseError:
        return _SCRIPT_ERROR.match(str(exc)) is not None
    return not isinstance(exc, TROUBLE)


class Isolation:
    """Dispatches the entries and requests of a batch one by one, for one scheduler."""

    def __init__(self, context: BeatContext, batch: Batch) -> None:
        self._context = context
        self._batch = batch
        self._failures = batch.failures

    def one_by_one(self, cause: Exception) -> BatchResult:
        """Dispatch each due entry and request by itself, after *cause* ended a batch.

        :raises Exception: *cause*, if none of them raises an error; or an error that the batch
            raises without an entry or request.
        """
        context = self._context
        batch = self._batch
        blamed = False
        for _ in range(_CLAIMS):
            started = time.monotonic()
            now = context.clock.now()
            claim, undecoded = self._claim(now)
            if not claim.held:
                return BatchResult(held=False, holder=claim.holder)
            context.lease.touched(started)
            for due, exc in undecoded:
                self._failures.not_made(due, exc)
                blamed = True
            # No entry or request is to blame for an error here: the claim has none.
            batch.work_of(replace(claim, due=(), requests=()), now)
            counted_names: set[str] = set()
            items: list[ClaimedEntry | ClaimedTrigger] = [*claim.requests, *claim.due]
            for item in items:
                if context.is_ending():
                    return BatchResult(held=True)
                if isinstance(item, ClaimedEntry) and item.name in counted_names:
                    # After its claim, a request's run counted as its last run, so the claim is
                    # outdated: the next claim includes the entry.
                    continue
                work = self._attempt(item, partial(self._work_of_one, claim, item, now))
                # No entry or request is to blame for an error of `prepare`.
                if work is not None and batch.prepare(work, now):
                    return BatchResult(held=True, next_at=batch.backoff.broker_until)
                held = None if work is None else self._attempt(item, partial(batch.dispatch, work))
                if held is None or work is None:
                    blamed = True
                elif not held:
                    return BatchResult(held=False)
                else:
                    counted_names.update(run.name for run in work.runs if run.step.meta)
            if blamed or not claim.more:
                break
        if not blamed:
            raise cause
        return BatchResult(held=True, more=True)

    def _work_of_one(
        self, claim: Claim, item: ClaimedEntry | ClaimedTrigger, now: float
    ) -> BatchWork:
        if isinstance(item, ClaimedEntry):
            return self._batch.work_of(replace(claim, due=(item,), requests=()), now)
        return self._batch.work_of(replace(claim, due=(), requests=(item,)), now)

    def _attempt(self, item: ClaimedEntry | ClaimedTrigger, call: Callable[[], _T]) -> _T | None:
        """Return the result of *call*; on an unexpected error, report *item* and return None."""
        try:
            return call()
        except Exception as exc:
            if not is_unexpected(exc):
                raise
            self._failures.not_made(item, exc)
            return None

    def _claim(self, now: float) -> tuple[Claim, list[tuple[ClaimedEntry, Exception]]]:
        """Claim the due entries and requests.

        :returns: the claim, and the due entries whose decoding fails, each with its error.
        """
        batch = self._batch
        batch_size = self._context.config.batch_size
        try:
            return batch.claim(now, batch_size), []
        except Exception as exc:
            if not is_unexpected(exc):
                raise
        names = self._context.store.due_names(now)
        # This claim passes all entries, so it decodes none: no entry is to blame for its error.
        claim = batch.claim(now, 1, passing=len(names) + batch_size)
        due: list[ClaimedEntry] = []
        undecoded: list[tuple[ClaimedEntry, Exception]] = []
        waiting = {*batch.loader.invalid, *batch.backoff.held_back()}
        for index, (name, score) in enumerate(names):
            if name in waiting or len(due) + len(undecoded) >= batch_size:
                continue
            try:
                single = batch.claim(now, 1, passing=index)
            except Exception as exc:
                if not is_unexpected(exc):
                    raise
                undecoded.append((ClaimedEntry(name, [score_text(score)]), exc))
                continue
            due += [entry for entry in single.due if entry.name == name]
        return replace(claim, due=tuple(due), requests=(), more=True), undecoded


class UnexpectedErrors:
    """Logs the errors for which no entry is to blame.

    An error is logged once with its traceback. Repetitions of the same error are only counted,
    until another error follows.

    :ivar met_before: by the name of the failed step: the error text without its numbers, and how
        often the error was repeated since it was logged.
    """

    def __init__(self) -> None:
        self.met_before: dict[str, tuple[str, int]] = {}

    def met(self, what: str, exc: Exception) -> None:
        """Report that *what* (the subject of a sentence) failed with *exc*, and is tried again."""
        text = f"{type(exc).__name__}: {error_text(exc)}"
        previous_error, count = self.met_before.get(what, ("", 0))
        error = _NUMBERS.sub("#", text)
        if error == previous_error:
            self.met_before[what] = error, count + 1
            return
        self._log_count(what)
        self.met_before[what] = error, 0
        logger.error("beat: %s failed, trying again: %s", what, text, exc_info=exc)

    def over(self, what: str) -> None:
        """Report that *what* succeeded; this ends a series of errors."""
        if what in self.met_before:
            self._log_count(what)
            del self.met_before[what]
            logger.warning("beat: %s works again", what)

    def _log_count(self, what: str) -> None:
        count = self.met_before[what][1] if what in self.met_before else 0
        if count:
            logger.error("beat: %s failed %d more times in the same way", what, count)
