"""Reading an entry's hash or an event never raises, whatever it holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.entries.record import EntryRecord
from redbeat_core.entries.view import decode_record
from redbeat_tui.live.row import Row

HUGE = 10**400
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(HUGE)
    | st.floats()
    | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["paused", "at", "by", "status", "runtime", "error", "note"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELD = st.none() | st.text(st.characters(), max_size=30) | JSON.map(json.dumps)


@given(
    st.text(st.characters(), min_size=1, max_size=9),
    st.none() | st.floats(),
    FIELD,
    FIELD,
    FIELD,
    FIELD,
)
def test_a_row_can_be_made_of_anything(
    name: str,
    score: float | None,
    definition: str | None,
    meta: str | None,
    state: str | None,
    outcome: str | None,
) -> None:
    row = Row(EntryRecord(name, score, definition, meta, None, state, outcome))
    assert row.status == "invalid"
    assert row.facts.reason
    assert row.status_at(0.0) == row.status_at(1e12) == "invalid"
    assert row.waits_until >= 0
    assert row.text
    assert row.version


@pytest.mark.parametrize(
    "record",
    [
        EntryRecord("a", definition="\ud800"),
        EntryRecord("a", outcome=json.dumps({"status": "errored", "at": HUGE, "runtime": HUGE})),
        EntryRecord("a", state=json.dumps({"paused": {"at": HUGE, "by": ["x"], "note": {}}})),
        EntryRecord("a", score=float("inf")),
        EntryRecord("a", score=float("nan")),
    ],
)
def test_numbers_and_texts_out_of_range_are_ignored(record: EntryRecord) -> None:
    view = decode_record(record)
    assert view.error is not None
    assert view.next_run_at is None
    assert view.outcome is None or (view.outcome.at is None and view.outcome.runtime is None)
    assert view.pause is None or view.pause.at is None
