"""The growing wait between attempts."""

from __future__ import annotations


def next_wait(wait: float, first: float, most: float) -> float:
    """Seconds to wait after one more failure: twice *wait*, at least *first*, at most *most*.

    :param wait: the wait before; 0 after a success.
    """
    return min(max(wait * 2, first), most)
