"""Weeks by weekday and hour of the local clock, in `planner trace show` and `planner plan`."""

from pathlib import Path

import pytest

from tests.conftest import Cli

HEAD = "arrival,input_tokens,output_tokens,class\n"


def hourly_log(path: Path, hours: int) -> None:
    """From Saturday 1 March 2025 UTC on: 1 + h requests of class a at the hour h, and one of b in those of Sundays."""
    rows = []
    for hour in range(hours):
        day, clock = divmod(hour, 24)
        at = f"2025-03-{1 + day:02}T{clock:02}"
        rows += [f"{at}:{minute:02}:00Z,100,10,a" for minute in range(1 + clock)]
        if day % 7 == 1:
            rows.append(f"{at}:59:00Z,1000,10,b")
    path.write_text(HEAD + "\n".join(rows) + "\n")


def test_a_trace_shows_its_busiest_hour_its_classes_and_its_week(cli: Cli) -> None:
    hourly_log(Path("log.csv"), 8 * 24)
    assert cli("trace", "import", "log.csv", "--name", "week").code == 0
    shown = cli("trace", "show", "week", "--json").json
    peak = shown["peak_hour"]
    # the last hour of Sunday has 24 requests of 110 tokens and one of 1,010
    assert (peak["start"], peak["requests"], peak["input_tokens"]) == ("2025-03-02T23:00:00+00:00", 25, 3400)
    assert [(each["class"], each["requests"]) for each in shown["classes"]] == [("a", 8 * 300), ("b", 24)]
    week = {(each["weekday"], each["hour"]): each for each in shown["week"]}
    assert len(week) == 7 * 24
    assert week["sat", 5]["hours"] == 2
    assert week["sat", 5]["mean_requests"] == 6
    assert week["sun", 5]["hours"] == 1
    assert week["sun", 5]["mean_requests"] == 7
    assert week["sun", 5]["mean_input_tokens"] == 1600
    text = cli("trace", "show", "week").out
    assert "busiest hour Sun 2025-03-02T23:00+00:00: 25 requests" in text
    assert "mean requests an hour, local clock of UTC" in text
    assert "192 hours one by one" in text
    assert "2025-03-03T" not in text


def test_the_busiest_hour_is_the_one_that_a_replay_takes_and_that_the_peak_is_of(cli: Cli) -> None:
    """09:00 has the most input, 11:00 the most output."""
    rows = [("09:30", 900, 100), ("10:30", 100, 100), ("11:30", 300, 400)]
    lines = [f"2025-03-01T{at}:00Z,{given},{made}" for at, given, made in rows]
    Path("log.csv").write_text("\n".join(["arrival,input_tokens,output_tokens", *lines]) + "\n")
    cli("trace", "import", "log.csv", "--name", "x")
    shown = cli("trace", "show", "x", "--json").json
    assert shown["peak_hour"]["start"] == "2025-03-01T11:00:00+00:00"
    assert shown["peak_to_mean_hour"] == pytest.approx(400 / 200)


def test_a_trace_of_two_days_lists_its_hours(cli: Cli) -> None:
    hourly_log(Path("log.csv"), 48)
    cli("trace", "import", "log.csv", "--name", "days")
    assert "2025-03-02T05:00:00+00:00" in cli("trace", "show", "days").out


def test_a_plan_of_more_than_two_days_shows_a_week_of_nodes(cli: Cli) -> None:
    hourly_log(Path("log.csv"), 8 * 24)
    cli("trace", "import", "log.csv", "--name", "week")
    words = ("plan", "--trace", "week", "--set", "timezone=UTC", "--set", "interval_s=3600")
    plan = cli(*words, "--json").json
    assert len(plan["hours"]) == 8 * 24
    week = {(each["weekday"], each["hour"]): each for each in plan["week"]}
    # night-training keeps all 278 nodes by day, and its floor at night
    assert week["mon", 12] == {"weekday": "mon", "hour": 12, "hours": 1, "mean_nodes": 278.0, "peak_nodes": 278}
    assert (week["sat", 3]["hours"], week["sat", 3]["peak_nodes"]) == (2, 68)
    text = cli(*words).out
    assert "most inference nodes by weekday and hour, local clock of UTC" in text
    assert "192 hours one by one: planner sql --name run_hours" in text
    assert text.count("278") < 7 * 24


def test_the_clock_of_the_trace_gives_weekday_and_hour(cli: Cli) -> None:
    hourly_log(Path("log.csv"), 72)
    cli("trace", "import", "log.csv", "--name", "east", "--timezone", "Asia/Tokyo")
    week = cli("trace", "show", "east", "--json").json["week"]
    # midnight UTC of Saturday is nine o'clock in Tokyo
    assert next(each for each in week if each["weekday"] == "sat")["hour"] == 9
