r"""Parses the filter that is typed behind ``/`` and selects the rows that match it. Pure.

===================  ==============================================================
``report daily``     both words, anywhere in name, task, schedule or reason
``!test``            rows without the word
``/^shop\.(a|b)/``    a regular expression, on name, task, schedule and reason
``status:failed``    a status; ``status:failed,late`` one of several
``name:x task:x``    one field only; also ``schedule:`` and ``reason:``
``"two words"``      a phrase; also behind ``!`` and a field
===================  ==============================================================

Case does not matter. A filter that is only half typed does not hide everything: an invalid term is
ignored, and :attr:`Filter.error` says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .row import STATUSES, Row

_Test = Callable[[Row, float | None], bool]

_TERM = re.compile(
    r"""(?P<not>!?)
        (?:(?P<field>name|task|schedule|reason|status):)?
        (?: /(?P<regex>(?:\\.|[^\\/]|/(?!\s|$))*)(?:/|\\?$)(?=\s|$)
          | "(?P<phrase>[^"]*)"?
          | (?P<word>\S+)
          | (?P<nothing>(?=\s|$)) )
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter.

    :ivar text: the typed text.
    :ivar error: why a term of it is invalid, as a sentence; None when all terms are valid.
    :ivar timed: whether the result depends on the present: then a row may begin or cease to match
        without a change.
    """

    text: str
    tests: tuple[_Test, ...] = ()
    error: str | None = None
    timed: bool = False

    def __bool__(self) -> bool:
        """Whether the filter has a term."""
        return bool(self.tests)

    def matches(self, row: Row, now: float | None = None) -> bool:
        """Whether *row* matches; one that is not :attr:`~redbeat_tui.live.row.Row.ready` does not.

        :param now: Unix seconds, for ``status:late``; None while the data is not live.
        """
        return not self.tests or (row.ready and all(test(row, now) for test in self.tests))

    def select(self, rows: Iterable[Row], now: float | None = None) -> list[Row]:
        """Return the rows that match, in their order. Faster than :meth:`matches` for many rows.

        :param now: as for :meth:`matches`.
        """
        selected = [row for row in rows if row.ready] if self.tests else list(rows)
        for test in self.tests:
            selected = [row for row in selected if test(row, now)]
        return selected


def parse_filter(text: str) -> Filter:
    """Parse a filter. Never raises: see :attr:`Filter.error`."""
    tests: list[_Test] = []
    errors: list[str] = []
    timed = False
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        term = _TERM.match(text, position)
        if term is None:
            break
        position = max(term.end(), position + 1)
        field = (term["field"] or "").lower()
        try:
            test = _test(term, field)
        except _Unreadable as exc:
            errors.append(str(exc))
            continue
        if test is not None:
            timed = timed or field == "status"
            tests.append(_inverse(test) if term["not"] else test)
    return Filter(text, tuple(tests), "; ".join(errors) or None, timed)


class _Unreadable(ValueError):
    pass


def _test(term: re.Match[str], field: str) -> _Test | None:
    if (regex := term["regex"]) is not None:
        return _matching(regex, field) if regex else None
    word = term["phrase"] if term["phrase"] is not None else (term["word"] or "")
    if not word:
        return None  # "status:" or "!" whose rest is not typed yet
    if field == "status":
        return _status(word)
    return _containing(word.casefold(), field)


def _containing(word: str, field: str) -> _Test:
    if not field:
        return lambda row, now: word in row.text
    value = _VALUES[field]
    return lambda row, now: word in value(row).casefold()


def _matching(regex: str, field: str) -> _Test:
    try:
        search = re.compile(regex.replace("\\/", "/"), re.IGNORECASE | re.MULTILINE).search
    except (re.error, OverflowError, RecursionError) as exc:
        raise _Unreadable(f"/{regex}/ is no regular expression: {exc}") from None
    if field == "status":
        return lambda row, now: search(row.status_at(now)) is not None
    value = _VALUES[field] if field else _searched
    return lambda row, now: search(value(row)) is not None


#: Other words for a status: earlier names, and the outcomes in the types of events.
_STATUS_ALIASES = {
    "ok": "succeeded",
    "sent": "dispatched",
    "errored": "failed",
    "started": "running",
    "retried": "retrying",
}


def _status(word: str) -> _Test:
    wanted: set[str] = set()
    for part in filter(None, word.lower().split(",")):
        # The beginning is enough, so that the table follows while the word is being typed.
        matches = {status for status in STATUSES if status.startswith(part)} or {
            status for alias, status in _STATUS_ALIASES.items() if alias.startswith(part)
        }
        if not matches:
            raise _Unreadable(f"no status is named {part!r}; there are {', '.join(STATUSES)}")
        wanted |= matches
    return lambda row, now: row.status_at(now) in wanted


def _inverse(test: _Test) -> _Test:
    return lambda row, now: not test(row, now)


def _searched(row: Row) -> str:
    return row.text


_VALUES: dict[str, Callable[[Row], str]] = {
    "name": lambda row: row.name,
    "task": lambda row: row.facts.task,
    "schedule": lambda row: row.facts.schedule,
    "reason": lambda row: row.facts.reason,
}
