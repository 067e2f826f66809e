"""The key bar at the bottom: the keys that work on this screen, as many as fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from redbeat_tui.text.format import width as cell_width

_NAMES = {
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "enter": "⏎",
    "escape": "esc",
    "delete": "del",
}


def key_text(key: str) -> str:
    """Return the label of a key: ``/`` for ``slash``."""
    return _NAMES.get(key, key)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the bar.

    :ivar key: its label.
    :ivar title: its action, in one word.
    :ivar action: the Textual action of a click on it.
    :ivar off: the key is refused, with the reason.
    :ivar weight: in a narrow terminal the keys with the lowest weight are left out first.
    """

    key: str
    title: str
    action: str = ""
    off: bool = False
    weight: int = 0


class KeyBar(Widget):
    """Draws the keys; a click on a key does the same as the key."""

    ALLOW_SELECT = False
    # Textual would draw the clickable keys in the style of links.
    auto_links = False
    COMPONENT_CLASSES = {"key-bar--key", "key-bar--title", "key-bar--off"}

    def __init__(self, keys: Sequence[Key] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keys = tuple(keys)

    def show(self, keys: Sequence[Key]) -> None:
        """Show *keys*, in this order."""
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.refresh()

    def render(self) -> Content:
        key_style = self.get_visual_style("key-bar--key", partial=True)
        title_style = self.get_visual_style("key-bar--title", partial=True)
        off_style = self.get_visual_style("key-bar--off", partial=True)
        width = self.size.width
        parts: list[Content] = []
        keys = list(self._keys)
        while keys and sum(map(_cells, keys)) > width:
            keys.remove(min(keys, key=lambda key: key.weight))
        # Wider gaps where there is room for them.
        gap = 1 if sum(map(_cells, keys)) + len(keys) <= width else 0
        for key in keys:
            click = Style.from_meta({"@click": key.action}) if key.action else Style()
            parts.append(
                Content.assemble(
                    (" " + key.key, (off_style if key.off else key_style) + click),
                    (" " + key.title + " " * gap, (off_style if key.off else title_style) + click),
                )
            )
        return Content("").join(parts)


def _cells(key: Key) -> int:
    return cell_width(key.key) + cell_width(key.title) + 2
