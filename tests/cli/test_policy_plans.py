"""Policies in plans, end to end: what they see, what they say, and that they hold on noisy weeks."""

from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.catalogue.toml import to_toml
from planner.planning.capacity import policy_limits
from planner.planning.plan import plan
from planner.planning.prepare import ensure_trace, prepare
from planner.runs.outcome import PlanOutcome
from planner.store import Store
from tests.conftest import NOW, SMALL, Cli, minute_log, small_scenario
from tests.helpers.policies import FILELESS


def planned_by(cli: Cli, name: str, *sets: str) -> Any:
    words = [word for each in (f"policy.name={name}", *sets) for word in ("--set", each)]
    result = cli("plan", *words, "--json")
    assert result.code in (0, 3), result.err
    return result.json


def outcome_of(store: Store, name: str, *sets: str) -> PlanOutcome:
    """A plan that is not stored."""
    scenario = load_scenario(None, [f"policy.name={name}", *sets]).scenario
    return plan(prepare(store, scenario, now=NOW))


SHORTFALLS = [f"{kind}_shortfall_{tokens}_tokens" for kind in ("steady", "start_up") for tokens in ("input", "output")]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("reactive", "previous"),
        ("predictive", "trace"),
        ("scheduled-bounds", "previous"),
        ("slo", "trace"),
        ("oracle", "trace"),
    ],
)
def test_every_policy_plans_the_published_day(planned: Store, cli: Cli, name: str, source: str) -> None:
    plan = planned_by(cli, name)
    assert (plan["policy"], plan["demand_source"]) == (name, source)
    assert 68 < plan["mean_nodes"] < 278
    assert plan["shortfall_ratio"] < 0.001
    foresight = any("perfect foresight" in note for note in plan["notes"])
    assert foresight is (name in ("predictive", "slo"))
    assert any(note.startswith("oracle, for comparison only") for note in plan["notes"]) is (name == "oracle")


@pytest.mark.parametrize("sets", [(), ("interval_s=120", "trace.demand_factor=0.6")])
def test_no_policy_without_shortfall_needs_fewer_node_hours_than_the_oracle(
    planned: Store, sets: tuple[str, ...]
) -> None:
    found = {name: outcome_of(planned, name, *sets).plan for name in FILELESS}
    lacking = {name: sum(int(getattr(plan, column).sum()) for column in SHORTFALLS) for name, plan in found.items()}
    assert lacking["oracle"] == 0
    assert sum(not tokens for tokens in lacking.values()) >= 2
    for name, planned in found.items():
        assert lacking[name] or found["oracle"].inference_node_s.sum() <= planned.inference_node_s.sum()


def test_a_policy_that_sees_only_the_interval_before_says_so(planned: Store, cli: Cli) -> None:
    note = "the policy sees the demand of the previous interval, whatever policy.demand_source says"
    assert note in planned_by(cli, "reactive")["notes"]
    assert note not in planned_by(cli, "predictive", "policy.demand_source=previous")["notes"]


@pytest.mark.parametrize(
    "policy",
    [
        ("policy.name=reactive",),
        ("policy.name=predictive", "policy.demand_source=previous"),
        ("policy.name=night-training", "policy.demand_source=previous", "policy.day_window=12:00-12:01"),
        ("policy.name=scheduled-bounds", "policy.bounds=[{days='mon-sun', window='00:00-24:00', floor_nodes=3}]"),
    ],
    ids=lambda sets: " ".join(sets),
)
@pytest.mark.parametrize("owned", [12, 30])
def test_the_peak_is_what_the_demand_needs_and_not_what_is_owned(cli: Cli, policy: tuple[str, ...], owned: int) -> None:
    # a step of 3 nodes carries 600 tokens of each kind a minute: at most 1,500 are asked for, in the third minute
    log = minute_log(Path("log.csv"), [(900, 900), (600, 600), (1500, 1500), (600, 600), (0, 0)])
    cli("trace", "import", str(log), "--format", "csv", "--name", "log")
    words = [word for item in (*SMALL, *policy, f"fleet.nodes={owned}") for word in ("--set", item)]
    plan = cli("plan", "--trace", "log", *words, "--json").json
    nodes = cli("sql", "SELECT inference_nodes FROM plan_interval ORDER BY interval_start", "--format", "json").json
    assert nodes[0]["inference_nodes"] == 6
    assert plan["peak_nodes"] == 9
    assert plan["need_nodes"] == 9
    assert any(note.startswith("nothing is observed before the first interval") for note in plan["notes"])


def test_two_noisy_weeks_are_planned_by_every_policy(store: Store) -> None:
    for name in FILELESS:
        outcome = outcome_of(store, name, "trace.days=14", "trace.noise=0.15", "trace.scale=0.0001")
        assert len(outcome.plan.prefill_units) == 14 * 96
        assert outcome.policy == name


def test_a_forecast_plans_for_its_quantile_once_there_is_one(store: Store) -> None:
    days = ("trace.days=3", "trace.noise=0.1", "trace.scale=0.0001", "policy.demand_source=forecast")
    high, low = (outcome_of(store, "predictive", *days, f"policy.quantile={share}") for share in (0.9, 0.2))
    assert high.demand_source == "forecast"
    (note,) = [note for note in high.notes if "quantile of" in note]
    assert "90% quantile of forecasts by profile-level, the best of them so far at this lead, made an interval" in note
    unseen = int(note.rpartition("first ")[2].split()[0])
    assert 96 < unseen < 2 * 96
    reacting = outcome_of(store, "predictive", *days, "policy.demand_source=previous")
    seen = slice(0, unseen)
    assert high.plan.decode_units[seen].tolist() == reacting.plan.decode_units[seen].tolist(), "nothing is foreseen yet"
    assert min(high.plan.decode_units[seen].tolist()) < 9
    assert low.plan.inference_node_s.sum() < high.plan.inference_node_s.sum()
    assert min(high.plan.decode_units.tolist()) < 9


def test_latencies_decide_where_slo_is_asked_for(planned: Store, cli: Cli) -> None:
    loose, tight = planned_by(cli, "slo"), planned_by(cli, "slo", "slo.tpot_ms=40")
    assert tight["mean_nodes"] > loose["mean_nodes"]
    assert any("slo: 99 % of first tokens within 5000 ms" in note for note in loose["notes"])
    assert any("observed and not modelled" in note for note in loose["notes"])
    modelled = planned_by(cli, "slo", "fleet.capacity=modelled")["notes"]
    assert not any("observed and not modelled" in note for note in modelled)
    waiting = planned_by(cli, "slo", "replay.queue_mode=depth")["notes"]
    assert any("with depth requests wait longer" in note for note in waiting)


def test_latencies_that_no_fleet_meets_are_refused(planned: Store, cli: Cli) -> None:
    result = cli("plan", "--policy", "slo", "--set", "slo.ttft_ms=500")
    assert result.code == 2
    assert "slo.ttft_ms is 500, but an idle prefill unit is modelled to take" in result.err
    assert cli("plan", "--policy", "slo", "--set", "slo.tpot_ms=5").code == 2


def test_a_balancer_that_does_not_look_at_queues_needs_more_prefill_units(planned: Store) -> None:
    found = {}
    for balancer in ("two-key", "random"):
        scenario = load_scenario(None, ["policy.name=slo", f"replay.prefill_balancer={balancer}"]).scenario
        trace = ensure_trace(planned, scenario, now=NOW)
        with planned.read() as session:
            limits = policy_limits(session, scenario, trace)
        assert limits is not None
        found[balancer] = limits.input_tokens_per_s
    assert found["random"] < found["two-key"]


def test_rules_hold_around_a_plan_and_are_refused_where_they_cannot(planned: Store, cli: Cli) -> None:
    spare = planned_by(cli, "predictive", "policy.spare_decode_units=1", "policy.spare_prefill_units=1")
    assert spare["mean_nodes"] > planned_by(cli, "predictive")["mean_nodes"]
    refused = cli("plan", "--set", "policy.ramp_nodes=10")
    assert refused.code == 2
    assert "policy.ramp_nodes is 10 and a scaling step has 30 nodes" in refused.err


def test_bounds_and_holidays_go_through_a_scenario_file_and_back(cli: Cli) -> None:
    work, rest = '{days="mon-fri", window="08:30-24:00", floor_nodes=278}', '{days="sat,sun", ceiling_nodes=128}'
    bounds = f"policy.bounds=[{work}, {rest}]"
    scenario = small_scenario(bounds, 'policy.holidays=[{day=2025-05-01, follows="sun"}]', "fleet.nodes=300")
    Path("mine.toml").write_text(to_toml(scenario, comments=True))
    again = load_scenario("mine.toml").scenario
    assert again.policy == scenario.policy
    assert again.policy.bounds[1].ceiling_nodes == 128
    assert cli("scenario", "validate", "mine.toml").code == 0
    (line,) = [line for line in cli("config", "show", "--set", bounds).out.splitlines() if "policy.bounds" in line]
    assert '{ days = "sat,sun", window = "00:00-24:00", floor_nodes = 0, ceiling_nodes = 128 }' in line
    (field,) = cli("config", "show", "--set", bounds, "--json").json["overridden"]
    assert field["value"][0]["floor_nodes"] == 278
