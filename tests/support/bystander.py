"""Watches what a scheduler does to a few entries, and knows what it may do.

Between two looks nobody but schedulers has changed anything. What they may have done follows from
the first look alone: run what was due, in order and as it was defined, and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis

QUEUE, SCHEDULE, TRIGGERS = "shop", "redbeat::schedule", "redbeat::triggers"


@dataclass(frozen=True)
class Entry:
    """One entry as Redis has it.

    :ivar fields: of its hash; empty when there is none.
    """

    fields: dict[str, str]
    score: float | None

    @property
    def definition(self) -> dict[str, Any] | None:
        """What it is; None when it is gone or cannot be read."""
        try:
            known: dict[str, Any] = json.loads(self.fields.get("definition", ""))
        except ValueError:
            return None
        return known

    @property
    def every(self) -> float:
        assert self.definition is not None
        return float(self.definition["schedule"]["every"])

    @property
    def waits(self) -> bool:
        """Whether it has a run to come."""
        known = self.definition
        return known is not None and known["enabled"] and self.score is not None and self.score >= 0

    @property
    def is_ours(self) -> bool:
        """Whether the score is one that our scheduler or console wrote."""
        due = self.fields.get("due", "").split()
        return bool(due) and float(due[0]) == self.score

    @property
    def nominal(self) -> float:
        """The nominal time of its next run."""
        assert self.score is not None
        if self.is_ours:
            return float(self.fields["due"].split()[-1])
        last = json.loads(self.fields.get("meta", "{}")).get("last_run_at")
        if last is None:
            return self.score
        last.pop("__type__")
        last.pop("timezone", None)
        return datetime(**last, tzinfo=UTC).timestamp() + self.every

    @property
    def count(self) -> int:
        """How many runs it counts."""
        return int(json.loads(self.fields.get("meta", "{}")).get("total_run_count") or 0)


@dataclass(frozen=True)
class World:
    """One look.

    :ivar messages: all in the queue, oldest first.
    :ivar requests: how many run-now requests wait.
    """

    entries: dict[str, Entry]
    messages: list[dict[str, Any]]
    requests: int


class Bystander:
    """Looks at these entries, and checks what schedulers did since the last look."""

    def __init__(self, client: redis.Redis, names: Iterable[str]) -> None:
        self._client = client
        self._names = tuple(names)
        self._triggers: set[str] = set()
        self._runs: set[tuple[str, float]] = set()
        self.seen = self.look()

    def look(self) -> World:
        """How everything is now, in one moment."""
        pipe = self._client.pipeline()
        for name in self._names:
            pipe.hgetall(f"redbeat:{name}")
            pipe.zscore(SCHEDULE, f"redbeat:{name}")
        pipe.lrange(QUEUE, 0, -1)
        pipe.xlen(TRIGGERS)
        *loaded, texts, requests = pipe.execute()
        pairs = zip(loaded[::2], loaded[1::2], strict=True)
        entries = {name: Entry(*pair) for name, pair in zip(self._names, pairs, strict=True)}
        return World(entries, [json.loads(text) for text in reversed(texts)], requests)

    def check(self) -> None:
        """Check what schedulers did since the last look."""
        before, after = self.seen, self.look()
        self.seen = after
        new = after.messages[len(before.messages) :]
        assert after.messages[: len(before.messages)] == before.messages
        for name in self._names:
            mine = [one for one in new if one["headers"]["redbeat"]["entry"] == name]
            self._check_entry(name, before.entries[name], after.entries[name], mine)

    def _check_entry(
        self, name: str, before: Entry, after: Entry, messages: list[dict[str, Any]]
    ) -> None:
        headers = [message["headers"] for message in messages]
        ours = [header["redbeat"] for header in headers]
        known = before.definition
        if known is None:
            assert not messages, f"{name} ran though it is gone or cannot be read"
            assert after == before, f"{name} was changed though it is gone or cannot be read"
            return
        for header in headers:
            assert header["argsrepr"] == repr(tuple(known["args"])) or header["argsrepr"] == repr(
                known["args"]
            ), f"{name} ran as it was before a change: {header}"
        for trigger in [header["trigger"] for header in ours if header["trigger"]]:
            assert trigger not in self._triggers, f"{name}: a request was served twice"
            self._triggers.add(trigger)
        runs: list[float] = [header["nominal"] for header in ours if not header["trigger"]]
        kept = {
            key: value for key, value in before.fields.items() if key in ("definition", "state")
        }
        assert kept.items() <= after.fields.items(), f"{name} was changed"
        if not before.waits:
            assert not runs, f"{name} ran though it is paused or not scheduled"
            assert after.score in (before.score, -1 if before.score is not None else None)
            return
        first, every = before.nominal, before.every
        expected = [first + every * number for number in range(len(runs))]
        assert all(map(_same, runs, expected)), f"{name} ran for {runs} and not for {expected}"
        assert all(run <= time.time() for run in runs), f"{name} ran before its time"
        for run in runs:
            assert (name, round(run, 4)) not in self._runs, f"{name} ran twice for {run}"
            self._runs.add((name, round(run, 4)))
        if runs or before.is_ours:
            expected_next = first + every * len(runs)
            assert _same(after.nominal, expected_next), f"{name}: lost a run"
            assert after.is_ours
        assert after.count == before.count + len(runs), f"{name}: {len(runs)} runs, miscounted"

    def check_rest(self) -> None:
        """Check that nothing was left undone."""
        self.check()
        assert self.seen.requests == 0, "a request was not served"
        for name, entry in self.seen.entries.items():
            assert not entry.waits or (entry.score or 0) > time.time() - 5, f"{name} was not run"


def _same(one: float, other: float) -> bool:
    """Whether they are the same time; dates have microseconds."""
    return abs(one - other) < 1e-5
