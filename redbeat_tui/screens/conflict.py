"""The dialog for a conflict: the entry changed since the operator saw it. Shows both versions."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Button

from redbeat_core.entries.view import EntryView
from redbeat_tui.text.differences import differences
from redbeat_tui.text.sanitize import clean

from .dialog import Dialog, button, labelled, plain


class ConflictScreen(Dialog[bool]):
    """Dismissed with True to apply the change to the current version; with None to go back."""

    heading = "Changed meanwhile"
    danger = True
    BINDINGS = [
        Binding("o", "anyway", show=False),
        Binding("n", "cancel", show=False),
    ]

    def __init__(self, seen: EntryView, current: EntryView, anyway: str, typed: str = "") -> None:
        """
        :param seen: the version that the operator saw.
        :param current: the version that Redis holds now.
        :param anyway: the label of the button that applies the change.
        :param typed: the text that the operator typed, to show that it is kept.
        """
        super().__init__()
        self.seen = seen
        self.current = current
        self.anyway = anyway
        self.typed = typed

    def head(self) -> Iterable[Widget]:
        yield plain(clean(self.seen.name, limit=200), classes="subject")

    def body(self) -> Iterable[Widget]:
        yield plain(
            "Somebody else changed this entry after you opened it. Nothing was written.",
            classes="explanation",
        )
        with VerticalScroll(classes="versions", can_focus=False):
            for difference in differences(self.seen, self.current):
                yield plain(difference.what, classes="what")
                yield labelled("you saw", clean(difference.seen, limit=400))
                yield labelled("is now", clean(difference.current, limit=400))
        if self.typed:
            yield plain("your text, kept", classes="what")
            yield labelled("", clean(self.typed, limit=400))

    def buttons(self) -> Iterable[Widget]:
        yield button("Back", "esc", id="cancel")
        yield button(self.anyway, "o", id="anyway", classes="dangerous")

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "anyway":
            self.action_anyway()
        else:
            self.action_cancel()

    def action_anyway(self) -> None:
        """Apply the change to the current version."""
        self.dismiss(True)
