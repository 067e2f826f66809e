"""LearnedCache: learns from the messages that Celery makes, compares, and expires.

The first message of a kind gives a value (a template, a call); a second one is made both ways and
compared. From then on the value is used, for other arguments than the first message's once a
message with others was compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .template import arguments_of

T = TypeVar("T")

#: Seconds after which a value is learned again: settings may change while beat runs.
FRESH = 60.0
#: How many kinds are kept.
MOST_KINDS = 2000
#: Learning states of a kind whose value cannot be used yet, or not for these arguments.
NO_TEMPLATE, MADE, COMPARED = "none", "made", "compared"


@dataclass(slots=True)
class Learned(Generic[T]):
    """The value learned for one kind of message.

    :ivar made_at: monotonic seconds.
    :ivar value: the value; None: this kind has none.
    :ivar only: the arguments of all samples so far, as text: other ones may change more than the
        arguments; None: samples with other arguments were the same.
    :ivar compared: a second sample was the same.
    """

    made_at: float
    value: T | None
    only: str | None
    compared: bool = False

    def holds_for(self, definition: Mapping[str, Any]) -> bool:
        """Whether the value is valid for the arguments of *definition*."""
        return self.only is None or self.only == arguments_of(definition)


class LearnedCache(Generic[T]):
    """Values by kind of message."""

    def __init__(self) -> None:
        self._kinds: dict[str, Learned[T]] = {}

    def get(self, kind: str) -> Learned[T] | None:
        """Return the entry of *kind*, unless it has expired."""
        learned = self._kinds.get(kind)
        if learned is not None and time.monotonic() - learned.made_at > FRESH:
            del self._kinds[kind]
            return None
        return learned

    def ready(self, kind: str) -> Learned[T] | None:
        """Return the entry of *kind*, if its value was compared."""
        learned = self._kinds.get(kind)
        if learned is None or not learned.compared or learned.value is None:
            return None
        return self.get(kind)

    def state(self, kind: str, definition: Mapping[str, Any]) -> str:
        """The learning state of *kind* for *definition*; empty: more samples change nothing."""
        learned = self.get(kind)
        if learned is None:
            return NO_TEMPLATE
        if learned.value is None or (learned.compared and learned.holds_for(definition)):
            return ""
        return COMPARED if learned.compared else MADE

    def record_sample(
        self,
        kind: str,
        definition: Mapping[str, Any],
        make: Callable[[], T | None],
        is_same: Callable[[T], bool],
    ) -> None:
        """Learn from a message that Celery made.

        :param make: makes the value of it; None: this kind has none.
        :param is_same: whether a value gives this very message.
        """
        learned = self.get(kind)
        if learned is None:
            if len(self._kinds) >= MOST_KINDS:
                del self._kinds[next(iter(self._kinds))]
            # Kept before it is made: a kind that raises is not tried again before it expires.
            learned = Learned(time.monotonic(), None, arguments_of(definition))
            self._kinds[kind] = learned
            learned.value = make()
        elif learned.value is not None:
            held = learned.holds_for(definition)
            if learned.compared and held:
                return
            learned.compared = is_same(learned.value)
            if not learned.compared:
                learned.value = None
            elif not held:
                learned.only = None
