"""Times as logs write them: a text is read whole, or it is not a time."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.trace.imports.repeated_hours import tell_apart
from planner.trace.imports.times import iso_time, time_reader


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-02T09:00:04.5", "2026-11-02 09:00:04.500000"),
        ("2026-11-02_09:00", "2026-11-02 09:00:00.000000"),
        ("2026/11/02, 9:00:04", "2026-11-02 09:00:04.000000"),
        ("2026-11-02 09:00:04,123 +0100", "2026-11-02 09:00:04.123000+01:00"),
        ("2026-11-02 09:00:04.123456789Z", "2026-11-02 09:00:04.123456+00:00"),
        ("20261102T090004Z", "2026-11-02 09:00:04.000000+00:00"),
        ("2026-11-02 09:00 PM", "2026-11-02 21:00:00.000000"),
        ("2026-11-02 12:00 a.m.", "2026-11-02 00:00:00.000000"),
        ("2026-11-02 12:30pm", "2026-11-02 12:30:00.000000"),
        ("11/2/2026, 9:00:04.500 AM", "2026-11-02 09:00:04.500000"),
        ("2026-11-02 09:00 EST", "2026-11-02 09:00:00.000000-05:00"),
        ("2026-07-02 09:00 CET", "2026-07-02 09:00:00.000000+01:00"),
        ("2026-07-02 09:00 America/New_York", "2026-07-02 09:00:00.000000-04:00"),
        ("2026-11-02T09:00+01:00[Europe/Berlin]", "2026-11-02 09:00:00.000000+01:00"),
        ("2026-10-25T02:30+01:00[Europe/Berlin]", "2026-10-25 02:30:00.000000+01:00"),
        ("2026-11-02 09:00 UTC+5:30", "2026-11-02 09:00:00.000000+05:30"),
        ("2026-11-02 09:00:00 +0530 IST", "2026-11-02 09:00:00.000000+05:30"),
        ("2026-11-02 09:00:04.5 +0000 UTC", "2026-11-02 09:00:04.500000+00:00"),
        ("02/Nov/2026:09:00:04 -0800", "2026-11-02 09:00:04.000000-08:00"),
        ("Mon, 02 Nov 2026 09:00:04 GMT", "2026-11-02 09:00:04.000000+00:00"),
        ("Mon Nov  2 09:00:04 2026", "2026-11-02 09:00:04.000000"),
        ("Nov 2, 2026 9:00 AM", "2026-11-02 09:00:00.000000"),
    ],
)
def test_a_time_is_read_as_it_is_meant(text: str, iso: str) -> None:
    assert iso_time(text) == iso


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-02",
        "09:00",
        "2026-11-02 09:00:00 xyz",
        "2026-11-02 09:00:00 -",
        "2026-11-02 09:00:00 5 hours",
        "2026-11-02 09:00:00.5.7",
        "2026-11-02 13:00 pm",
        "2026-11-02 00:30 am",
        "2026-02-30 09:00",
        "2026-11-02 24:00",
        "2026-11-02 09:60",
        "11/2/2026 09:00",
        "02.11.2026 09:00",
        "2026-11-02 09:00 IST",
        "2026-11-02 09:00 +0200 IST 1",
        "2026-11-02 09:00+01:00 EST",
        "2026-11-02T09:00+02:00[Europe/Berlin]",
        "2026-10-25 02:30 Europe/Berlin",
        "2026-03-29 02:30 Europe/Berlin",
        "2026-11-02 09:00+19:00",
        "2026-11-02 09:00+16:00",
        "",
    ],
)
def test_what_is_not_a_time_as_a_whole_or_may_be_one_of_two_is_not_read(text: str) -> None:
    assert iso_time(text) is None


MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
OFFSETS = st.integers(-12 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))


@given(MOMENTS, OFFSETS, st.sampled_from("T t_;|"), st.sampled_from(["", " "]))
def test_whatever_the_separator_and_the_offset_the_moment_is_the_same(
    at: datetime, offset: timezone, separator: str, gap: str
) -> None:
    local = at.astimezone(offset)
    text = f"{local:%Y-%m-%d}{separator}{local:%H:%M:%S.%f}{gap}{local:%z}"
    read = iso_time(text)
    assert read is not None
    assert datetime.fromisoformat(read) == at


@given(MOMENTS)
def test_the_twelve_hour_clock_tells_the_same_time(at: datetime) -> None:
    assert iso_time(f"{at:%m/%d/%Y, %I:%M:%S.%f %p}") == iso_time(f"{at:%Y-%m-%d %H:%M:%S.%f}")


@given(st.text(st.sampled_from("0123456789-:TZ .+APM/aeprst"), max_size=40), MOMENTS)
def test_no_text_after_a_time_is_dropped(text: str, at: datetime) -> None:
    """What is read with a tail is another time than without, or the tail tells the same offset or blanks."""
    plain = f"{at:%Y-%m-%dT%H:%M:%S}"
    read = iso_time(plain + text)
    if read is not None and text.strip():
        assert read != iso_time(plain) or set(text.strip()) <= set(".0AaMm ")


def test_a_format_of_ones_own_is_the_only_one_read() -> None:
    read = time_reader("%d.%m.%Y %H:%M")
    assert read("02.11.2026 09:00") == "2026-11-02 09:00:00.000000"
    assert read("2026-11-02 09:00") is None
    assert read("02.11.2026 09:00 PM") is None
    assert time_reader("%Y-%m-%d %H:%M %z")("2026-11-02 09:00 +0130") == "2026-11-02 09:00:00.000000+01:30"


HOUR_US = 3_600_000_000


def split(*files: list[int], trend: float = 0) -> tuple[list[bool], int]:
    first = np.array([minute for minutes in files for minute in minutes], np.int64) * 60_000_000
    index = np.repeat(np.arange(len(files)), [len(minutes) for minutes in files])
    told = tell_apart(first, first + HOUR_US, index, np.full(len(first), float(trend)))
    return told.is_second.tolist(), told.undecided


def test_one_step_back_tells_the_second_time_from_the_first() -> None:
    assert split([10, 50, 10, 50]) == ([False, False, True, True], 0)


def test_small_steps_back_are_the_disorder_of_a_log() -> None:
    assert split([10, 8, 50, 49, 3, 2, 55]) == ([False] * 4 + [True] * 3, 0)


def test_one_step_forward_tells_them_apart_where_the_newest_come_first() -> None:
    assert split([55, 5, 55, 5], trend=-1) == ([True, True, False, False], 0)
    assert split([50, 10, 50], trend=-1) == ([True, True, False], 0)
    assert split([50, 10], trend=-1) == ([False, True], 2)
    assert split([10, 50], trend=1) == ([False, True], 2)


def test_every_file_is_looked_at_by_itself() -> None:
    assert split([5, 50, 5, 50], [5, 50, 5, 50]) == ([False, False, True, True] * 2, 0)
    # of two files with one of the two times each, either may be of another server
    assert split([10, 50], [10, 50]) == ([False, True] * 2, 4)
    assert split([10], [20, 55, 20], [30]) == ([False, False, False, True, True], 2)


@pytest.mark.parametrize("minutes", [[10, 20, 30, 40], [50, 5, 55, 6], [30]])
def test_where_the_order_tells_nothing_rows_are_divided_evenly(minutes: list[int]) -> None:
    seconds, undecided = split(minutes)
    assert undecided == len(minutes)
    assert seconds == [bool(index % 2) for index in range(len(minutes))]


def test_every_change_of_the_clock_is_looked_at_by_itself() -> None:
    year = 365 * 24 * 60
    assert split([10, 50, 10, 50, year + 10, year + 50, year + 10]) == (
        [False, False, True, True, False, False, True],
        0,
    )


def test_no_rows_are_no_trouble() -> None:
    assert split([]) == ([], 0)
