"""What the header says, from what the model and the health know. Pure."""

from __future__ import annotations

from datetime import tzinfo

from redbeat_core.leadership.health import Health, Leader
from redbeat_tui.live.model import Model
from redbeat_tui.text.event_text import clock
from redbeat_tui.text.format import duration

from .header import HeaderFacts


def header_facts(
    model: Model,
    health: Health | None,
    *,
    server: str,
    zone: tzinfo,
    read_only: bool = False,
    shown: int = 0,
    filter_text: str = "",
    filter_error: str = "",
    troubles: tuple[tuple[str, int], ...] = (),
    asked: bool = False,
) -> HeaderFacts:
    """The header's facts.

    :param server: the URL without its password.
    :param zone: whose clock times are told in.
    :param health: as last read; None: not yet, or not any more.
    :param asked: it was read before.
    :param shown: entries that the filter lets through.
    :param filter_error: what is wrong with the filter.
    """
    leader, warning = leader_words(health)
    if asked and health is None:
        leader, warning = "leader unknown", True
    return HeaderFacts(
        server=server,
        link=model.link.state,
        # Where the server is stands in the line above.
        reason=model.link.reason.replace(f" at {server}", ""),
        since=clock(model.link_since, zone),
        leader=leader,
        warning=warning,
        standbys=_standbys(health),
        delivery=health.leader.delivery if health is not None and health.leader else "",
        entries=len(model.rows),
        shown=shown,
        filter_text=filter_text,
        filter_error=filter_error,
        read_only=read_only,
        troubles=troubles,
    )


def leader_words(health: Health | None) -> tuple[str, bool]:
    """Who leads, in words, and whether that deserves a second look. Empty: not known yet."""
    if health is None:
        return "", False
    leader = health.leader
    if leader is None:
        return "no leader", True
    if leader.foreign:
        where = _where(leader)
        return "celery-redbeat" + (f" ({where})" if where else ""), False
    words = _where(leader) or leader.token
    for beat in health.wrong_clocks:
        if beat.token == leader.token:
            seconds = abs(beat.skew or 0.0)
            # It goes by Redis's clock; what else runs on its machine does not.
            words += f", clock {duration(seconds)} {'ahead' if (beat.skew or 0) > 0 else 'behind'}"
            return words, True
    return words, False


def _standbys(health: Health | None) -> int | None:
    """How many beats wait; None where that is not known, or goes without saying."""
    if health is None:
        return None
    leader = health.leader
    token = leader.token if leader is not None else ""
    waiting = sum(beat.role == "standby" and beat.token != token for beat in health.beats)
    # Without a leader nobody waits; celery-redbeat's own beats do not tell that they do.
    known = leader is not None and not leader.foreign
    return waiting if known or waiting else None


def _where(leader: Leader) -> str:
    if not leader.host:
        return ""
    return f"{leader.host}:{leader.pid}" if leader.pid else leader.host
