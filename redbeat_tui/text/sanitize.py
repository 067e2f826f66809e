"""Makes text from Redis safe to draw in a terminal. Pure.

Anybody who can write to the schedule can choose entry names, arguments and error texts. A visible
replacement is drawn for every character that could move the cursor, send a command to the
terminal, reorder the line, stay invisible, or take another number of cells than it seems to.
Everything that comes from Redis passes :func:`clean` (a line) or :func:`clean_lines` (a text)
before it is drawn.
"""

from __future__ import annotations

import unicodedata

#: Characters kept of a line, unless the caller passes another limit.
LIMIT = 2_000

#: Combining marks kept on one character. Vietnamese, Hebrew and Thai need two, rarely three;
#: text that climbs over the lines above needs dozens.
MARKS = 3

ELLIPSIS = "…"

#: Letters and symbols that draw nothing, although their Unicode category is that of visible ones.
_BLANK = frozenset((0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800, 0x17B4, 0x17B5))
_SELECTORS = frozenset((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x180B, 0x180E)))
#: U+FE0E and U+FE0F choose between the plain and the coloured form of a symbol. Terminals disagree
#: about its width then; without them the symbol itself is still drawn.
_PRESENTATION = "\ufe0e\ufe0f"


def clean(text: str, limit: int = LIMIT) -> str:
    """Return *text* as one line that is safe to draw.

    Control characters become control pictures (``␛``, ``␊``), bytes that are not UTF-8 become
    ``⟨xE9⟩``, bidirectional and zero-width controls and other invisible or unassigned characters
    become ``⟨202E⟩``, and too many combining marks on one character become ``⟨+12⟩``.

    :param limit: the most characters of the result; a text that was cut ends in ``…``.
    """
    if len(text) <= limit:
        if text.isascii() and text.isprintable():
            return text
        shown = _shown(text)
    else:
        # Process no more than can be drawn: a value may have many megabytes. The one character
        # beyond the limit makes the cut below happen.
        shown = _shown(text[: limit + 1])
    if len(shown) <= limit:
        return shown
    return shown[: max(0, limit - 1)] + ELLIPSIS if limit > 0 else ""


def clean_lines(text: str, limit: int = 20_000, lines: int = 500) -> list[str]:
    """Return *text* as lines that are safe to draw, for a definition or a traceback.

    A tab becomes spaces; everything else is as in :func:`clean`.

    :param limit: characters of all lines together, approximately.
    :param lines: the most lines; a last line ``…`` stands for those that were cut.
    """
    cut = text[: limit + 1]
    result = [clean(line.expandtabs(4), limit) for line in cut.replace("\r\n", "\n").split("\n")]
    if len(result) > lines or len(cut) > limit:
        return [*result[: lines - 1], ELLIPSIS]
    return result


class _Replacements(dict[int, str]):
    """Code point -> the text drawn for it, computed at the first use."""

    def __missing__(self, code: int) -> str:
        shown = self[code] = _replacement(code)
        return shown


def _replacement(code: int) -> str:
    char = chr(code)
    category = unicodedata.category(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was decoded with "surrogateescape"
        return f"⟨x{code - 0xDC00:02X}⟩"
    if category == "Cs":
        return "�"
    if category in ("Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Me"):
        return f"⟨{code:02X}⟩"
    if code in _BLANK or code in _SELECTORS:
        return f"⟨{code:02X}⟩"
    if category == "Zs":
        return "  " if code == 0x3000 else " "
    if _joins(code):
        return f"⟨{code:02X}⟩"
    return char


def _joins(code: int) -> bool:
    """Whether the character is a Hangul vowel or tail: some terminals give it no cell of its own,
    others give it one. Those that belong to a syllable were composed into it before."""
    return 0x1160 <= code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF


_REPLACEMENTS = _Replacements()


def _shown(text: str) -> str:
    if not text.isascii():
        # A composed letter and accent are one character in every terminal; terminals differ in
        # how they draw two.
        text = unicodedata.normalize("NFC", text)
        text = _without_presentation(text)
    text = text.translate(_REPLACEMENTS)
    if text.isascii() or not any(unicodedata.category(char) in ("Mn", "Mc") for char in text):
        return text
    return _with_few_marks(text)


def _without_presentation(text: str) -> str:
    if "\ufe0e" not in text and "\ufe0f" not in text:
        return text
    """Drop U+FE0E and U+FE0F behind symbols."""
    kept: list[str] = []
    for char in text:
        if char in _PRESENTATION and kept and unicodedata.category(kept[-1]) in ("So", "Sm"):
            continue
        kept.append(char)
    return "".join(kept)


def _with_few_marks(text: str) -> str:
    """Replace all but the first :data:`MARKS` combining marks on a character by their number."""
    shown: list[str] = []
    run = 0
    for char in text:
        if unicodedata.category(char) in ("Mn", "Mc"):
            if not shown:
                shown.append("◌")
            run += 1
            if run > MARKS:
                continue
        elif run:
            if run > MARKS:
                shown.append(f"⟨+{run - MARKS}⟩")
            run = 0
        shown.append(char)
    if run > MARKS:
        shown.append(f"⟨+{run - MARKS}⟩")
    return "".join(shown)
