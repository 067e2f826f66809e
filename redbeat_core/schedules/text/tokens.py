"""Helpers of the parsers of schedule text: errors with a column, and words with their column."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple


class ScheduleError(ValueError):
    """The text is no valid schedule; the message gives the reason and a correct form.

    :ivar column: the column of the error in the text, from 0; None: the whole text.
    """

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column


class Word(NamedTuple):
    """A part of the text, with the column where it begins."""

    text: str
    column: int

    def split(self, separator: str) -> list[Word]:
        """Return the parts between the *separator* characters, without space around them."""
        pieces = []
        start = 0
        for piece in self.text.split(separator):
            lead = len(piece) - len(piece.lstrip())
            pieces.append(Word(piece.strip(), self.column + start + lead))
            start += len(piece) + 1
        return pieces

    def error(self, message: str) -> ScheduleError:
        """Return an error at the column of this word."""
        return ScheduleError(message, self.column)


def words(text: str, column: int = 0) -> list[Word]:
    """Split *text* at white space."""
    return [Word(match.group(), column + match.start()) for match in re.finditer(r"\S+", text)]


def quoted(text: str) -> str:
    """Return *text* for a message: quoted, and shortened to 40 characters."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def did_you_mean(text: str, choices: Iterable[str]) -> str:
    """Return ``; did you mean X?`` if one of *choices* is similar to *text*, else an empty text."""
    close = difflib.get_close_matches(text[:40].upper(), [*choices], n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
