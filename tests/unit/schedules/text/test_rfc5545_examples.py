"""Every example of RFC 5545, section 3.8.5.3, gives the dates that the RFC lists for it.

The RFC's times are those of New York. Where it ends a list with dots, the first of them are
compared, as many as it prints or more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from redbeat_core.schedules import format_schedule, occurrences, parse_schedule

NEW_YORK = ZoneInfo("America/New_York")
BEFORE = datetime(1996, 1, 1, tzinfo=UTC)
EVERY_DAY = "SU,MO,TU,WE,TH,FR,SA"


def days(text: str) -> list[str]:
    """``"1997 Sep 2-4 9; Oct 1"`` as ISO dates."""
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    year = month = 0
    found = []
    for word in text.replace(";", " ").split():
        if word in months:
            month = months.index(word) + 1
        elif len(word) == 4 and word.isdigit():
            year = int(word)
        else:
            first, _, last = word.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            found += [f"{year}-{month:02}-{day:02}" for day in numbers]
    return found


#: Start, rule, what the RFC lists, and whether the rule ends there.
EXAMPLES = [
    ("19970902", "FREQ=DAILY;COUNT=10", "1997 Sep 2-11", True),
    (
        "19970902",
        "FREQ=DAILY;UNTIL=19971224T000000Z",
        "1997 Sep 2-30; Oct 1-31; Nov 1-30; Dec 1-23",
        True,
    ),
    (
        "19970902",
        "FREQ=DAILY;INTERVAL=2",
        (
            "1997 Sep 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30; Oct 2 4 6 8 10 12 14 16 18 20 22 "
            "24 26 28 30; Nov 1 3 5 7 9 11 13 15 17 19 21 23 25 27 29; Dec 1 3"
        ),
        False,
    ),
    ("19970902", "FREQ=DAILY;INTERVAL=10;COUNT=5", "1997 Sep 2 12 22; Oct 2 12", True),
    (
        "19980101",
        f"FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY={EVERY_DAY}",
        "1998 Jan 1-31; 1999 Jan 1-31; 2000 Jan 1-31",
        True,
    ),
    (
        "19980101",
        "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
        "1998 Jan 1-31; 1999 Jan 1-31; 2000 Jan 1-31",
        True,
    ),
    (
        "19970902",
        "FREQ=WEEKLY;COUNT=10",
        "1997 Sep 2 9 16 23 30; Oct 7 14 21 28; Nov 4",
        True,
    ),
    (
        "19970902",
        "FREQ=WEEKLY;UNTIL=19971224T000000Z",
        "1997 Sep 2 9 16 23 30; Oct 7 14 21 28; Nov 4 11 18 25; Dec 2 9 16 23",
        True,
    ),
    (
        "19970902",
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        "1997 Sep 2 16 30; Oct 14 28; Nov 11 25; Dec 9 23; 1998 Jan 6 20; Feb 3 17",
        False,
    ),
    (
        "19970902",
        "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
        "1997 Sep 2 4 9 11 16 18 23 25 30; Oct 2",
        True,
    ),
    (
        "19970902",
        "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH",
        "1997 Sep 2 4 9 11 16 18 23 25 30; Oct 2",
        True,
    ),
    (
        "19970901",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
        (
            "1997 Sep 1 3 5 15 17 19 29; Oct 1 3 13 15 17 27 29 31; Nov 10 12 14 24 26 28; "
            "Dec 8 10 12 22"
        ),
        True,
    ),
    (
        "19970902",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
        "1997 Sep 2 4 16 18 30; Oct 2 14 16",
        True,
    ),
    (
        "19970905",
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        "1997 Sep 5; Oct 3; Nov 7; Dec 5; 1998 Jan 2; Feb 6; Mar 6; Apr 3; May 1; Jun 5",
        True,
    ),
    (
        "19970905",
        "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR",
        "1997 Sep 5; Oct 3; Nov 7; Dec 5",
        True,
    ),
    (
        "19970907",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        "1997 Sep 7 28; Nov 2 30; 1998 Jan 4 25; Mar 1 29; May 3 31",
        True,
    ),
    (
        "19970922",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        "1997 Sep 22; Oct 20; Nov 17; Dec 22; 1998 Jan 19; Feb 16",
        True,
    ),
    (
        "19970928",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "1997 Sep 28; Oct 29; Nov 28; Dec 29; 1998 Jan 29; Feb 26",
        False,
    ),
    (
        "19970902",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
        "1997 Sep 2 15; Oct 2 15; Nov 2 15; Dec 2 15; 1998 Jan 2 15",
        True,
    ),
    (
        "19970930",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        "1997 Sep 30; Oct 1 31; Nov 1 30; Dec 1 31; 1998 Jan 1 31; Feb 1",
        True,
    ),
    (
        "19970910",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        "1997 Sep 10-15; 1999 Mar 10-13",
        True,
    ),
    (
        "19970902",
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
        "1997 Sep 2 9 16 23 30; Nov 4 11 18 25; 1998 Jan 6 13 20 27; Mar 3 10 17 24 31",
        False,
    ),
    (
        "19970610",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        (
            "1997 Jun 10; Jul 10; 1998 Jun 10; Jul 10; 1999 Jun 10; Jul 10; 2000 Jun 10; Jul 10; "
            "2001 Jun 10; Jul 10"
        ),
        True,
    ),
    (
        "19970310",
        "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
        (
            "1997 Mar 10; 1999 Jan 10; Feb 10; Mar 10; 2001 Jan 10; Feb 10; Mar 10; "
            "2003 Jan 10; Feb 10; Mar 10"
        ),
        True,
    ),
    (
        "19970101",
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        (
            "1997 Jan 1; Apr 10; Jul 19; 2000 Jan 1; Apr 9; Jul 18; 2003 Jan 1; Apr 10; Jul 19; "
            "2006 Jan 1"
        ),
        True,
    ),
    ("19970519", "FREQ=YEARLY;BYDAY=20MO", "1997 May 19; 1998 May 18; 1999 May 17", False),
    (
        "19970512",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        "1997 May 12; 1998 May 11; 1999 May 17",
        False,
    ),
    (
        "19970313",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
        "1997 Mar 13 20 27; 1998 Mar 5 12 19 26; 1999 Mar 4 11 18 25",
        False,
    ),
    (
        "19970605",
        "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
        (
            "1997 Jun 5 12 19 26; Jul 3 10 17 24 31; Aug 7 14 21 28; "
            "1998 Jun 4 11 18 25; Jul 2 9 16 23 30; Aug 6 13 20 27; "
            "1999 Jun 3 10 17 24; Jul 1 8 15 22 29; Aug 5 12 19 26"
        ),
        False,
    ),
    (
        "19970902",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13\nEXDATE;TZID=America/New_York:19970902T090000",
        "1998 Feb 13; Mar 13; Nov 13; 1999 Aug 13; 2000 Oct 13",
        False,
    ),
    (
        "19970913",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "1997 Sep 13; Oct 11; Nov 8; Dec 13; 1998 Jan 10; Feb 7; Mar 7; Apr 11; May 9; Jun 13",
        False,
    ),
    (
        "19961105",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "1996 Nov 5; 2000 Nov 7; 2004 Nov 2",
        False,
    ),
    (
        "19970904",
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        "1997 Sep 4; Oct 7; Nov 6",
        True,
    ),
    (
        "19970929",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "1997 Sep 29; Oct 30; Nov 27; Dec 30; 1998 Jan 29; Feb 26; Mar 30",
        False,
    ),
    (
        "19970805",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        "1997 Aug 5 10 19 24",
        True,
    ),
    (
        "19970805",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        "1997 Aug 5 17 19 31",
        True,
    ),
    (
        "20070115",
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        "2007 Jan 15 30; Feb 15; Mar 15 30",
        True,
    ),
]

#: The rules below a day: what they give of the days that are listed, as hours and minutes.
WITHIN_A_DAY = [
    # The RFC prints 17:00 UTC as the end, which its erratum 3883 corrects to 17:00 in New York.
    ("FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", "1997 Sep 2", "9:00 12:00 15:00", True),
    (
        "FREQ=MINUTELY;INTERVAL=15;COUNT=6",
        "1997 Sep 2",
        "9:00 9:15 9:30 9:45 10:00 10:15",
        True,
    ),
    ("FREQ=MINUTELY;INTERVAL=90;COUNT=4", "1997 Sep 2", "9:00 10:30 12:00 13:30", True),
    *(
        (
            rule,
            "1997 Sep 2-4",
            " ".join(f"{hour}:{minute:02}" for hour in range(9, 17) for minute in (0, 20, 40)),
            False,
        )
        for rule in (
            "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
            "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
        )
    ),
]


def runs(start: str, rule: str, expected: list[str], ends: bool) -> None:
    text = f"DTSTART;TZID=America/New_York:{start}T090000\nRRULE:{rule}"
    made = parse_schedule(text, now=BEFORE)
    for schedule in (made, parse_schedule(format_schedule(made), now=BEFORE)):
        found = occurrences(schedule, anchor=None, now=BEFORE, count=len(expected) + ends)
        shown = [moment.astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M") for moment in found]
        assert shown == expected


@pytest.mark.parametrize(("start", "rule", "listed", "ends"), EXAMPLES)
def test_an_example_of_days_gives_the_dates_of_the_rfc(
    start: str, rule: str, listed: str, ends: bool
) -> None:
    runs(start, rule, [f"{day} 09:00" for day in days(listed)], ends)


@pytest.mark.parametrize(("rule", "listed", "times", "ends"), WITHIN_A_DAY)
def test_an_example_below_a_day_gives_the_times_of_the_rfc(
    rule: str, listed: str, times: str, ends: bool
) -> None:
    clock = [time.zfill(5) for time in times.split()]
    expected = [f"{day} {time}" for day in days(listed) for time in clock]
    runs("19970902", rule, expected, ends)
