"""Studies of a fleet whose units do both: by hand on four minutes, and what they cannot say."""

from pathlib import Path

import pytest

from planner.planning.prepare import ensure_trace
from planner.store import Store
from planner.studies.sweep.base import CACHE_HIT, NODES_DOWN, UNIT_CAPACITY
from planner.studies.sweep.run import base_of
from tests.conftest import NOW, SMALL, Cli, minute_log
from tests.helpers.aggregated import AGGREGATED, aggregated_scenario
from tests.helpers.sweeps import at

STILL = ("fleet.start_up_s=0", "fleet.drain_deadline_s=0", "slo.max_shortfall_ratio=0", "trace.name=four")
FOUR = [(1200, 1200), (2000, 500), (400, 2000), (100, 100)]
"""A unit carries 1,200 tokens of any mix a minute, a node two units: one, two, one and one node."""


@pytest.fixture
def four(cli: Cli, tmp_path: Path) -> list[str]:
    """Flags of a plan over the four minutes."""
    log = minute_log(tmp_path / "log.csv", FOUR)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "four").code == 0
    return [word for field in (*SMALL, *AGGREGATED, *STILL) for word in ("--set", field)]


def sets(*fields: str) -> list[str]:
    return [word for field in fields for word in ("--set", field)]


def test_the_bound_and_its_timetable_hold_whole_nodes(cli: Cli, four: list[str]) -> None:
    done = cli("optimize", *four, "--save", "best.csv", "--json")
    assert done.code == 0, done.err
    assert (done.json["bound"]["status"], done.json["bound"]["node_hours"]) == ("optimal", pytest.approx(5 / 60))
    schedule = done.json["schedule"]
    assert schedule["aggregated_units"] == {"least": 2, "mean": 2.5, "most": 4}
    assert (schedule["prefill_units"]["most"], schedule["decode_per_prefill"]) == (0, None)
    assert Path("best.csv").read_text().splitlines() == [
        "interval_start,aggregated_units",
        *(f"2025-03-01T00:0{minute},{units}" for minute, units in enumerate((2, 4, 2, 2))),
    ]
    again = cli("plan", *four, *sets("policy.name=timetable", "policy.timetable=best.csv"), "--json")
    assert (again.code, again.json["node_hours"]) == (0, pytest.approx(5 / 60))
    assert "  units: 2 to 4, mean 2.50\n" in cli("optimize", *four).out


def test_limits_on_starts_say_that_units_share_nodes(cli: Cli, four: list[str]) -> None:
    done = cli("optimize", *four, "--min-up", "180", "--start-cost", "0.01", "--json")
    assert done.code == 0, done.err
    assert any(note.startswith("2 units share a node: minimum times are of nodes") for note in done.json["notes"])
    free = cli("optimize", *four, "--json")
    assert not any("share a node" in note for note in free.json["notes"])
    for one, two in zip(free.json["objectives"], done.json["objectives"], strict=True):
        assert one["bound"] <= two["bound"] + 1e-6


def test_a_timetable_of_other_roles_is_refused(cli: Cli, four: list[str]) -> None:
    follow = sets("policy.name=timetable", "policy.timetable=units.csv")
    Path("units.csv").write_text("interval_start,prefill_units,decode_units\n2025-03-01T00:00,1,1\n")
    done = cli("plan", *four, *follow)
    assert done.code == 2
    assert "has no column 'aggregated_units'; it needs interval_start, and inference_nodes or aggregated_" in done.err
    Path("units.csv").write_text("interval_start,units\n2025-03-01T00:00,1\n")
    assert "has no column 'aggregated_units'" in cli("plan", *four, *follow).err
    Path("units.csv").write_text("interval_start,aggregated_units\n2025-03-01T00:00,many\n")
    assert "units.csv line 2" in cli("plan", *four, *follow).err
    # nodes are filled
    Path("units.csv").write_text("interval_start,inference_nodes\n2025-03-01T00:00,2\n")
    done = cli("plan", *four, *follow, "--json")
    assert (done.json["peak_nodes"], done.json["shortfall_tokens"]) == (2, 0)


def test_policies_are_compared_by_the_nodes_that_their_units_hold(cli: Cli, four: list[str]) -> None:
    done = cli("compare", *four, "--policies", "fixed,oracle", *sets("policy.fixed_aggregated_units=3"), "--json")
    assert done.code == 0, done.err
    oracle, fixed = done.json["policies"]
    # 7,500 tokens are 6.25 minutes of a unit, half as many of a node
    assert (oracle["node_hours"], oracle["scale_actions"]) == (pytest.approx(5 / 60), 2)
    assert oracle["wasted_node_hours"] == pytest.approx((5 - 3.125) / 60)
    assert (fixed["node_hours"], fixed["scale_actions"]) == (pytest.approx(8 / 60), 0)
    assert fixed["wasted_node_hours"] == pytest.approx((8 - 3.125) / 60)
    assert (oracle["gap_to_bound"], fixed["gap_to_bound"]) == (pytest.approx(0), pytest.approx(0.6))
    assert fixed["loses"]["dearest_nodes"] == pytest.approx(3 / 4)


def test_a_policy_is_tuned_to_the_shortfall_that_is_allowed(cli: Cli, four: list[str]) -> None:
    # a node carries 2,400 of the 2,500 tokens of the second minute: 100 of 7,500 may fall short
    allowed = sets("slo.max_shortfall_ratio=0.0134", "policy.demand_source=trace", "policy.name=predictive")
    done = cli("compare", *four, *allowed, "--policies", "predictive", "--json")
    assert done.code == 0, done.err
    found = done.json["policies"][0]["at_equal_shortfall"]
    assert (found["node_hours"], found["gap_to_bound"]) == (pytest.approx(4 / 60), pytest.approx(0))
    assert found["shortfall_ratio"] == pytest.approx(100 / 7500)


def test_capacity_in_a_sweep_goes_down_with_nodes_and_by_a_factor(cli: Cli, four: list[str]) -> None:
    store = Store("planner.duckdb")
    scenario = aggregated_scenario(*STILL, "policy.name=fixed", "policy.fixed_aggregated_units=4")
    base = base_of(store, scenario, ensure_trace(store, scenario, now=NOW), ("fixed",))[0]
    # four units carry 4,800 tokens a minute
    assert at(base).shortfall_tokens == 0
    for changed in ({NODES_DOWN: 0.5}, {UNIT_CAPACITY: 0.5}):
        assert at(base, **changed).shortfall_tokens == 100
    assert at(base, **{NODES_DOWN: 0.5, UNIT_CAPACITY: 2.0}).shortfall_tokens == 0
    # units of two nodes serve while both are up
    wide = aggregated_scenario(*STILL, "policy.name=fixed", "policy.fixed_aggregated_units=2", "fleet.unit.gpus=16")
    base = base_of(store, wide, ensure_trace(store, wide, now=NOW), ("fixed",))[0]
    assert at(base).shortfall_tokens == 100
    assert at(base, **{NODES_DOWN: 0.5}).shortfall_tokens == sum(max(i + o - 600, 0) for i, o in FOUR)


def test_hits_change_what_a_unit_reads_and_not_what_it_writes(cli: Cli, four: list[str]) -> None:
    log = "arrival,input_tokens,cached_input_tokens,output_tokens\n2025-03-01T00:00:30Z,2400,1200,0\n"
    Path("hits.csv").write_text(log)
    assert cli("trace", "import", "hits.csv", "--format", "csv", "--name", "hits").code == 0
    scenario = aggregated_scenario(*STILL, "trace.name=hits", "policy.name=fixed", "policy.fixed_aggregated_units=2")
    store = Store("planner.duckdb")
    base = base_of(store, scenario, ensure_trace(store, scenario, now=NOW), ("fixed",))[0]
    assert (base.hit_ratio, at(base).shortfall_tokens) == (0.5, 0)
    # three quarters of the tokens are missed in place of a half: two thirds of the input are carried
    assert at(base, **{CACHE_HIT: 0.25}).shortfall_tokens == 800


def test_a_sweep_varies_the_capacity_of_units_where_there_are_such(cli: Cli, four: list[str]) -> None:
    vary = ["--vary", "unit_capacity_factor=0.5:1.5", "--vary", "fleet.decode.tokens_per_s_per_node=1:2"]
    done = cli("sweep", *four, "--cases", "4", *vary, "--json")
    assert done.code == 0, done.err
    names = [each["parameter"] for each in done.json["parameters"]]
    assert "unit_capacity_factor" in names
    assert "fleet.decode.tokens_per_s_per_node" not in names
    notes = " ".join(done.json["notes"])
    assert "fleet.decode.tokens_per_s_per_node is left out: serving is aggregated" in notes
    assert "latencies are not modelled: aggregated unit: deepseek-r1 in fp8 does not fit H800" in notes
    refused = cli("sweep", *four, "--vary", "unit_capacity_factor=0:1")
    assert (refused.code, "give values from 0.01 to 100" in refused.err) == (2, True)


def test_spare_units_are_those_of_nodes_that_take_all_their_units_down(
    cli: Cli, four: list[str], tmp_path: Path
) -> None:
    log = minute_log(tmp_path / "long.csv", FOUR * 10)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "long").code == 0
    failing = sets("failures.per_node_per_day=2.4", "failures.repair_s=3600", "policy.fixed_aggregated_units=4")
    held = sets("policy.name=fixed", "trace.name=long")
    words = ["resilience", *four, *failing, *held, "--target", "0.9", "--from", "2025-03-01T00:30Z"]
    done = cli(*words, "--json")
    assert done.code == 0, done.err
    assert set(done.json["roles"]) == {"aggregated"}
    found = done.json["roles"]["aggregated"]
    # 2,500 tokens take three units, and two nodes hold four; a node is up 10 of 11 hours, and fails with both units
    assert (found["needed_units"], found["planned_units"], found["mtbf_h"]) == (3, 4, pytest.approx(10))
    assert done.json["attainment_without_spares"] == pytest.approx((10 / 11) ** 2)
    # one unit more on a third node does for one that fails
    up = 10 / 11
    assert (found["spare_units"], found["spare_nodes"]) == (1, 1)
    assert done.json["attainment"] == pytest.approx(up**3 + 3 * up**2 * (1 - up))
    assert "enough units in 90.000% of the time" in cli(*words).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["replay"], "warms up for 30 min"),
        (["compare", "--policies", "slo,fixed"], "aggregated unit: deepseek-r1 in fp8 does not fit H800"),
        (["sweep", "--policies", "slo"], "aggregated unit: deepseek-r1 in fp8 does not fit H800"),
        (["sweep", "--policies", "scheduled-bounds", "--set", "policy.inside=slo"], "does not fit H800"),
    ],
)
def test_what_cannot_be_said_is_one_line(cli: Cli, four: list[str], words: list[str], message: str) -> None:
    done = cli(words[0], *four, *words[1:])
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_what_is_published_is_compared_with_roles_only(cli: Cli) -> None:
    done = cli("reference", *sets(*AGGREGATED, "trace.scale=0.0001"))
    assert done.code == 2
    assert "aggregated units are neither; set fleet.serving=disaggregated" in done.err


def test_usual_policies_without_a_model_are_left_out_and_said(cli: Cli, four: list[str]) -> None:
    done = cli("compare", *four, "--json")
    assert done.code == 0, done.err
    assert "slo@previous" not in [each["policy"] for each in done.json["policies"]]
    assert any(note.startswith("left out: slo@previous: aggregated unit: deepseek-r1") for note in done.json["notes"])
