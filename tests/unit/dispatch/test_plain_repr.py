"""The text of plain arguments is the one that Celery writes."""

from __future__ import annotations

from typing import Any

from celery.utils.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.dispatch.messages.plain_repr import argument_text

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
FLAT = st.one_of(
    st.lists(SCALARS), st.lists(SCALARS).map(tuple), st.dictionaries(st.text(), SCALARS)
)
DEEP = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(st.one_of(FLAT, DEEP), st.one_of(st.just(1024), st.integers(1, 60)))
def test_it_is_what_saferepr_gives(value: Any, most: int) -> None:
    assert argument_text(value, most) == saferepr(value, most)


def test_what_is_long_is_left_out_as_saferepr_does() -> None:
    for length in range(1, 40):
        value = ("x" * length, 1, {"a": [1]})
        assert argument_text(value[:2], 20) == saferepr(value[:2], 20)
        assert argument_text(value, 20) == saferepr(value, 20)
