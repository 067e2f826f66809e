"""Fits styled parts into a line of a given width: left parts, space, right parts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from textual.content import Content
from textual.style import Style

from redbeat_tui.text.format import truncate
from redbeat_tui.text.format import width as cell_width

PLAIN = Style()


@dataclass(frozen=True, slots=True)
class Part:
    """A text in one style.

    :ivar text: sanitized text.
    :ivar keep: the least cells to which it is cut when the line is too long; None: it is not cut.
    :ivar optional: it is left out when the line is too long.
    """

    text: str
    style: Style = PLAIN
    keep: int | None = None
    optional: bool = False


def fit(left: Sequence[Part], right: Sequence[Part], width: int) -> Content:
    """Return a line of *width* cells.

    Where the parts do not fit, the optional ones are left out first, from the last one of a side.
    Then the parts with a *keep* are cut, those of the left side first, then the whole left side.
    """
    sides = [list(left), list(right)]
    for side in sides:
        for part in [part for part in reversed(side) if part.optional]:
            if _width(sides) > width:
                side.remove(part)
    for side in sides:
        for index, part in reversed(list(enumerate(side))):
            over = _width(sides) - width
            if over > 0 and part.keep is not None:
                cells = max(part.keep, cell_width(part.text) - over)
                side[index] = replace(part, text=truncate(part.text, cells))
    over = _width(sides) - width
    if over > 0:
        sides[0] = _cut(sides[0], max(0, sum(cell_width(p.text) for p in sides[0]) - over))
    space = max(0, width - sum(cell_width(part.text) for side in sides for part in side))
    line = [*sides[0], Part(" " * space), *sides[1]]
    return Content.assemble(*((part.text, part.style) for part in line))


def _width(sides: Sequence[Sequence[Part]]) -> int:
    """Return the cells that both sides need, with two spaces between them."""
    cells = sum(cell_width(part.text) for side in sides for part in side)
    return cells + (2 if all(sides) else 0)


def _cut(parts: Sequence[Part], cells: int) -> list[Part]:
    kept: list[Part] = []
    for part in parts:
        if cells <= 0:
            break
        text = truncate(part.text, cells)
        kept.append(replace(part, text=text))
        cells -= cell_width(text)
    return kept
