"""The dialog that asks for confirmation before a change, with a note and other fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Static

from redbeat_tui.text.sanitize import clean
from redbeat_tui.widgets.field import Field

from .dialog import Dialog, button, labelled, plain


@dataclass(frozen=True, slots=True)
class Question:
    """The content of the dialog.

    :ivar heading: the title in the border.
    :ivar name: the name of the entry, as Redis holds it.
    :ivar facts: label and text of each line, as Redis holds it.
    :ivar text: a sentence that says what the confirmation does.
    :ivar yes: the label of the button that confirms.
    :ivar enter: Enter in the note's field confirms. Otherwise only ``y`` or the button does, and
        the button does not have the focus at first.
    :ivar danger: the change cannot be undone.
    :ivar fields: key, first text and hint of each further field.
    :ivar check: returns why the typed texts (by key) are invalid, as a sentence; empty when they
        are valid.
    """

    heading: str
    name: str
    facts: tuple[tuple[str, str], ...]
    text: str
    yes: str
    enter: bool = False
    danger: bool = False
    fields: tuple[tuple[str, str, str], ...] = ()
    check: Callable[[Mapping[str, str]], str] = lambda _typed: ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The confirmation, with a note that may be empty, and the typed texts by key."""

    note: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)


class AskScreen(Dialog[Answer]):
    """The dialog for a :class:`Question`."""

    BINDINGS = [
        Binding("y", "yes", show=False),
        Binding("n", "cancel", show=False),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question
        self.heading = question.heading
        self.danger = question.danger

    def head(self) -> Iterable[Widget]:
        yield plain(clean(self.question.name, limit=200), classes="subject")

    def body(self) -> Iterable[Widget]:
        question = self.question
        for label, text in question.facts:
            yield labelled(label, clean(text, limit=300))
        yield plain(question.text, classes="explanation")
        note = ("note", "", "optional, everybody sees it")
        for key, text, hint in (*question.fields, note):
            with Horizontal(classes="labelled field-row"):
                yield plain(key, classes="label")
                yield Field(text, hint, id=key)
        if question.fields:
            yield plain("", id="wrong")

    def buttons(self) -> Iterable[Widget]:
        question = self.question
        yield button("Cancel", "esc", id="cancel")
        yield button(
            question.yes,
            "⏎" if question.enter else "y",
            id="yes",
            classes="dangerous" if question.danger else "main",
        )

    def on_mount(self) -> None:
        self.query_one("#note" if self.question.enter else "#cancel").focus()

    def on_input_submitted(self, event: Field.Submitted) -> None:
        """Enter in the note confirms a harmless change, else it moves the focus to the buttons."""
        event.stop()
        if self.question.enter:
            self.action_yes()
        else:
            self.query_one("#cancel").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "yes":
            self.action_yes()
        else:
            self.action_cancel()

    def action_yes(self) -> None:
        """Confirm, unless a typed text is invalid."""
        values = {field.id or "": field.value.strip() for field in self.query(Field)}
        error = self.question.check(values)
        if error:
            self.query_one("#wrong", Static).update(Content(f"✗ {clean(error, 200)}"))
            return
        self.dismiss(Answer(values.pop("note"), values))
