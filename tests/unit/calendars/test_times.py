from datetime import UTC, datetime, timedelta, timezone

import pytest

from itmp.calendars import CalendarError, format_duration, format_time, parse_duration, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("4h", 14400), ("7d", 604800), ("0s", 0), ("90m", 5400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "15", "m", "015m", "1.5h", "-1h", "+1h", "1 h", "1H", "1h\n", "٣h", "1w", "1h30m", "9999999d"],
)
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(CalendarError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (30, "30s"), (60, "1m"), (5400, "90m"), (7200, "2h"), (86400, "1d")]
)
def test_durations_as_text(seconds: int, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("length", [timedelta(seconds=-1), timedelta(milliseconds=1), timedelta(days=4000)])
def test_lengths_without_a_text(length: timedelta) -> None:
    with pytest.raises(CalendarError):
        format_duration(length)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T22:00:00Z", "2026-11-22T22:00:00Z"),
        ("2026-11-22T22:00:00.5Z", "2026-11-22T22:00:00Z"),
        ("2026-11-22T22:00:00+01:00", "2026-11-22T21:00:00Z"),
        ("2026-11-22T22:00 Europe/Berlin", "2026-11-22T21:00:00Z"),
        ("2026-07-22T22:00:30 Europe/Berlin", "2026-07-22T20:00:30Z"),
        ("2026-03-29T01:59 Europe/Berlin", "2026-03-29T00:59:00Z"),
        ("2026-03-29T02:30 Europe/Berlin", "2026-03-29T01:30:00Z"),  # does not exist: 03:30 summer time
        ("2026-03-29T03:30 Europe/Berlin", "2026-03-29T01:30:00Z"),
        ("2026-10-25T02:30 Europe/Berlin", "2026-10-25T00:30:00Z"),  # occurs twice: the first
        ("2026-11-22T22:00 UTC", "2026-11-22T22:00:00Z"),
    ],
)
def test_times(text: str, expected: str) -> None:
    assert parse_time(text).tzinfo is UTC
    assert format_time(parse_time(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T22:00",
        "2026-11-22T22:00:00",
        "2026-11-22 22:00:00Z",
        "2026-13-22T22:00:00Z",
        "2026-02-29T22:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T22:00:60Z",
        "2026-11-22T22:00:00z",
        "2026-11-22T22:00:00Z\n",
        "2026-11-22T22:00 Europe/Bielefeld",
        "2026-11-22T22:00 ../../etc/passwd",
        "2026-11-22T22:00 /etc/localtime",
        "2026-11-22T22:00  Europe/Berlin",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59 America/Los_Angeles",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(CalendarError):
        parse_time(text)


def test_naive_times_have_no_text() -> None:
    with pytest.raises(CalendarError, match="no zone"):
        format_time(datetime(2026, 11, 22))  # noqa: DTZ001 - the refused case
    assert format_time(datetime(2026, 11, 22, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-21T22:00:00Z"
