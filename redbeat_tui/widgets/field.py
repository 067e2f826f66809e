"""A text field of one line, safe against control characters in what is pasted."""

from __future__ import annotations

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input

from redbeat_tui.text.sanitize import clean

#: More characters than an operator types; a pasted file is cut here.
MAX_LENGTH = 4000


class Field(Input):
    """An input that holds only plain text: pasted control characters are replaced.

    Several pasted lines become one line, separated by spaces; Textual's input would keep only the
    first.
    """

    BINDINGS = [Binding("escape", "cancel", show=False)]

    class Cancelled(Message):
        """The operator pressed Escape in the field."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

        @property
        def control(self) -> Field:
            """The field."""
            return self.field

    def __init__(
        self,
        value: str = "",
        placeholder: str = "",
        *,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(
            clean(value, limit=MAX_LENGTH),
            placeholder,
            id=id,
            classes=classes,
            max_length=MAX_LENGTH,
            select_on_focus=False,
            compact=True,
        )

    def action_cancel(self) -> None:
        """Post :class:`Cancelled`."""
        self.post_message(self.Cancelled(self))

    async def _on_key(self, event: events.Key) -> None:
        # Textual sends a binding's key to the app and back, and keys typed behind it arrive before
        # its action runs: over a slow line ctrl+u would delete those too.
        if event.is_printable:
            return
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            try:
                await self.run_action(binding.action)
            except SkipAction:
                return
            event.stop()
            event.prevent_default()
            return

    def _on_paste(self, event: events.Paste) -> None:
        text = clean(" ".join(event.text.split()), limit=MAX_LENGTH)
        if text:
            start, end = self.selection
            self.replace(text, start, end)
        event.prevent_default()
        event.stop()
