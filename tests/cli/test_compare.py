"""Policies side by side: figures, equal shortfall, distance to the bound, what is stored, the page."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from planner.catalogue.scenarios import load_scenario
from planner.errors import UsageError
from planner.planning.decide import decide
from planner.planning.prepare import resolve
from planner.store import Store
from planner.studies.compare.candidates import Candidate, Comparison, compare, variant
from planner.studies.compare.figures import compute_figures, wasted_node_s
from tests.conftest import NOW, Cli, run_command
from tests.helpers.live_pages import LivePages, wait_for_charts

SMALL = ("interval_s=3600", "trace.scale=0.0001", "trace.noise=0.05")
WEEK = (*SMALL, "trace.days=3")
SETS = tuple(word for item in SMALL for word in ("--set", item))
WEEK_SETS = tuple(word for item in WEEK for word in ("--set", item))


def clock() -> float:
    return 0.0


def compared(store: Store, *names: str, settings: tuple[str, ...] = SMALL, plain: bool = False) -> Comparison:
    """plain: neither tuned nor with a search for the best schedule."""
    scenario = load_scenario(None, list(settings)).scenario
    limit_s = 0.0 if plain else 5.0
    return compare(store, scenario, names, level=not plain, now=NOW, clock=clock, time_limit_s=limit_s)


@dataclass(frozen=True)
class Day:
    """A comparison of all policies over a small day: what was told, the store and the page."""

    told: Any
    store: Store
    page: Path


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Made once; tests read it only."""
    folder = tmp_path_factory.mktemp("compared")
    words = ["compare", *SETS, "--db", str(folder / "planner.duckdb"), "--out", str(folder / "page"), "--json"]
    with pytest.MonkeyPatch.context() as patch:
        told = run_command(patch, *words)
    return Day(told.json, Store(folder / "planner.duckdb", wait_s=10), folder / "page")


def of(comparison: Comparison, name: str) -> Candidate:
    return next(each for each in comparison.candidates if each.name == name)


@pytest.fixture(scope="session")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The same, as an object."""
    return compared(Store(tmp_path_factory.mktemp("bounded") / "planner.duckdb"))


def test_figures_are_those_of_the_stored_runs(day: Day) -> None:
    told = day.told
    with day.store.read() as session:
        rows = session.connection.execute(
            "SELECT run_id, peak_nodes, mean_nodes, node_hours, training_node_hours, cost_usd, revenue_usd, "
            "revenue_served_usd, shortfall_tokens, shortfall_ratio FROM run_summary"
        ).fetchall()
    by_run = {row[0]: row[1:] for row in rows}
    assert len(by_run) == len(told["policies"]) == 6
    names = (
        "peak_nodes",
        "mean_nodes",
        "node_hours",
        "training_node_hours",
        "cost_usd",
        "revenue_usd",
        "revenue_served_usd",
        "shortfall_tokens",
        "shortfall_ratio",
    )
    for row in told["policies"]:
        assert [row[name] for name in names] == pytest.approx(list(by_run[row["run_id"]]))


def test_a_browser_draws_its_page(day: Day, browse: LivePages) -> None:
    wait_for_charts(browse(day.page / "index.html"), 2)


def test_no_policy_within_the_allowance_beats_the_bound(bounded: Comparison) -> None:
    found = bounded
    allowed = found.scenario.slo.max_shortfall_ratio
    assert found.bound.bound is not None
    for candidate in found.candidates:
        plans = [candidate.figures, *([candidate.tuned.figures] if candidate.tuned else [])]
        for plan in plans:
            assert plan.shortfall_ratio > allowed or plan.node_hours >= found.bound.bound * (1 - 1e-9)


def test_tuned_policies_come_as_near_to_the_allowance_as_they_can(bounded: Comparison, store: Store) -> None:
    found = of(bounded, "reactive")
    assert found.tuned is not None
    assert found.tuned.target_utilisation is not None
    allowed = found.outcome.scenario.slo.max_shortfall_ratio
    assert found.tuned.figures.shortfall_ratio <= allowed
    further = found.tuned.target_utilisation + 0.01
    (beyond,) = compared(
        store, "reactive", settings=(*SMALL, f"policy.target_utilisation={min(further, 1.0)}"), plain=True
    ).candidates
    assert further > 1 or beyond.figures.shortfall_ratio > allowed
    dearer = found.tuned.figures.node_hours > found.figures.node_hours
    assert dearer == (found.figures.shortfall_ratio > allowed)


def test_a_policy_that_cannot_hold_the_allowance_has_no_level(cli: Cli) -> None:
    tight = ("--set", "slo.max_shortfall_ratio=0", "--set", "trace.demand_factor=1.2")
    told = cli("compare", "--policies", "reactive,fixed", *SETS, *tight, "--json").json
    assert [row["at_equal_shortfall"] for row in told["policies"]] == [None, None]
    assert [row["gap_to_bound"] for row in told["policies"]] == [None, None]
    assert told["bound"]["node_hours"] is None
    assert "raise it, or raise fleet.nodes" in told["bound"]["cure"]
    assert "no bound: infeasible" in cli("compare", "--policies", "reactive,fixed", *SETS, *tight).out


def test_wasted_hours_are_those_beyond_what_carries_the_demand(bounded: Comparison) -> None:
    found = of(bounded, "fixed")
    outcome, fleet = found.outcome, found.outcome.scenario.fleet
    assert found.figures.shortfall_tokens == 0 or found.figures.shortfall_ratio < 0.01
    needed = sum(
        float(np.minimum(tokens, capacity).sum()) / unit.tokens_per_s_per_node
        for tokens, capacity, unit in (
            (outcome.demand.input_tokens, outcome.plan.prefill_serving_tokens, fleet.prefill),
            (outcome.demand.output_tokens, outcome.plan.decode_serving_tokens, fleet.decode),
        )
    )
    assert found.figures.wasted_node_hours == pytest.approx(278 * 24 - needed / 3600)
    assert (wasted_node_s(outcome) > -1e-6).all()


def test_changes_of_a_roles_units_are_counted(bounded: Comparison) -> None:
    fixed, night = of(bounded, "fixed"), of(bounded, "night-training")
    assert fixed.figures.scale_actions == 0
    plan = night.outcome.plan
    assert night.figures.scale_actions == sum(
        units[index] != units[index - 1]
        for units in (plan.prefill_units.tolist(), plan.decode_units.tolist())
        for index in range(1, plan.grid.count)
    )
    assert night.figures == compute_figures(night.outcome)


def test_forecasts_join_once_there_is_history(cli: Cli) -> None:
    accepted = ("--set", "forecast.accept=['2025-02-28']")
    day = cli("compare", *SETS, *accepted, "--no-level", "--time-limit", "0", "--json").json
    assert "predictive@forecast" not in [row["policy"] for row in day["policies"]]
    assert any("left out: predictive@forecast: profile-level needs over 24" in note for note in day["notes"])
    assert any(
        "no effect on this comparison, in which no policy forecasts: forecast.accept;" in n for n in day["notes"]
    )
    days = cli("compare", *WEEK_SETS, *accepted, "--json", "--time-limit", "1").json
    names = [row["policy"] for row in days["policies"]]
    assert "predictive@forecast" in names
    assert not any("left out" in note for note in days["notes"])
    assert any(note.startswith("predictive@forecast takes") for note in days["notes"])
    assert "forecast.accept takes the demand of 2025-02-28 as real" in days["notes"]


def test_a_forecasting_policy_sees_no_future(store: Store) -> None:
    """Demand that is cut in the last hours changes no target before."""
    following = (*WEEK, "forecast.method=holt-winters")
    scenario = variant(load_scenario(None, list(following)).scenario, "predictive@forecast")
    (whole,) = compared(store, "predictive@forecast", settings=following, plain=True).candidates
    demand = whole.outcome.demand
    last = slice(demand.grid.count - 6, None)
    tokens = {name: getattr(demand, name).copy() for name in ("input_tokens", "cached_input_tokens", "output_tokens")}
    for values in tokens.values():
        values[last] = values[last] * 4 // 5  # less would look like an outage, which Holt-Winters leaves out
    cut = decide(resolve(scenario, whole.outcome.trace, replace(demand, **tokens))).plan
    before = slice(0, demand.grid.count - 5)
    for name in ("prefill_units", "decode_units"):
        assert getattr(cut, name)[before].tolist() == getattr(whole.outcome.plan, name)[before].tolist()
    assert cut.decode_units.tolist() != whole.outcome.plan.decode_units.tolist()


def test_policies_are_ranked_by_node_hours_at_equal_shortfall(day: Day) -> None:
    told = day.told
    hours = [row["at_equal_shortfall"]["node_hours"] for row in told["policies"] if row["at_equal_shortfall"]]
    assert hours == sorted(hours)
    assert told["policies"][0]["policy"] == "oracle"


def test_the_comparison_is_stored_with_its_runs(cli: Cli, store: Store) -> None:
    told = cli("compare", "--policies", "fixed,reactive", *SETS, "--json").json
    rows = cli("sql", "--name", "comparisons", "--format", "json").json
    assert {row["policy"] for row in rows} == {"fixed", "reactive"}
    assert {row["run_id"] for row in rows} == {row["run_id"] for row in told["policies"]}
    assert cli("run", "diff", *(row["run_id"] for row in told["policies"]), "--json").json["settings"]["policy.name"]
    assert cli("run", "delete", told["policies"][0]["run_id"]).code == 0
    assert len(cli("sql", "--name", "comparisons", "--format", "json").json) == 1


def test_replays_tell_what_users_felt(cli: Cli) -> None:
    tiny = ("trace.demand_factor=0.003", "trace.scale=0.1", "interval_s=3600")
    sets = tuple(word for item in tiny for word in ("--set", item))
    told = cli("compare", "--policies", "fixed,night-training", "--replay", *sets, "--json", "--time-limit", "1").json
    for row in told["policies"]:
        assert 0 < row["slo"]["ttft_attainment"] <= 1
        assert row["slo"]["run_id"] != row["run_id"]
    assert "TTFT in time" in cli("compare", "--policies", "fixed", "--replay", *sets, "--time-limit", "1").out


def test_the_page_has_every_policy(day: Day) -> None:
    told, page = day.told, (day.page / "index.html").read_text()
    assert {Path(file).name for file in told["files"]} == {
        "index.html",
        "trade.svg",
        "trade.png",
        "nodes.svg",
        "nodes.png",
        "trade.csv",
        "nodes.csv",
        "policies.csv",
    }
    for row in told["policies"]:
        assert row["policy"] in page
        assert f"{row['cost_usd']:,.0f}</td>" in page
        # of few tokens as well, where two decimals would read as none
        assert f"{100 * row['shortfall_ratio']:.3g} %</td>" in page
    assert told["comparison_id"] in page
    best = told["policies"][0]
    hours = f"{best['at_equal_shortfall']['node_hours']:,.1f}"
    assert f'<p class="verdict">{best["policy"]} takes the fewest node-hours at equal shortfall: {hours} for ' in page


@pytest.mark.parametrize(
    ("policies", "cure"),
    [
        ("luck", 'no policy "luck"; use some of'),
        ("reactive@tomorrow", 'no demand source "tomorrow"'),
    ],
)
def test_what_cannot_be_compared_gives_one_line(cli: Cli, policies: str, cure: str) -> None:
    result = cli("compare", "--policies", policies, *SETS)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert cure in result.err


def test_a_variant_names_policy_and_demand_source() -> None:
    scenario = load_scenario().scenario
    assert variant(scenario, "reactive").policy.name == "reactive"
    changed = variant(scenario, "predictive@previous").policy
    assert (changed.name, changed.demand_source) == ("predictive", "previous")
    with pytest.raises(UsageError, match="no policy"):
        variant(scenario, "@previous")


REAL = (
    "trace.name=code",
    "interval_s=300",
    "fleet.nodes=24",
    "fleet.prefill.nodes=1",
    "fleet.prefill.tokens_per_s_per_node=2500",
    "fleet.decode.nodes=1",
    "fleet.decode.tokens_per_s_per_node=100",
    "fleet.base.prefill=1",
    "fleet.base.decode=1",
    "fleet.step.prefill=1",
    "fleet.step.decode=1",
    "fleet.start_up_s=60",
    "fleet.drain_deadline_s=30",
    "policy.floor_nodes=2",
    "policy.day_window=00:00-00:01",
    "slo.max_shortfall_ratio=0.05",
)
"""A small fleet for an hour of bursts."""


def test_policies_on_a_real_hour_of_bursts_show_where_they_lose(cli: Cli, shared_traces: Path) -> None:
    log = shared_traces / "azure_llm_2023" / "AzureLLMInferenceTrace_code.csv"
    assert cli("trace", "import", str(log), "--format", "azure", "--name", "code").code == 0
    told = cli("compare", *(word for item in REAL for word in ("--set", item)), "--json").json
    rows = {row["policy"]: row for row in told["policies"]}
    assert told["bound"]["status"] == "optimal"
    for row in rows.values():
        level = row["at_equal_shortfall"]
        assert level["gap_to_bound"] >= 0
        assert level["shortfall_ratio"] <= 0.05
        assert row["loses"]["dearest_hour"] is not None
    # bursts of some minutes are over before who reacts has started units
    assert rows["reactive"]["shortfall_ratio"] > 0.05 > rows["night-training"]["shortfall_ratio"]
    assert rows["reactive"]["loses"]["shortest_hour_tokens"] > 0
    assert rows["oracle"]["at_equal_shortfall"]["gap_to_bound"] < rows["reactive"]["at_equal_shortfall"]["gap_to_bound"]
    assert any("does not fit" in note for note in told["notes"]), "one node holds no such model: slo is left out"
