"""The text of arguments in a message's headers, where it is plain to see. Pure.

Celery writes it with ``saferepr``, which is made for values of any kind, size and depth, and takes
longer than anything else about a message. Arguments are most often a few numbers and short texts.
"""

from __future__ import annotations

from typing import Any

from celery.utils.saferepr import saferepr

#: Types whose ``str()`` is what is written.
_PLAIN = frozenset({int, float, bool, type(None)})


def argument_text(value: Any, most: int, **levels: Any) -> str:
    """What ``saferepr(value, most, **levels)`` gives.

    :param value: a tuple, list or dict of arguments.
    :param most: how long the text may be; from there on ``saferepr`` leaves out what it likes.
    """
    plain = _plain(value)
    # At its limits saferepr decides in the midst of things: leave that to it.
    if plain is None or not most or len(plain) >= most or levels.get("maxlevels", 3) < 2:
        whole: str = saferepr(value, most, **levels)
        return whole
    return plain


def _plain(value: Any) -> str | None:
    kind = type(value)
    if kind is dict:
        pairs = []
        for key, item in value.items():
            name, text = _scalar(key), _scalar(item)
            if name is None or text is None or type(key) is not str:
                return None
            pairs.append(f"{name}: {text}")
        return "{" + ", ".join(pairs) + "}"
    if kind is not tuple and kind is not list:
        return None
    texts = []
    for item in value:
        text = _scalar(item)
        if text is None:
            return None
        texts.append(text)
    inner = ", ".join(texts)
    if kind is list:
        return f"[{inner}]"
    return f"({inner},)" if len(texts) == 1 else f"({inner})"


def _scalar(value: Any) -> str | None:
    kind = type(value)
    if kind in _PLAIN:
        return str(value)
    if kind is str and "'" not in value:
        return f"'{value}'"
    return None
