"""The data of a claim and of a commit.

:class:`BulkItem` is the wire format of a bulk run: ``commit.lua`` has the same list on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redbeat_core.entries.record import EntryRecord

from .schedule_store import loaded_record, score_text


class ClaimedEntry:
    """A due entry of a claim.

    :ivar name: the entry's name.
    :ivar loaded: score, ``ok`` or ``fault``, and the fields, as the script returns them.
    :ivar score: the score as Redis wrote it; the commit compares exactly this text.
    """

    __slots__ = ("_record", "loaded", "name", "score")

    def __init__(self, name: str, loaded: Sequence[Any]) -> None:
        self.name = name
        self.loaded = loaded
        self.score: str = loaded[0]
        self._record: EntryRecord | None = None

    @property
    def record(self) -> EntryRecord:
        """The entry as text, made at the first access."""
        if self._record is None:
            self._record = loaded_record(self.name, self.loaded)
        return self._record


@dataclass(frozen=True, slots=True)
class ClaimedTrigger:
    """A run-now request that waits in the triggers' stream.

    :ivar stream_id: its id in the stream.
    :ivar text: the request, not yet validated; None: the stream's item holds no request.
    :ivar at: when it was queued, Unix seconds by Redis's clock.
    :ivar age: seconds since then, by the same clock, so that the other machines' clocks do not
        matter.
    """

    stream_id: str
    text: str | None
    at: float
    age: float


@dataclass(frozen=True, slots=True)
class CommitStep:
    """One step of a commit.

    :ivar due: the entry that it advances; None for a request or a note.
    :ivar request: the run-now request that it removes.
    :ivar seen: the entry from which the request's message was made: if the entry has changed, the
        request is not removed. None: the request has no message.
    :ivar score: the entry's new score; for a request, a negative one leaves it.
    :ivar due_field: the entry's new ``due`` field; empty: the score.
    :ivar meta: the entry's new meta; None leaves it.
    :ivar counts: the entry's new counts; empty leaves them.
    :ivar progress: the entry's new count of a rule with COUNT; empty leaves it.
    :ivar commands: broker commands for the same server: (database, [command, argument, ...]).
    :ivar events: JSON texts without closing brace.
    """

    due: ClaimedEntry | None = None
    request: ClaimedTrigger | None = None
    seen: EntryRecord | None = None
    score: float = -1
    due_field: str = ""
    meta: str | None = None
    counts: str = ""
    progress: str = ""
    commands: Sequence[tuple[int, Sequence[str]]] = ()
    events: Sequence[str] = field(default=())


class BulkItem(NamedTuple):
    """A run as the few texts that are its own; the script fills them into templates.

    The order of the fields is the order on the wire.

    :ivar kind: ``bulk``.
    :ivar template: number of the template of its message; 0: *body* holds the broker commands.
    :ivar key: the entry's key.
    :ivar claimed: the claimed score, as Redis wrote it.
    :ivar version: the claimed version.
    :ivar score: the new score.
    :ivar run_count: the new ``total_run_count``.
    :ivar nominal: the nominal time, Unix seconds.
    :ivar task_id: the id of its message.
    :ivar tag: the message's delivery tag.
    :ivar event_id: the id of its event.
    :ivar lateness: seconds.
    :ivar subject: the entry's name as JSON.
    :ivar body: the message's body as JSON.
    :ivar argsrepr: the text of the arguments as JSON.
    :ivar kwargsrepr: the text of the keyword arguments as JSON.
    """

    kind: str
    template: int
    key: str
    claimed: str
    version: str
    score: str
    run_count: str
    nominal: str
    task_id: str
    tag: str
    event_id: str
    lateness: str
    subject: str
    body: Any
    argsrepr: str = ""
    kwargsrepr: str = ""


#: The place of each value in a bulk item, as the script counts (from 1).
PLACES = {name: place for place, name in enumerate(BulkItem._fields, 1)}


class BulkRun(NamedTuple):
    """A run to commit whose message, meta and event the script fills in."""

    due: ClaimedEntry
    item: BulkItem


def step_item(step: CommitStep, prefix: str) -> list[Any]:
    """*step* as the commit script takes it.

    :param prefix: the key prefix.
    """
    commands = [[str(database), *words] for database, words in step.commands]
    events = list(step.events)
    if step.due is not None:
        score = score_text(step.score)
        record = step.due.record
        fields = ["due", step.due_field or score, *_meta_field(step)]
        if step.counts:
            fields += ["counts", step.counts]
        if step.progress:
            fields += ["progress", step.progress]
        head = ["entry", commands, events, prefix + record.name]
        return [*head, step.due.score, record.version, score, fields, record.due or ""]
    if step.request is not None:
        head = ["trigger", commands, events, step.request.stream_id]
        seen = step.seen
        if seen is None:
            return [*head, "", "", "", [], ""]
        fields, score = _meta_field(step), ""
        if step.score >= 0:
            score = score_text(step.score)
            fields += ["due", score]
        return [*head, prefix + seen.name, seen.version, seen.meta or "", fields, score]
    return ["note", commands, events]


def _meta_field(step: CommitStep) -> list[str]:
    return [] if step.meta is None else ["meta", step.meta]
