"""Makes the header's values from the model and the health. Pure."""

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
    """Return the values that the header shows.

    :param health: as last read; None before the first read, or when it is out of date.
    :param server: the URL without its password.
    :param zone: the time zone of the times in the header.
    :param shown: the number of entries that match the filter.
    :param filter_error: why a term of the filter is invalid; empty when all are valid.
    :param asked: whether the health was read before.
    """
    leader, warning = leader_words(health)
    if asked and health is None:
        leader, warning = "leader unknown", True
    return HeaderFacts(
        server=server,
        link=model.link.state,
        # The line above names the server already.
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
    """Return the leader as text, and whether to draw it as a warning. Empty while unknown."""
    if health is None:
        return "", False
    leader = health.leader
    if leader is None:
        return "no leader", True
    if leader.foreign:
        where = _where(leader)
        return "celery-redbeat" + (f" ({where})" if where else ""), False
    text = _where(leader) or leader.token
    for beat in health.wrong_clocks:
        if beat.token == leader.token:
            seconds = abs(beat.skew or 0.0)
            # Beat uses Redis's clock; other programs on its machine do not.
            text += f", clock {duration(seconds)} {'ahead' if (beat.skew or 0) > 0 else 'behind'}"
            return text, True
    return text, False


def _standbys(health: Health | None) -> int | None:
    """Return the number of standby beats; None when it is unknown, or no beat leads."""
    if health is None:
        return None
    leader = health.leader
    token = leader.token if leader is not None else ""
    standbys = sum(beat.role == "standby" and beat.token != token for beat in health.beats)
    # Without a leader there is no standby; celery-redbeat's beats do not report their role.
    reported = leader is not None and not leader.foreign
    return standbys if reported or standbys else None


def _where(leader: Leader) -> str:
    if not leader.host:
        return ""
    return f"{leader.host}:{leader.pid}" if leader.pid else leader.host
