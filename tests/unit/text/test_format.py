"""Formatting of times and texts for the console."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_tui.live.row import STATUSES
from redbeat_tui.text import format as shown
from redbeat_tui.text.format import (
    AGO_WIDTH,
    AT_WIDTH,
    COUNTDOWN_WIDTH,
    ago,
    at,
    countdown,
    duration,
    fit,
    status_text,
    timestamp,
    truncate,
    width,
)
from redbeat_tui.text.sanitize import clean

NOW = datetime(2025, 11, 23, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (0.2, "in 1s"),
        (1, "in 1s"),
        (1.01, "in 2s"),
        (59.5, "in 1m"),
        (192, "in 3m 12s"),
        (3600, "in 1h"),
        (7500, "in 2h 5m"),
        (86400 * 9 + 4 * 3600, "in 9d 4h"),
        (86400 * 400, "in 400d"),
        (86400 * 365 * 20, "in 20y"),
        (0, "now"),
        (-4.9, "now"),
        (-5, "late 5s"),
        (-192, "late 3m 12s"),
    ],
)
def test_a_countdown_says_how_long_it_takes(left: float, text: str) -> None:
    assert countdown(NOW + left, NOW) == text


def test_without_a_due_time_there_is_no_countdown() -> None:
    assert countdown(None, NOW) == "-"
    assert countdown(float("inf"), NOW) == "-"
    assert countdown(float("nan"), NOW) == "-"


@pytest.mark.parametrize(
    ("passed", "text"),
    [(0, "now"), (-30, "now"), (12.9, "12s ago"), (185, "3m ago"), (3 * 3600 + 300, "3h 5m ago")],
)
def test_a_past_time_is_shown_as_the_time_since_then(passed: float, text: str) -> None:
    assert ago(NOW - passed, NOW) == text


def test_a_run_that_never_was_is_shown_as_never() -> None:
    assert ago(None, NOW) == "never"


def test_a_time_today_has_no_date_and_another_day_has_one() -> None:
    paris = ZoneInfo("Europe/Paris")
    assert at(NOW + 65, NOW, paris) == "13:01:05"
    assert at(NOW + 86400, NOW, paris) == "Mon 24 Nov 13:00"
    assert at(NOW + 86400 * 365, NOW, paris) == "2026-11-23 13:00"
    assert at(NOW + 11.5 * 3600, NOW, paris) == "Mon 24 Nov 00:30"  # tomorrow there
    assert at(NOW + 11.5 * 3600, NOW, UTC) == "23:30:00"
    assert at(None, NOW) == "-"
    assert at(1e18, NOW) == "-"


def test_a_full_time_names_its_zone() -> None:
    paris = ZoneInfo("Europe/Paris")
    assert timestamp(NOW, paris) == "Sun 2025-11-23 13:00:00 CET"
    assert timestamp(datetime(2025, 7, 1, tzinfo=UTC), paris) == "Tue 2025-07-01 02:00:00 CEST"
    assert timestamp(None) == "-"
    assert timestamp(1e18) == "-"


@given(st.floats(-1e12, 1e12), st.floats(0, 4e9))
def test_no_time_is_wider_than_its_column(when: float, now: float) -> None:
    assert len(countdown(when, now)) <= COUNTDOWN_WIDTH
    assert len(ago(when, now)) <= AGO_WIDTH
    assert len(at(when, now)) <= AT_WIDTH


@given(st.floats(0, 1e9))
def test_a_duration_is_never_rounded_up(seconds: float) -> None:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
    said = sum(int(part[:-1]) * units[part[-1]] for part in duration(seconds).split())
    assert said <= seconds < max(said * 1.5, said + 60)


def test_every_status_has_a_glyph_of_one_cell_and_a_word() -> None:
    for status in STATUSES:
        for ascii_only in (False, True):
            glyph, word = status_text(status, ascii_only=ascii_only).split()
            assert word == status
            assert width(glyph) == 1
            assert glyph.isascii() or not ascii_only
    assert len(set(shown.GLYPHS.values())) == len(STATUSES) == len(set(shown.ASCII_GLYPHS.values()))


@pytest.mark.parametrize(
    ("text", "cells", "cut"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("日", 1, "…"),
        ("abc", 0, ""),
        ("abc", -1, ""),
        ("", 3, ""),
    ],
)
def test_text_is_cut_by_cells_and_no_character_is_halved(text: str, cells: int, cut: str) -> None:
    assert truncate(text, cells) == cut


@given(st.text(max_size=60).map(clean), st.integers(0, 40))
def test_a_fitted_text_has_exactly_its_width(text: str, cells: int) -> None:
    assert width(fit(text, cells)) == cells
    assert width(fit(text, cells, right=True)) == cells
    assert fit(text, cells).rstrip(" ") == truncate(text, cells).rstrip(" ")


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [
        ("shop.payments.check_fraud", 12, "…check_fraud"),
        ("shop.mail", 9, "shop.mail"),
        ("shop.mail", 1, "…"),
        ("shop.mail", 0, ""),
        ("商店の支払いを確認", 8, "…を確認"),
        ("xe\u0301e\u0301e\u0301", 3, "…e\u0301e\u0301"),
    ],
)
def test_the_beginning_can_be_cut_off_instead_of_the_end(
    text: str, cells: int, expected: str
) -> None:
    assert shown.truncate_head(text, cells) == expected
