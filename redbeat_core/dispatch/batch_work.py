"""What a batch finds, and what comes of it: for :mod:`redbeat_core.dispatch.batch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redbeat_core.broker.delivery import PublishResult
from redbeat_core.storage.leader_store import BulkRun, CommitStep, DueEntry

from .runs import PendingRun

_T = TypeVar("_T")

#: How many are claimed first of what is due at once, and twice as many each time after: nothing
#: of a small batch waits for the rest of a large one, and a large one takes few round trips.
FIRST_BATCH = 32
#: Seconds for which batches follow each other without a look at anything else.
IN_A_ROW = 0.1


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of one batch.

    :ivar held: whether the lease was ours to the end.
    :ivar holder: who has it, if not.
    :ivar next_at: when there is something to do next (Unix seconds), if that is known.
    :ivar more: there is more to do at once.
    """

    held: bool
    holder: str = ""
    next_at: float | None = None
    more: bool = False


@dataclass(slots=True)
class BatchWork:
    """What came of a claim.

    :ivar jobs: runs whose messages are to be published.
    :ivar filled: runs that need only be committed.
    :ivar steps: what is committed without a run.
    :ivar put_off: what the next batch makes faster.
    :ivar sent: the jobs that were published.
    :ivar forms: what :attr:`filled` is filled into.
    """

    jobs: list[PendingRun] = field(default_factory=list)
    filled: list[BulkRun] = field(default_factory=list)
    steps: list[CommitStep] = field(default_factory=list)
    put_off: list[DueEntry] = field(default_factory=list)
    sent: list[tuple[PendingRun, PublishResult]] = field(default_factory=list)
    forms: Sequence[Any] = ()

    @property
    def made(self) -> list[BulkRun | PendingRun]:
        """The runs to commit, in the order in which they are committed, before the steps."""
        return self.in_order([job for job, _ in self.sent])

    def in_order(self, published: Sequence[_T]) -> list[BulkRun | _T]:
        """*published*, which has something for each of :attr:`sent`, with what is filled: what
        was asked for goes ahead of what is due."""
        asked = sum(job.request is not None for job, _ in self.sent)
        return [*published[:asked], *self.filled, *published[asked:]]

    def add(self, item: PendingRun | CommitStep | None) -> None:
        """Put *item* where it belongs."""
        if isinstance(item, PendingRun):
            self.jobs.append(item)
        elif item is not None:
            self.steps.append(item)
