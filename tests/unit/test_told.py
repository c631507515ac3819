"""What is told of a demand beside its numbers: everything found or declared once, newest first to stay, with names."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from planner.catalogue.scenarios import load_scenario
from planner.core.demand import Demand, Grid
from planner.planning.declared import demand_history
from planner.planning.told import DemandFindings, tell
from planner.units import to_us

FIRST = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday; five days of history follow, and the sixth is planned."""
DAYS, H = 5, 24


def told(
    tmp_path: Path, text: str, tokens: list[int] | None = None, days: int = DAYS, ahead_h: int = H
) -> DemandFindings:
    """Of hours that all have the same demand, or have it by day; the time after them is planned."""
    path = tmp_path / "own.toml"
    path.write_text(
        f'extends = "deepseek-2025-02-27"\nname = "own"\ntimezone = "UTC"\ninterval_s = 3600\n{text}', encoding="utf-8"
    )
    scenario = load_scenario(str(path)).scenario
    grid = Grid(to_us(FIRST), 3600, days * H)
    values = np.repeat(np.array(tokens or [100] * days, np.int64), H)
    demand = Demand(
        grid=grid, requests=values, input_tokens=values, cached_input_tokens=values * 0, output_tokens=values
    )
    return tell(demand_history(scenario, demand, ahead_h), scenario, Grid(grid.end_us, 3600, ahead_h))


def notes(tmp_path: Path, text: str) -> list[str]:
    return list(told(tmp_path, text).notes)


def event(name: str, start: str, end: str, factor: float = 2) -> str:
    return f'[[event]]\nname = "{name}"\nfrom = {start}\nto = {end}\nfactor = {factor}\n'


def incident(start: str, end: str) -> str:
    return f"[[incident]]\nfrom = {start}\nto = {end}\n"


def test_nothing_declared_or_found_is_nothing_told(tmp_path: Path) -> None:
    assert told(tmp_path, "") == DemandFindings((), ())


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            incident("2026-03-03T10:00:00", "2026-03-03T15:30:00"),
            "2026-03-03 10:00 to 15:30 is left out of forecasts: declared in [[incident]]",
        ),
        (
            incident("2026-03-03", "2026-03-04"),
            "2026-03-03 to 2026-03-04 is left out of forecasts: declared in [[incident]]",
        ),
        ('[forecast]\nignore = ["2026-03-03"]\n', "2026-03-03 is left out of forecasts: in forecast.ignore"),
        ('[forecast]\naccept = ["2026-03-03"]\n', "forecast.accept takes the demand of 2026-03-03 as real"),
        (event("launch", "2026-03-03", "2026-03-03"), "2026-03-03 is not learned from: event launch"),
        (
            event("launch", "2026-03-07", "2026-03-07", 1.8),
            "2026-03-07 is planned for 1.8 times the usual demand: event launch",
        ),
        (
            event("launch", "2026-03-06", "2026-03-07T12:00:00", 0.6),
            "2026-03-06 00:00 to 2026-03-07 12:00 is planned for 0.6 times the usual demand, and not learned from: "
            "event launch",
        ),
        (event("closed", "2026-03-07", "2026-03-07", 0), "2026-03-07 is planned for no demand: event closed"),
        (event("test", "2026-03-07", "2026-03-07", 1), "2026-03-07 is planned for the usual demand: event test"),
    ],
)
def test_what_is_declared_is_told_with_its_time_and_its_effect(tmp_path: Path, text: str, note: str) -> None:
    assert notes(tmp_path, text) == [note]


def test_holidays_are_told_by_their_names_in_the_past_and_to_come(tmp_path: Path) -> None:
    """A day in March that is one in Berlin: planned, and then part of the history."""
    name = "Women's Day"
    found = told(tmp_path, '[forecast]\nholidays = "DE-BE"\nholiday_factor = 0.5\n', days=6)
    assert found.notes == (f"2026-03-08 is planned for 0.5 times the usual demand: holiday {name}",)
    (one,) = found.findings
    assert (one.kind, one.name, one.factor, one.past, one.planned) == ("holiday", name, 0.5, False, True)
    later = told(tmp_path, '[forecast]\nholidays = "DE-BE"\n', days=7)
    assert later.notes == (f"2026-03-08 is not learned from: holiday {name}",)


def test_flags_are_in_order_of_time_with_what_was_found_among_them(tmp_path: Path) -> None:
    """Two days at a quarter after twelve as usual: the level has changed."""
    text = incident("2026-03-05", "2026-03-05") + event("launch", "2026-03-16", "2026-03-16")
    found = told(tmp_path, text, [100] * 12 + [25] * 2, days=14)
    assert [one.kind for one in found.findings] == ["incident", "level", "event"]
    assert [one.ratio for one in found.findings] == [None, pytest.approx(0.25), None]
    assert [one.planned for one in found.findings] == [False, False, True]
    assert found.notes[0].startswith("the level of demand is -75% since 2026-03-14 00:00: forecasts follow it")


def test_the_newest_are_told_and_the_others_counted(tmp_path: Path) -> None:
    """Seven hours of the first day are declared, apart from each other."""
    hours = range(1, 15, 2)
    found = told(
        tmp_path, "".join(incident(f"2026-03-02T{h:02d}:00:00", f"2026-03-02T{h + 1:02d}:00:00") for h in hours)
    )
    assert len(found.findings) == 7
    assert [note[:25] for note in found.notes[:-1]] == [f"2026-03-02 {h:02d}:00 to {h + 1:02d}:00" for h in hours[2:]]
    assert found.notes[-1] == "earlier: 2 declared times that are left out"


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        (incident("2025-03-03", "2025-03-03"), "[[incident]] 2025-03-03"),
        # an incident of the time to come, of which no forecast is made
        (incident("2026-03-07", "2026-03-07"), "[[incident]] 2026-03-07"),
        (event("launch", "2026-04-01", "2026-04-02", 0), "[[event]] launch, 2026-04-01 to 2026-04-02"),
        ('[forecast]\naccept = ["2025-03-03"]\n', "forecast.accept 2025-03-03"),
        ('[forecast]\nignore = ["2026-03-07"]\n', "forecast.ignore 2026-03-07"),
        ('[forecast]\nholidays = "DE"\n', "forecast.holidays, as DE has none in this time"),
        # a few minutes to come, within which no interval has its middle
        (event("blip", "2026-03-07T10:00:00", "2026-03-07T10:20:00"), "[[event]] blip, 2026-03-07 10:00 to 10:20"),
    ],
)
def test_what_is_declared_and_changes_nothing_is_said(tmp_path: Path, text: str, idle: str) -> None:
    found = told(tmp_path, text)
    assert found.findings == ()
    assert found.notes == (
        "without effect on this forecast, whose history is 2026-03-02 to 2026-03-06, and which is used for 2026-03-07: "
        + idle,
    )


def test_a_date_that_is_accepted_and_declared_an_incident_is_not_accepted(tmp_path: Path) -> None:
    found = notes(tmp_path, '[forecast]\naccept = ["2026-03-03"]\n' + incident("2026-03-03", "2026-03-03"))
    assert found[0] == "2026-03-03 is left out of forecasts: declared in [[incident]]"
    assert found[1].endswith(": forecast.accept 2026-03-03")
    half = notes(tmp_path, '[forecast]\naccept = ["2026-03-03"]\n' + incident("2026-03-03", "2026-03-03T12:00:00"))
    assert "forecast.accept takes the demand of 2026-03-03 as real" in half


def test_of_events_at_the_same_time_the_last_one_counts_and_the_other_is_said(tmp_path: Path) -> None:
    """An event of the scenario counts on a holiday; one that others hide is without effect."""
    text = event("first", "2026-03-07", "2026-03-07", 3) + event("second", "2026-03-07", "2026-03-07", 2)
    found = told(tmp_path, text)
    assert [one.name for one in found.findings] == ["second"]
    assert found.notes[0] == "2026-03-07 is planned for 2 times the usual demand: event second"
    assert found.notes[1].endswith(": [[event]] first, 2026-03-07")


def test_many_without_effect_are_counted(tmp_path: Path) -> None:
    days = [FIRST - timedelta(days=number) for number in range(8, 0, -1)]
    (note,) = notes(tmp_path, f"[forecast]\naccept = {[f'{day:%Y-%m-%d}' for day in days]}\n")
    assert ": 3 earlier, forecast.accept 2026-02-25, forecast.accept 2026-02-26" in note
    assert note.endswith("forecast.accept 2026-03-01")
