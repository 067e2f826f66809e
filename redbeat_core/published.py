"""What was published and is not committed yet, so that it is not published again.

Only where the broker is not the schedule's server: there a commit can fail, or its answer be lost,
when its messages are out already. A beat that lives on then commits without a second message; what
a beat does not survive is what ``at-least-once`` allows for.
"""

from __future__ import annotations

from collections.abc import Collection

from .dispatch import Sent
from .jobs import Job
from .unsent import waiting_key


class Published:
    """Remembers the messages of one scheduler, one for each entry and request.

    Also while it does not lead: what is still due when it leads again, nobody has committed.
    """

    def __init__(self) -> None:
        self._sent: dict[str, tuple[str, str, Sent]] = {}

    def note(self, job: Job, sent: Sent) -> None:
        """The message of *job* is out."""
        self._sent[waiting_key(job)] = (*_run(job), sent)

    def known(self, job: Job) -> Sent | None:
        """The message of *job*, if it is out: of this very run, with the entry as it is now."""
        moment, version, sent = self._sent.get(waiting_key(job), ("", "", None))
        return sent if (moment, version) == _run(job) else None

    def settled(self, job: Job) -> None:
        """*job* is committed, or will be looked at anew."""
        self._sent.pop(waiting_key(job), None)

    def keep_only(self, came: Collection[str]) -> None:
        """Drop what did not come again: its commit was executed after all."""
        for key in self._sent.keys() - came:
            del self._sent[key]


def _run(job: Job) -> tuple[str, str]:
    due = job.step.due
    record = due.record if due is not None else job.step.seen
    return job.moment, record.version if record is not None else ""
