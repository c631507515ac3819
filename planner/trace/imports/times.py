"""Times as logs write them: a text is read whole, or it is not a time."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from planner.settings.closed import known_zones

_ABBREVIATIONS = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3,
    "SGT": 8, "HKT": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
    "EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10,
}  # fmt: skip
"""Hours from UTC. Published: IANA time zone database."""
_SHARED = {"BST": (60, 360), "CST": (-360, -300, 480), "IST": (60, 120, 330)}
"""Abbreviations of several zones, minutes from UTC: they may follow an offset, and tell none."""
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,12}))?)?"
_HALF = r"(?:\s*(?P<half>[AaPp])\.?[Mm]\b\.?)?"
_ZONE = (
    r"\s*(?P<zone>(?:[+-]\d\d(?::?\d\d)?)?(?:\s*(?:UTC|GMT)(?:[+-]\d{1,2}(?::?\d\d)?)?|[Zz])?)"
    r"\s*(?P<place>[A-Za-z][A-Za-z0-9_+\-/]*|\[[A-Za-z0-9_+\-/]+\])?"
)
_NAMED_MONTH = r"(?P<name>[A-Za-z]{3})[a-z]*\.?"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
_FORMS = [
    re.compile(pattern + _HALF + _ZONE)
    for pattern in (
        # 2026-11-02T09:00, also with / or . between and any separator before the clock
        rf"(?P<year>\d{{4}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}})(?:[Tt_;|]|,?\s+)\s*{_CLOCK}",
        # 20261102T090000
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)[Tt _](?P<hour>\d\d)(?P<minute>\d\d)"
        r"(?:(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,12}))?)?",
        # 02/Nov/2026:09:00:04 +0000, as web servers write it; 2 Nov 2026 09:00
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})[-/\s]{_NAMED_MONTH}[-/\s](?P<year>\d{{4}})(?::|,?\s+){_CLOCK}",
        # Nov 2, 2026 9:00 AM
        rf"{_WEEKDAY}{_NAMED_MONTH}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}}),?\s+(?:at\s+)?{_CLOCK}",
    )
]
_AMERICAN = re.compile(rf"(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})/(?P<year>\d{{4}}),?\s+{_CLOCK}{_HALF}{_ZONE}")
_LETTERS = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYzZ%")
"""Published: what may follow % in a format of strptime, in Python's documentation of datetime."""
_C_TIME = re.compile(
    rf"{_WEEKDAY}{_NAMED_MONTH}\s+(?P<day>\d{{1,2}})\s+{_CLOCK}(?:\s+(?P<zone>UTC|GMT))?\s+(?P<year>\d{{4}})(?P<place>)(?P<half>)"
)


def time_reader(time_format: str | None = None) -> Callable[[str], str | None]:
    """What reads a text as a time.

    Args:
        time_format: how all times are written, in the letters of Python's strptime; None for the usual forms.

    Returns:
        A function from a text to the same time as 2026-11-02 09:00:04.500000, followed by its offset if the text tells
        one; None for a text that is not a time as a whole.
    """

    @lru_cache(maxsize=1 << 16)
    def read(text: str) -> str | None:
        return _formatted(text, time_format) if time_format else iso_time(text)

    return read


def iso_time(text: str) -> str | None:
    """A text as an ISO time, if it is one from its first to its last character.

    Read are ISO-8601 with any separator, month names, the 12-hour clock, offsets and names of zones. A date of two
    numbers and a year is read with the 12-hour clock only, where the month comes first: elsewhere it may be either.
    """
    text = text.strip()
    for form in (*_FORMS, _C_TIME):
        if match := form.fullmatch(text):
            return _iso(match)
    if (match := _AMERICAN.fullmatch(text)) and match["half"]:
        return _iso(match)
    return None


def _iso(match: re.Match[str]) -> str | None:
    parts = match.groupdict()
    month = int(parts["month"]) if parts.get("month") else _MONTHS.get(parts["name"].lower())
    hour = int(parts["hour"])
    if parts["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if parts["half"] in "Pp" else 0)
    minute, second = int(parts["minute"]), int(parts["second"] or 0)
    fraction = int(((parts["fraction"] or "") + "000000")[:6])
    try:
        local = datetime(int(parts["year"]), month or 0, int(parts["day"]), hour, minute, second, microsecond=fraction)
    except ValueError:
        return None
    offset = _offset(local, parts["zone"] or "", (parts["place"] or "").strip("[]"))
    return None if offset is None else _text(local, offset)


def _offset(local: datetime, zone: str, place: str) -> str | None:
    """The offset that a text tells, +HH:MM; empty if it tells none, None where what it tells is not one."""
    told = [_of_digits(zone)] if zone.strip() else []
    if place:
        told.append(_of_name(local, place, told[0] if told else None))
    if not told:
        return ""
    if None in told or len(set(told)) > 1:
        return None
    minutes = told[0]
    assert minutes is not None
    return _offset_text(minutes)


def _of_digits(zone: str) -> int | None:
    """Minutes from UTC of an offset as +01:00, UTC+1, or Z; None where it is none."""
    match = re.fullmatch(r"\s*([+-]\d\d(?::?\d\d)?)?\s*(UTC|GMT|[Zz])?([+-]\d{1,2}(?::?\d\d)?)?", zone)
    if match is None or (match[1] and match[3]):
        return None
    digits = match[1] or match[3] or "+0"
    hours, _, rest = digits[1:].partition(":")
    if not rest and len(hours) > 2:
        hours, rest = hours[:-2], hours[-2:]
    minutes = int(hours) * 60 + int(rest or 0)
    if minutes >= 16 * 60 or int(rest or 0) > 59 or (match[1] and match[2] and minutes):
        return None
    return -minutes if digits[0] == "-" else minutes


def _of_name(local: datetime, place: str, told: int | None) -> int | None:
    """Minutes from UTC of a zone at a local time; None where it is unknown, or the time is there twice or never."""
    if place.upper() in _ABBREVIATIONS:
        return _ABBREVIATIONS[place.upper()] * 60
    if place.upper() in _SHARED:
        return told if told in _SHARED[place.upper()] else None
    if "/" not in place or place not in known_zones():
        return None
    at = local.replace(tzinfo=ZoneInfo(place))
    offsets = {at.replace(fold=fold).utcoffset() for fold in (0, 1)}
    minutes = {int(offset.total_seconds() // 60) for offset in offsets if offset is not None}
    if told in minutes:
        return told
    return minutes.pop() if len(minutes) == 1 else None


def _formatted(text: str, time_format: str) -> str | None:
    try:
        at = datetime.strptime(text.strip(), time_format)
    except ValueError:
        return None
    offset = at.utcoffset()
    return _text(at, "" if offset is None else _offset_text(offset // timedelta(minutes=1)))


def _text(local: datetime, offset: str) -> str:
    return local.replace(tzinfo=None).isoformat(" ", "microseconds") + offset


def _offset_text(minutes: int) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def check_time_format(time_format: str) -> None:
    """Raises ValueError where a text is not a format of times that reads back what it writes."""
    letters = re.findall(r"%(.?)", time_format, re.DOTALL)
    unknown = next((letter for letter in letters if letter not in _LETTERS), None)
    if unknown is not None:
        raise ValueError(f'"{time_format}" has %{unknown}, which is no letter of strptime; write %% for a percent sign')
    if "Z" in letters:
        raise ValueError(
            f'"{time_format}" has %Z, and strptime reads the name of a zone without its offset; read an offset with '
            "%z, or leave --time-format out, where names of zones after the usual forms are read"
        )
    at = datetime(2025, 12, 31, 23, 58, 59, tzinfo=timezone(timedelta(hours=2)))
    try:
        again = datetime.strptime(at.strftime(time_format), time_format)
        is_complete = (again.year, again.month, again.day, again.hour) == (at.year, at.month, at.day, at.hour)
    except ValueError:
        is_complete = False
    if not is_complete:
        raise ValueError(
            f'"{time_format}" does not tell year, month, day and hour; write one such as "%d.%m.%Y %H:%M:%S"'
        )
