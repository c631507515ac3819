"""What a plan comes to: a sentence that answers, its figures, the distance to the proven bound, targets as modelled."""

import time
from pathlib import Path

import pytest

from planner.catalogue.scenarios import load_scenario
from planner.documents import to_json
from planner.errors import PlannerError
from planner.planning.plan import plan_and_store
from planner.report.verdict import DAYS_PER_MONTH, Verdict, verdict_of
from planner.report.wording import amount, count, dollars, milliseconds, percent
from planner.runs.read import RunView, load_run
from planner.store import Store
from planner.studies.outlook import Outlook, outlook_of
from tests.conftest import NOW, SMALL, Cli, minute_log
from tests.helpers.replays import EVENING, SETS

CLOCK = time.perf_counter


def stored(store: Store, *overrides: str) -> RunView:
    """A plan of the built-in day with some settings."""
    return load_run(store, plan_and_store(store, load_scenario(None, overrides).scenario, now=NOW))


def judged(store: Store, run: RunView, **asked: float) -> tuple[Verdict, Outlook]:
    outlook = outlook_of(store, run, clock=CLOCK, **asked)
    return verdict_of(run, outlook), outlook


def small(cli: Cli, store: Store, minutes: list[tuple[int, int]], *overrides: str) -> RunView:
    """A plan of a few minutes on the small fleet."""
    cli("trace", "import", str(minute_log(Path("log.csv"), minutes)), "--format", "csv", "--name", "t")
    return stored(store, *SMALL, "trace.name=t", *overrides)


def test_the_published_day_is_answered_in_a_sentence(planned: Store) -> None:
    verdict, _ = judged(planned, load_run(planned))
    assert verdict.sentence == (
        "Needs 278 nodes at peak, lends 1,230 node-hours a night to training, costs $87,072 a day, does not hold the "
        "targets at p99 for 43.8 % of requests as modelled, and is 10.8 % above the proven bound."
    )
    assert verdict.cost_usd_per_month == pytest.approx(87_072 * DAYS_PER_MONTH)
    assert verdict.usd_per_million_tokens == pytest.approx(87_072 / 776_000)
    assert (verdict.targets_known_by, verdict.targets_hold) == ("model", False)
    assert verdict.bands_rest_on is None


def test_the_bound_is_that_of_a_comparison_and_the_relaxation_is_just_below_it(planned: Store) -> None:
    run = load_run(planned)
    relaxed, proven = (judged(planned, run, time_limit_s=limit)[1].bound for limit in (0, 60))
    assert relaxed is not None
    assert proven is not None
    assert (relaxed.proof, proven.proof) == ("linear relaxation", "search")
    assert proven.node_hours == pytest.approx(4_918.0)
    assert proven.max_shortfall_ratio == 0.01
    assert proven.gap_to_bound == pytest.approx(5_442 / 4_918 - 1)
    assert 0.998 * proven.node_hours < relaxed.node_hours <= proven.node_hours


def test_what_is_not_known_is_null_and_said(planned: Store) -> None:
    verdict = verdict_of(load_run(planned), None)
    assert verdict.sentence.endswith(", and its latency is not known until `planner replay`.")
    told = to_json(verdict)
    bands = {"peak_nodes_band", "lent_node_hours_per_night_band", "cost_usd_per_day_band", "bands_rest_on"}
    latencies = {"targets_known_by", "targets_hold", "ttft_p99_ms", "tpot_p99_ms", "attainment", "replayed_hours"}
    outlook = {"modelled_attainment", "latency_problem", "above_bound_ratio", "bound_node_hours", "bound_proof"}
    unknown = bands | latencies | outlook | {"bound_problem"}
    assert {name for name, value in told.items() if value is None} == unknown


def test_without_its_trace_a_run_has_its_bound_and_says_why_latency_is_not_known(planned: Store, cli: Cli) -> None:
    run = load_run(planned)
    name = run.record.trace
    assert cli("trace", "delete", name).code == 0
    verdict, outlook = judged(planned, run)
    assert outlook.bound is not None
    assert outlook.latency_met_ratio is None
    assert outlook.latency_problem == f'no trace "{name}"; none is stored; import or generate one'
    assert "its latency is not known until `planner replay`" in verdict.sentence
    assert verdict.above_bound_ratio is not None


def test_another_trace_of_the_same_name_is_not_taken_for_it(cli: Cli, store: Store) -> None:
    run = small(cli, store, [(600, 100), (600, 100)])
    assert cli("trace", "delete", "t").code == 0
    assert cli("trace", "import", "log.csv", "--format", "csv", "--name", "t").code == 0
    outlook = outlook_of(store, run, clock=CLOCK)
    assert outlook.latency_problem == 'the trace "t" of the run was deleted, and another one has its name'


def test_limits_that_are_missed_come_first(planned: Store) -> None:
    run = stored(planned, "economics.budget_usd=100")
    first = "Misses 1 limit (inference costs $87,072.00 and economics.budget_usd allows $100.00): needs 278 nodes"
    assert verdict_of(run, None).sentence.startswith(first)


def test_the_peak_is_what_the_demand_needs_and_not_the_fleet(planned: Store) -> None:
    """With a tenth of the demand a fixed fleet still holds all of its nodes."""
    verdict = verdict_of(stored(planned, "policy.name=fixed", "trace.demand_factor=0.1"), None)
    assert verdict.peak_nodes < 100
    assert verdict.held_peak_nodes == verdict.owned_nodes == 278
    assert f"Needs {verdict.peak_nodes} nodes at peak (the plan holds 278 of 278 owned)" in verdict.sentence


def test_a_fleet_too_small_needs_more_than_it_owns_and_has_no_distance_to_the_bound(cli: Cli, store: Store) -> None:
    """A step of 3 nodes carries 600 tokens a minute: 9,000 take 15 steps, or more than 12 prefill nodes alone."""
    verdict, outlook = judged(store, small(cli, store, [(100, 100), (9000, 100), (100, 100)]))
    assert (verdict.peak_nodes, verdict.held_peak_nodes, verdict.owned_nodes) == (45, 12, 12)
    assert "needs 45 nodes at peak (the plan holds 12 of 12 owned)" in verdict.sentence
    assert outlook.bound is None
    assert outlook.bound_problem is not None
    assert "no schedule of 12 nodes is within slo.max_shortfall_ratio" in outlook.bound_problem
    assert "bound" not in verdict.sentence


def test_a_plan_beyond_the_allowance_is_not_compared_with_the_bound(cli: Cli, store: Store) -> None:
    run = small(cli, store, [(100, 100), (1200, 100), (100, 100)], "policy.name=fixed", "policy.fixed_prefill_units=1",
                "policy.fixed_decode_units=1")  # fmt: skip
    verdict, outlook = judged(store, run)
    assert run.summary.shortfall_ratio > run.scenario.slo.max_shortfall_ratio
    assert outlook.bound is not None
    assert outlook.bound.gap_to_bound is None
    assert "bound" not in verdict.sentence


def test_minutes_are_not_made_into_days(cli: Cli, store: Store) -> None:
    verdict = verdict_of(small(cli, store, [(60, 60)], "policy.floor_nodes=3", "training.lend=false"), None)
    assert "a day" not in verdict.sentence
    assert " in its 1 min" in verdict.sentence
    assert "lends" not in verdict.sentence
    assert (verdict.cost_usd_per_day, verdict.cost_usd_per_month, verdict.lent_node_hours_per_night) == (None,) * 3


def test_modelled_capacities_have_their_bands_and_what_they_rest_on(planned: Store) -> None:
    run = stored(planned, "fleet.capacity=modelled")
    verdict = verdict_of(run, None)
    band = verdict.peak_nodes_band
    assert band is not None
    assert band.high is not None
    assert f"eeds {verdict.peak_nodes} nodes ({band.low:,.0f} to {band.high:,.0f}) at peak" in verdict.sentence
    assert verdict.bands_rest_on == "estimated from the model's errors on set-ups that were left out of its fit"


def test_a_replay_answers_for_its_window_with_the_figures_that_it_printed(cli: Cli, store: Store) -> None:
    told = cli("replay", *SETS, *EVENING, "--json").json
    run = load_run(store)
    verdict = verdict_of(run, outlook_of(store, run, clock=CLOCK))
    assert run.replay is not None
    figures = run.replay.figures
    assert figures.ttft_p99_ms == pytest.approx(told["ttft_ms"]["p99"])
    assert figures.tpot_p99_ms == pytest.approx(told["tpot_ms"]["p99"])
    for name in ("ttft_attainment", "tpot_attainment", "both_attainment"):
        assert getattr(figures, name) == pytest.approx(told["slo"][name])
    hold = min(told["slo"]["ttft_attainment"], told["slo"]["tpot_attainment"]) >= 0.99
    assert (verdict.targets_known_by, verdict.targets_hold) == ("replay", hold)
    verb = "holds" if hold else "does not hold"
    latencies = f"TTFT p99 {milliseconds(told['ttft_ms']['p99'])} of {milliseconds(told['ttft_target_ms'])} ms"
    assert f"{verb} the targets at p99 in the 15 min replayed ({latencies}" in verdict.sentence


def test_one_of_a_thing_has_no_plural() -> None:
    assert [count(1, "node"), count(2, "node"), count(0, "node"), count(1.04, "node-hour"), count(1234, "node")] == [
        "1 node", "2 nodes", "0 nodes", "1.0 node-hours", "1,234 nodes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(0, "0 %"), (1e-5, "under 0.1 %"), (0.5, "50.0 %"), (0.99999, "over 99.9 %"), (1, "100 %"), (1.357, "135.7 %")],
)
def test_shares_say_none_and_all_only_of_these(ratio: float, words: str) -> None:
    assert percent(ratio) == words


def test_figures_have_the_digits_that_a_reader_needs() -> None:
    assert [dollars(value) for value in (87_072.4, 12.345, 0.11220618, 0.9, 0)] == [
        "$87,072", "$12.35", "$0.112", "$0.90", "$0.00",
    ]  # fmt: skip
    assert [amount(value) for value in (1230.4, 9.96, 3)] == ["1,230", "10.0", "3"]
    assert [milliseconds(value) for value in (5619.7, 49.96, 50)] == ["5,620", "50.0", "50"]


def test_a_run_of_other_settings_has_no_outlook_but_an_error(planned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_run(planned)
    monkeypatch.setattr(RunView, "scenario", property(lambda _: (_ for _ in ()).throw(PlannerError("other settings"))))
    with pytest.raises(PlannerError, match="other settings"):
        outlook_of(planned, run, clock=CLOCK)
