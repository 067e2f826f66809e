"""Short chaos runs. The long ones are commands: see README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.server import REDIS, VALKEY

from .run import Options, chaos

#: Far more than they take, also on a machine that has much else to do.
pytestmark = pytest.mark.timeout(400)
#: On such a machine runs are late for longer, and fewer are made. What is given up must still have
#: a run that stands for it: that is a matter of no machine.
SLOW: Any = {"rate_share": 0.25, "margin": 5.0, "least": 0.25}


def test_killed_leaders_and_restarts_of_redis_lose_nothing_and_double_nothing(
    tmp_path: Path,
) -> None:
    options = Options(
        kills=8, restarts=2, freezes=1, stalls=0, rate=60, server=REDIS, seed=2_718, **SLOW
    )
    outcome = chaos(options, tmp_path)
    assert outcome.clean, f"{outcome.table()}\n{outcome.explain()}"
    assert outcome.verdict.quiet > 0
    assert len(outcome.strikes_of("kill")) == 8
    assert len(outcome.strikes_of("restart")) == 2


def test_three_beats_without_a_lock_dispatch_each_nominal_time_once(tmp_path: Path) -> None:
    options = Options(
        kills=2,
        restarts=1,
        freezes=1,
        stalls=0,
        rate=60,
        spare=0,
        lock=False,
        server=VALKEY,
        seed=3_141,
        **SLOW,
    )
    outcome = chaos(options, tmp_path)
    assert outcome.clean, f"{outcome.table()}\n{outcome.explain()}"
    assert outcome.verdict.quiet > 0
    sources = {note.source for note in outcome.notes if note.type == "redbeat.run.dispatched"}
    assert len(sources) > 1, "only one of them dispatched anything"
