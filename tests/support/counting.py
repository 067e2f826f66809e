"""From where rules with a COUNT are counted."""

from __future__ import annotations

from datetime import datetime

import pytest

from redbeat_core.schedules.recurrence.floating_rule import Rule


def counted_from(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The times from which rules are counted, from now on."""
    begins: list[datetime] = []
    count = Rule.count_between

    def noting(self: Rule, low: datetime, high: datetime) -> int:
        begins.append(low)
        return count(self, low, high)

    monkeypatch.setattr(Rule, "count_between", noting)
    return begins
