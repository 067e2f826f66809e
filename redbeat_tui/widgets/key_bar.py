"""The bottom line: the keys that work here. As many as fit, the important ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from ..format import width as cell_width

_NAMES = {
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "enter": "⏎",
    "escape": "esc",
    "delete": "del",
}


def key_text(key: str) -> str:
    """A key as people read it: ``/`` for ``slash``."""
    return _NAMES.get(key, key)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the bar.

    :ivar key: as people read it.
    :ivar title: what it does, in a word.
    :ivar action: the Textual action of a click on it.
    :ivar off: it does nothing but say why.
    """

    key: str
    title: str
    action: str = ""
    off: bool = False


class KeyBar(Widget):
    """Draws the keys; a click on one is that key."""

    ALLOW_SELECT = False
    # Not the style of links: these are keys.
    auto_links = False
    COMPONENT_CLASSES = {"key-bar--key", "key-bar--title", "key-bar--off"}

    def __init__(self, keys: Sequence[Key] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keys = tuple(keys)

    def show(self, keys: Sequence[Key]) -> None:
        """Show *keys*, the most important first."""
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.refresh()

    def render(self) -> Content:
        key_style = self.get_visual_style("key-bar--key", partial=True)
        title_style = self.get_visual_style("key-bar--title", partial=True)
        off_style = self.get_visual_style("key-bar--off", partial=True)
        width = self.size.width
        parts: list[Content] = []
        needed = [cell_width(key.key) + cell_width(key.title) + 2 for key in self._keys]
        # Wider gaps where there is room for them.
        gap = 1 if sum(needed) + len(needed) <= width else 0
        used = 0
        for key, cells in zip(self._keys, needed, strict=True):
            used += cells + gap
            if used > width:
                break
            click = Style.from_meta({"@click": key.action}) if key.action else Style()
            parts.append(
                Content.assemble(
                    (" " + key.key, (off_style if key.off else key_style) + click),
                    (" " + key.title + " " * gap, (off_style if key.off else title_style) + click),
                )
            )
        return Content("").join(parts)
