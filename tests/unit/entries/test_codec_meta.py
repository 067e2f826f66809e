"""The meta of a run: the quick ways agree with the general ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redbeat_core.entries.codec import (
    DecodeError,
    RedBeatJSONDecoder,
    RedBeatJSONEncoder,
    decode_meta,
    encode_meta,
)

ZONES: list[tzinfo] = [
    UTC,
    ZoneInfo("UTC"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("America/Argentina/Buenos_Aires"),
    ZoneInfo("Etc/GMT+5"),
    timezone(timedelta(minutes=90)),
]
MOMENTS = st.datetimes(timezones=st.sampled_from(ZONES), allow_imaginary=True)


@given(moment=MOMENTS, count=st.integers(0, 2**62))
def test_a_run_is_written_and_read_as_by_the_general_way(moment: datetime, count: int) -> None:
    meta = {"last_run_at": moment, "total_run_count": count}
    text = encode_meta(meta)
    assert text == json.dumps(meta, cls=RedBeatJSONEncoder)
    assert decode_meta(text) == json.loads(text, cls=RedBeatJSONDecoder) == meta
    read = decode_meta(text)["last_run_at"]
    assert str(read.tzinfo) == str(json.loads(text, cls=RedBeatJSONDecoder)["last_run_at"].tzinfo)


META = ("last_run_at", "total_run_count")
TEXT = encode_meta(
    {"last_run_at": datetime(2026, 1, 2, tzinfo=ZoneInfo("UTC")), "total_run_count": 7}
)


@given(at=st.integers(0, len(TEXT) - 1), what=st.sampled_from([*'09aZ"{}:, -+.٣', ""]))
@example(at=TEXT.index("UTC"), what="X")
@example(at=TEXT.index(" 7"), what="-")
@example(at=TEXT.index("month") + 8, what="99")
@example(at=TEXT.index("2026"), what="0")
@example(at=TEXT.index(" 7"), what=" 0")
@example(at=TEXT.index("month") + 8, what="01")
@example(at=TEXT.index("microsecond") + 14, what="00")
@example(at=TEXT.index("microsecond") + 14, what="99999999999")
def test_what_is_nearly_a_run_is_read_as_by_the_general_way(at: int, what: str) -> None:
    text = TEXT[:at] + what + TEXT[at + 1 :]
    try:
        expected = json.loads(text, cls=RedBeatJSONDecoder)
    except ValueError:
        with pytest.raises(DecodeError):
            decode_meta(text)
        return
    last, count = expected.get("last_run_at"), expected.get("total_run_count", 0)
    if not isinstance(last, datetime) or set(expected) - {*META} or count < 0:
        # The general way reads more than a meta may hold.
        with pytest.raises(DecodeError):
            decode_meta(text)
        return
    assert decode_meta(text) == {"last_run_at": last, "total_run_count": count}
