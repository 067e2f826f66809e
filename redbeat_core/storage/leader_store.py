"""The leader's two round trips: claim what is due, commit what was dispatched.

Only the scheduler uses this; everybody else needs no more than the store.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redbeat_core.entries.record import HASH_FIELDS, EntryRecord

from .connection import is_cluster
from .schedule_store import (
    MISSING,
    ScheduleStore,
    VersionConflict,
    loaded_record,
    score_text,
)
from .scripts import ScriptPipeline


class DueEntry:
    """An entry that a claim found due.

    :ivar name: the entry's name.
    :ivar loaded: its score, whether it is well, and its fields, as the script gives them.
    :ivar score: the score as Redis wrote it; the commit compares this very text.
    """

    __slots__ = ("_record", "loaded", "name", "score")

    def __init__(self, name: str, loaded: Sequence[Any]) -> None:
        self.name = name
        self.loaded = loaded
        self.score: str = loaded[0]
        self._record: EntryRecord | None = None

    @property
    def record(self) -> EntryRecord:
        """The entry; made when it is first asked for."""
        if self._record is None:
            self._record = loaded_record(self.name, self.loaded)
        return self._record


@dataclass(frozen=True, slots=True)
class ClaimedTrigger:
    """A run-now request that waits to be taken.

    :ivar stream_id: its place in the triggers' stream.
    :ivar text: what was asked for, which may be anything; None: no request at all.
    :ivar at: when it came there, Unix seconds by Redis's clock.
    :ivar age: seconds since then, by the same clock: those of the other machines do not matter.
    """

    stream_id: str
    text: str | None
    at: float
    age: float


@dataclass(frozen=True, slots=True)
class Claim:
    """What the leader has to do now.

    :ivar held: whether the caller still has the lease; if not, the rest is empty.
    :ivar holder: who has it then.
    :ivar next_score: when something is due next (Unix seconds), None when nothing is.
    :ivar more: whether there may be more, due or asked for, than was claimed.
    :ivar trouble: why the requests cannot be read at all; empty when they can.
    """

    held: bool
    holder: str = ""
    due: tuple[DueEntry, ...] = ()
    requests: tuple[ClaimedTrigger, ...] = ()
    next_score: float | None = None
    more: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class CommitStep:
    """One step of a commit.

    :ivar due: the entry it advances; None for a request or for a note.
    :ivar request: the run-now request it takes.
    :ivar seen: the entry that the request's message was made from: if it is no longer so, the
        request is not taken. None: it makes none.
    :ivar score: the entry's new score; for a request negative leaves it.
    :ivar mark: the entry's new ``due`` field; empty: the score.
    :ivar meta: the entry's new meta; None leaves it.
    :ivar counts: the entry's new counts; empty leaves them.
    :ivar progress: how far a rule with COUNT was counted; empty leaves it.
    :ivar commands: broker commands of the same server: (database, words).
    :ivar events: JSON texts without closing brace.
    """

    due: DueEntry | None = None
    request: ClaimedTrigger | None = None
    seen: EntryRecord | None = None
    score: float = -1
    mark: str = ""
    meta: str | None = None
    counts: str = ""
    progress: str = ""
    commands: Sequence[tuple[int, Sequence[str]]] = ()
    events: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in the order of a scan.

    :ivar after: the cursor to go on from; ``"0"``: that was the end.
    :ivar cursor: the cursor that the entries were found at; None when nothing had changed.
    :ivar digest: tells whether they changed since.
    """

    after: str
    cursor: str | None = None
    digest: str = ""
    records: Sequence[EntryRecord] = ()


#: Up to how many entries that cannot run each claim looks whether they are as they were; and
#: seconds between looks where there are more.
_COMPARED, _COMPARE_EVERY = 100, 1.0
#: The place of the new score in a filled item.
_SCORE = 5


class BulkRun:
    """A run to commit that is given by the few texts that are its own.

    :ivar item: those, as the script takes them.
    """

    __slots__ = ("due", "item")

    def __init__(self, due: DueEntry, item: list[Any]) -> None:
        self.due = due
        self.item = item

    @property
    def score(self) -> float:
        """The entry's new score."""
        return float(self.item[_SCORE])


class ServerChangedError(Exception):
    """The schedule is on another server than the broker's messages are meant for."""


class LeaderStore(ScheduleStore):
    """The store, with what only a leader does.

    :ivar last_size: characters of the last commit that was asked for.
    """

    last_size = 0

    def claim(
        self,
        token: str,
        lease: float,
        now: float,
        limit: int,
        known: Mapping[str, str] | None = None,
        lock: str | None = None,
        *,
        passing: int = 0,
        ahead: ScriptPipeline | None = None,
    ) -> Claim:
        """What is due at *now*; keeps the lease of *lease* seconds.

        :param token: the caller's; empty to run without a lock.
        :param known: name and :func:`digest` of entries to pass over while they are like that;
            where they are many, that is looked at once a second.
        :param passing: how many that are due are passed over: they are being dispatched; and so
            are the requests.
        :param ahead: ask there, and read the answer later with :meth:`claimed`; then what is
            returned means nothing.
        """
        marks = self._to_compare(known or {})
        words = (word for name, mark in marks.items() for word in (self._key(name), mark))
        keys = [lock or self.keys.schedule, self.keys.schedule, self.keys.triggers]
        head = [token if lock else "", int(lease * 1000), score_text(now), limit, passing]
        if ahead is not None:
            ahead.ask("claim", keys, [*head, *words])
            return Claim(held=True)
        reply = self.scripts.run("claim", keys, [*head, *words])
        return self.claimed(reply, limit, len(known or ()))

    _compared_at = -math.inf

    def _to_compare(self, known: Mapping[str, str]) -> Mapping[str, str]:
        """The same without the digests, if these are many and were compared a moment ago."""
        if len(known) <= _COMPARED:
            return known
        now = time.monotonic()
        if now - self._compared_at < _COMPARE_EVERY:
            return dict.fromkeys(known, "")
        self._compared_at = now
        return known

    def claimed(self, reply: Any, limit: int, known: int = 0) -> Claim:
        """What the answer to a claim of *limit* entries says.

        :param known: how many more requests it takes than entries.
        """
        if reply[0] == "lost":
            return Claim(held=False, holder=reply[1] or "")
        entries, waiting = json.loads(reply[2])
        start = len(self.keys.prefix)
        due = tuple(DueEntry(key[start:], loaded) for key, loaded in entries)
        requests = tuple(_request(*words) for words in waiting)
        return Claim(
            held=True,
            due=due,
            requests=requests,
            next_score=float(reply[1]) if reply[1] else None,
            more=len(due) >= limit or len(requests) >= limit + known,
            trouble=reply[3] if len(reply) > 3 else "",
        )

    def due_names(self, now: float) -> list[tuple[str, float]]:
        """Name and score of all that is due at *now* (Unix seconds), the oldest first."""
        schedule = self.keys.schedule
        due = self.client.zrangebyscore(schedule, 0, score_text(now), withscores=True)
        return [(self.keys.name(key), float(score)) for key, score in due]

    def changed_page(
        self, cursor: str, count: int, pass_over: int, known: Mapping[str, str]
    ) -> Page:
        """The next *count* entries (about) that are not as they were.

        :param cursor: where to go on; ``"0"`` begins.
        :param pass_over: how many to look at, about, that are as they were.
        :param known: cursor and digest of pages as they were.
        """
        words = (word for pair in known.items() for word in pair)
        reply = self.scripts.run("audit", [self.keys.schedule], [cursor, count, pass_over, *words])
        if reply[1] is None:
            return Page(reply[0])
        after, at, digest, text = reply
        entries = ((self.keys.name(key), loaded) for key, *loaded in json.loads(text))
        return Page(after, at, digest, [loaded_record(name, loaded) for name, loaded in entries])

    def delete_unchanged(self, records: Sequence[EntryRecord], data: Mapping[str, Any]) -> None:
        """Delete these entries, in one round trip, where nothing changed them since.

        :param data: more of the events' data, such as who did it.
        """
        # The pipelines of a Cluster take no scripts.
        pipe = None if is_cluster(self.client) else self.client.pipeline(transaction=False)
        for record in records:
            with suppress(VersionConflict):
                self.delete(
                    record.name,
                    expect=record.version,
                    expect_score=record.score,
                    data=data,
                    pipe=pipe,
                )
        if pipe is not None:
            pipe.execute()

    def commit(
        self,
        token: str,
        steps: Sequence[CommitStep | BulkRun],
        lock: str | None = None,
        *,
        server: str = "",
        forms: Sequence[Any] = (),
        ahead: ScriptPipeline | None = None,
    ) -> list[str] | None:
        """Advance what was dispatched.

        :param forms: what the :class:`BulkRun` ones of *steps* are filled into.
        :param ahead: ask there, and read the answer later with :meth:`committed`.
        :param server: the ``run_id`` that the server must have; empty: any.
        :returns: for each step ``ok``, ``stale`` (somebody changed it meanwhile: nothing was
            done) or an error's text (nothing was done either); None when the lease is lost, and
            nothing at all was done.
        :raises ServerChangedError: it is another server; nothing at all was done.
        """
        keys = self.keys
        items = [step.item if type(step) is BulkRun else self._item(step) for step in steps]
        words = [lock or keys.schedule, keys.schedule, keys.triggers, keys.log, keys.events]
        head = [token if lock else "", self.log_length, self.database, server]
        texts = [_encode(items), _encode(forms)]
        self.last_size = sum(map(len, texts))
        args = [*head, *texts]
        if ahead is not None:
            ahead.ask("commit", words, args)
            return None
        return self.committed(self.scripts.run("commit", words, args), len(steps))

    @staticmethod
    def committed(reply: Any, count: int) -> list[str] | None:
        """What the answer to a commit of *count* steps says; see :meth:`commit`."""
        if reply[0] == "moved":
            raise ServerChangedError
        if reply[0] == "lost":
            return None
        results = ["ok"] * count
        for place, result in zip(reply[1][::2], reply[1][1::2], strict=True):
            results[place - 1] = result
        return results

    def _item(self, step: Any) -> list[Any]:
        commands = [[str(database), *words] for database, words in step.commands]
        notes = list(step.events)
        if step.due is not None:
            score = score_text(step.score)
            record = step.due.record
            fields = ["due", step.mark or score, *self._counted(step)]
            if step.counts:
                fields += ["counts", step.counts]
            if step.progress:
                fields += ["progress", step.progress]
            key = self._key(record.name)
            head = ["entry", commands, notes, key]
            return [*head, step.due.score, record.version, score, fields, record.due or ""]
        if step.request is not None:
            head = ["trigger", commands, notes, step.request.stream_id]
            seen = step.seen
            if seen is None:
                return [*head, "", "", "", [], ""]
            fields, score = self._counted(step), ""
            if step.score >= 0:
                score = score_text(step.score)
                fields += ["due", score]
            return [*head, self._key(seen.name), seen.version, seen.meta or "", fields, score]
        return ["note", commands, notes]

    @staticmethod
    def _counted(step: CommitStep) -> list[str]:
        return [] if step.meta is None else ["meta", step.meta]

    def _key(self, name: str) -> str:
        return self.keys.prefix + name


def digest(record: EntryRecord) -> str:
    """What :meth:`ScheduleStore.claim` compares to pass over an entry that cannot run."""
    if record.fault and record.fault != MISSING:
        parts = ["fault", record.fault, *[""] * (len(HASH_FIELDS) - 1)]
    else:
        parts = ["ok", *(getattr(record, name) or "" for name in HASH_FIELDS)]
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


#: Not with escapes: bytes that are no UTF-8 come back as the bytes that they were.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _request(stream_id: str, text: str | bool, age: float) -> ClaimedTrigger:
    # In a script's JSON, what is not there is false.
    at = int(stream_id.partition("-")[0]) / 1000
    return ClaimedTrigger(stream_id, text if isinstance(text, str) else None, at, age / 1000)
