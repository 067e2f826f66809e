"""Typed values for a run on request: unchanged, valid and invalid ones."""

from __future__ import annotations

import pytest

from redbeat_core.entries.view import EntryView
from redbeat_tui.text.sanitize import clean
from redbeat_tui.text.trigger_form import TypedWrongError, fields_of, overrides

VIEW = EntryView(
    "orders", "v", args=["märz", 1], kwargs={"dry": True}, options={"queue": "slow", "priority": 1}
)


def typed(view: EntryView, **changed: str) -> dict[str, str]:
    return {field.key: field.text for field in fields_of(view)} | changed


def test_the_fields_hold_the_entrys_values() -> None:
    assert typed(VIEW) == {"args": '["märz", 1]', "kwargs": '{"dry": true}', "queue": "slow"}
    assert typed(EntryView("plain", "v")) == {"args": "[]", "kwargs": "{}", "queue": ""}


def test_an_unchanged_field_means_the_entrys_own_value() -> None:
    assert overrides(fields_of(VIEW), typed(VIEW)) == {}
    assert overrides(fields_of(VIEW), typed(VIEW, args="", queue=" ")) == {}


def test_a_changed_field_overrides_the_entrys_value() -> None:
    changed = typed(VIEW, args="[]", kwargs='{"dry": false}', queue="fast")
    assert overrides(fields_of(VIEW), changed) == {
        "args": [],
        "kwargs": {"dry": False},
        "queue": "fast",
    }


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("args", "[1", "args is not JSON: Expecting ',' delimiter at character 3"),
        ("args", '{"a": 1}', "args must be a list"),
        ("args", "[" * 100_000, "args is no JSON that can be read"),
        ("args", "[" + "1" * 10_000 + "]", "args is no JSON that can be read"),
        ("kwargs", "[1]", "kwargs must be an object"),
        ("kwargs", "{1: 2}", "kwargs is not JSON"),
    ],
)
def test_an_invalid_value_is_refused_with_its_reason(key: str, text: str, reason: str) -> None:
    with pytest.raises(TypedWrongError, match=reason.replace("[", r"\[")):
        overrides(fields_of(VIEW), typed(VIEW, **{key: text}))


@pytest.mark.parametrize("odd", ["\x1b]52;c;x\x07", "\u202eabc", "x" * 5000, "\ud800"])
def test_a_value_that_sanitizing_changes_is_not_offered_for_editing(odd: str) -> None:
    view = EntryView("odd", "v", args=[odd], options={"queue": odd})
    for field in fields_of(view):
        assert clean(field.text) == field.text
        assert clean(field.hint) == field.hint
    assert overrides(fields_of(view), typed(view)) == {}
