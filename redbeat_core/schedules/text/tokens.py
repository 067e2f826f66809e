"""Shared by the parsers of schedule text: errors with a column, and words with their place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple


class ScheduleError(ValueError):
    """A text is no schedule; the message says what is wrong and what would be right.

    :ivar column: the place in the text, from 0; None when the error is about all of it.
    """

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column


class Word(NamedTuple):
    """A piece of the text and the column where it begins."""

    text: str
    column: int

    def split(self, separator: str) -> list[Word]:
        """The pieces between the *separator* characters, without space around them."""
        pieces, start = [], 0
        for piece in self.text.split(separator):
            lead = len(piece) - len(piece.lstrip())
            pieces.append(Word(piece.strip(), self.column + start + lead))
            start += len(piece) + 1
        return pieces

    def error(self, message: str) -> ScheduleError:
        """An error at this word."""
        return ScheduleError(message, self.column)


def words(text: str, column: int = 0) -> list[Word]:
    """The words of *text* between white space."""
    return [Word(match.group(), column + match.start()) for match in re.finditer(r"\S+", text)]


def quoted(text: str) -> str:
    """*text* for a message: quoted, and short."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def did_you_mean(text: str, choices: Iterable[str]) -> str:
    """``; did you mean X?`` when one of *choices* comes close, else nothing."""
    close = difflib.get_close_matches(text[:40].upper(), [*choices], n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
