"""The filter that is typed behind ``/``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.events import Snapshot
from redbeat_tui.live.filter import parse_filter
from redbeat_tui.live.listing import Listing
from redbeat_tui.live.model import LARGE, Decoded, Model
from redbeat_tui.live.row import Row
from tests.support.rows import AT_NINE, NOW, meta, outcome, paused, record, row

ROWS = [
    row("Report Daily", task="shop.tasks.report", schedule=AT_NINE),
    row("report:weekly", task="shop.tasks.report"),
    row("sync/stock", task="shop.stock.sync", outcome=outcome("errored", error="Timeout: 5 s")),
    row("cache[1]", task="shop.tasks.warm", state=paused("Migration")),
    row("überweisung", -30, task="bank.pay"),
]


def shown(text: str, now: float | None = NOW) -> list[str]:
    chosen = parse_filter(text)
    names = [entry.name for entry in ROWS if chosen.matches(entry, now)]
    assert names == [entry.name for entry in chosen.select(ROWS, now)], "both ways agree"
    return names


ALL = [entry.name for entry in ROWS]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ALL),
        ("   ", ALL),
        ("report", ["Report Daily", "report:weekly"]),
        ("REPORT daily", ["Report Daily"]),
        ("tasks !report", ["cache[1]"]),
        ("!report !cache[1]", ["sync/stock", "überweisung"]),
        ("ÜBER", ["überweisung"]),
        ("cache[1]", ["cache[1]"]),
        ("report:weekly", ["report:weekly"]),
        ("sync/stock", ["sync/stock"]),
        ('"report daily"', ["Report Daily"]),
        ('"report d', ["Report Daily"]),
        ("timeout", ["sync/stock"]),
        ("/^report/", ["Report Daily", "report:weekly"]),
        ("/^report.daily/ tasks", ["Report Daily"]),
        ("/^sync\\/stock$/", ["sync/stock"]),
        ("/^sync/stock$/", ["sync/stock"]),
        ("!/tasks|bank/", ["sync/stock"]),
        ("/unfinished (typ", ALL),
        ("/report", ["Report Daily", "report:weekly"]),
        ("/shop report/", []),
        ("name:sync", ["sync/stock"]),
        ("task:bank", ["überweisung"]),
        ("TASK:bank", ["überweisung"]),
        ("!task:shop", ["überweisung"]),
        ("task:/^shop\\.(stock|bank)/", ["sync/stock"]),
        ('name:"rt d"', ["Report Daily"]),
        ("reason:migration", ["cache[1]"]),
        ("status:failed", ["sync/stock"]),
        ("status:paused,failed", ["sync/stock", "cache[1]"]),
        ("status:p", ["cache[1]"]),
        ("!status:waiting,late", ["sync/stock", "cache[1]"]),
        ("status:late", ["überweisung"]),
        ("status:errored", ["sync/stock"]),
        ("status:err", ["sync/stock"]),
        ("status:/^(late|failed)$/", ["sync/stock", "überweisung"]),
        ("status:", ALL),
        ("!", ALL),
        ("/", ALL),
        ("//", ALL),
        ('"', ALL),
        ("nothing-like-this", []),
    ],
)
def test_a_filter_shows_what_it_says(text: str, names: list[str]) -> None:
    assert shown(text) == names


def test_nothing_is_late_while_the_data_is_not_live() -> None:
    assert shown("status:late", None) == []
    assert "überweisung" in shown("status:waiting", None)


@pytest.mark.parametrize("text", ["/(/", "/[a-/", "/*/", "/a{99999999999}/", "task:/(?P<1>x)/"])
def test_a_broken_expression_is_reported_and_hides_nothing(text: str) -> None:
    chosen = parse_filter(text)
    assert chosen.error is not None
    assert "is no regular expression" in chosen.error
    assert shown(text) == ALL


def test_the_error_for_an_unknown_status_lists_all_statuses() -> None:
    chosen = parse_filter("status:broken report")
    assert chosen.error is not None
    assert "'broken'" in chosen.error
    assert "failed" in chosen.error
    assert shown("status:broken report") == ["Report Daily", "report:weekly"], "the rest holds"


@pytest.mark.parametrize(
    ("alias", "status"),
    [
        ("ok", "succeeded"),
        ("sent", "dispatched"),
        ("errored", "failed"),
        ("started", "running"),
        ("retried", "retrying"),
    ],
)
def test_an_earlier_word_for_a_status_filters_as_the_status_does(alias: str, status: str) -> None:
    outcomes = ("started", "succeeded", "errored", "retried", "revoked", "of a newer version")
    rows = [row(word, 9, meta=meta(NOW), outcome=outcome(word)) for word in outcomes]
    by_alias = parse_filter(f"status:{alias}").select(rows, NOW)
    assert [entry.status for entry in by_alias] == [status]
    assert by_alias == parse_filter(f"status:{status}").select(rows, NOW)


def test_a_filter_knows_whether_time_alone_can_change_what_it_shows() -> None:
    assert parse_filter("status:late").timed
    assert not parse_filter("report").timed
    assert not parse_filter("")
    assert parse_filter("report")


@given(st.text(st.characters() | st.sampled_from('!/"\\:()[]{}*+?^$|,.'), max_size=20))
def test_no_typed_filter_raises(text: str) -> None:
    chosen = parse_filter(text)
    assert chosen.text == text
    for entry in ROWS:
        chosen.matches(entry, NOW)


def test_entries_that_are_still_being_decoded_appear_when_they_are() -> None:
    """A filter never makes the screen wait until all entries are decoded."""
    model = Model(lambda: NOW)
    records = tuple(record(f"e{n}", n, task=f"task-{n % 3}") for n in range(LARGE + 1))
    model.apply(model.prepare(Snapshot(records, 1, NOW), defer=True))
    listing = Listing()
    listing.arrange(model.rows, filter=parse_filter("task-1"))
    assert len(listing) == 0
    for entry in model.rows.values():
        entry.warm()
    assert listing.update(model.rows, model.apply(Decoded(frozenset(model.rows))))
    assert len(listing) == (LARGE + 1) // 3
    assert [entry.name for entry in listing.rows[:2]] == ["e1", "e4"]


def test_rows_that_are_not_decoded_are_sorted_last() -> None:
    cold, warm = Row(record("cold"), deferred=True), row("warm", meta=meta(NOW))
    for sort in ("task", "schedule", "last", "status"):
        listing = Listing()
        listing.arrange({"cold": cold, "warm": warm}, sort=sort)
        assert [entry.name for entry in listing.rows] == ["warm", "cold"]
