"""What all dialogs share: a box over the dimmed screen, buttons in a row, esc to leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from redbeat_tui.widgets.field import Field

Result = TypeVar("Result")


def plain(text: str, *, id: str | None = None, classes: str | None = None) -> Static:
    """A text that is drawn as it is: never markup."""
    return Static(text, markup=False, id=id, classes=classes)


def labelled(label: str, text: str) -> Horizontal:
    """A label and its text, which may wrap."""
    return Horizontal(
        plain(label, classes="label"), plain(text, classes="value"), classes="labelled"
    )


def button(label: str, key: str, *, id: str, classes: str = "") -> Button:
    """A button of one line that names its key."""
    text = Content.assemble((label, "bold"), (f"  {key}", "dim"))
    return Button(text, id=id, classes=f"choice {classes}".strip(), compact=True)


class Dialog(ModalScreen[Result | None]):
    """A box over the screen; it is dismissed with None when it is left by esc."""

    BINDINGS = [
        Binding("escape", "cancel", show=False),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
        Binding("ctrl+q,ctrl+c", "app.perform('quit')", show=False),
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (24, "-tall")]

    #: In the box's border.
    heading = ""
    #: Draws the box in the colour of danger.
    danger = False

    def on_screen_resume(self) -> None:
        # What was said before is of before, and would lie over the box.
        self.app.clear_notifications()

    def compose(self) -> ComposeResult:
        box = Vertical(id="box", classes="danger" if self.danger else "")
        box.border_title = Content(self.heading)
        with box:
            # These two stay in view where the rest must be scrolled.
            yield Vertical(*self.head(), classes="head")
            yield from self.body()
            yield Horizontal(*self.buttons(), classes="buttons")

    def head(self) -> Iterable[Widget]:
        """What is on top of the box: what it is about."""
        return ()

    def buttons(self) -> Iterable[Widget]:
        """The ways out."""
        raise NotImplementedError

    def body(self) -> Iterable[Widget]:
        """What is between them."""
        raise NotImplementedError

    def action_cancel(self) -> None:
        """Leave without doing anything."""
        self.dismiss(None)

    def on_field_cancelled(self, event: Field.Cancelled) -> None:
        """Esc in a field leaves the dialog too."""
        event.stop()
        self.action_cancel()
