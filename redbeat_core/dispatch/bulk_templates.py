"""The templates of the meta and the event of bulk runs, for the commit script to fill in."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import datetime

from redbeat_core import events
from redbeat_core.entries.codec import encode_meta
from redbeat_core.storage.commit_steps import PLACES

#: What the script puts into each place of a message: texts, and values of the bulk item.
MESSAGE_PLACES: Mapping[str, tuple[str | int, ...]] = {
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


class BulkTemplates:
    """Builds the templates from a sample meta and a sample event with a placeholder for each value.

    :param source: the ``source`` of the events.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        # The same in all batches, so that the pattern which finds them is compiled once.
        self._placeholders = {name: f"@{name}:{secrets.token_hex(8)}@" for name in PLACES}
        self._count = 10**17 + secrets.randbelow(10**17)

    def build(self, last_run_at: datetime, now: float) -> list[list[str | int]]:
        """The templates of the meta and of the event of the runs of one batch.

        :param last_run_at: what their metas say.
        :param now: the time of their events, Unix seconds.
        """
        holder, count = self._placeholders, self._count
        meta = encode_meta({"last_run_at": last_run_at, "total_run_count": count})
        data = events.run_dispatched(holder["nominal"], holder["task_id"], holder["lateness"])
        data |= events.entry_state({"meta": meta, "due": holder["claimed"]}, holder["score"])
        subject = holder["subject"]
        event = events.event_text(events.RUN_DISPATCHED, self._source, subject, data, now)
        event = re.sub('"id":"[0-9a-f]+"', f'"id":"{holder["event_id"]}"', event, count=1)
        places = {f'"{holder[name]}"': name for name in ("nominal", "lateness", "score", "subject")}
        places |= {holder["task_id"]: "task_id", holder["event_id"]: "event_id"}
        places |= {holder["claimed"]: "score", str(count): "run_count"}
        return [_pieces(meta, places), _pieces(event, places)]


def _pieces(text: str, places: Mapping[str, str]) -> list[str | int]:
    """Split *text* at its placeholders, and put the place of the value where each placeholder
    stands.
    """
    pattern = "|".join(map(re.escape, places))
    return [
        PLACES[places[piece]] if piece in places else piece
        for piece in re.split(f"({pattern})", text)
    ]
