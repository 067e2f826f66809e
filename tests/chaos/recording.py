"""Reads the broker's queue and the log of events while a run goes on, each item exactly once.

It must neither lose nor double anything itself, whatever is killed: what has been read is removed
by a script that first compares how much was removed before, and the log is read by its numbers.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import datetime
from typing import Any

import redis

from .load import QUEUE
from .oracle import TOLD, Message, Note
from .pattern import SECOND
from .peer import HEADER

#: How many were removed from the queue so far.
_REMOVED = "chaos:removed"
#: KEYS: queue, counter. ARGV: how many were removed as far as the caller knows, how many to
#: remove now. A repeated call finds another counter and does nothing; nor does one that finds fewer
#: than were read, which the next look tells.
_REMOVE = """
local left = redis.call('LLEN', KEYS[1])
if (redis.call('GET', KEYS[2]) or '0') == ARGV[1] and left >= tonumber(ARGV[2]) then
  redis.call('LTRIM', KEYS[1], 0, -1 - tonumber(ARGV[2]))
  redis.call('SET', KEYS[2], string.format('%.0f', tonumber(ARGV[1]) + tonumber(ARGV[2])))
end
"""
_CHUNK = 1000
#: Seconds.
_PAUSE = 0.02


class RecordingError(Exception):
    """What was recorded is not the whole truth, so there can be no verdict."""


class Recorder:
    """A thread that reads the queue and the log of one server.

    :ivar messages: what was in the queue, oldest first.
    :ivar notes: what was in the log.
    :ivar newest: the newest nominal time of each entry that the log has told of; microseconds.
    :ivar problem: why the record is not to be trusted; empty when it is.
    """

    def __init__(self, client: redis.Redis, prefix: str = "redbeat:") -> None:
        self.messages: list[Message] = []
        self.notes: list[Note] = []
        self.newest: dict[str, int] = {}
        self.problem = ""
        self._client = client
        self._log = prefix + ":log"
        self._seq = 0
        self._stopped = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, whatever is left unread."""
        self._ending.set()
        self._stopped = True
        if self._thread.ident is not None:
            self._thread.join()

    def finish(self, timeout: float = 60.0) -> None:
        """Read what is left, and end. Call it when nothing is added any more.

        :raises RecordingError: something could not be read.
        """
        self._ending.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self.problem = self.problem or f"not done after {timeout:g} s"
        if self.problem:
            raise RecordingError(self.problem)

    def _run(self) -> None:
        while True:
            ending = self._ending.is_set()
            try:
                busy = self._read_queue() + self._read_log()
            except redis.RedisError:
                # It is restarted all the time.
                busy, ending = 0, self._stopped
            except Exception as exc:
                self.problem = f"{type(exc).__name__}: {exc}"
                return
            if not busy:
                if ending:
                    return
                time.sleep(_PAUSE)

    def _read_queue(self) -> int:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.get(_REMOVED)
            pipe.lrange(QUEUE, -_CHUNK, -1)
            pipe.llen(QUEUE)
            counter, texts, length = pipe.execute()
        removed, seen = int(counter or 0), len(self.messages)
        if not removed <= seen <= removed + length:
            raise RecordingError(
                f"{seen} messages were read, and the queue says {removed} + {length}: the server "
                "lost what it had shown already"
            )
        now = time.time()
        # The oldest is at the right, where a worker takes it.
        for text in reversed(texts[: len(texts) - (seen - removed)]):
            self.messages.append(read_message(text, now))
        new = len(self.messages) - removed
        if new:
            self._client.eval(_REMOVE, 2, QUEUE, _REMOVED, str(removed), str(new))
        return new

    def _read_log(self) -> int:
        read: Any = self._client.xrange(self._log, f"({self._seq}-0", "+", count=_CHUNK)
        for stream_id, fields in read:
            seq = int(stream_id.partition("-")[0])
            if seq != self._seq + 1:
                raise RecordingError(
                    f"event {seq} follows on {self._seq}: the log was cut before it was read"
                )
            self._seq = seq
            note = read_note(json.loads(fields["event"]))
            self.notes.append(note)
            if note.type in TOLD and not note.trigger and note.nominal is not None:
                moment = note.last or note.nominal
                self.newest[note.entry] = max(moment, self.newest.get(note.entry, 0))
        return len(read)


def read_message(text: str, seen_at: float) -> Message:
    """A message as kombu has it in the list. The entry is its task's first argument."""
    message = json.loads(text)
    headers = message["headers"]
    args = json.loads(base64.b64decode(message["body"]))[0]
    header = headers.get("redbeat") or {}
    if header and header["entry"] != args[0]:
        raise RecordingError(f"the header says {header!r} and the arguments {args!r}")
    stamp = headers.get(HEADER)
    reservation = (stamp["before"], stamp["at"]) if stamp else None
    nominal = microseconds(header.get("nominal"))
    trigger = header.get("trigger") or ""
    return Message(args[0], nominal, headers["id"], seen_at, reservation, trigger)


def read_note(event: dict[str, Any]) -> Note:
    """An event of the log, as far as the verdict needs it."""
    data = event.get("data") or {}
    return Note(
        seq=int(event["seq"]),
        type=event["type"],
        entry=event.get("subject") or "",
        at=datetime.fromisoformat(event["time"]).timestamp(),
        nominal=microseconds(data.get("nominal")),
        last=microseconds(data.get("last")),
        count=int(data.get("count") or 0),
        reason=str(data.get("reason") or ""),
        id=str(data.get("task_id") or ""),
        source=event["source"],
        more=bool(data.get("more")),
        trigger=str(data.get("trigger") or ""),
    )


def microseconds(seconds: Any) -> int | None:
    """Unix seconds as whole microseconds; None for what is no number."""
    return round(seconds * SECOND) if isinstance(seconds, int | float) else None
