"""The data of one batch: what was claimed, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redbeat_core.broker.delivery import PublishResult
from redbeat_core.storage.commit_steps import BulkRun, ClaimedEntry, CommitStep

from .runs import PendingRun

#: Size of the first claim; it doubles while claims come back full: nothing of a small batch waits
#: for the rest of a large one, and a large one takes few round trips.
FIRST_BATCH = 32
#: Seconds for which batches follow each other before anything else is done.
PIPELINE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one batch.

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
    """The work of one batch: what it does about each claimed entry and request.

    :ivar runs: runs whose messages are to be published.
    :ivar bulk: runs that need only be committed: the script fills in their messages.
    :ivar steps: steps that are committed without a run.
    :ivar deferred: entries left to the next batch, when their message template will be ready.
    :ivar published: the runs that were published.
    :ivar templates: the templates that the script fills in for :attr:`bulk`.
    """

    runs: list[PendingRun] = field(default_factory=list)
    bulk: list[BulkRun] = field(default_factory=list)
    steps: list[CommitStep] = field(default_factory=list)
    deferred: list[ClaimedEntry] = field(default_factory=list)
    published: list[tuple[PendingRun, PublishResult]] = field(default_factory=list)
    templates: Sequence[Any] = ()

    @property
    def committed(self) -> Sequence[BulkRun | PendingRun]:
        """The runs in the order in which they are committed, before the steps: runs on request go
        before what is due."""
        if not self.published:
            return self.bulk
        runs = [run for run, _ in self.published]
        requested = sum(run.trigger_id is not None for run in runs)
        return [*runs[:requested], *self.bulk, *runs[requested:]]
