from datetime import timedelta

import pytest

from itmp.calendars import (
    CalendarError,
    Freeze,
    Weekly,
    Window,
    frozen_by,
    next_window,
    parse_time,
    windows_between,
)

NIGHT = Window.parse("2026-11-22T22:00:00Z 2026-11-23T02:00:00Z")


def test_a_window_holds_its_start_and_not_its_end() -> None:
    assert NIGHT.contains(NIGHT.start)
    assert NIGHT.contains(NIGHT.end - timedelta(microseconds=1))
    assert not NIGHT.contains(NIGHT.end)
    assert not NIGHT.contains(NIGHT.start - timedelta(microseconds=1))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T22:00:00Z 2026-11-23T02:00:00Z",
        "2026-11-22T23:00 Europe/Berlin 2026-11-23T03:00 Europe/Berlin",
        "2026-11-22T23:00 Europe/Berlin 2026-11-23T02:00:00Z",
        "2026-11-22T22:00:00Z 2026-11-23T03:00 Europe/Berlin",
    ],
)
def test_windows_as_text(text: str) -> None:
    assert Window.parse(text) == NIGHT
    assert Window.parse(text).text == "2026-11-22T22:00:00Z 2026-11-23T02:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "2026-11-22T22:00:00Z",
        "2026-11-23T02:00:00Z 2026-11-22T22:00:00Z",
        "2026-11-22T22:00:00Z 2026-11-22T22:00:00Z",
        "2026-11-22T22:00:00Z  2026-11-23T02:00:00Z",
        "2026-11-22T22:00:00Z 2026-11-23T02:00:00Z 2026-11-23T02:00:00Z",
        "2026-11-22T22:00 2026-11-23T02:00",
    ],
)
def test_other_texts_are_no_windows(text: str) -> None:
    with pytest.raises(CalendarError):
        Window.parse(text)


def test_overlaps_and_covers() -> None:
    later = Window(start=NIGHT.end, end=NIGHT.end + timedelta(hours=1))
    inner = Window(start=NIGHT.start, end=NIGHT.end - timedelta(hours=1))
    assert not NIGHT.overlaps(later)
    assert not later.overlaps(NIGHT)
    assert NIGHT.overlaps(inner)
    assert NIGHT.covers(inner)
    assert not inner.covers(NIGHT)


def test_a_freeze_closes_what_it_concerns() -> None:
    freeze = Freeze(name="year end", window=NIGHT, environments=("production",))
    assert freeze.closes("production", NIGHT.start)
    assert not freeze.closes("production", NIGHT.end)
    assert not freeze.closes("lab", NIGHT.start)
    assert Freeze(name="all", window=NIGHT).closes("lab", NIGHT.start)
    touching = Window(start=NIGHT.end, end=NIGHT.end + timedelta(hours=1))
    assert frozen_by([freeze], "production", NIGHT) == (freeze,)
    assert frozen_by([freeze], "production", touching) == ()
    assert frozen_by([freeze], "lab", NIGHT) == ()


def weekly(days: str, start: str, duration: str, zone: str = "Europe/Berlin") -> Weekly:
    return Weekly.parse(days=days.split(), start=start, duration=duration, zone=zone)


def texts(rule: Weekly, start: str, end: str) -> list[str]:
    return [window.text for window in rule.between(parse_time(start), parse_time(end))]


def test_a_week_in_winter_and_in_summer() -> None:
    rule = weekly("tue sat", "22:00", "4h")
    assert texts(rule, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z") == [
        "2026-11-24T21:00:00Z 2026-11-25T01:00:00Z",
        "2026-11-28T21:00:00Z 2026-11-29T01:00:00Z",
    ]
    assert texts(rule, "2026-07-20T00:00:00Z", "2026-07-27T00:00:00Z") == [
        "2026-07-21T20:00:00Z 2026-07-22T00:00:00Z",
        "2026-07-25T20:00:00Z 2026-07-26T00:00:00Z",
    ]


def test_the_spring_night_keeps_its_real_hours() -> None:
    rule = weekly("sun", "01:00", "3h")
    assert texts(rule, "2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z") == [
        "2026-03-29T00:00:00Z 2026-03-29T03:00:00Z"
    ]


def test_the_autumn_night_keeps_its_real_hours() -> None:
    rule = weekly("sun", "01:00", "3h")
    assert texts(rule, "2026-10-24T12:00:00Z", "2026-10-26T00:00:00Z") == [
        "2026-10-24T23:00:00Z 2026-10-25T02:00:00Z"
    ]


def test_a_start_that_spring_skips_comes_an_hour_later_on_the_clock() -> None:
    rule = weekly("sun", "02:30", "1h")
    assert texts(rule, "2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z") == [
        "2026-03-29T01:30:00Z 2026-03-29T02:30:00Z"
    ]


def test_a_start_that_autumn_repeats_comes_once() -> None:
    rule = weekly("sun", "02:30", "1h")
    assert texts(rule, "2026-10-24T12:00:00Z", "2026-10-26T00:00:00Z") == [
        "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z"
    ]


def test_an_occurrence_that_began_before_the_span_is_whole() -> None:
    rule = weekly("mon", "00:00", "7d", "UTC")
    found = texts(rule, "2026-11-25T00:00:00Z", "2026-11-25T00:00:01Z")
    assert found == ["2026-11-23T00:00:00Z 2026-11-30T00:00:00Z"]


def test_an_occurrence_that_only_touches_the_span_is_not_in_it() -> None:
    rule = weekly("tue", "22:00", "4h", "UTC")
    assert texts(rule, "2026-11-25T02:00:00Z", "2026-12-01T22:00:00Z") == []


def test_far_east_and_far_west() -> None:
    assert texts(
        weekly("mon", "00:30", "1h", "Pacific/Kiritimati"), "2026-11-22T10:00:00Z", "2026-11-22T12:00:00Z"
    ) == ["2026-11-22T10:30:00Z 2026-11-22T11:30:00Z"]
    assert texts(
        weekly("mon", "23:30", "1h", "Pacific/Midway"), "2026-11-24T10:00:00Z", "2026-11-24T12:00:00Z"
    ) == ["2026-11-24T10:30:00Z 2026-11-24T11:30:00Z"]


def test_several_rules_and_the_next_window() -> None:
    rules = [weekly("wed", "22:00", "1h", "UTC"), weekly("tue", "22:00", "1h", "UTC")]
    start, end = parse_time("2026-11-23T00:00:00Z"), parse_time("2026-11-30T00:00:00Z")
    assert [window.start.day for window in windows_between(rules, start, end)] == [24, 25]
    at = parse_time("2026-11-24T22:30:00Z")
    assert next_window(rules, at) == Window.parse("2026-11-24T22:00:00Z 2026-11-24T23:00:00Z")
    after = parse_time("2026-11-25T23:00:00Z")
    assert next_window(rules, after) == Window.parse("2026-12-01T22:00:00Z 2026-12-01T23:00:00Z")
    assert next_window([], at) is None


@pytest.mark.parametrize(
    ("days", "start", "duration", "zone"),
    [
        ([], "22:00", "4h", "UTC"),
        (["mon", "mon"], "22:00", "4h", "UTC"),
        (["monday"], "22:00", "4h", "UTC"),
        (["mon"], "24:00", "4h", "UTC"),
        (["mon"], "9:00", "4h", "UTC"),
        (["mon"], "22:00\n", "4h", "UTC"),
        (["mon"], "22:00", "0s", "UTC"),
        (["mon"], "22:00", "8d", "UTC"),
        (["mon"], "22:00", "4h", "Mars/Olympus"),
    ],
)
def test_rules_that_are_none(days: list[str], start: str, duration: str, zone: str) -> None:
    with pytest.raises(CalendarError):
        Weekly.parse(days=days, start=start, duration=duration, zone=zone)


def test_a_huge_span_is_refused() -> None:
    with pytest.raises(CalendarError, match="days"):
        weekly("mon", "22:00", "4h").between(
            parse_time("1000-01-01T00:00:00Z"), parse_time("3000-01-01T00:00:00Z")
        )
