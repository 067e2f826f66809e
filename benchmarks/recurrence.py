"""How long the next run of a schedule takes to find, by the age of its DTSTART.

    python -m benchmarks.recurrence [--limit 10]

The peers are what celery-redbeat asks: dateutil's ``rrule.after`` for rules, and Celery's own
``crontab.remaining_estimate`` for crontabs. dateutil walks from DTSTART; where one answer takes it
longer than the limit, it is stopped, and the limit is its figure.
"""

from __future__ import annotations

import gc
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from celery.schedules import crontab
from dateutil.rrule import rrule as dateutil_rrule

from benchmarks.peers import Result, Row, arguments, make_app
from redbeat_core.schedules import next_occurrence, rrule

NOW = datetime(2026, 5, 5, 5, 5, 5, tzinfo=UTC)
AGES = {"1 day": 1, "30 days": 30, "1 year": 365, "5 years": 1826, "30 years": 10957}
FREQS = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
CRONTABS: dict[str, dict[str, Any]] = {
    "*/5 * * * *": {"minute": "*/5"},
    "0 9 * * mon-fri": {"minute": "0", "hour": "9", "day_of_week": "mon-fri"},
    "30 2 1 */3 *": {"minute": 30, "hour": 2, "day_of_month": 1, "month_of_year": "*/3"},
    "0 0 29 2 *": {"minute": 0, "hour": 0, "day_of_month": 29, "month_of_year": 2},
}
#: Rules that no date matches, which have to be found out.
NEVER: dict[str, dict[str, Any]] = {
    "30 February, DAILY": {"freq": "DAILY", "bymonth": 2, "bymonthday": 30},
    "30 February, SECONDLY": {"freq": "SECONDLY", "bymonth": 2, "bymonthday": 30},
    "a 5th of one weekday, BYSETPOS": {
        "freq": "MONTHLY",
        "byweekday": 0,
        "bymonthday": [1, 2, 3, 4, 5, 6, 7],
        "bysetpos": 2,
    },
    "another weekday, INTERVAL=7": {"freq": "DAILY", "interval": 7, "byweekday": 2},
}


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    def stop(_signum: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def milliseconds(ask: Callable[[datetime], object], limit: float) -> float:
    """Of one answer: the median of up to 200, each from another moment; at most the limit."""
    gc.collect()
    taken: list[float] = []
    with suppress(TimeoutError), _stopped_after(limit):
        for number in range(200):
            moment = NOW + timedelta(seconds=977 * number)
            started = time.perf_counter()
            ask(moment)
            taken.append(time.perf_counter() - started)
    return statistics.median(taken or [limit]) * 1000


def rules(limit: float) -> Iterator[Row]:
    for freq in FREQS:
        for age, days in AGES.items():
            start = NOW - timedelta(days=days)
            ours = rrule(freq, dtstart=start)
            theirs = dateutil_rrule(rrule.FREQ_MAP[freq], dtstart=start)
            yield Row(
                f"{freq}, DTSTART {age} ago",
                "ms",
                milliseconds(lambda moment, rule=ours: next_occurrence(rule, moment), limit),  # type: ignore[misc]
                milliseconds(theirs.after, limit),
                headline=(freq, age) in {("MINUTELY", "30 days"), ("DAILY", "5 years")},
            )


def crontabs(limit: float) -> Iterator[Row]:
    app = make_app("redis://")
    for text, fields in CRONTABS.items():
        made = crontab(**fields, app=app)

        def theirs(moment: datetime, made: crontab = made) -> object:
            made.nowfun = lambda: moment
            return made.remaining_estimate(moment)

        ours = milliseconds(lambda moment, made=made: next_occurrence(made, moment), limit)  # type: ignore[misc]
        yield Row(f"crontab {text}", "ms", ours, milliseconds(theirs, limit))


def never(limit: float) -> Iterator[Row]:
    for what, fields in NEVER.items():
        freq = rrule.FREQ_MAP[fields["freq"]]

        def ours(moment: datetime, fields: dict[str, Any] = fields) -> object:
            # A rule that nothing is known of yet.
            start = moment.replace(year=2024, month=1, day=1)
            return next_occurrence(rrule(dtstart=start, **fields), moment)

        theirs = dateutil_rrule(
            **{**fields, "freq": freq, "dtstart": NOW.replace(year=2024, day=1)}
        )
        yield Row(
            f"never: {what}", "ms", milliseconds(ours, limit), milliseconds(theirs.after, limit)
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for one peer's answer")
    options = parser.parse_args()
    limit = 0.05 if options.quick else options.limit
    result = Result("recurrence", [*rules(limit), *crontabs(limit), *never(limit)])
    result.notes.append("the peer is dateutil for rules and Celery itself for crontabs")
    result.notes.append(f"a peer's {limit * 1000:,.0f} ms mean that it was stopped there")
    result.finish(options.json)


if __name__ == "__main__":
    main()
