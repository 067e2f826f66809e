"""The figures as a picture: an SVG of bars and lines, made by hand so that nothing needs to be
installed for it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.peers import Row, shown

OURS_COLOUR, THEIRS_COLOUR, INK, FAINT = "#0b7a75", "#c8553d", "#222222", "#d8d8d8"
WIDTH, ROW, LEFT, RIGHT, TOP = 860, 26, 330, 110, 54
#: A line in the second picture: its name, its colour, and (x, y) of each point.
Line = tuple[str, str, Sequence[tuple[float, float]]]


def svg(height: float, parts: Sequence[str]) -> str:
    """A drawing of :data:`WIDTH` by *height* on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" font-family="system-ui, sans-serif" '
        f'font-size="13" fill="{INK}">\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def text(x: float, y: float, words: str, anchor: str = "start", **style: str) -> str:
    """A line of text."""
    styles = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{styles}>{escape(words)}</text>"


def bars(rows: Sequence[Row], top: float) -> tuple[list[str], float]:
    """How many times better each row is, on a logarithmic scale from *top* down; and where the
    picture ends."""
    ratios = [row.ratio for row in rows]
    known = [ratio for ratio in ratios if ratio]
    low = min(-0.0, math.floor(math.log10(min(known, default=1))))
    high = max(1.0, math.ceil(math.log10(max(known, default=1))))
    span = WIDTH - LEFT - RIGHT

    def place(ratio: float) -> float:
        return LEFT + span * (math.log10(ratio) - low) / (high - low)

    parts = [text(20, top, "How many times better than celery-redbeat", font_weight="600")]
    top += 18
    bottom = top + ROW * len(rows)
    for power in range(int(low), int(high) + 1):
        x = place(10.0**power)
        colour = INK if power == 0 else FAINT
        parts.append(f'<path d="M{x:.1f} {top:.1f}V{bottom + 4:.1f}" stroke="{colour}"/>')
        parts.append(text(x, bottom + 20, f"{10.0**power:g}x", "middle", fill="#666666"))
    for number, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
        y = top + ROW * number
        parts.append(text(LEFT - 10, y + 17, row.what, "end"))
        if not ratio:
            continue
        begin, end = sorted((place(1.0), place(ratio)))
        colour = OURS_COLOUR if ratio >= 1 else THEIRS_COLOUR
        parts.append(
            f'<rect x="{begin:.1f}" y="{y + 4:.1f}" width="{max(end - begin, 1):.1f}" '
            f'height="{ROW - 9}" fill="{colour}"/>'
        )
        label = place(max(ratio, 1.0)) + 6
        parts.append(text(label, y + 17, f"{shown(ratio)}x", font_weight="600"))
    return parts, bottom + 34


def lines(title: str, drawn: Sequence[Line], top: float) -> tuple[list[str], float]:
    """Lines over a logarithmic x, from *top* down; and where the picture ends."""
    xs = sorted({x for _, _, points in drawn for x, _ in points})
    most = max(y for _, _, points in drawn for _, y in points) or 1.0
    step = 10.0 ** math.floor(math.log10(most))
    step = next(s for s in (step / 2, step, step * 2.5) if most / s <= 5)
    highest = math.ceil(most / step) * step
    left, right, height = 90.0, WIDTH - 220.0, 180.0
    parts = [text(20, top, title, font_weight="600")]
    top += 20
    bottom = top + height
    spread = math.log10(xs[-1] / xs[0]) or 1.0

    def across(x: float) -> float:
        return left + (right - left) * math.log10(x / xs[0]) / spread

    def up(y: float) -> float:
        return bottom - height * y / highest

    for number in range(round(highest / step) + 1):
        y = up(number * step)
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="{FAINT}"/>')
        parts.append(text(left - 8, y + 4, f"{number * step:,g}", "end", fill="#666666"))
    parts += [text(across(x), bottom + 20, f"{x:,.0f}", "middle", fill="#666666") for x in xs]
    label = top - 16
    for name, colour, points in sorted(drawn, key=lambda line: -line[2][-1][1]):
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        parts += [
            f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.5" fill="{colour}"/>'
            for x, y in points
        ]
        # Below the name of the line above it, where they come close.
        label = max(up(points[-1][1]) + 4, label + 16)
        parts.append(text(right + 12, label, name, fill=colour, font_weight="600"))
    return parts, bottom + 40
