"""The leader in the header."""

from __future__ import annotations

from datetime import UTC, datetime

from redbeat_core.leadership.health import Beat, Health, Leader, ServerInfo
from redbeat_tui.widgets.header_facts import leader_words

TOKEN = "ops-1:42:ab"


def health(skew: float | None, token: str = TOKEN) -> Health:
    beat = Beat(token, "ops-1", 42, "leader", datetime(2026, 1, 1, tzinfo=UTC), skew=skew)
    return Health(Leader(TOKEN, "ops-1", 42), (beat,), ServerInfo(), 0, 0.001)


def test_a_leader_whose_clock_is_wrong_is_drawn_as_a_warning() -> None:
    assert leader_words(health(0.9)) == ("ops-1:42", False)
    assert leader_words(health(None)) == ("ops-1:42", False)
    assert leader_words(health(3700.0)) == ("ops-1:42, clock 1h 1m ahead", True)
    assert leader_words(health(-5.2)) == ("ops-1:42, clock 5s behind", True)
    assert leader_words(health(3700.0, token="other")) == ("ops-1:42", False)
