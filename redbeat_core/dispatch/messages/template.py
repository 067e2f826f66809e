"""The forms that messages are filled into, and what is filled in: plain data.

Pure. :mod:`redbeat_core.dispatch.messages.learned` makes them, and says when they may be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """What varies between the messages of one kind.

    :ivar text: the entry's definition as stored.
    :ivar nominal: Unix seconds.
    """

    text: str
    definition: dict[str, Any]
    task_id: str
    nominal: float


@dataclass(slots=True)
class MessageTemplate:
    """A message in pieces.

    :ivar command: database and list of the message; None: this kind cannot be filled.
    :ivar pieces: by turns a constant text and the name of the part that comes there.
    :ivar compared: a message was made both ways, and was the same.
    :ivar only: the arguments of all messages so far, as text: what else may depend on them is not
        known; None: there were others.
    :ivar task: the task's name.
    :ivar seconds: the options that are a number of seconds from now.
    """

    made_at: float
    command: tuple[int, str] | None = None
    pieces: list[str] = field(default_factory=list)
    embed: Any = None
    compared: bool = False
    only: str | None = None
    serializer: str = "json"
    task: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def holds_for(self, definition: Mapping[str, Any]) -> bool:
        """Whether it gives the messages with the arguments of *definition*."""
        return self.only is None or self.only == arguments_of(definition)


@dataclass(frozen=True, slots=True)
class EncodedArguments:
    """What an entry contributes to its messages, as JSON texts.

    :ivar header: of our header, all but the nominal time.
    """

    body: str
    argsrepr: str
    kwargsrepr: str
    header: str

    @property
    def size(self) -> int:
        """Characters, about."""
        texts = self.body, self.argsrepr, self.kwargsrepr, self.header
        return sum(map(len, texts)) + 500


def arguments_of(definition: Mapping[str, Any]) -> str:
    """The arguments as text, to tell whether they are the same."""
    return repr((definition.get("args") or (), definition.get("kwargs") or {}))
