"""The registry of all actions and their keys.

:data:`ACTIONS` defines the bindings, the key bar, the help, the command palette and the read-only
guard; there is no other list of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from textual.binding import Binding

from redbeat_tui.action import CONSOLE, ENTRY, VIEW, Action
from redbeat_tui.widgets.key_bar import Key, key_text

from . import handlers

_ALL = (
    Action(
        "pause",
        ("p",),
        "pause",
        "Pause the entry, or resume it; with a note.",
        ENTRY,
        handlers.pause_or_resume,
        writes=True,
        needs_entry=True,
        weight=7,
    ),
    Action(
        "trigger",
        ("t",),
        "trigger",
        "Run the entry once now. Asks first.",
        ENTRY,
        handlers.trigger,
        writes=True,
        needs_entry=True,
        weight=6,
    ),
    Action(
        "edit",
        ("e",),
        "edit",
        "Edit the schedule; see its next runs, then save.",
        ENTRY,
        handlers.edit,
        writes=True,
        needs_entry=True,
        weight=6,
    ),
    Action(
        "delete",
        ("d", "delete"),
        "delete",
        "Delete the entry. Asks first.",
        ENTRY,
        handlers.delete,
        writes=True,
        needs_entry=True,
        weight=3,
    ),
    Action(
        "show",
        ("enter",),
        "detail",
        "Show the entry: definition, state, next runs.",
        ENTRY,
        handlers.show,
        needs_entry=True,
        weight=5,
    ),
    Action(
        "filter",
        ("slash",),
        "filter",
        "Show only the entries that match; esc clears it.",
        VIEW,
        handlers.open_filter,
        weight=4,
    ),
    Action(
        "sort",
        ("s",),
        "sort",
        "Sort by next run, name, status, last run in turn.",
        VIEW,
        handlers.next_sort,
        weight=2,
    ),
    Action(
        "refresh",
        ("r", "ctrl+r"),
        "refresh",
        "Read everything again (it is live anyway).",
        VIEW,
        handlers.refresh,
    ),
    Action(
        "back",
        ("escape",),
        "back",
        "Leave the detail, or clear the filter.",
        VIEW,
        handlers.back,
    ),
    Action(
        "help",
        ("question_mark", "f1"),
        "help",
        "Show this help.",
        CONSOLE,
        handlers.show_help,
        weight=8,
    ),
    Action(
        "palette",
        ("ctrl+p", "colon"),
        "commands",
        "Find an action by its name.",
        CONSOLE,
        handlers.open_palette,
    ),
    Action(
        "suspend",
        ("ctrl+z",),
        "suspend",
        "Go back to the shell for a moment; `fg` returns.",
        CONSOLE,
        handlers.suspend,
    ),
    Action(
        "quit",
        ("q", "ctrl+q", "ctrl+c"),
        "quit",
        "Leave the detail, or the console.",
        CONSOLE,
        handlers.leave,
        weight=9,
    ),
)

#: Every action by its name, in the order of the help.
ACTIONS: Mapping[str, Action] = {action.name: action for action in _ALL}


def bindings() -> list[Binding]:
    """Return the bindings of all actions, for the app."""
    return [
        Binding(
            key,
            f"perform('{action.name}')",
            action.title,
            show=False,
            key_display=key_text(key),
            priority=action.priority,
            tooltip=action.help,
        )
        for action in _ALL
        for key in action.keys
    ]


def bar_keys(*, inside: bool, paused: bool, read_only: bool) -> list[Key]:
    """The keys to offer in the key bar.

    :param inside: the detail of an entry is open.
    :param paused: the selected entry is paused.
    """
    keys = [Key("esc", "back", "app.perform('back')", weight=9)] if inside else []
    for action in ACTIONS.values():
        if not action.weight or (inside and action.name in ("show", "filter", "sort")):
            continue
        title = "resume" if action.name == "pause" and paused else action.title
        off = bool(refusal(action, read_only=read_only, has_entry=True))
        shown = key_text(action.keys[0])
        keys.append(Key(shown, title, f"app.perform('{action.name}')", off, action.weight))
    return keys


def palette_entries() -> Iterator[tuple[str, str, str]]:
    """Title, help and name of each action that the command palette offers."""
    for action in ACTIONS.values():
        if action.name not in ("palette", "back"):
            keys = ", ".join(key_text(key) for key in action.keys)
            yield action.title.capitalize(), f"{action.help} ({keys})", action.name


def refusal(action: Action, *, read_only: bool, has_entry: bool) -> str | None:
    """Return why *action* is refused now, as a sentence; None when it is not."""
    if action.writes and read_only:
        return (
            f"This console is read-only: {action.title} is off. "
            "Start it without --read-only to make changes."
        )
    if action.needs_entry and not has_entry:
        return f"No entry is selected: there is nothing to {action.name}."
    return None
