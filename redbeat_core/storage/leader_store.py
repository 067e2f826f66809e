"""Claims due entries and commits dispatched runs, each in one round trip.

Only the scheduler uses this; all other code uses :mod:`redbeat_core.storage.schedule_store`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redbeat_core.entries.record import HASH_FIELDS, EntryRecord
from redbeat_core.settings.keys import Keys

from .commit_steps import BulkRun, ClaimedEntry, ClaimedTrigger, CommitStep, step_item
from .connection import is_cluster
from .schedule_store import (
    MISSING,
    ScheduleStore,
    VersionConflict,
    loaded_record,
    score_text,
)
from .scripts import ScriptPipeline


@dataclass(frozen=True, slots=True)
class Claim:
    """The due entries and waiting requests that the leader has claimed.

    :ivar held: whether the caller still holds the lease; if not, the rest is empty.
    :ivar holder: the token of the other holder then.
    :ivar next_score: when the next entry is due (Unix seconds); None: no entry is scheduled.
    :ivar more: whether more entries may be due, or more requests wait, than were claimed.
    :ivar trouble: the error if the requests cannot be read; else empty.
    """

    held: bool
    holder: str = ""
    due: tuple[ClaimedEntry, ...] = ()
    requests: tuple[ClaimedTrigger, ...] = ()
    next_score: float | None = None
    more: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a scan.

    :ivar after: the cursor to continue from; ``"0"``: the scan ends here.
    :ivar cursor: the cursor of these entries; None: no page has changed.
    :ivar digest: the digest of these entries, to detect later changes.
    """

    after: str
    cursor: str | None = None
    digest: str = ""
    records: Sequence[EntryRecord] = ()


#: Most invalid entries that every claim compares with their digests.
_COMPARED = 100
#: Seconds between the claims that compare them if there are more.
_COMPARE_EVERY = 1.0


class ServerChangedError(Exception):
    """The schedule's Redis is no longer the server that must receive the broker's messages."""


class LeaderStore(ScheduleStore):
    """The store with the operations of a leader.

    :ivar last_size: number of characters of the last commit that was sent.
    """

    def __init__(
        self,
        client: Any,
        keys: Keys | None = None,
        *,
        source: str = "/redbeat/client",
        log_length: int = 10000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, keys, source=source, log_length=log_length, clock=clock)
        self.last_size = 0
        self._compared_at = -math.inf
        # Spelled once: each batch sends them twice.
        own = self.keys
        self._claim_keys = [own.schedule, own.schedule, own.triggers]
        self._commit_keys = [*self._claim_keys, own.log, own.events]
        self._database = self.database

    def claim(
        self,
        token: str,
        lease: float,
        now: float,
        limit: int,
        skipped: Mapping[str, str] | None = None,
        lock: str | None = None,
        *,
        passing: int = 0,
        pipeline: ScriptPipeline | None = None,
    ) -> Claim:
        """Claim the entries that are due at *now* and renew the lease of *lease* seconds.

        :param token: the caller's token; empty: run without a lock.
        :param skipped: name and :func:`digest` of invalid entries, which are skipped until their
            content changes; if they are many, they are compared once a second.
        :param passing: number of due entries to skip because they are being dispatched already;
            if it is not 0, the requests are skipped too.
        :param pipeline: send the claim there; its reply is read later and parsed by
            :meth:`claimed`. Then the returned claim is meaningless.
        """
        digests = self._to_compare(skipped or {})
        pairs = (text for name, digest in digests.items() for text in (self._key(name), digest))
        keys = [lock, *self._claim_keys[1:]] if lock else self._claim_keys
        head = [token if lock else "", int(lease * 1000), repr(float(now)), limit, passing]
        if pipeline is not None:
            pipeline.send("claim", keys, [*head, *pairs])
            return Claim(held=True)
        reply = self.scripts.run("claim", keys, [*head, *pairs])
        return self.claimed(reply, limit, len(skipped or ()))

    def _to_compare(self, skipped: Mapping[str, str]) -> Mapping[str, str]:
        """Drop the digests, which skips the comparison, if they are many and were compared less
        than a second ago."""
        if len(skipped) <= _COMPARED:
            return skipped
        now = time.monotonic()
        if now - self._compared_at < _COMPARE_EVERY:
            return dict.fromkeys(skipped, "")
        self._compared_at = now
        return skipped

    def claimed(self, reply: Any, limit: int, skipped: int = 0) -> Claim:
        """Parse the reply to a claim of *limit* entries.

        :param skipped: number of skipped entries: a claim returns so many more requests.
        """
        if reply[0] == "lost":
            return Claim(held=False, holder=reply[1] or "")
        entries, waiting = json.loads(reply[2])
        start = len(self.keys.prefix)
        due = tuple(ClaimedEntry(key[start:], loaded) for key, loaded in entries)
        requests = tuple(_request(*item) for item in waiting)
        return Claim(
            held=True,
            due=due,
            requests=requests,
            next_score=float(reply[1]) if reply[1] else None,
            more=len(due) >= limit or len(requests) >= limit + skipped,
            trouble=reply[3] if len(reply) > 3 else "",
        )

    def due_names(self, now: float) -> list[tuple[str, float]]:
        """Return name and score of each entry due at *now* (Unix seconds), the oldest first."""
        schedule = self.keys.schedule
        due = self.client.zrangebyscore(schedule, 0, score_text(now), withscores=True)
        return [(self.keys.name(key), float(score)) for key, score in due]

    def changed_page(
        self, cursor: str, count: int, pass_over: int, digests: Mapping[str, str]
    ) -> Page:
        """Return the next page of *count* entries (about) that has changed.

        :param cursor: the cursor to continue from; ``"0"`` begins.
        :param pass_over: most unchanged entries to skip (about).
        :param digests: cursor and digest of the pages at their last reading.
        """
        pairs = (text for pair in digests.items() for text in pair)
        reply = self.scripts.run("audit", [self.keys.schedule], [cursor, count, pass_over, *pairs])
        if reply[1] is None:
            return Page(reply[0])
        after, page_cursor, digest, text = reply
        entries = ((self.keys.name(key), loaded) for key, *loaded in json.loads(text))
        return Page(
            after, page_cursor, digest, [loaded_record(name, loaded) for name, loaded in entries]
        )

    def delete_unchanged(self, records: Sequence[EntryRecord], data: Mapping[str, Any]) -> None:
        """Delete those of these entries that have not changed, in one round trip.

        :param data: more of the events' data, such as who made the change.
        """
        # The pipelines of a Cluster do not support scripts.
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
        templates: Sequence[Any] = (),
        pipeline: ScriptPipeline | None = None,
    ) -> list[str] | None:
        """Commit dispatched runs: advance their entries, remove requests, emit events.

        :param server: the ``run_id`` that the server must have; empty: any.
        :param templates: what the script renders the :class:`BulkRun` steps from.
        :param pipeline: send the commit there; its reply is read later and parsed by
            :meth:`committed`.
        :returns: for each step ``ok``, ``stale`` (its entry has changed: the step was not
            committed) or an error's text (the step was not committed either); None if the lease
            is lost: no step was committed.
        :raises ServerChangedError: it is another server; no step was committed.
        """
        prefix = self.keys.prefix
        items = [
            step.item if isinstance(step, BulkRun) else step_item(step, prefix) for step in steps
        ]
        keys = [lock, *self._commit_keys[1:]] if lock else self._commit_keys
        head = [token if lock else "", self.log_length, self._database, server]
        texts = [_encode(items), _encode(templates)]
        self.last_size = sum(map(len, texts))
        args = [*head, *texts]
        if pipeline is not None:
            pipeline.send("commit", keys, args)
            return None
        return self.committed(self.scripts.run("commit", keys, args), len(steps))

    @staticmethod
    def committed(reply: Any, count: int) -> list[str] | None:
        """Parse the reply to a commit of *count* steps; see :meth:`commit`."""
        if reply[0] == "moved":
            raise ServerChangedError
        if reply[0] == "lost":
            return None
        results = ["ok"] * count
        for place, result in zip(reply[1][::2], reply[1][1::2], strict=True):
            results[place - 1] = result
        return results

    def _key(self, name: str) -> str:
        return self.keys.prefix + name


def digest(record: EntryRecord) -> str:
    """Return the digest by which :meth:`LeaderStore.claim` detects that an entry changed."""
    if record.fault and record.fault != MISSING:
        parts = ["fault", record.fault, *[""] * (len(HASH_FIELDS) - 1)]
    else:
        parts = ["ok", *(getattr(record, name) or "" for name in HASH_FIELDS)]
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


#: Without escapes: bytes that are not UTF-8 reach Redis unchanged.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _request(stream_id: str, text: str | bool, age: float) -> ClaimedTrigger:
    # The scripts' JSON has false for a missing value.
    at = int(stream_id.partition("-")[0]) / 1000
    return ClaimedTrigger(stream_id, text if isinstance(text, str) else None, at, age / 1000)
