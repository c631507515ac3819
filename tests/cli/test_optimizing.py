"""planner optimize: the bound beside the policy, and a timetable that comes out as promised."""

import csv
import time
from pathlib import Path

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.errors import UsageError
from planner.planning.decide import decide
from planner.planning.prepare import ensure_trace, resolve
from planner.store import Store
from planner.studies.bound.run import ScenarioBound, bounds, bounds_of
from planner.studies.bound.timetable import save_timetable
from planner.trace.demand import binned
from tests.conftest import NOW, SMALL, Cli, minute_log


@pytest.fixture
def minutes(cli: Cli, tmp_path: Path) -> list[str]:
    """Flags of a plan over twelve minutes that rise and fall, on the small fleet."""
    log = minute_log(
        tmp_path / "log.csv", [(300 + 150 * min(t, 11 - t), 250 + 120 * min(t, 11 - t)) for t in range(12)]
    )
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "minutes").code == 0
    return [word for field in (*SMALL, "trace.name=minutes") for word in ("--set", field)]


def test_the_published_day_has_a_proven_bound_under_its_policy_and_the_timetable_reproduces_it(
    cli: Cli, planned: Store
) -> None:
    done = cli("optimize", "--objective", "node-hours", "--save", "best.csv", "--json")
    assert done.code == 0, done.err
    bound, schedule, policy = (done.json[key] for key in ("bound", "schedule", "policy"))
    assert bound["lp_bound"] <= bound["node_hours"] <= schedule["node_hours"] <= policy["node_hours"]
    assert bound["gap"] == pytest.approx(schedule["node_hours"] / bound["node_hours"] - 1)
    assert bound["status"] == ("optimal" if bound["gap"] < 1e-6 else "feasible (time limit)")
    assert schedule["shortfall_tokens"] <= done.json["allowed_shortfall_tokens"] == 7_760_000_000
    assert policy["policy"] == "night-training"
    assert policy["gap_to_bound"] == pytest.approx(5442 / bound["node_hours"] - 1)
    again = cli("plan", "--set", "policy.name=timetable", "--set", "policy.timetable=best.csv", "--json")
    assert again.code == 0, again.err
    for key in ("node_hours", "shortfall_tokens", "useful_training_node_hours", "peak_nodes"):
        assert again.json[key] == schedule[key], key


def test_every_policy_lies_above_the_bound(planned: Store) -> None:
    loaded = [
        load_scenario(None, [f"policy.name={name}", f"policy.demand_source={source}"]).scenario
        for name, source in (
            ("night-training", "trace"),
            ("night-training", "previous"),
            ("fixed", "trace"),
            ("timetable", "trace"),
        )
    ]
    trace = ensure_trace(planned, loaded[0], now=NOW)
    with planned.read() as session:
        demand = binned(session, trace, loaded[0].interval_s, loaded[0].zone)
    bound = bounds_of(loaded[0], demand, time_limit_s=5, clock=time.perf_counter).bound
    assert bound is not None
    for scenario in loaded:
        plan = decide(resolve(scenario, trace, demand)).plan
        assert int(plan.inference_node_s.sum()) / 3600 >= bound


def test_both_objectives_are_shown_with_the_policy_beside_them(cli: Cli, minutes: list[str]) -> None:
    done = cli("optimize", *minutes, "--json")
    assert done.code == 0, done.err
    assert [one["objective"] for one in done.json["objectives"]] == ["node-hours", "cost"]
    assert [one["status"] for one in done.json["objectives"]] == ["optimal", "optimal"]
    assert done.json["bound"]["cost_usd"] == done.json["objectives"][1]["bound"]
    assert set(done.json["policy"]["gaps_to_bound"]) == {"node-hours", "cost"}
    text = cli("optimize", *minutes)
    assert text.code == 0
    for words in ("node-hours of inference", "cost less value of training", "optimal", "night-training", "time:"):
        assert words in text.out


def test_the_best_schedule_has_the_ratio_of_units_that_the_demand_takes(cli: Cli, tmp_path: Path) -> None:
    # a decode unit at all times; a prefill unit, and two in the second minute
    log = minute_log(tmp_path / "log.csv", [(600, 500), (700, 500), (100, 500)])
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "log").code == 0
    fields = (*SMALL, "trace.name=log", "fleet.start_up_s=0", "fleet.drain_deadline_s=0", "slo.max_shortfall_ratio=0")
    words = ("optimize", "--objective", "node-hours", *(word for field in fields for word in ("--set", field)))
    schedule = cli(*words, "--json").json["schedule"]
    assert schedule["prefill_units"] == {"least": 1, "mean": pytest.approx(4 / 3), "most": 2}
    assert schedule["decode_units"] == {"least": 1, "mean": 1.0, "most": 1}
    assert schedule["decode_per_prefill"] == pytest.approx(3 / 4)
    assert (
        "  ratio: 0.75 decode units for each prefill unit; prefill 1 to 2, mean 1.33, decode 1 to 1, mean 1.00\n"
        in cli(*words).out
    )


def test_a_demand_that_no_schedule_carries_exits_3_and_says_what_is_missing(cli: Cli, minutes: list[str]) -> None:
    done = cli("optimize", *minutes, "--set", "fleet.nodes=4", "--json", "--save", "best.csv")
    assert done.code == 3
    assert done.json["bound"]["status"] == "infeasible"
    assert done.json["schedule"] is None
    assert "raise it, or raise fleet.nodes" in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("best.csv").exists()


def test_further_limits_on_schedules_can_only_raise_the_bound(cli: Cli, minutes: list[str]) -> None:
    done = cli("optimize", *minutes, "--min-up", "180", "--min-down", "120", "--start-cost", "0.01", "--json")
    assert done.code == 0, done.err
    assert [done.json[key] for key in ("min_up_s", "min_down_s", "start_usd")] == [180, 120, 0.01]
    free = cli("optimize", *minutes, "--json")
    for one, two in zip(free.json["objectives"], done.json["objectives"], strict=True):
        assert one["bound"] <= two["bound"] + 1e-6


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--objective", "speed"], 2, '--objective: no objective "speed"; use node-hours, cost or both'),
        (["--time-limit", "-1"], 2, "--time-limit"),
        (["--save", "nowhere/best.csv"], 1, "name another file with --save"),
    ],
)
def test_what_cannot_be_meant_is_one_line_with_the_cure(
    cli: Cli, minutes: list[str], words: list[str], code: int, message: str
) -> None:
    done = cli("optimize", *minutes, *words)
    assert done.code == code
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def bounded(store: Store, *overrides: str) -> ScenarioBound:
    scenario = load_scenario(None, [*SMALL, "trace.name=minutes", *overrides]).scenario
    return bounds(store, scenario, ["node-hours"], now=NOW, clock=time.perf_counter)


def test_a_timetable_by_a_clock_that_goes_back_is_refused(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    hours = "\n".join(f"2025-10-26T{hour:02d}:30:00Z,100,100" for hour in range(3))
    log.write_text(f"arrival,input_tokens,output_tokens\n{hours}\n")
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "minutes").code == 0
    store = Store(tmp_path / "planner.duckdb")
    found = bounded(store, "timezone=Europe/Berlin", "interval_s=3600")
    with pytest.raises(UsageError, match="goes back within the plan"):
        save_timetable(found, tmp_path / "best.csv")
    utc = bounded(store, "interval_s=3600")
    save_timetable(utc, tmp_path / "best.csv")
    with (tmp_path / "best.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["interval_start"] for row in rows] == [f"2025-10-26T{hour:02d}:00" for hour in range(3)]
