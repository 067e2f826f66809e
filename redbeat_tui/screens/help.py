"""The help dialog: every action of the registry, the filter's syntax, the statuses."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Static

from redbeat_tui.action import Action
from redbeat_tui.text.format import GLYPHS
from redbeat_tui.widgets.key_bar import key_text

from .dialog import Dialog, button, plain

FILTER = (
    ("report daily", "both words, in name, task, schedule or reason"),
    ("!test", "without the word"),
    ("/^shop\\./", "a regular expression"),
    ("status:failed,late", "one of several statuses"),
    ("name:x  task:x", "one field; also schedule: and reason:"),
)
MOVING = (
    ("↑ ↓  j k", "one entry up or down"),
    ("pgup pgdn", "one page"),
    ("home end", "the first, the last"),
)
STATUS = {
    "succeeded": "the task of the last run returned",
    "failed": "the task of the last run raised an error",
    "invalid": "the scheduler cannot run it; the detail says why",
    "late": "due for 5 seconds or more, and not dispatched yet",
    "running": "a worker runs it now",
    "retrying": "the task asked for a retry",
    "revoked": "the last run was revoked, or expired",
    "dispatched": "published to the broker; no worker has reported yet",
    "waiting": "has not run yet",
    "paused": "paused by an operator",
    "disabled": "its definition says that it is not enabled",
    "finished": "no further run is scheduled",
}


class HelpScreen(Dialog[None]):
    """The dialog with all keys and statuses."""

    heading = "Help"
    BINDINGS = [
        Binding("q,question_mark,f1,enter", "cancel", show=False),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
    ]

    def __init__(self, actions: Iterable[Action], *, read_only: bool) -> None:
        super().__init__()
        self._actions = tuple(actions)
        self._read_only = read_only

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="help", can_focus=False):
            for title, rows in self._sections():
                yield plain(title, classes="section")
                yield Static(_table(rows), markup=False)

    def buttons(self) -> Iterable[Widget]:
        yield button("Close", "esc", id="cancel")

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_cancel()

    def action_scroll(self, lines: int) -> None:
        """Scroll the text."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)

    def _sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        groups: dict[str, list[tuple[str, str]]] = {}
        for action in self._actions:
            keys = "  ".join(key_text(key) for key in action.keys)
            text = action.help
            if action.writes and self._read_only:
                text += " Off: this console is read-only."
            groups.setdefault(action.group, []).append((keys, text))
        return [
            *groups.items(),
            ("Moving", list(MOVING)),
            ("Filter", list(FILTER)),
            ("Status", [(f"{GLYPHS[key]} {key}", STATUS[key]) for key in STATUS]),
        ]


def _table(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=18)
    table.add_column(ratio=1)
    for left, right in rows:
        table.add_row(Text(left, style="bold"), Text(right))
    return table
