"""The policy of an entry: what may be in it, and what is said of what may not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbeat_core.entries.policy import (
    ALLOWED,
    PLAIN,
    Policy,
    PolicyError,
    as_members,
    decode_policy,
    encode_policy,
    members_of,
)
from redbeat_core.schedules.recurrence.zones import DEFAULT_DST, DstPolicy

members = st.fixed_dictionaries(
    {},
    optional={
        "catchup": st.sampled_from(["one", "all", "skip"]),
        "catchup_limit": st.integers(1, 5000),
        "grace": st.none() | st.floats(0, 1e6),
        "jitter": st.floats(0, 1e6) | st.integers(0, 1000),
        "start": st.none() | st.floats(0, 1e9),
        "end": st.none() | st.floats(1e9, 1e11),
        "max_runs": st.none() | st.integers(1, 10**12),
        "nonexistent": st.sampled_from(["shift", "skip"]),
        "ambiguous": st.sampled_from(["first", "last", "both"]),
        "keep_finished": st.none() | st.floats(0, 1e6),
    },
)


@given(members=members)
def test_what_is_written_is_read(members: dict[str, Any]) -> None:
    text = encode_policy(members)
    assert members_of(text) == members
    read = as_members(decode_policy(text))
    assert read == {**as_members(PLAIN), **members}


@given(members=members)
def test_equal_policies_have_equal_texts(members: dict[str, Any]) -> None:
    turned = dict(reversed(members.items()))
    assert encode_policy(turned) == encode_policy(members)


def test_what_an_entry_does_not_set_is_as_the_settings_say() -> None:
    defaults = Policy(catchup="all", grace=60.0)
    assert decode_policy('{"grace": null}', defaults) == Policy(catchup="all", grace=None)
    assert decode_policy("{}", defaults) is defaults
    assert decode_policy(None, defaults) is defaults
    assert decode_policy(None) is PLAIN


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", None),
        ("nonsense", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be a JSON object, not list"),
        ('{"catchup": "some"}', "'catchup' is 'some': it must be 'one', 'all' or 'skip'"),
        ('{"catchup": ["one"]}', "'catchup'"),
        ('{"catchupp": "one"}', "did you mean 'catchup'?"),
        ('{"zzz": 1}', "there are catchup, "),
        ('{"grace": -1}', "'grace' is -1"),
        ('{"grace": true}', "'grace' is True"),
        ('{"grace": NaN}', "'grace' is nan"),
        ('{"grace": Infinity}', "'grace' is inf"),
        ('{"jitter": null}', "'jitter' is None"),
        ('{"jitter": 1' + "0" * 400 + "}", "'jitter'"),
        ('{"max_runs": 0}', "'max_runs' is 0: it must be a whole number from 1"),
        ('{"max_runs": 1.5}', "'max_runs' is 1.5"),
        ('{"start": "tomorrow"}', "'start' is 'tomorrow': it must be a time in Unix seconds"),
        (
            '{"start": 2, "end": 1}',
            "'end' (1970-01-01 00:00:01 UTC) is before its 'start' (1970-01-01 00:00:02 UTC)",
        ),
        ('{"nonexistent": "first"}', "'shift' or 'skip'"),
        ('{"ambiguous": "shift"}', "'first', 'last' or 'both'"),
    ],
)
def test_a_policy_that_cannot_be_used_says_why(text: str, reason: str | None) -> None:
    if reason is None:
        assert decode_policy(text) == PLAIN
        return
    with pytest.raises(PolicyError) as refused:
        decode_policy(text)
    assert reason in str(refused.value)


json_texts = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(ALLOWED)), inner),
).map(json.dumps)


@given(text=st.text() | json_texts)
def test_no_text_gives_another_error(text: str) -> None:
    with contextlib.suppress(PolicyError):
        decode_policy(text)


def test_nothing_that_cannot_be_read_is_written() -> None:
    with pytest.raises(PolicyError):
        encode_policy({"grace": "long"})


def test_the_policy_for_clock_changes_is_that_of_the_schedules() -> None:
    assert PLAIN.dst is DEFAULT_DST
    assert Policy(ambiguous="both").dst == DstPolicy("shift", "both")


def test_each_member_of_a_policy_says_what_it_may_be() -> None:
    assert all(allowed for _check, allowed in ALLOWED.values())
