"""The policy of an entry: catch-up, grace, jitter, limits of its runs, and clock changes.

Pure. The hash field ``policy`` of an entry holds, as JSON, only the members that are set for that
entry. The scheduler's settings (``redbeat_catchup``, ``redbeat_grace``, ...) give the others.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, DstPolicy

from .codec import DecodeError

#: The ways to treat the nominal times that passed while no scheduler ran.
CATCHUP = ("one", "all", "skip")
#: The ways to treat a local time that a clock change leaves out.
NONEXISTENT = ("shift", "skip")
#: The ways to treat a local time that occurs twice: which of the two times get a run.
AMBIGUOUS = ("first", "last", "both")
#: The longest ``grace``, ``jitter`` or ``keep_finished``, in seconds: ten years.
LONGEST = 10 * 366 * 86400.0
#: The last time that a policy may name, in Unix seconds.
LAST_TIME = 1e11


class PolicyError(DecodeError):
    """A policy is invalid; the message names the member and the allowed values."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one entry.

    :ivar catchup: the runs for the nominal times that passed while no scheduler ran: ``one`` run
        for all of them, ``all`` of them, or ``skip`` all but the newest within the grace.
    :ivar catchup_limit: the most runs that ``all`` makes up for; the newest ones.
    :ivar grace: seconds by which a run may be late; a later run is missed. None: any lateness
        (with ``skip``: :data:`SKIP_GRACE`).
    :ivar jitter: the longest delay of a run, in seconds. The delay is a fixed part of it for each
        entry and nominal time, and never goes past the next nominal time.
    :ivar start: no run before this (Unix seconds); None: no such limit.
    :ivar end: no run after this (Unix seconds); None: no such limit.
    :ivar max_runs: the number of runs after which the entry finishes; None: no such limit.
    :ivar nonexistent: ``shift`` or ``skip`` a local time that a clock change leaves out.
    :ivar ambiguous: run at the ``first``, the ``last`` or ``both`` of a local time that occurs
        twice.
    :ivar keep_finished: seconds after which a finished entry is deleted; None: never.
    """

    catchup: str = "one"
    catchup_limit: int = 100
    grace: float | None = None
    jitter: float = 0.0
    start: float | None = None
    end: float | None = None
    max_runs: int | None = None
    nonexistent: str = "shift"
    ambiguous: str = "first"
    keep_finished: float | None = None

    @property
    def dst(self) -> DstPolicy:
        """The part of the policy for clock changes."""
        return _dst(self.nonexistent, self.ambiguous)


@lru_cache(maxsize=8)
def _dst(nonexistent: Any, ambiguous: Any) -> DstPolicy:
    dst = DstPolicy(nonexistent, ambiguous)
    return DEFAULT_DST if dst == DEFAULT_DST else dst


#: The built-in defaults: the policy without settings and without members of the entry.
PLAIN = Policy()
#: The grace of ``skip`` if none is set, in seconds: more than a hand-over or a restart takes.
SKIP_GRACE = 60.0

Check = Callable[[Any], bool]


def _is_number(low: float, high: float) -> Check:
    def check(value: Any) -> bool:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        )

    return check


def _is_count(low: int, high: int) -> Check:
    within = _is_number(low, high)
    return lambda value: isinstance(value, int) and within(value)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_one_of(choices: tuple[str, ...]) -> tuple[Check, str]:
    listed = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
    return (lambda value: isinstance(value, str) and value in choices), listed


_SECONDS = "a number of seconds from 0 to 316224000 (ten years)"
_TIME = "a time in Unix seconds, from 1970 on, or null"
#: The check of each member, and a text that names its allowed values.
ALLOWED: Mapping[str, tuple[Check, str]] = {
    "catchup": _is_one_of(CATCHUP),
    "catchup_limit": (_is_count(1, 5000), "a whole number from 1 to 5000"),
    "grace": (_or_none(_is_number(0, LONGEST)), f"{_SECONDS}, or null for any lateness"),
    "jitter": (_is_number(0, LONGEST), _SECONDS),
    "start": (_or_none(_is_number(0, LAST_TIME)), _TIME),
    "end": (_or_none(_is_number(0, LAST_TIME)), _TIME),
    "max_runs": (_or_none(_is_count(1, 10**15)), "a whole number from 1, or null"),
    "nonexistent": _is_one_of(NONEXISTENT),
    "ambiguous": _is_one_of(AMBIGUOUS),
    "keep_finished": (_or_none(_is_number(0, LONGEST)), f"{_SECONDS}, or null to keep it"),
}
assert tuple(ALLOWED) == tuple(member.name for member in fields(Policy))


def checked(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the *members* of a policy if they are valid.

    :raises PolicyError: a member is invalid, or two contradict each other.
    """
    for name, value in members.items():
        if name not in ALLOWED:
            near = difflib.get_close_matches(str(name), ALLOWED, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f": there are {', '.join(ALLOWED)}"
            raise PolicyError(f"the policy has no member {name!r}{hint}")
        check, allowed = ALLOWED[name]
        if not check(value):
            raise PolicyError(
                f"the policy's {name!r} is {_readable(name, value)}: it must be {allowed}"
            )
    start, end = members.get("start"), members.get("end")
    if start is not None and end is not None and end < start:
        raise PolicyError(
            f"the policy's 'end' ({_readable('end', end)}) is before its 'start' "
            f"({_readable('start', start)})"
        )
    return dict(members)


def _readable(name: str, value: Any) -> str:
    """Return *value* for an error message; a time as date and time of day."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in ("start", "end") and number:
        try:
            return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, OverflowError, OSError):
            # The time is outside the calendar.
            pass
    return repr(value)


def members_of(text: str | None) -> dict[str, Any]:
    """Return the members that the field ``policy`` sets for its entry.

    :raises PolicyError: the policy is invalid; the message gives the reason.
    """
    if not text:
        return {}
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise PolicyError(f"the policy is not JSON: {exc}") from None
    if not isinstance(members, dict):
        raise PolicyError(f"the policy must be a JSON object, not {type(members).__name__}")
    return checked(members)


def encode_policy(members: Mapping[str, Any]) -> str:
    """Return the field ``policy`` that sets *members*; equal members give an equal text.

    :raises PolicyError: the members are invalid.
    """
    valid = checked(members)
    return json.dumps({name: valid[name] for name in ALLOWED if name in valid})


def edited(
    text: str | None, changes: Mapping[str, Any], reset: Iterable[str] | None = ()
) -> str | None:
    """Return the field ``policy`` after *changes* to its value *text*; None: remove the field.

    :param reset: members to remove, so that the settings apply; None: all members.
    :raises PolicyError: the old or the new policy is invalid.
    """
    members = {}
    if reset is not None:
        dropped = tuple(reset)
        checked({name: getattr(PLAIN, name, None) for name in dropped})
        members = {key: value for key, value in members_of(text).items() if key not in dropped}
    members |= changes
    return encode_policy(members) if members else None


@lru_cache(maxsize=65536)
def decode_policy(text: str | None, defaults: Policy = PLAIN) -> Policy:
    """Return the policy of an entry whose field ``policy`` is *text*.

    :param text: None for an entry without a policy of its own.
    :raises PolicyError: the policy is invalid; the message gives the reason.
    """
    members = members_of(text)
    return replace(defaults, **members) if members else defaults


def as_members(policy: Policy) -> dict[str, Any]:
    """Return all members of *policy*."""
    return asdict(policy)
