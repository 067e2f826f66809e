"""Draws a row's cells as a styled line of the table.

A glyph and a word show the status, and a marker shows the cursor, so that nothing is lost without
colour. Text is always a segment of its own and never markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from redbeat_tui.live.row import Row
from redbeat_tui.text.format import width

from .entry_columns import GAP, MARGIN, Placed, Present, texts, titles

if TYPE_CHECKING:
    from textual.widget import Widget

#: The most drawn lines in the cache: more than a screen has, so that scrolling back is cheap.
_KEPT = 600

#: The table's component classes, which a theme may restyle.
COMPONENTS = {
    "entry-table--header",
    "entry-table--cursor",
    "entry-table--muted",
    "entry-table--stale",
    "entry-table--good",
    "entry-table--bad",
    "entry-table--warning",
    "entry-table--active",
}

CSS = """
EntryTable {
    background: $surface;
    color: $foreground;
    height: 1fr;
    overflow-x: hidden;
    overflow-y: auto;
    scrollbar-gutter: stable;
    scrollbar-size-vertical: 1;

    & > .entry-table--header { background: $panel; color: $foreground; text-style: bold; }
    & > .entry-table--cursor {
        background: $block-cursor-blurred-background;
        color: $block-cursor-blurred-foreground;
    }
    &:focus > .entry-table--cursor {
        background: $primary 45%;
        color: $foreground;
        text-style: bold;
    }
    & > .entry-table--muted { color: $text-muted; }
    & > .entry-table--stale { color: $text-muted; text-style: dim; }
    & > .entry-table--good { color: $text-success; }
    & > .entry-table--bad { color: $text-error; text-style: bold; }
    & > .entry-table--warning { color: $text-warning; }
    & > .entry-table--active { color: $text-primary; }

    &:ansi {
        & > .entry-table--header { background: ansi_default; text-style: bold underline; }
        & > .entry-table--cursor { background: ansi_default; text-style: reverse; }
        &:focus > .entry-table--cursor { background: ansi_default; text-style: bold reverse; }
        & > .entry-table--muted { color: ansi_bright_black; }
        & > .entry-table--good { color: ansi_green; }
        & > .entry-table--bad { color: ansi_red; text-style: bold; }
        & > .entry-table--warning { color: ansi_yellow; }
        & > .entry-table--active { color: ansi_cyan; }
    }
}
"""

#: Status -> the component class that it is drawn in.
LOOKS: Mapping[str, str] = {
    "succeeded": "good",
    "failed": "bad",
    "invalid": "bad",
    "late": "warning",
    "retrying": "warning",
    "revoked": "warning",
    "running": "active",
    "dispatched": "muted",
    "paused": "warning",
    "waiting": "muted",
    "disabled": "muted",
    "finished": "muted",
}


@dataclass(frozen=True, slots=True)
class Line:
    """The values that decide how a line looks; lines that are equal are drawn equally.

    :ivar texts: the cells; None for a line without a row.
    """

    texts: tuple[str, ...] | None = None
    status: str = ""
    cursor: bool = False


def line_of(row: Row, placed: tuple[Placed, ...], present: Present, cursor: bool) -> Line:
    """Return the line of *row*."""
    return Line(texts(row, placed, present), row.status_at(present.judged), cursor)


class Painter:
    """Draws lines in the styles of a widget, and caches them."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._strips: dict[tuple[Line, bool, int], Strip] = {}
        self._styles: dict[str, Style] = {}

    def forget(self) -> None:
        """Clear the caches, after a change of the styles or the columns."""
        self._strips.clear()
        self._styles.clear()

    def line(self, line: Line, placed: tuple[Placed, ...], present: Present, cells: int) -> Strip:
        """Return the drawn line of a row, exactly *cells* wide."""
        key = (line, present.live, cells)
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) >= _KEPT:
                self._strips.clear()
            strip = self._strips[key] = self._draw(line, placed, present, cells)
        return strip

    def _draw(self, line: Line, placed: tuple[Placed, ...], present: Present, cells: int) -> Strip:
        base = self._style("cursor") if line.cursor else self._style("")
        status = muted = base
        if not present.live:
            status = muted = base = base + self._ink("stale")
        elif not base.reverse:  # in reverse video a colour would become the background
            status = base + self._ink(LOOKS.get(line.status, "muted"))
            muted = base if line.cursor else base + self._ink("muted")
        marker = (">" if present.ascii_only else "▌") if line.cursor else ""
        segments = [Segment(marker.ljust(MARGIN), base)]
        for place, text in zip(placed, line.texts or (), strict=False):
            if place.x > MARGIN:
                segments.append(Segment(" " * GAP, base))
            match place.column.key:
                case "status":
                    style = status
                case "next" if line.status == "late":
                    style = status
                case "task" | "at" | "last" | "reason":
                    style = muted
                case _:
                    style = base
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(cells, base)

    def header(self, placed: tuple[Placed, ...], sort: str, arrow: str, cells: int) -> Strip:
        """Return the line of the columns' titles."""
        style = self._style("header")
        segments = [Segment(" " * MARGIN, style)]
        for place, text in zip(placed, titles(placed, sort, arrow), strict=True):
            if place.x > MARGIN:
                segments.append(Segment(" " * GAP, style))
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(cells, style)

    def message(self, text: str, cells: int) -> Strip:
        """Return a line with *text* in its middle."""
        style = self._style("") + self._ink("muted")
        indent = " " * max(MARGIN, (cells - width(text)) // 2) if text else ""
        return Strip([Segment(indent + text, style)]).adjust_cell_length(cells, style)

    def selected(self, strip: Strip, span: tuple[int, int]) -> Strip:
        """Return *strip* with the characters of *span* in the style of selected text; -1 is the end
        of the line."""
        text = strip.text
        start = width(text[: span[0]])
        end = strip.cell_length if span[1] == -1 else width(text[: span[1]])
        style = self._widget.screen.get_component_rich_style("screen--selection")
        selected = [
            Segment(part, (before or Style()) + style) for part, before, _ in strip.crop(start, end)
        ]
        return Strip.join([strip.crop(0, start), Strip(selected), strip.crop(end)])

    def _style(self, look: str) -> Style:
        """Return a component's style with its background; the widget's own for an empty name."""
        style = self._styles.get(look)
        if style is None:
            widget = self._widget
            style = self._styles[look] = (
                widget.get_component_rich_style(f"entry-table--{look}")
                if look
                else widget.rich_style
            )
        return style

    def _ink(self, look: str) -> Style:
        """Return a component's colour and weight without its background."""
        style = self._styles.get(f"ink {look}")
        if style is None:
            full = self._widget.get_component_rich_style(f"entry-table--{look}")
            style = self._styles[f"ink {look}"] = Style(
                color=full.color, bold=full.bold, dim=full.dim
            )
        return style
