"""One thing that an operator can do, as data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .console import Console

Handler = Callable[[Console], Awaitable[None] | None]


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
