"""What is counted of celery-redbeat is what it did wrong, and nothing that it did right."""

from __future__ import annotations

import pytest
from celery import Celery
from redbeat import RedBeatSchedulerEntry

from tests.support.processes import Processes
from tests.support.server import Server
from tests.support.waiting import wait_for

from .load import QUEUE
from .oracle import Message
from .pattern import SECOND, Pattern
from .peer import PeerCount, count
from .recording import read_message

PATTERNS = {"tick": Pattern(0, 10)}


def sent(before: int | None, at: int) -> Message:
    return Message("tick", None, f"id {at}", reservation=(before, at))


def counted(messages: list[Message], last: int, until: int = 30) -> PeerCount:
    return count(PATTERNS, until, messages, {"tick": last})


def test_a_whole_chain_has_neither_losses_nor_doubles() -> None:
    found = counted([sent(None, 1), sent(1, 12), sent(12, 23), sent(23, 34)], last=34)
    assert found == PeerCount(expected=4, enqueued=4, lost=0, twice=0, silent=0)


@pytest.mark.parametrize("missing", range(4))
def test_a_reserved_run_that_did_not_come_is_lost(missing: int) -> None:
    chain = [sent(None, 1), sent(1, 12), sent(12, 23), sent(23, 34)]
    found = counted(chain[:missing] + chain[missing + 1 :], last=34)
    assert (found.lost, found.twice, found.silent) == (1, 0, 1)


def test_two_runs_of_the_same_due_time_are_twice() -> None:
    found = counted([sent(None, 1), sent(1, 12), sent(1, 13), sent(13, 23)], last=23)
    assert (found.enqueued, found.lost, found.twice) == (4, 0, 1)


def test_times_that_it_leaves_out_are_neither_lost_nor_twice() -> None:
    found = counted([sent(None, 1), sent(1, 31)], last=31)
    assert (found.lost, found.twice, found.silent) == (0, 0, 2)


def test_its_messages_say_which_reservation_they_come_from(
    server: Server, processes: Processes, app: Celery
) -> None:
    RedBeatSchedulerEntry("tick", "shop.record", 0.5, ["tick"], app=app).save()
    beat = processes.beat(scheduler="tests.chaos.stamping.StampingScheduler")
    with server.client() as client:
        wait_for(lambda: client.llen(QUEUE) > 3, what="runs")
        beat.terminate()
        texts = client.lrange(QUEUE, 0, -1)
    stamps = [read_message(text, 0.0).reservation for text in reversed(texts)]
    links = [stamp for stamp in stamps if stamp is not None]
    assert len(links) == len(texts)
    assert [before for before, _ in links[1:]] == [at for _, at in links[:-1]]
    gaps = [at - before for before, at in links if before is not None]
    assert min(gaps) >= 0.5 * SECOND
