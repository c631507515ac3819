"""Silence is zero demand: inside the time that an import names, and where whole days lack only a silent end."""

from pathlib import Path

import pytest

from tests.conftest import SMALL, Cli

SETS = tuple(word for item in (*SMALL, "interval_s=3600") for word in ("--set", item))
FORMS = ("requests", "windows")


def imported(cli: Cli, form: str, first: int, last: int, *words: str) -> int:
    """Import a log of one local day with a request in each of these hours, as requests or windows of an hour."""
    day = "2026-06-01T{:02d}:{}:00+02:00"
    if form == "requests":
        rows = ["arrival,input_tokens,output_tokens"]
        rows += [f"{day.format(hour, minute)},600,600" for hour in range(first, last) for minute in ("01", "59")]
    else:
        rows = ["window_start,window_end,requests,input_tokens,cached_input_tokens,output_tokens"]
        rows += [f"{day.format(hour, '00')},{day.format(hour, '59')},2,1200,0,1200" for hour in range(first, last)]
    Path("log.csv").write_text("\n".join(rows) + "\n")
    name = "csv" if form == "requests" else "windows"
    return cli("trace", "import", "log.csv", "--format", name, "--name", "log", *words).code


@pytest.mark.parametrize("form", FORMS)
def test_a_day_that_is_silent_at_night_is_planned_whole_and_says_so(cli: Cli, form: str) -> None:
    assert imported(cli, form, 6, 22) == 0
    plan = cli("plan", "--trace", "log", *SETS, "--set", "timezone=Europe/Berlin", "--json").json
    assert plan["intervals"] == 24
    assert plan["hours"][0]["start"] == "2026-06-01T00:00:00+02:00"
    # base and floor are one step of 3 of 12 nodes, so 9 are lent in each hour but that of the day window
    assert plan["training_node_hours"] == 9 * 23
    assert any(
        note.startswith(
            "the trace has nothing before 2026-06-01 06:00 and from 2026-06-01 22:00 on, which is planned as"
        )
        for note in plan["notes"]
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_log_of_a_few_hours_stays_as_it_is(cli: Cli, form: str) -> None:
    assert imported(cli, form, 9, 12) == 0
    plan = cli("plan", "--trace", "log", *SETS, "--set", "timezone=Europe/Berlin", "--json").json
    assert plan["intervals"] == 3
    assert not any("has nothing" in note for note in plan["notes"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("named", "hours"),
    [
        (("T00:00+02:00", "T23:00+02:00"), 23),
        (("T06:00+02:00", "T22:00+02:00"), 16),
        (("T05:00+02:00", "T22:00+02:00"), 17),
    ],
)
def test_the_time_that_an_import_names_is_what_is_planned(
    cli: Cli, form: str, named: tuple[str, str], hours: int
) -> None:
    begin, end = (f"2026-06-01{at}" for at in named)
    assert imported(cli, form, 6, 22, "--from", begin, "--to", end) == 0
    plan = cli("plan", "--trace", "log", *SETS, "--set", "timezone=Europe/Berlin", "--json").json
    assert plan["intervals"] == hours
    assert plan["requests"] == 32
    assert not any("has nothing" in note for note in plan["notes"])


@pytest.mark.parametrize("form", FORMS)
def test_rows_beyond_the_time_that_is_named_are_refused(cli: Cli, form: str) -> None:
    assert imported(cli, form, 6, 22, "--from", "2026-06-01T06:00+02:00", "--to", "2026-06-01T20:00+02:00") == 1
    again = cli(
        "trace", "import", "log.csv", "--format", "csv" if form == "requests" else "windows", "--name", "log",
        "--from", "2026-06-01T07:00+02:00", "--to", "2026-06-02T00:00+02:00",
    )  # fmt: skip
    assert again.code == 1
    assert "--from and --to name the time that the log covers" in again.err
    assert not Path("planner.duckdb").exists()


def test_an_export_names_the_time_that_was_named(cli: Cli) -> None:
    named = ("--from", "2026-06-01T00:00+00:00", "--to", "2026-06-01T23:00+00:00")
    assert imported(cli, "requests", 6, 22, *named) == 0
    command = cli("trace", "export", "log", "--out", "out.csv", "--json").json["import"]
    assert "--from 2026-06-01T00:00:00+00:00 --to 2026-06-01T23:00:00+00:00" in command
    words = command.replace("--name ...", "--name again").split()[1:]
    assert cli(*words).code == 0
    plans = [cli("plan", "--trace", name, *SETS, "--json").json["intervals"] for name in ("log", "again")]
    assert plans == [23, 23]
