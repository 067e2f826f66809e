"""The header of two lines: the server, the connection, the leader, and the counts of entries.

It always has two lines, so that nothing below it moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from redbeat_tui.text.sanitize import clean

from .line import Part, fit

#: State of the connection -> glyph, word, component class.
_LINKS = {
    "live": ("●", "live", "header--good"),
    "catching-up": ("◐", "catching up", "header--warn"),
    "connecting": ("◌", "connecting", "header--warn"),
    "disconnected": ("○", "disconnected", "header--bad"),
}


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """The values that the header shows.

    :ivar server: the URL without its password.
    :ivar link: ``connecting``, ``catching-up``, ``live`` or ``disconnected``.
    :ivar reason: why the connection is not live, as text.
    :ivar since: the time of day at which the connection entered that state.
    :ivar leader: the leader, as text; empty while unknown.
    :ivar warning: draw the leader as a warning: it is missing, or its clock is wrong.
    :ivar standbys: the number of standby beats; None when unknown.
    :ivar entries: the number of all entries.
    :ivar shown: the number of entries that match the filter.
    :ivar filter_text: the filter in force; empty without one.
    :ivar filter_error: why a term of the filter is invalid, and so ignored; empty when all are
        valid.
    :ivar troubles: status and number, in the order to show; zeros are left out.
    """

    server: str
    link: str = "connecting"
    reason: str = ""
    since: str = ""
    leader: str = ""
    warning: bool = False
    standbys: int | None = None
    delivery: str = ""
    entries: int = 0
    shown: int = 0
    filter_text: str = ""
    filter_error: str = ""
    read_only: bool = False
    troubles: tuple[tuple[str, int], ...] = ()


class ConsoleHeader(Widget):
    """Draws :class:`HeaderFacts`."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {
        "header--name",
        "header--dim",
        "header--good",
        "header--warn",
        "header--bad",
        "header--badge",
    }

    facts: reactive[HeaderFacts | None] = reactive(None)

    def render(self) -> Content:
        facts = self.facts
        if facts is None:
            return Content("")
        width = self.size.width
        return Content("\n").join([self._first(facts, width), self._second(facts, width)])

    def _style(self, name: str) -> Style:
        return self.get_visual_style(name, partial=True)

    def _first(self, facts: HeaderFacts, width: int) -> Content:
        glyph, word, style = _LINKS.get(facts.link, ("?", clean(facts.link), "header--warn"))
        left = [
            Part(" redbeat ", self._style("header--name")),
            Part(" " + clean(facts.server), keep=8),
        ]
        if facts.link == "disconnected" and facts.since:
            # The rows of the table are of that time.
            word += f" since {facts.since}"
        right = [Part(f"{glyph} {word} ", self._style(style))]
        if facts.read_only:
            right[:0] = [Part(" read-only ", self._style("header--badge")), Part("  ")]
        return fit(left, right, width)

    def _second(self, facts: HeaderFacts, width: int) -> Content:
        dim = self._style("header--dim")
        if facts.link == "disconnected":
            style = self._style("header--bad")
            left = [Part(" " + clean(facts.reason or "Redis cannot be reached"), style, keep=10)]
        else:
            left = self._leader(facts)
        return fit(left, self._counts(facts, dim), width)

    def _leader(self, facts: HeaderFacts) -> list[Part]:
        dim = self._style("header--dim")
        if not facts.leader:
            return [Part(" asking who leads", dim)]
        if facts.warning:
            parts = [Part(" ▲ ", self._style("header--warn"))]
        else:
            parts = [Part(" leader ", dim)]
        style = self._style("header--warn") if facts.warning else Style()
        parts.append(Part(clean(facts.leader), style, keep=8))
        if facts.standbys:
            parts.append(Part(f" +{facts.standbys} standby", dim, optional=True))
        elif facts.standbys == 0:
            parts.append(Part(" no standby", dim, optional=True))
        if facts.delivery:
            parts.append(Part(f"  {clean(facts.delivery)}", dim, optional=True))
        return parts

    def _filter_error(self, facts: HeaderFacts) -> list[Part]:
        if not facts.filter_error:
            return []
        error = clean(facts.filter_error, limit=100)
        return [Part(f"  ✗ {error}", self._style("header--bad"), keep=12)]

    def _counts(self, facts: HeaderFacts, dim: Style) -> list[Part]:
        parts: list[Part] = []
        if facts.filter_text:
            parts += [
                Part("filter ", dim),
                Part(clean(facts.filter_text, limit=200), self._style("header--warn"), keep=4),
                *self._filter_error(facts),
                Part(f"  {facts.shown:,} of {facts.entries:,}"),
            ]
        else:
            noun = "entry" if facts.entries == 1 else "entries"
            parts.append(Part(f"{facts.entries:,} {noun}"))
        if facts.filter_error:
            return [*parts, Part(" ")]
        colours = {"failed": "header--bad", "invalid": "header--bad", "late": "header--warn"}
        for word, count in facts.troubles:
            if count:
                style = self._style(colours[word]) if word in colours else dim
                # With a filter its result is more important than the counts.
                spare = bool(facts.filter_text)
                parts.append(Part(f" · {count:,} {word}", style, optional=spare))
        parts.append(Part(" "))
        return parts
