"""A price of a GPU-hour, a share of hits and a share of nodes down that a scenario sets: on fleets of one's own."""

import csv
import random
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.nightly.day_ahead import plan_ahead
from planner.nightly.expected_demand import ExpectedDemand
from planner.planning.capacity import modelled_limits, planned_workload
from planner.planning.prepare import ensure_trace
from planner.planning.selection import selected_demand
from planner.store import Store
from tests.conftest import NOW, SMALL, Cli
from tests.helpers.aggregated import AGGREGATED, CHAT
from tests.helpers.mixed import mix_file

MINUTES = [(600, 300, 100), (2000, 1000, 490), (400, 200, 100), (1000, 500, 0)]
"""Input, cached input and output tokens of four minutes: a half of all input is found in a cache."""


ROLES = (
    "fleet.serving=disaggregated",
    "fleet.prefill={nodes=1}",
    "fleet.decode={nodes=1}",
    "fleet.base={prefill=1,decode=1}",
    "fleet.step={prefill=1,decode=1}",
)
"""A fleet of units that do both, as one of units of two roles."""


def log_of(path: Path, rows: list[tuple[int, int, int]]) -> Path:
    lines = [f"2026-03-02T{at // 60:02d}:{at % 60:02d}:30Z,{i},{c},{o}" for at, (i, c, o) in enumerate(rows)]
    path.write_text("arrival,input_tokens,cached_input_tokens,output_tokens\n" + "\n".join(lines) + "\n")
    return path


def sets(*fields: str) -> list[str]:
    return [word for field in fields for word in ("--set", field)]


@pytest.fixture
def small(tmp_path: Path, cli: Cli) -> list[str]:
    """The small fleet of units of two roles, whose policy knows the four minutes."""
    assert cli("trace", "import", str(log_of(tmp_path / "log.csv", MINUTES)), "--name", "log").code == 0
    return sets(*SMALL, "trace.name=log", "policy.name=oracle", "slo.max_shortfall_ratio=1")


@pytest.fixture
def both(small: list[str]) -> list[str]:
    """The small fleet of units that do both, four GPUs each of nodes of eight."""
    return [*small, *sets(*AGGREGATED)]


@pytest.fixture
def chat(tmp_path: Path, cli: Cli) -> str:
    """A fleet of Llama 3.1 8B with modelled capacities, and two hours of requests of all lengths, some with hits."""
    draw = random.Random(7)
    rows = [
        (i, draw.choice([0, i // 2, i - 1]), draw.randint(1, 400)) for i in (draw.randint(10, 9000) for _ in range(120))
    ]
    assert cli("trace", "import", str(log_of(tmp_path / "log.csv", rows)), "--name", "log").code == 0
    path = tmp_path / "chat.toml"
    path.write_text(CHAT)
    return str(path)


def plan(cli: Cli, *words: str) -> dict[str, Any]:
    done = cli("plan", *words, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = done.json
    return found


def refused(cli: Cli, *words: str) -> str:
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    return done.err


# the price of a GPU-hour


@pytest.mark.parametrize("fleet", ["small", "both"])
def test_costs_of_every_command_follow_the_price(fleet: str, cli: Cli, request: pytest.FixtureRequest) -> None:
    words = request.getfixturevalue(fleet)
    three = [*words, *sets("economics.gpu_usd_per_hour=3")]
    own, dear = plan(cli, *words), plan(cli, *three)
    gpus = 1 if fleet == "small" else 8
    for told, price in ((own, 2), (dear, 3)):
        assert told["cost_usd"] == pytest.approx(told["node_hours"] * gpus * price, abs=1e-5)
    assert dear["node_hours"] == own["node_hours"]
    assert dear["fleet_cost_usd"] == pytest.approx(1.5 * own["fleet_cost_usd"], abs=1e-5)
    compared = [cli("compare", *each, "--policies", "fixed", "--no-level", "--json").json for each in (words, three)]
    assert compared[1]["bound"]["cost_usd"] == pytest.approx(1.5 * compared[0]["bound"]["cost_usd"])
    found = [cli("optimize", *each, "--objective", "cost", "--json").json for each in (words, three)]
    assert found[1]["bound"]["cost_usd"] == pytest.approx(1.5 * found[0]["bound"]["cost_usd"])
    still = sets('sweep.vary=[{path="nodes_down_ratio",low=0,high=0.1,provenance="assumed: some"}]')
    swept = cli("sweep", *three, *still, "--cases", "2", "--json").json
    assert swept["base"]["cost_usd"] == dear["cost_usd"]
    out = cli("export", dear["run_id"], "--to", "focus").out
    billed = sum(float(row["BilledCost"]) for row in csv.DictReader(out.splitlines()))
    assert billed == pytest.approx(dear["fleet_cost_usd"], abs=1e-4)


def test_the_run_says_that_the_price_is_the_scenarios_own(cli: Cli, small: list[str], store: Store) -> None:
    told = plan(cli, *small, *sets("economics.gpu_usd_per_hour=3", "economics.gpu_rate=owned"))
    (row,) = cli("sql", f"SELECT inputs FROM run WHERE run_id = '{told['run_id']}'", "--format", "json").json
    assert '"name": "economics.gpu_usd_per_hour", "value": "3.0 USD per GPU-hour", "kind": "set"' in row["inputs"]
    assert "the scenario's own price: flag --set economics.gpu_usd_per_hour" in row["inputs"]
    assert "gpu_rates/" not in row["inputs"]
    idle = "economics.gpu_rate has no effect on this plan: used without economics.gpu_usd_per_hour"
    assert idle in told["notes"]


# hits


def test_hits_change_the_nodes_that_four_minutes_need(cli: Cli, small: list[str]) -> None:
    """A prefill unit reads 600 tokens a minute at a half of hits, and 2000 in the busiest; steps have three nodes."""
    assert plan(cli, *small)["need_nodes"] == 4 * 3
    for hits, units in ((0.75, 2), (0.0, 7)):
        told = plan(cli, *small, *sets(f"trace.cache_hit_ratio={hits}"))
        assert told["need_nodes"] == units * 3
        assert told["cached_input_tokens"] == hits * told["input_tokens"]
        assert (
            f"trace log: {hits:.2%} of input is taken to be found in a cache (trace.cache_hit_ratio)" in told["notes"]
        )
        assert told["notes"][0].startswith(f"the observed capacity of input is multiplied by {0.5 / (1 - hits):g}: ")


def test_modelled_capacities_are_those_of_the_changed_requests(cli: Cli, chat: str, store: Store) -> None:
    """Request by request: of m missed tokens of a prompt of i, each attends to i - m/2 on average."""
    with store.read() as session:
        rows = session.connection.execute("SELECT input_tokens, cached_input_tokens FROM request").fetchall()
    share = sum(cached for _, cached in rows) / sum(inputs for inputs, _ in rows)
    for hits in (0.1, 0.9):
        scenario = load_scenario(chat, [f"trace.cache_hit_ratio={hits}"]).scenario
        missed = [(i - c * hits / share if hits < share else (i - c) * (1 - hits) / (1 - share), i) for i, c in rows]
        context = sum(m * (i - m / 2) for m, i in missed) / sum(m for m, _ in missed)
        trace = ensure_trace(store, scenario, now=NOW)
        with store.read() as session:
            found = planned_workload(session, scenario, trace)
        assert found.hit_ratio == hits
        assert found.missed_context_tokens == pytest.approx(context)


@pytest.mark.parametrize("serving", ["aggregated", "disaggregated"])
def test_with_fewer_hits_units_serve_less_within_the_latency_targets(
    cli: Cli, chat: str, store: Store, serving: str
) -> None:
    roles = () if serving == "aggregated" else ROLES
    found = []
    for hits in (0.0, 0.9):
        fields = (*roles, f"trace.cache_hit_ratio={hits}", "fleet.capacity=modelled")
        told = plan(cli, chat, *sets(*fields, "trace.demand_factor=30000", "slo.max_shortfall_ratio=1"))
        found.append(told["need_nodes"])
    assert found[0] > found[1]
    if roles:
        limits = []
        for hits in (0.0, 0.9):
            scenario = load_scenario(chat, [*roles, f"trace.cache_hit_ratio={hits}"]).scenario
            trace = ensure_trace(store, scenario, now=NOW)
            with store.read() as session:
                limits.append(modelled_limits(session, scenario, trace))
        assert limits[0].input_tokens_per_s < limits[1].input_tokens_per_s


@pytest.mark.parametrize(
    "words",
    [
        ("replay",),
        ("compare", "--policies", "fixed", "--replay"),
        ("resilience", "--replay"),
        ("forecast",),
    ],
)
def test_what_has_hits_of_its_own_is_refused(cli: Cli, chat: str, words: tuple[str, ...]) -> None:
    told = refused(cli, words[0], chat, *words[1:], *sets("trace.cache_hit_ratio=0.3"))
    assert told.startswith("planner: trace.cache_hit_ratio is set, and ")
    assert told.endswith("; leave it out\n")
    assert cli("run", "list", "--json").json == []


# nodes that are down


def test_nodes_down_leave_less_of_units_of_more_nodes(cli: Cli, small: list[str]) -> None:
    """A decode unit of two nodes writes 600 tokens a minute, and 0.81 of that, 486, of the 490 of the second minute."""
    needed = sets("trace.demand_factor=1", "fleet.prefill.tokens_per_s_per_node=1000")
    assert plan(cli, *small, *needed)["need_nodes"] == 3
    told = plan(cli, *small, *needed, *sets("failures.nodes_down_ratio=0.1"))
    assert told["need_nodes"] == 6
    assert told["notes"][0].startswith("10.00% of nodes are down on average (failures.nodes_down_ratio)")


@pytest.fixture
def observed(chat: str) -> list[str]:
    return [
        chat,
        *sets("fleet.capacity=observed", "fleet.unit.tokens_per_s=[[0,300],[3000,100],[4000,0]]"),
        *sets("policy.name=predictive", "policy.demand_source=trace", "trace.demand_factor=50"),
        *sets("failures.nodes_down_ratio=0.2", "slo.max_shortfall_ratio=1"),
    ]


def test_a_replay_of_a_run_keeps_its_plan(cli: Cli, observed: list[str]) -> None:
    told = plan(cli, *observed)
    done = cli("replay", told["run_id"], "--all", "--json")
    assert done.code == 0, done.err
    assert any("nodes_down_ratio" in note for note in done.json["notes"])
    again = cli("run", "show", done.json["run_id"], "--json").json
    for key in ("need_nodes", "node_hours", "cost_usd"):
        assert again[key] == told[key], key
    told_off = refused(cli, "replay", told["run_id"], *sets("failures.nodes_down_ratio=0.1"))
    assert "failures.nodes_down_ratio is of plans; set failures.per_node_per_day" in told_off


def test_policies_are_replayed_with_the_plans_that_are_compared(cli: Cli, observed: list[str]) -> None:
    words = (*observed, "--policies", "predictive", "--no-level", "--replay")
    done = cli("compare", *words, "--json")
    assert done.code in (0, 3), done.err
    (policy,) = done.json["policies"]
    runs = [cli("run", "show", run_id, "--json").json for run_id in (policy["run_id"], policy["slo"]["run_id"])]
    assert runs[0]["node_hours"] == runs[1]["node_hours"] == policy["node_hours"]
    assert runs[0]["need_nodes"] == runs[1]["need_nodes"]


def test_nights_allow_for_nodes_that_are_down(cli: Cli, small: list[str], store: Store) -> None:
    fields = [word for word in small if word != "--set"]
    found = []
    for down in (0.0, 0.1):
        more = ("fleet.prefill.tokens_per_s_per_node=1000", f"failures.nodes_down_ratio={down}")
        scenario = load_scenario(None, [*fields, *more]).scenario
        trace = ensure_trace(store, scenario, now=NOW)
        with store.read() as session:
            demand = selected_demand(session, scenario, trace)
        found.append(plan_ahead(store, scenario, trace, ExpectedDemand(demand, demand, ())))
    # the oracle adds a decode unit alone
    assert [int(outcome.plan.inference_nodes.max()) for outcome in found] == [3, 5]
    assert "nodes_down_ratio" in found[1].notes[0]


# mixed fleets, and what is out of range


def test_pools_of_a_mixed_fleet_share_the_hits(cli: Cli, small: list[str], tmp_path: Path) -> None:
    more = sets("trace.cache_hit_ratio=0.75", "slo.max_shortfall_ratio=1", "economics.gpu_usd_per_hour=4")
    done = cli("mixed", "plan", str(mix_file(tmp_path)), "--trace", "log", *more, "--json")
    assert done.code == 0, done.err
    runs = [cli("run", "show", pool["run_id"], "--json").json for pool in done.json["pools"]]
    assert sum(run["input_tokens"] for run in runs) == 4000
    assert sum(run["cached_input_tokens"] for run in runs) == 3000
    assert done.json["cost_usd"] == pytest.approx(sum(run["cost_usd"] for run in runs))
    told = refused(cli, "mixed", "replay", str(mix_file(tmp_path)), "--trace", "log", *more)
    assert "a replay takes every request with its own hits" in told


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("economics.gpu_usd_per_hour=-1", "greater than or equal to 0"),
        ("economics.gpu_usd_per_hour=0.0000001", "finer than a micro-dollar"),
        ("economics.gpu_usd_per_hour=dear", "valid number"),
        ("trace.cache_hit_ratio=1", "less than or equal to 0.99"),
        ("trace.cache_hit_ratio=-0.1", "greater than or equal to 0"),
        ("failures.nodes_down_ratio=0.6", "less than or equal to 0.5"),
        ("failures.nodes_down_ratio=true", "is not a number"),
    ],
)
def test_a_value_out_of_range_gets_one_line(cli: Cli, chat: str, field: str, told: str) -> None:
    said = refused(cli, "plan", chat, *sets(field))
    assert field.partition("=")[0] in said
    assert told in said
