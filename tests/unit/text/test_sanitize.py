"""Text from Redis reaches the terminal only as visible characters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcwidth

from redbeat_tui.text.format import width
from redbeat_tui.text.sanitize import LIMIT, MARKS, clean, clean_lines

HOSTILE = [
    ("\x1b[2J", "␛[2J"),
    ("\x1b]52;c;ZXZpbA==\x07", "␛]52;c;ZXZpbA==␇"),
    ("a\nb\r\tc", "a␊b␍␉c"),
    ("\x7f", "␡"),
    ("\x9b31m", "⟨9B⟩31m"),
    ("pay\u202egnp.exe", "pay⟨202E⟩gnp.exe"),
    ("\u2066x\u2069", "⟨2066⟩x⟨2069⟩"),
    ("\u200fx", "⟨200F⟩x"),
    ("a\u200bb\ufeff", "a⟨200B⟩b⟨FEFF⟩"),
    ("soft\u00adhyphen", "soft⟨AD⟩hyphen"),
    ("\U000e0041", "⟨E0041⟩"),
    ("\u2028", "⟨2028⟩"),
    ("\udce9t\udce9", "⟨xE9⟩t⟨xE9⟩"),
    ("\ud800", "�"),
    ("\ue0b0", "⟨E0B0⟩"),
    ("\uffff", "⟨FFFF⟩"),
    ("\u3164", "⟨3164⟩"),
    ("x\ufe00", "x⟨FE00⟩"),
    ("no\u00a0break", "no break"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_characters_that_could_control_a_terminal_are_replaced(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "shop.tasks.report",
        "[/nope] [bold]x",
        "résumé",
        "日本語",
        "Отчёт",
        "שלום",
        "✓ ok 🎉",
        "가각",
        "",
    ],
)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_a_symbol_and_its_coloured_form_are_the_same_symbol() -> None:
    assert clean("❤\ufe0f!") == "❤!"


def test_a_letter_and_its_accent_become_one_character() -> None:
    assert clean("cafe\u0301") == "café"


def test_marks_cannot_pile_up_over_the_lines_above() -> None:
    assert clean("x" + "\u0323" * 50 + "y") == "x" + "\u0323" * MARKS + f"⟨+{50 - MARKS}⟩y"


def test_a_mark_without_a_letter_does_not_sit_on_its_neighbour() -> None:
    assert clean("\u0323x").startswith("◌\u0323")


def test_a_long_text_is_cut_and_says_so() -> None:
    shown = clean("x" * 10_000)
    assert len(shown) == LIMIT
    assert shown.endswith("x…")
    assert clean("y" * LIMIT) == "y" * LIMIT
    assert clean("\x1b" * 20, limit=5) == "␛␛␛␛…"
    assert len(clean("\u200b" * 20, limit=8)) == 8


def test_megabytes_cost_what_a_line_costs() -> None:
    assert len(clean("\u202e" * 5_000_000)) == LIMIT


def test_line_breaks_are_kept_and_a_tab_becomes_spaces() -> None:
    assert clean_lines("a\r\nb\tc\n\x1bd") == ["a", "b   c", "␛d"]
    assert clean_lines("x\n" * 1000)[-1] == "…"
    assert len(clean_lines("x\n" * 1000)) == 500
    assert clean_lines("") == [""]


@given(st.text(st.characters(), max_size=300))
def test_the_result_has_only_visible_characters(text: str) -> None:
    shown = clean(text)
    shown.encode("utf-8")
    for char in shown:
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert len(shown) <= LIMIT


@given(st.text(st.characters(), max_size=50))
def test_cleaning_a_clean_text_changes_nothing(text: str) -> None:
    once = clean(text)
    assert clean(once) == once


@given(st.text(st.characters(exclude_categories=["Mc", "Me"]), max_size=30))
def test_the_cells_that_are_counted_are_the_cells_that_terminals_use(text: str) -> None:
    shown = clean(text)
    counted = sum(max(0, wcwidth(char)) for char in shown)
    # The two tables have different Unicode versions; they agree on the characters of both.
    if all(_old(char) for char in shown):
        assert width(shown) == counted


def _old(char: str) -> bool:
    return ord(char) < 0x3000 or 0x4E00 <= ord(char) <= 0x9FFF or 0xAC00 <= ord(char) <= 0xD7A3
