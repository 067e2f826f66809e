"""What the runs of a batch have in common: the forms of their metas and events, with a place for
each value that is a run's own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from redbeat_core import events
from redbeat_core.entries.codec import encode_meta
from redbeat_core.storage.schedule_store import ScheduleStore

from .runs import dispatched

#: The values of a filled item of the commit, as the script finds them there (from 1).
_VALUES: tuple[str, ...] = (
    "kind",
    "form",
    "key",
    "claimed",
    "version",
    "score",
    "count",
    "nominal",
    "task_id",
)
_VALUES += ("tag", "event_id", "lateness", "subject", "body", "argsrepr", "kwargsrepr")
PLACES = {name: place for place, name in enumerate(_VALUES, 1)}
#: What each part of a form of a message is made of.
PARTS: Mapping[str, tuple[str | int, ...]] = {
    "body": (PLACES["body"],),
    "argsrepr": (PLACES["argsrepr"],),
    "kwargsrepr": (PLACES["kwargsrepr"],),
    "id": ('"', PLACES["task_id"], '"'),
    "tag": ('"', PLACES["tag"], '"'),
    "header": (
        '{"entry": ',
        PLACES["subject"],
        ', "nominal": ',
        PLACES["nominal"],
        ', "trigger": null}',
    ),
}


class RunForms:
    """Takes the forms from specimens with a mark in each place."""

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store
        # The same in all batches, so that the pattern which finds them is compiled once.
        self._marks = {name: f"@{name}:{secrets.token_hex(8)}@" for name in PLACES}
        self._count = 10**17 + secrets.randbelow(10**17)

    def at(self, last_run_at: datetime) -> list[list[str | int]]:
        """The forms of the meta and of the event of a run that is made then."""
        marks, count = self._marks, self._count
        meta = encode_meta({"last_run_at": last_run_at, "total_run_count": count})
        data: dict[str, Any] = dispatched(marks["nominal"], marks["task_id"], marks["lateness"])
        data |= {"fields": {"meta": meta, "due": marks["claimed"]}, "score": marks["score"]}
        event = self._store.event(events.RUN_DISPATCHED, marks["subject"], data)
        event = re.sub('"id":"[0-9a-f]+"', f'"id":"{marks["event_id"]}"', event, count=1)
        places = {f'"{marks[name]}"': name for name in ("nominal", "lateness", "score", "subject")}
        places |= {marks["task_id"]: "task_id", marks["event_id"]: "event_id"}
        places |= {marks["claimed"]: "score", str(count): "count"}
        return [_pieces(meta, places), _pieces(event, places)]


def _pieces(text: str, places: Mapping[str, str]) -> list[str | int]:
    """*text* by turns with the places of the values that come where the marks are."""
    pattern = "|".join(map(re.escape, places))
    return [
        PLACES[places[piece]] if piece in places else piece
        for piece in re.split(f"({pattern})", text)
    ]
