"""The registry of actions, from which bindings, key bar, help and guard come."""

from __future__ import annotations

from collections import Counter

import pytest

from redbeat_tui.action import Action
from redbeat_tui.actions.registry import ACTIONS, bindings, refusal

#: ctrl+s, ctrl+b and their like are taken by terminals, tmux and screen.
TAKEN = {"ctrl+a", "ctrl+b", "ctrl+s", "ctrl+q", "ctrl+j", "ctrl+o"}


def test_no_key_does_two_things() -> None:
    keys = Counter(key for action in ACTIONS.values() for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_key_of_the_registry_is_bound() -> None:
    bound = {binding.key: binding.action for binding in bindings()}
    for name, action in ACTIONS.items():
        for key in action.keys:
            assert bound[key] == f"perform('{name}')"


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_a_key_that_terminals_take_is_never_the_only_one(action: Action) -> None:
    assert set(action.keys) - TAKEN
    assert action.keys[0] not in TAKEN


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_an_action_is_explained(action: Action) -> None:
    assert action.help.endswith(".")
    assert len(action.help) <= 60
    assert 0 < len(action.title) <= 8


def test_what_changes_the_schedule_is_refused_when_read_only_and_nothing_else() -> None:
    refused = {
        name for name, action in ACTIONS.items() if refusal(action, read_only=True, has_entry=True)
    }
    assert refused == {"pause", "trigger", "edit", "delete"}


def test_what_needs_an_entry_is_refused_without_one() -> None:
    refused = {
        name
        for name, action in ACTIONS.items()
        if refusal(action, read_only=False, has_entry=False)
    }
    assert refused == {"show", "pause", "trigger", "edit", "delete"}
