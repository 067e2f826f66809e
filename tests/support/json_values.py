"""One value of every kind that JSON has, and of those that only look like JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st


def nested(opening: str, inner: str, closing: str, levels: int) -> str:
    return opening * levels + inner + closing * levels


#: Name and JSON text.
VALUES: Mapping[str, str] = {
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "one": "1",
    "minus one": "-1",
    "beyond 64 bits": str(2**64),
    "a huge whole number": "1" + "0" * 400,
    "a fraction": "0.5",
    "minus a fraction": "-0.5",
    "beyond a float": "1e999",
    "nearly beyond a float": "1e308",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "an empty text": '""',
    "a text": '"x"',
    "a number as text": '"5"',
    "nan as text": '"nan"',
    "half a character": '"\\ud800"',
    "an escaped byte": '"\\udcff"',
    "NUL": '"a\\u0000b"',
    "quotes": '"a\\"b\\\\c\\nd"',
    "beyond ASCII": '"čaj 🫖"',
    "an empty list": "[]",
    "a list": '["x"]',
    "numbers": "[1, 2.5, null]",
    "pairs": '[["a", 1]]',
    "an empty object": "{}",
    "an object": '{"a": 1}',
    "an object with an empty key": '{"": {"\\ud800": []}}',
    "nested lists": nested("[", "", "]", 40),
    "nested objects": nested('{"a":', "1", "}", 40),
    "deeply nested lists": nested("[", "", "]", 600),
    "deeply nested objects": nested('{"a":', "1", "}", 300),
    "too deeply nested lists": nested("[", "", "]", 20_000),
    "a moment": (
        '{"__type__": "datetime", "year": 2031, "month": 1, "day": 1, "hour": 0, "minute": 0, '
        '"second": 0, "microsecond": 0, "timezone": "UTC"}'
    ),
    "an unknown type": '{"__type__": "lunar"}',
    "a type that is no text": '{"__type__": ["x"]}',
}

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63), 10**400]),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.sampled_from(["\ud800", "\x00", "nan", "__type__", "redbeat::schedule", "shop"]),
)
#: JSON texts of any value.
TEXTS: st.SearchStrategy[str] = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.just("__type__"), inner, max_size=4)
    ),
    max_leaves=12,
).map(json.dumps)


def with_member(whole: Mapping[str, Any], name: str, text: str) -> str:
    """The JSON of *whole* with the JSON *text* as its member *name*."""
    others = {key: value for key, value in whole.items() if key != name}
    return f"{json.dumps(others)[:-1]}{', ' if others else ''}{json.dumps(name)}: {text}}}"
