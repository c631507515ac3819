"""A service that sleeps at night, from the command line: planned, replayed request by request, and what is refused."""

from pathlib import Path

import pytest

from planner.store import Store
from tests.conftest import Cli
from tests.helpers.replays import FLEET

NONE = (*FLEET, "fleet.base.prefill=0", "fleet.base.decode=0", "policy.floor_nodes=0", "timezone=UTC")
SETS = tuple(word for item in (*NONE, "policy.name=reactive", "interval_s=900") for word in ("--set", item))
SLEEP = ("--set", "fleet.keeps=sleep", "--set", "fleet.sleep_start_up_s=20")


@pytest.fixture
def night(cli: Cli) -> None:
    """Four hours with two requests a minute, but for the second and third of them, in which one comes at 01:31."""
    rows = [f"2025-03-01T{hour:02d}:{minute:02d}:{s}Z" for hour in (0, 3) for minute in range(60) for s in (10, 40)]
    rows.insert(120, "2025-03-01T01:31:00Z")
    lines = ["arrival,input_tokens,output_tokens", *(f"{row},1000,100" for row in rows)]
    Path("log.csv").write_text("\n".join(lines) + "\n")
    assert cli("trace", "import", "log.csv", "--format", "csv", "--name", "night").code == 0


@pytest.mark.usefixtures("night")
def test_a_plan_sleeps_and_says_when_it_was_woken(cli: Cli) -> None:
    plan = cli("plan", "--trace", "night", *SETS, *SLEEP, "--json").json
    # an hour, a quarter until it sleeps; a quarter and the next for one request; an hour
    assert plan["node_hours"] == pytest.approx(8 * (1 + 0.25 + 0.5 + 1) + 2 * 8 * 120 / 3600)
    assert plan["waking"] == {
        "asleep_intervals": 5,
        "woken_intervals": 2,
        "kept_awake_intervals": 0,
        "warm_started_units": 4,
        "cold_started_units": 0,
    }
    assert plan["waits"] is None
    states = "SELECT sleep_state, count(*) AS n, sum(warm_started_units)::int AS warm FROM plan_interval GROUP BY ALL"
    asked = {row["sleep_state"]: (row["n"], row["warm"]) for row in cli("sql", states, "--format", "json").json}
    assert asked == {"awake": (9, 0), "asleep": (5, 0), "woken": (2, 4)}
    assert plan["hours"][2]["mean_nodes"] == pytest.approx(8 * 120 / 3600)
    assert cli("run", "show", "--json").json == plan
    shown = cli("run", "show").out
    told = "asleep in 5 intervals; woken in 2 intervals, as requests came while the policy held no unit for them\n"
    assert f"  the service was       {told}" in shown
    assert "kept awake" not in shown
    assert "  starts of units       4 warm, in 20 s (fleet.keeps=sleep), and 0 cold, in 180 s\n" in shown
    for arguments in (["run", "show"], ["report"], ["export", "--to", "json"], ["export", "--to", "csv"]):
        assert cli(*arguments).code == 0


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(("warm", "wait_s", "waited"), [((), 180, 7), (SLEEP, 20, 1)])
def test_requests_wait_for_the_start_of_units_and_none_is_lost(
    cli: Cli, warm: tuple[str, ...], wait_s: int, waited: int
) -> None:
    window = ("--from", "2025-03-01T00:30Z", "--to", "2025-03-01T03:50Z")
    found = cli("replay", "--trace", "night", *SETS, *warm, *window, "--json").json
    assert found["requests"] == 60 + 1 + 100
    assert found["completed"] == found["requests"]
    # from 03:00 on two a minute, until units serve; and that of 01:31, if they start cold
    assert found["waited_for_start"] == waited
    alone, morning = (found["hours"][hour]["ttft_ms"] for hour in (1, 2))
    assert morning["p99"] / 1e3 == pytest.approx(wait_s - 10, rel=0.02)
    assert alone["mean"] / 1e3 == pytest.approx(max(wait_s - 60, 0), abs=1)
    assert found["waited_for_repair"] == 0
    told = f"waited for a start    {waited} request{'s' if waited > 1 else ''} came while no unit was held that served"
    assert told in cli("replay", "--trace", "night", *SETS, *warm, *window).out
    assert told in cli("run", "show").out
    assert cli("run", "show", "--json").json["waits"] == {"waited_for_start": waited, "waited_for_repair": 0}
    stored = "SELECT DISTINCT waited_for_start, waited_for_repair FROM replay_run"
    rows = cli("sql", stored, "--format", "json").json
    assert rows == [{"waited_for_start": waited, "waited_for_repair": 0}]
    assert cli("report", "--out", "page").code == 0
    assert told.partition("  ")[2].strip() in Path("page/index.html").read_text()


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("fleet.keeps=resident", "resident_start_up_s is left out; set it to the seconds"),
        ("fleet.base.decode=1", "set both to 0 for a service that may sleep"),
        ("fleet.step.decode=0", "so that it would never serve; set step.prefill and step.decode"),
    ],
)
def test_what_cannot_sleep_is_refused_in_one_line(cli: Cli, setting: str, told: str) -> None:
    refused = cli("plan", "--trace", "night", *SETS, "--set", setting)
    assert refused.code in (1, 2)
    assert told in refused.err
    assert len(refused.err.strip().splitlines()) == 1


@pytest.mark.usefixtures("night")
def test_a_start_up_that_nothing_uses_is_said(cli: Cli) -> None:
    plan = cli("plan", "--trace", "night", *SETS, "--set", "fleet.resident_start_up_s=5", "--json").json
    assert any(note.startswith("fleet.resident_start_up_s has no effect on this plan") for note in plan["notes"])


@pytest.mark.usefixtures("night")
def test_spare_units_are_sized_by_intervals_and_not_by_the_least_held_while_it_slept(cli: Cli) -> None:
    window = ("--from", "2025-03-01T00:30Z", "--to", "2025-03-01T03:50Z")
    words = ("resilience", "--trace", "night", *SETS, *window, "--set", "failures.per_node_per_day=0.1")
    found = cli(*words, "--json").json
    roles = found["roles"]
    assert [(roles[name]["needed_units"], roles[name]["planned_units"]) for name in ("prefill", "decode")] == [
        (1, 1)
    ] * 2
    up = [roles[name]["availability"] for name in ("prefill", "decode")]
    assert found["attainment_without_spares"] == pytest.approx(up[0] * up[1])
    assert "1 prefill unit and 1 decode unit, 8 nodes" in cli(*words).out
    # asleep, none is needed and none may fail
    asleep = ("--from", "2025-03-01T02:15Z", "--to", "2025-03-01T02:45Z")
    quiet = cli("resilience", "--trace", "night", *SETS, *asleep, "--json").json
    assert (quiet["attainment_without_spares"], quiet["spare_nodes"]) == (1.0, 0)


@pytest.mark.usefixtures("night")
def test_runs_of_older_versions_say_nothing_of_it(cli: Cli, store: Store) -> None:
    window = ("--from", "2025-03-01T00:30Z", "--to", "2025-03-01T03:50Z")
    assert cli("replay", "--trace", "night", *SETS, *SLEEP, *window).code == 0
    digest = cli("run", "show", "--json").json["result_digest"]
    with store.write() as session:
        for table, columns in (
            ("plan_interval", ("sleep_state", "warm_started_units", "cold_started_units")),
            ("replay_run", ("waited_for_start", "waited_for_repair")),
        ):
            session.connection.execute(f"UPDATE {table} SET {', '.join(f'{name} = NULL' for name in columns)}")
    shown = cli("run", "show", "--json").json
    assert (shown["waking"], shown["waits"], shown["result_digest"]) == (None, None, digest)
    out = cli("run", "show").out
    assert not any(word in out for word in ("asleep", "starts of units", "waited"))
    assert cli("report").code == 0


def test_a_fleet_that_never_sleeps_and_keeps_nothing_has_no_figures_of_it(cli: Cli) -> None:
    plan = cli("plan", "--set", "trace.scale=0.0001", "--json").json
    assert (plan["waking"], plan["waits"]) == (None, None)
    (row,) = cli("sql", "SELECT count(sleep_state) AS told FROM plan_interval", "--format", "json").json
    assert row == {"told": 0}
