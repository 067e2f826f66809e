"""DueEntry: the facts about one due entry, each worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redbeat_core.entries.codec import DecodeError
from redbeat_core.entries.record import EntryRecord, definition_of
from redbeat_core.schedules.types.count_progress import counted_rules
from redbeat_core.storage.commit_steps import ClaimedEntry


class DueEntry:
    """One due entry on its way from the claim to the commit.

    :ivar claimed: the entry as it was claimed; the commit compares it.
    :ivar name: the entry's name.
    :ivar record: the entry as text.
    :ivar text: the definition as stored.
    :ivar definition: the decoded definition; shared, so do not change it. Empty where the entry is
        invalid, as are the following.
    :ivar kind: the kind of its messages.
    :ivar counts: a rule of its schedule has a COUNT: then each run stores how far it counted.
    """

    __slots__ = ("claimed", "counts", "definition", "kind", "name", "record", "text")

    def __init__(self, claimed: ClaimedEntry) -> None:
        self.claimed = claimed
        self.name = claimed.name
        self.record: EntryRecord = claimed.record
        self.text = self.record.definition or ""
        self.definition: dict[str, Any] = {}
        self.kind = ""
        self.counts = False
        try:
            definition = definition_of(self.record)
        except DecodeError:
            # Reported where the entry is loaded.
            return
        self.counts = bool(counted_rules(definition["schedule"]))
        self.kind = kind_of(definition)
        self.definition = definition


def kind_of(definition: Mapping[str, Any]) -> str:
    """The kind of the messages of *definition*: task and options, which all of them share."""
    options = definition.get("options")
    return f"{definition['task']}\0{options!r}" if options else str(definition["task"])
