"""Everything that a key does: one registry.

The bindings, the key bar, the help, the command palette and the read-only guard all come from
:data:`ACTIONS`; there is no other list of keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.binding import Binding

from . import verbs
from .widgets.key_bar import key_text

if TYPE_CHECKING:
    from .app import ConsoleApp

Handler = Callable[["ConsoleApp"], Awaitable[None] | None]

ENTRY = "Entry"
VIEW = "View"
CONSOLE = "Console"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that an operator can do.

    :ivar name: its name in the code, unique.
    :ivar keys: Textual names of its keys; the first is the one shown.
    :ivar title: a word or two, for the key bar.
    :ivar help: a sentence, for the help and the palette.
    :ivar group: the heading in the help.
    :ivar handler: does it, or starts it.
    :ivar writes: changes the schedule: refused in read-only mode.
    :ivar needs_entry: acts on the entry under the cursor.
    :ivar weight: the heavier, the longer it stays in the key bar of a narrow terminal; 0: it
        is only in the help.
    :ivar priority: works while a field has the focus.
    """

    name: str
    keys: tuple[str, ...]
    title: str
    help: str
    group: str
    handler: Handler
    writes: bool = False
    needs_entry: bool = False
    weight: int = 0
    priority: bool = False


_ALL = (
    Action(
        "pause",
        ("p",),
        "pause",
        "Pause the entry, or resume it; with a note.",
        ENTRY,
        verbs.pause_or_resume,
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
        verbs.trigger,
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
        verbs.edit,
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
        verbs.delete,
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
        verbs.show,
        needs_entry=True,
        weight=5,
    ),
    Action(
        "filter",
        ("slash",),
        "filter",
        "Show only the entries that match; esc clears it.",
        VIEW,
        verbs.open_filter,
        weight=4,
    ),
    Action(
        "sort",
        ("s",),
        "sort",
        "Sort by next run, name, status, last run in turn.",
        VIEW,
        verbs.next_sort,
        weight=2,
    ),
    Action(
        "refresh",
        ("r", "ctrl+r"),
        "refresh",
        "Read everything again (it is live anyway).",
        VIEW,
        verbs.refresh,
    ),
    Action(
        "back",
        ("escape",),
        "back",
        "Leave the detail, or clear the filter.",
        VIEW,
        verbs.back,
    ),
    Action(
        "help",
        ("question_mark", "f1"),
        "help",
        "Show this help.",
        CONSOLE,
        verbs.show_help,
        weight=8,
    ),
    Action(
        "palette",
        ("ctrl+p", "colon"),
        "commands",
        "Find an action by its name.",
        CONSOLE,
        verbs.open_palette,
    ),
    Action(
        "suspend",
        ("ctrl+z",),
        "suspend",
        "Go back to the shell for a moment; `fg` returns.",
        CONSOLE,
        verbs.suspend,
    ),
    Action(
        "quit",
        ("q", "ctrl+q", "ctrl+c"),
        "quit",
        "Leave the detail, or the console.",
        CONSOLE,
        verbs.leave,
        weight=9,
    ),
)

#: Every action by its name, in the order of the help.
ACTIONS: Mapping[str, Action] = {action.name: action for action in _ALL}


def bindings() -> list[Binding]:
    """The bindings of the whole registry, for the app."""
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


def refusal(action: Action, *, read_only: bool, has_entry: bool) -> str | None:
    """Why *action* cannot be done now, in a sentence; None when it can."""
    if action.writes and read_only:
        return (
            f"This console is read-only: {action.title} is off. "
            "Start it without --read-only to make changes."
        )
    if action.needs_entry and not has_entry:
        return f"No entry is selected: there is nothing to {action.name}."
    return None
