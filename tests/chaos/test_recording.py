"""What the recorder hands to the oracle is what was there: each item once, whatever is killed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.support.server import Server
from tests.support.waiting import wait_for

from .load import QUEUE
from .recording import Recorder, RecordingError, read_message

LOG = "redbeat::log"


@pytest.fixture
def keeping(new_server: Callable[..., Server]) -> Server:
    return new_server(persistent=True)


@pytest.fixture
def recorder(keeping: Server) -> Iterator[Recorder]:
    with keeping.client() as client:
        recorder = Recorder(client)
        yield recorder
        recorder.stop()


def in_queue(number: int, header: dict[str, object] | None = None) -> str:
    """A message as kombu puts it into the list, as far as it is read."""
    body = base64.b64encode(json.dumps([[f"entry {number}"], {}, {}]).encode()).decode()
    about = header or {"entry": f"entry {number}", "nominal": number + 0.25, "trigger": None}
    return json.dumps({"body": body, "headers": {"id": f"id {number}", "redbeat": about}})


def put(client: redis.Redis, numbers: range) -> None:
    """As many messages and events, each pair in a step of its own."""
    pipe = client.pipeline(transaction=False)
    for number in numbers:
        pipe.lpush(QUEUE, in_queue(number))
        event = {
            "type": "redbeat.run.dispatched",
            "source": "/test",
            "subject": f"entry {number}",
            "time": "2027-01-01T00:00:00Z",
            "seq": number,
            "data": {"nominal": number + 0.25},
        }
        pipe.xadd(LOG, {"event": json.dumps(event)}, id=f"{number}-0")
    pipe.execute()


def numbers_of(recorder: Recorder) -> tuple[list[str], list[int]]:
    return [message.id for message in recorder.messages], [note.seq for note in recorder.notes]


def test_each_message_and_event_is_read_once_though_the_server_is_killed_meanwhile(
    keeping: Server, recorder: Recorder
) -> None:
    recorder.start()
    with keeping.client() as client:
        for start in range(1, 2001, 500):
            put(client, range(start, start + 500))
            keeping.restart(kill=True)
    recorder.finish()
    expected = range(1, 2001)
    assert numbers_of(recorder) == ([f"id {number}" for number in expected], list(expected))
    assert recorder.messages[0].nominal == 1_250_000
    with keeping.client() as client:
        assert client.llen(QUEUE) == 0


def test_a_message_that_was_read_and_not_removed_is_not_read_again(
    keeping: Server, recorder: Recorder
) -> None:
    with keeping.client() as client:
        put(client, range(1, 6))
        recorder._read_queue()
        # As if the answer had come and the server had died before it removed them.
        client.delete(QUEUE)
        client.set("chaos:removed", 0)
        put_back = [in_queue(number) for number in range(1, 9)]
        client.lpush(QUEUE, *put_back)
    recorder.start()
    recorder.finish()
    assert numbers_of(recorder)[0] == [f"id {number}" for number in range(1, 9)]


def test_a_server_that_lost_what_it_had_shown_gives_no_verdict(
    keeping: Server, recorder: Recorder
) -> None:
    recorder.start()
    with keeping.client() as client:
        put(client, range(1, 6))
        wait_for(lambda: len(recorder.messages) == 5)
        client.flushall()
    with pytest.raises(RecordingError, match="lost what it had shown"):
        recorder.finish()


def test_a_server_that_loses_it_before_it_is_removed_gives_no_verdict(
    keeping: Server, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = recorder._client.eval

    def emptied(*args: Any) -> Any:
        recorder._client.flushall()
        return remove(*args)

    monkeypatch.setattr(recorder._client, "eval", emptied)
    with keeping.client() as client:
        put(client, range(1, 6))
    recorder.start()
    with pytest.raises(RecordingError, match="lost what it had shown"):
        recorder.finish()


def test_a_log_that_was_cut_before_it_was_read_gives_no_verdict(
    keeping: Server, recorder: Recorder
) -> None:
    with keeping.client() as client:
        put(client, range(3, 6))
    recorder.start()
    with pytest.raises(RecordingError, match="event 3 follows on 0"):
        recorder.finish()


def test_a_header_that_names_another_entry_than_the_arguments_gives_no_verdict() -> None:
    text = in_queue(1, {"entry": "entry 2", "nominal": 1.0, "trigger": None})
    with pytest.raises(RecordingError, match="entry 2"):
        read_message(text, 0.0)
