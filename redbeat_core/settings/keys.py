"""Defines the name of every Redis key and channel.

Shared with celery-redbeat: the entry hashes, ``:schedule``, ``:statics`` and ``:lock``.
The others are this project's own and celery-redbeat ignores them.
"""

from __future__ import annotations

from dataclasses import dataclass

from redbeat_core.entries.names import check_name

DEFAULT_PREFIX = "redbeat:"


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of all keys under one key prefix.

    :ivar prefix: ``redbeat_key_prefix``, usually ``redbeat:``.
    :ivar database: the number of the Redis database, for the channel, since all databases of a
        server share its channels.
    """

    prefix: str = DEFAULT_PREFIX
    database: int = 0

    def entry(self, name: str) -> str:
        """Return the key of an entry's hash.

        :raises InvalidNameError: the name is empty or starts with ``:``, where it would
            collide with the scheduler's own keys.
        """
        check_name(name)
        return self.prefix + name

    def name(self, key: str) -> str:
        """Return the name of the entry at *key*: the inverse of :meth:`entry`."""
        return key.removeprefix(self.prefix)

    @property
    def schedule(self) -> str:
        """Sorted set: entry key -> next due time in Unix seconds; negative: not scheduled."""
        return f"{self.prefix}:schedule"

    @property
    def statics(self) -> str:
        """Set: names of the entries that come from ``beat_schedule``."""
        return f"{self.prefix}:statics"

    @property
    def lock(self) -> str:
        """String with a TTL: the leader's token."""
        return f"{self.prefix}:lock"

    @property
    def events(self) -> str:
        """Pub/sub channel of all events. Channels are not per database: except for database 0, the
        name contains the number."""
        return f"{self.prefix}:events" + (f"@{self.database}" if self.database else "")

    @property
    def log(self) -> str:
        """Stream of all events; an id is ``<seq>-0``."""
        return f"{self.prefix}:log"

    @property
    def leader(self) -> str:
        """Hash: the leader and since when it leads."""
        return f"{self.prefix}:leader"

    @property
    def beats(self) -> str:
        """Hash: token -> the last heartbeat of every beat."""
        return f"{self.prefix}:beats"

    @property
    def triggers(self) -> str:
        """Stream: run-now requests that the leader has not processed yet."""
        return f"{self.prefix}:triggers"


def hash_tag(prefix: str) -> str | None:
    """Return the Cluster hash tag in *prefix* (the text in the first ``{...}``), or None."""
    start = prefix.find("{")
    end = prefix.find("}", start + 1)
    return prefix[start + 1 : end] if start >= 0 and end > start + 1 else None
