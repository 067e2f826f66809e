"""Reads the health of the whole: the leader, the standbys, and the Redis server."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import exceptions

from redbeat_core.clock import TOLERANCE
from redbeat_core.entries.view import from_score
from redbeat_core.storage.connection import one_server
from redbeat_core.storage.schedule_store import ScheduleStore

from .lease import SILENT_AFTER


@dataclass(frozen=True, slots=True)
class Leader:
    """The beat that leads.

    :ivar token: the lock's value.
    :ivar host: empty if another program leads, whose tokens do not contain it.
    :ivar pid: 0 if another program leads.
    :ivar since: when it became the leader (UTC).
    :ivar delivery: its delivery mode.
    :ivar timezone: its time zone, in which crontabs apply.
    :ivar foreign: another program leads, for example celery-redbeat's own beat.
    :ivar expires_in: seconds until the lease ends unless renewed.
    """

    token: str
    host: str = ""
    pid: int = 0
    since: datetime | None = None
    delivery: str = ""
    timezone: str = ""
    foreign: bool = False
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat that sent a heartbeat recently.

    :ivar role: ``leader`` or ``standby``.
    :ivar at: its last heartbeat (UTC).
    :ivar skew: seconds by which its machine's clock is ahead of Redis's; None: not reported.
    """

    token: str
    host: str
    pid: int
    role: str
    at: datetime | None
    delivery: str = ""
    timezone: str = ""
    skew: float | None = None


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The Redis (or Valkey) server.

    :ivar version: empty if the server hides it.
    :ivar memory: bytes in use.
    """

    version: str = ""
    name: str = "redis"
    role: str = ""
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """The health of the whole at one time.

    :ivar leader: None if no beat leads.
    :ivar pending_triggers: number of run-now requests that no leader has claimed yet.
    :ivar latency: seconds of one round trip.
    """

    leader: Leader | None
    beats: tuple[Beat, ...]
    server: ServerInfo
    pending_triggers: int
    latency: float

    @property
    def wrong_clocks(self) -> tuple[Beat, ...]:
        """The beats whose clocks differ from Redis's by more than a second."""
        return tuple(beat for beat in self.beats if abs(beat.skew or 0.0) > TOLERANCE)

    @property
    def standbys(self) -> int:
        """Number of beats that stand by."""
        return sum(beat.role == "standby" for beat in self.beats)


def read_health(store: ScheduleStore) -> Health:
    """Read the health from Redis."""
    keys = store.keys
    pipe = store.client.pipeline(transaction=False)
    pipe.hgetall(keys.leader)
    pipe.hgetall(keys.beats)
    pipe.xlen(keys.triggers)
    started = time.monotonic()
    leader, beats, waiting = pipe.execute()
    latency = time.monotonic() - started
    # The lock's key is a setting; a leader of this project stores which one it uses.
    lock = leader.get("lock") or keys.lock
    token, left = store.client.get(lock), store.client.pttl(lock)
    stored = [_beat(text) for text in beats.values()]
    now = store.server_time()
    alive = [b for b in stored if b and b.at and now - b.at.timestamp() < SILENT_AFTER]
    return Health(
        leader=_leader(token, left, leader) or _without_lock(alive),
        beats=tuple(sorted(alive, key=lambda beat: beat.token)),
        server=_server(one_server(store.client)),
        pending_triggers=int(waiting),
        latency=latency,
    )


def _leader(token: str | None, left: int, facts: dict[str, str]) -> Leader | None:
    if not token:
        return None
    expires_in = left / 1000 if left > 0 else None
    if facts.get("token") != token:
        return Leader(token, foreign=True, expires_in=expires_in)
    host, _, rest = token.partition(":")
    pid = rest.partition(":")[0]
    return Leader(
        token=token,
        host=host,
        pid=int(pid) if pid.isdigit() else 0,
        since=from_score(_float(facts.get("since"))),
        delivery=facts.get("delivery", ""),
        timezone=facts.get("timezone", ""),
        expires_in=expires_in,
    )


def _without_lock(beats: list[Beat]) -> Leader | None:
    """Return the first of the beats that lead without a lease; None: there is none."""
    for beat in sorted(beats, key=lambda beat: beat.token):
        if beat.role == "leader":
            return Leader(
                beat.token,
                beat.host,
                beat.pid,
                delivery=beat.delivery,
                timezone=beat.timezone,
            )
    return None


def _beat(text: str) -> Beat | None:
    try:
        raw: dict[str, Any] = json.loads(text)
        return Beat(
            token=str(raw["token"]),
            host=str(raw["host"]),
            pid=int(raw["pid"]),
            role=str(raw["role"]),
            at=from_score(float(raw["at"])),
            delivery=str(raw.get("delivery", "")),
            timezone=str(raw.get("timezone", "")),
            skew=float(raw["skew"]) if raw.get("skew") is not None else None,
        )
    except (ValueError, KeyError, TypeError):
        return None


def _server(client: Any) -> ServerInfo:
    try:
        info = client.info()
    except exceptions.ResponseError:
        return ServerInfo()
    name = str(info.get("server_name") or "redis")
    return ServerInfo(
        version=str(info.get(f"{name}_version") or info.get("redis_version") or ""),
        name=name,
        role=str(info.get("role") or ""),
        memory=int(info.get("used_memory") or 0),
    )


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
