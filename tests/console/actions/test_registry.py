"""The registry of actions, which defines bindings, key bar, help and the read-only guard."""

from __future__ import annotations

from collections import Counter

import pytest

from redbeat_tui.action import Action
from redbeat_tui.actions.registry import ACTIONS, bindings, refusal

#: Terminals, tmux and screen intercept ctrl+s, ctrl+b and others.
TAKEN = {"ctrl+a", "ctrl+b", "ctrl+s", "ctrl+q", "ctrl+j", "ctrl+o"}


def test_each_key_is_bound_to_one_action() -> None:
    keys = Counter(key for action in ACTIONS.values() for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_key_of_the_registry_is_bound() -> None:
    bound = {binding.key: binding.action for binding in bindings()}
    for name, action in ACTIONS.items():
        for key in action.keys:
            assert bound[key] == f"perform('{name}')"


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_a_key_that_terminals_intercept_is_never_the_only_one(action: Action) -> None:
    assert set(action.keys) - TAKEN
    assert action.keys[0] not in TAKEN


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_every_action_has_a_title_and_a_help_text(action: Action) -> None:
    assert action.help.endswith(".")
    assert len(action.help) <= 60
    assert 0 < len(action.title) <= 8


def test_read_only_refuses_exactly_the_actions_that_write() -> None:
    refused = {
        name for name, action in ACTIONS.items() if refusal(action, read_only=True, has_entry=True)
    }
    assert refused == {"pause", "trigger", "edit", "delete"}


def test_an_action_on_an_entry_is_refused_without_one() -> None:
    refused = {
        name
        for name, action in ACTIONS.items()
        if refusal(action, read_only=False, has_entry=False)
    }
    assert refused == {"show", "pause", "trigger", "edit", "delete"}
