"""DueEntry: all that is known of one due entry, each fact worked out once."""

from __future__ import annotations

from typing import Any

from redbeat_core.entries.record import EntryRecord, definition_of
from redbeat_core.schedules.types.count_progress import counted_rules
from redbeat_core.storage.commit_steps import ClaimedEntry

from .messages.template import kind_of


class DueEntry:
    """One due entry on its way from the claim to the commit.

    :ivar claimed: the entry as it was claimed; the commit compares it.
    :ivar name: the entry's name.
    """

    __slots__ = ("_counts", "_definition", "_kind", "claimed", "name")

    def __init__(self, claimed: ClaimedEntry) -> None:
        self.claimed = claimed
        self.name = claimed.name
        self._definition: dict[str, Any] | None = None
        self._kind = ""
        self._counts: bool | None = None

    @property
    def record(self) -> EntryRecord:
        """The entry as text."""
        return self.claimed.record

    @property
    def text(self) -> str:
        """The definition as stored."""
        return self.claimed.record.definition or ""

    @property
    def definition(self) -> dict[str, Any]:
        """The decoded definition; shared, so do not change it.

        :raises DecodeError: it cannot run, with the reason.
        """
        if self._definition is None:
            self._definition = definition_of(self.claimed.record)
        return self._definition

    @property
    def kind(self) -> str:
        """The kind of its messages."""
        if not self._kind:
            self._kind = kind_of(self.definition)
        return self._kind

    @property
    def counts(self) -> bool:
        """Whether a rule of its schedule has a COUNT: then each run stores how far it counted."""
        if self._counts is None:
            self._counts = bool(counted_rules(self.definition["schedule"]))
        return self._counts
