"""What a scenario declares of its demand: spans by its clock, events, holidays, days that are accepted or ignored."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.core.forecast.past import Declared
from planner.errors import UsageError
from planner.planning.declared import declared_of
from planner.units import to_us

BERLIN = 'timezone = "Europe/Berlin"\n'


def declared(tmp_path: Path, text: str) -> Declared:
    """Of a scenario with this text, holidays looked up for March to June 2026."""
    path = tmp_path / "own.toml"
    path.write_text(f'extends = "deepseek-2025-02-27"\nname = "own"\n{BERLIN}{text}')
    span = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 6, 30, tzinfo=UTC))
    return declared_of(load_scenario(str(path)).scenario, *map(to_us, span))


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as problem:
        declared(tmp_path, text)
    return str(problem.value)


def utc(span: Any) -> tuple[str, str]:
    begin, end = (datetime.fromtimestamp(at / 1e6, UTC) for at in (span.start_us, span.end_us))
    return f"{begin:%m-%d %H:%M}", f"{end:%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("from = 2026-03-06T10:00:00\nto = 2026-03-06T15:30:00", ("03-06 09:00", "03-06 14:30")),
        ("from = 2026-03-06T10:00:00Z\nto = 2026-03-06T15:30:00+02:00", ("03-06 10:00", "03-06 13:30")),
        ('from = "2026-03-06 10:00"\nto = "2026-03-06 15:30"', ("03-06 09:00", "03-06 14:30")),
        ("from = 2026-03-06\nto = 2026-03-06", ("03-05 23:00", "03-06 23:00")),
        # the clock changes on the 29th: that day has 23 hours
        ("from = 2026-03-28\nto = 2026-03-29", ("03-27 23:00", "03-29 22:00")),
        ("from = 2026-03-06\nto = 2026-03-07T06:00:00", ("03-05 23:00", "03-07 05:00")),
    ],
)
def test_incidents_are_times_or_whole_dates_by_the_scenarios_clock(
    tmp_path: Path, written: str, meant: tuple[str, str]
) -> None:
    found = declared(tmp_path, f"[[incident]]\n{written}\n")
    assert [utc(span) for span in found.incidents] == [meant]


def test_ignored_dates_are_incidents_and_accepted_ones_are_not(tmp_path: Path) -> None:
    found = declared(tmp_path, '[forecast]\nignore = ["2026-03-06"]\naccept = ["2026-03-08"]\n')
    assert [utc(span) for span in found.incidents] == [("03-05 23:00", "03-06 23:00")]
    assert [utc(span) for span in found.accepted] == [("03-07 23:00", "03-08 23:00")]


def test_public_holidays_are_events_of_whole_local_days(tmp_path: Path) -> None:
    found = declared(tmp_path, '[forecast]\nholidays = "DE"\nholiday_factor = 0.4\n')
    assert [utc(event)[1][:5] for event in found.events] == ["04-03", "04-06", "05-01", "05-14", "05-25"]
    assert {event.factor for event in found.events} == {0.4}


def test_parts_of_a_country_have_holidays_of_their_own(tmp_path: Path) -> None:
    found = declared(tmp_path, '[forecast]\nholidays = "DE-BY"\n')
    assert "06-04" in [utc(event)[1][:5] for event in found.events]
    assert {event.factor for event in found.events} == {1.0}


def test_an_event_of_the_scenario_counts_on_a_holiday_too(tmp_path: Path) -> None:
    """It comes last, and the last event of a time sets its factor."""
    text = '[[event]]\nname = "Easter offer"\nfrom = 2026-04-06\nto = 2026-04-06\nfactor = 2\n'
    found = declared(tmp_path, f'[forecast]\nholidays = "DE"\nholiday_factor = 0.4\n{text}')
    assert (utc(found.events[-1]), found.events[-1].factor) == (("04-05 22:00", "04-06 22:00"), 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[incident]]\nfrom = 2026-03-06\n", "incident.0.to: is missing"),
        ("[[incident]]\nfrom = 2026-03-06\nto = 2026-03-05\n", "2026-03-06 is not before 2026-03-05; swap them"),
        ("[[incident]]\nfrom = 3\nto = 2026-03-05\n", "3 is a number and not a time; write it as"),
        ("[[incident]]\nfrom = 'noon'\nto = 2026-03-05\n", '"noon" is no date or time; write it as 2025-03-06 or'),
        ("[[incident]]\nfrom = 1969-03-06\nto = 2026-03-05\n", "1969-03-06 is not from 1970-01-01 to 2200-01-01"),
        ("[[incident]]\nfrom = 2026-03-06\nto = 9999-12-31\n", "9999-12-31 is not from 1970-01-01 to 2200-01-01"),
        ('[forecast]\naccept = ["9999-12-31"]\n', "9999-12-31 is not from 1970-01-01 to 2200-01-01"),
        ("[[event]]\nfrom = 2026-03-06\nto = 2026-03-06\nname = 'x'\nfactor = -1\n", "event.0.factor"),
        ('[forecast]\nholidays = "XX"\n', 'no calendar of "XX"; write a country as DE'),
        ('[forecast]\nholidays = "utils"\n', 'no calendar of "utils"; write a country as DE'),
        ('[forecast]\nholidays = "NYSE"\n', 'no calendar of "NYSE"; write a country as DE'),
        (
            "[[incident]]\nfrom = 2026-03-06T15:00:00\nto = 2026-03-06T10:00:00\n",
            "from 2026-03-06 15:00:00 to 2026-03-06 10:00:00 is no time; put the later one after to",
        ),
        ("[[incident]]\nfrom = 2026-03-06\nto = 2026-03-06T00:00:00\n", "is no time; put the later one after to"),
        ('[forecast]\nholidays = "DE-XX"\n', 'no calendar of "DE-XX"; write a country as DE'),
        ("[forecast]\nholiday_factor = 0.5\n", "holiday_factor is set and holidays is not; name the country"),
        ('[forecast]\naccept = ["6.3.2026"]\n', '"6.3.2026" is not a date; write it as 2025-03-06'),
        ('[forecast]\naccept = ["2026-03-06"]\nignore = ["2026-03-06"]\n', "is in accept and in ignore; leave one out"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_the_cure(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path, text)


def test_without_the_library_holidays_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    assert "pip install 'inference-planner[holidays]', or list the days as [[event]]" in refused(
        tmp_path, '[forecast]\nholidays = "DE"\n'
    )
