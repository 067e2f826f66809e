"""The console's colour themes. A glyph or a word always says the same as a colour.

With ``NO_COLOR`` the console uses only the terminal's own two colours.
"""

from __future__ import annotations

from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="redbeat",
    dark=True,
    primary="#5fa8d3",
    secondary="#7f8c9b",
    accent="#62b6cb",
    success="#7fb77e",
    warning="#e0b15e",
    error="#e5737a",
    foreground="#d5dae0",
    background="#0e1216",
    surface="#13181e",
    panel="#1b222a",
    variables={
        "border": "#36404b",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-background": "#2c4a63",
        "input-selection-background": "#2c4a63",
        "scrollbar": "#2b343e",
        "scrollbar-background": "#13181e",
    },
)
LIGHT = Theme(
    name="redbeat-light",
    dark=False,
    primary="#1f6f9f",
    secondary="#5c6773",
    accent="#0f7388",
    success="#2f7d32",
    warning="#96650a",
    error="#b3303a",
    foreground="#1d232a",
    background="#f4f6f8",
    surface="#ffffff",
    panel="#e6eaee",
    variables={"border": "#b4bec8"},
)
THEMES = (DARK, LIGHT)


def theme_name(theme: str, *, no_color: bool) -> str:
    """Return Textual's name of the theme ``dark``, ``light`` or ``ansi``."""
    if no_color or theme == "ansi":
        # Textual renamed the theme in version 8.
        return "textual-ansi" if "textual-ansi" in BUILTIN_THEMES else "ansi-dark"
    return LIGHT.name if theme == "light" else DARK.name


_OF_STATUS = {
    "succeeded": "success",
    "good": "success",
    "failed": "error",
    "invalid": "error",
    "bad": "error",
    "late": "warning",
    "retrying": "warning",
    "revoked": "warning",
    "paused": "warning",
    "warn": "warning",
    "running": "accent",
    "dispatched": "accent",
}


def status_colour(theme: Theme, status: str) -> str:
    """Return the colour of a status, or of an event's severity, as Rich spells it; empty for the
    normal colour."""
    name = _OF_STATUS.get(status)
    colour = getattr(theme, name) if name else None
    return str(colour or "").removeprefix("ansi_")
