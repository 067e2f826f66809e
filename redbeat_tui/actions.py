"""The registry of all actions and their keys.

:data:`ACTIONS` defines the bindings, the key bar, the help, the command palette and the read-only
guard; there is no other list of keys.
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
    """One action of the operator.

    :ivar name: its unique name in the code.
    :ivar keys: Textual names of its keys; the key bar shows the first.
    :ivar title: one or two words for the key bar.
    :ivar help: a sentence for the help and the palette.
    :ivar group: its heading in the help.
    :ivar handler: the function that performs the action; a coroutine runs as a worker.
    :ivar writes: whether it changes the schedule; then read-only mode refuses it.
    :ivar needs_entry: whether it acts on the entry under the cursor.
    :ivar weight: in a narrow terminal the key bar leaves out the actions with the lowest weight
        first; an action of weight 0 is only in the help.
    :ivar priority: whether its keys work while a field has the focus.
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
